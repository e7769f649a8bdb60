"""The fixtures of the pytest plugin, in test sessions of their own."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

pytest_plugins = ["pytester"]

PLUGIN: Final = "runstream.testing.pytest_plugin"
INSTALLED: Final = any(found.value == PLUGIN for found in entry_points(group="pytest11"))
OPTIONS: Final = ("-p", "no:cacheprovider", "-p", "no:xdist", *(() if INSTALLED else ("-p", PLUGIN)))

TEST: Final = """
import pytest
from runstream import RunStream, demo, read_recording
from runstream.testing import Cassette

calls = []

def source():
    calls.append(1)
    yield from read_recording(demo.load("text.sse"))

@pytest.mark.asyncio
async def test_an_answer(cassette: Cassette) -> None:
    async with RunStream(cassette(source())) as stream:
        run = await stream.result()
    assert run.is_complete
    print("was read:", len(calls))
    {extra}
"""


def run(pytester: pytest.Pytester, *options: str, extra: str = "") -> pytest.RunResult:
    """A session with the test."""
    pytester.makepyfile(test_app=TEST.format(extra=extra))
    arguments = (*OPTIONS, "-rA", "-o", "asyncio_default_fixture_loop_scope=function")
    return pytester.runpytest_subprocess(*arguments, *options)


def files(pytester: pytest.Pytester) -> list[str]:
    """The names of the cassettes."""
    return sorted(path.name for path in (Path(pytester.path) / "cassettes").glob("*"))


def test_a_source_is_recorded_once_and_replayed(pytester: pytest.Pytester) -> None:
    """The second session does not read the source."""
    first = run(pytester)
    first.assert_outcomes(passed=1)
    first.stdout.fnmatch_lines(["was read: 1"])
    assert files(pytester) == ["test_app.test_an_answer.jsonl"]
    second = run(pytester, "--runstream-cassettes=none")
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines(["was read: 0"])
    again = run(pytester, "--runstream-cassettes=all")
    again.stdout.fnmatch_lines(["was read: 1"])


def test_without_a_cassette_the_message_says_what_to_do(pytester: pytest.Pytester) -> None:
    """Where nothing may be recorded, a missing file is an error that names the option."""
    result = run(pytester, "--runstream-cassettes=none")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*there is no cassette*--runstream-cassettes=once*"])


def test_a_cassette_of_a_failed_test_is_not_kept(pytester: pytest.Pytester) -> None:
    """A recording may be the cause of the failure."""
    run(pytester, extra="assert False").assert_outcomes(failed=1)
    assert files(pytester) == []


def test_scripted_runs_have_ids_of_their_own(pytester: pytest.Pytester) -> None:
    """Each call makes another run."""
    pytester.makepyfile(
        """
        from runstream import fold

        def test_runs(scripted_run) -> None:
            runs = [scripted_run(), scripted_run(), scripted_run("mine", model="m")]
            assert [run.run_id for run in runs] == ["run_1", "run_2", "mine"]
            assert fold(runs[0].say("Hi.").end().raw_events()).runs[0].text == "Hi."
        """
    )
    pytester.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=1)
