"""Exit codes: each alone, and the worst of several in the documented order."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from runstream.cli.exit_codes import ExitCode
from tests.cli.support import ENDINGS, asked_and_answered, cut_short, ended, waiting
from tests.support.wire import DONE, Event, dumps

ERROR = Event("error", {"error": {"code": "server_error", "message": "no", "param": None, "type": "server_error"}})

STREAMS: dict[str, tuple[list[Event], ExitCode]] = {
    "completed": (ended("ok"), ExitCode.COMPLETED),
    "failed": (ended("failed", "failed"), ExitCode.NOT_COMPLETED),
    "cancelled": (ended("cancelled", "cancelled"), ExitCode.NOT_COMPLETED),
    "expired": (ended("expired", "expired"), ExitCode.NOT_COMPLETED),
    "incomplete": (ended("incomplete", "incomplete"), ExitCode.NOT_COMPLETED),
    "waiting": (waiting("waits"), ExitCode.WAITING),
    "cut": (cut_short("cut"), ExitCode.LEFT_LIVE),
    "cut after done": (cut_short("done", done=True), ExitCode.LEFT_LIVE),
    "cut after an error": ([*cut_short("error"), ERROR], ExitCode.LEFT_LIVE),
    "cancelling": (cut_short("cancelling", status="cancelling"), ExitCode.LEFT_LIVE),
    "unknown status": (cut_short("unknown", status="generating", done=True), ExitCode.LEFT_LIVE),
}
BADNESS = [ExitCode.COMPLETED, ExitCode.WAITING, ExitCode.NOT_COMPLETED, ExitCode.LEFT_LIVE]


@pytest.mark.parametrize("command", ["replay", "fold"])
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["plain", "json"])
@pytest.mark.parametrize("kind", STREAMS)
def test_one_run(cli: Callable, recording: Callable, command: str, json: tuple[str, ...], kind: str) -> None:
    """Each way in which a run can be left has its code, whatever the output."""
    stream, code = STREAMS[kind]
    assert cli(command, *json, recording(stream)).code == code


@pytest.mark.parametrize("kinds", list(itertools.permutations(STREAMS, 2)), ids=" then ".join)
def test_of_two_runs_the_worse(cli: Callable, recording: Callable, kinds: tuple[str, str]) -> None:
    """The order of the runs makes no difference."""
    codes = [STREAMS[kind][1] for kind in kinds]
    path = recording(*(STREAMS[kind][0] for kind in kinds))
    assert cli("fold", path).code == max(codes, key=BADNESS.index)


def test_in_several_files(cli: Callable, recording: Callable) -> None:
    """A later file can not make good what an earlier one left."""
    good, cut = recording(ended("ok"), name="1.sse"), recording(cut_short("cut"), name="2.sse")
    assert cli("replay", cut, good).code == cli("replay", good, cut).code == ExitCode.LEFT_LIVE


def test_a_later_file_may_answer(cli: Callable, recording: Callable) -> None:
    """What counts is how a run stands at the end of the last file."""
    first, second = asked_and_answered("pair")
    asked, answered = recording(first, name="1.sse"), recording(second, name="2.sse")
    assert cli("replay", asked).code == ExitCode.WAITING
    assert cli("replay", asked, answered).code == ExitCode.COMPLETED


def test_no_run(cli: Callable, recording: Callable) -> None:
    """A recording without a run is no success."""
    for stream in ([], [DONE], [ERROR, DONE]):
        found = cli("replay", recording(stream))
        assert found.code == ExitCode.NOT_COMPLETED
        assert "no run was seen" in found.err


def test_rejects_change_nothing(cli: Callable, recording: Callable) -> None:
    """Junk beside a run that completed is reported, not punished."""
    path = recording([Event("thread.run.created", {"object": "thread.run"})], ended("ok"))
    found = cli("replay", path)
    assert found.code == ExitCode.COMPLETED
    assert "1 rejected input;" in found.err


def test_a_run_without_a_reason_to_wait_still_waits(cli: Callable, recording: Callable) -> None:
    """The status counts, also where the server forgot to say what the run waits for."""
    assert cli("fold", recording(cut_short("bare", status="requires_action"))).code == ExitCode.WAITING


def test_the_objects_status_wins(cli: Callable, recording: Callable) -> None:
    """`thread.run.completed` with the status incomplete is incomplete."""
    events = ended("odd", "incomplete")
    odd = [Event("thread.run.completed", e.data) if e.name == "thread.run.incomplete" else e for e in events]
    assert dumps(odd[-2].data)
    assert cli("replay", recording(odd)).code == ExitCode.NOT_COMPLETED


def test_every_ending_is_covered() -> None:
    """The table above knows all five."""
    assert set(ENDINGS) <= set(STREAMS)
