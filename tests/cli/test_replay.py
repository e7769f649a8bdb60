"""`runstream replay`: what is printed, where, and from which input."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runstream.cli.stdio import clip
from runstream.model.signals import SIGNAL_TYPES
from tests.cli.support import asked_and_answered, body, cut_short, ended, lines, run_cli
from tests.support.wire import Event, jsonl, message_delta


def test_json_lines(cli: Callable, recording: Callable) -> None:
    """One signal a line, with the documented fields first."""
    found = cli("replay", "--json", recording(ended("a")))
    signals = lines(found.out)
    assert [list(signal)[:4] for signal in signals[:-1]] == [["type", "run_id", "thread_id", "key"]] * (
        len(signals) - 1
    )
    assert {signal["type"] for signal in signals} <= set(SIGNAL_TYPES)
    keys = [signal["key"] for signal in signals]
    assert len(keys) == len(set(keys))
    last = signals[-2]
    assert (last["type"], last["run_id"], last["key"]) == ("run.completed", "run_a_0001", "run_a_0001/completed")
    assert last["run"]["status"] == "completed"
    assert found.err == ""


def test_text_is_whole(cli: Callable, recording: Callable) -> None:
    """The fragments, put together, are the message."""
    signals = lines(cli("replay", "--json", recording(ended("a", text="One, two; three.\nFour?"))).out)
    assert "".join(s["delta"] for s in signals if s["type"] == "message.text") == "One, two; three.\nFour?"


def test_plain(cli: Callable, recording: Callable) -> None:
    """Aligned columns: run, signal, details; and the count on standard error."""
    path = recording(ended("a", text="Hello there."))
    found = cli("replay", path)
    assert found.out.splitlines() == [
        "run_a_0001        run.created            gpt-4o-mini · thread_a_0001 · asst_a_0001",
        "run_a_0001        run.status_changed     queued",
        "run_a_0001        run.status_changed     queued → in_progress",
        "run_a_0001        step.created           message_creation",
        "run_a_0001        message.created        assistant · msg_a_0001",
        "run_a_0001        message.text           Hello there.",
        "run_a_0001        message.completed      12 characters",
        "run_a_0001        step.completed         message_creation · 7 tokens (3 in, 4 out)",
        "run_a_0001        run.completed          2.0s · 7 tokens (3 in, 4 out)",
        f"                  source.ended           {clip(path, 60)} · the recording ended",
    ]
    assert found.err == "runstream: 1 run: 1 completed\n"


def test_two_streams_are_one_run(cli: Callable, recording: Callable) -> None:
    """Paused in between, completed once."""
    first, second = asked_and_answered("pair")
    found = cli("replay", "--json", recording(first, name="1.sse"), recording(second, name="2.sse"))
    types = [signal["type"] for signal in lines(found.out)]
    for once in ("run.created", "run.action_required", "run.paused", "run.completed"):
        assert types.count(once) == 1
    assert types.index("run.action_required") < types.index("run.paused") < types.index("run.completed")
    assert types.count("source.ended") == 2
    assert "run.interrupted" not in types


def test_cut_off(cli: Callable, recording: Callable) -> None:
    """A run that was left live is said to be so, in both outputs."""
    path = recording(cut_short("cut"))
    interrupted = [s for s in lines(cli("replay", "--json", path).out) if s["type"] == "run.interrupted"]
    assert [s["run_id"] for s in interrupted] == ["run_cut_0001"]
    found = cli("replay", path)
    assert "run.interrupted        left in_progress: the recording ended" in found.out
    assert found.err == "runstream: 1 run: 1 cut off\n"


@pytest.mark.parametrize("name", ["run.jsonl", "run.ndjson", "run.log"])
def test_json_lines_in(cli: Callable, tmp_path: Path, name: str) -> None:
    """JSON lines are known by their suffix or by their first line."""
    path = tmp_path / name
    path.write_bytes(b"\n  \n" + jsonl(ended("a")))
    assert cli("replay", str(path)).code == 0


def test_times_of_a_recording(cli: Callable, tmp_path: Path) -> None:
    """Where a recording says when its events arrived, that is the clock; the file's end is at its last event."""
    path = tmp_path / "run.jsonl"
    events = [e for e in cut_short("a") if e.name != "done"]
    path.write_text(
        "\n".join(json.dumps({"event": e.name, "data": e.data, "at": 1000 + n / 2}) for n, e in enumerate(events))
    )
    at = [signal["at"] for signal in lines(cli("replay", "--json", str(path)).out)]
    assert at == [1000, 1000, 1001, 1001, 1001]
    assert cli("replay", str(path)).out.splitlines()[2].startswith("    1.00s  run_a_0001 ")


@pytest.mark.parametrize("format", ["sse", "jsonl"])
def test_standard_input(format: str) -> None:
    """Either format can be piped in, and is recognised."""
    data = body(ended("a")) if format == "sse" else jsonl(ended("a"))
    found = run_cli("replay", "--json", "-", input=data)
    assert found.returncode == 0
    assert lines(found.stdout)[-1]["source"] == "<stdin>"


def test_a_pipe_by_name(tmp_path: Path) -> None:
    """A file that can be opened only once (a named pipe, a process substitution) is opened only once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(body(ended("a")),))
    writer.start()
    found = run_cli("replay", "--json", str(pipe))
    writer.join(25)
    assert found.returncode == 0
    assert len(lines(found.stdout)) > 5


def test_rejects(cli: Callable, tmp_path: Path) -> None:
    """Rejected input is reported with file, line, reason and event, and counted; never with its text."""
    path = tmp_path / "bad.sse"
    path.write_bytes(
        b"...\nevent: thread.run.created\ndata: {not json\n\n"
        b'event: thread.run.queued\ndata: {"status": "queued", "instructions": "a secret"}\n\n'
        b'event: thread.run.completed\n{"id": "run_x", "instructions": "a secret"}\n\n' + body(ended("a"))
    )
    found = cli("replay", "--json", str(path))
    assert found.code == 0
    told = found.err.splitlines()
    assert told[0].startswith(f"runstream: {path}:2: rejected: Not JSON")
    assert told[0].endswith("(thread.run.created)")
    assert told[1].startswith(f"runstream: {path}:5: rejected: ")
    assert f"runstream: {path}:9: rejected: " in found.err
    assert told[-1].startswith(f"runstream: {len(told) - 1} rejected inputs;")
    assert "secret" not in found.err
    assert lines(found.out)[-2]["type"] == "run.completed"


def test_what_was_never_seen(cli: Callable, recording: Callable) -> None:
    """Runs that events name but that never come are reported on standard error, messages without a run too."""
    events = [e for e in ended("ghost") if not e.name.startswith("thread.run.") or "step" in e.name]
    found = cli("fold", "--json", recording(events, [Event("thread.message.delta", message_delta("msg_x", "hm"))]))
    assert found.code == 1
    assert found.out == ""
    told = [line.removeprefix("runstream: ") for line in found.err.splitlines()]
    assert [line for line in told if line.startswith("run_ghost_0001: named by ")] == told[:1]
    assert told[0].endswith("but this run was never seen")
    assert told[1:] == ["msg_x: named by 1 event, but the run that has it was never seen", "no run was seen"]


@pytest.mark.slow
def test_many_runs_are_forgotten_but_counted(cli: Callable, recording: Callable) -> None:
    """More runs than are held at once: all are counted, and fold shows all."""
    path = recording(*(ended(f"n{n}", "failed" if n == 0 else "completed", text="x") for n in range(1100)))
    found = cli("replay", path)
    assert found.code == 1
    assert found.err == "runstream: 1100 runs: 1 failed, 1099 completed\n"
    assert len(cli("fold", "--json", path).out.splitlines()) == 1100


def test_a_dialect_by_name(cli: Callable, tmp_path: Path, words_dialect: str) -> None:
    """The events of another wire, by the name of its dialect."""
    path = tmp_path / "run.sse"
    path.write_text("data: run_1 in_progress\n\ndata: run_1 completed\n\n")
    found = cli("replay", "--json", "--dialect", "words", str(path))
    assert (found.code, found.err) == (0, "")
    assert [signal["type"] for signal in lines(found.out)][-2:] == ["run.completed", "source.ended"]
