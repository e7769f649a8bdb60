"""`runstream demo`: the show, in both outputs, once at its own pace."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import pytest

from runstream import demo
from runstream.cli.exit_codes import ExitCode
from runstream.recordings.pacing import Pace
from tests.cli.support import lines

SCENES = [scene for act in demo.SCRIPT for scene in act]


class Counted(Pace):
    """Says that nothing is to be waited for, and counts what would be."""

    seconds = 0.0

    def delay(self, at: float | None, now: float) -> float:
        """The clock is one that only this waiting moves."""
        Counted.seconds += super().delay(at, Counted.seconds)
        return 0.0


def test_at_its_own_pace(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself in under 20 s, with exit code 0, having shown every run."""
    monkeypatch.setattr("runstream.recordings.server.Pace", Counted)
    monkeypatch.setattr(Counted, "seconds", 0.0)
    found = cli("demo")
    assert found.code == ExitCode.COMPLETED, found.err
    assert 5 < Counted.seconds < 20
    assert found.err == "runstream: 8 runs: 4 completed, 1 expired, 1 cancelled, 1 failed, 1 incomplete\n"
    for scene in SCENES:
        assert f"run.{scene.outcome}" in found.out
    assert max(map(len, found.out.splitlines())) < 300


def test_json(cli: Callable) -> None:
    """As JSON lines: each run is created once and ends once, as scripted, and runs are interleaved."""
    found = cli("demo", "--json", "--pace", "0")
    assert found.code == ExitCode.COMPLETED
    assert found.err == ""
    signals = lines(found.out)
    for scene in SCENES:
        types = [s["type"] for s in signals if s.get("run_id") == scene.run_id and s["type"].startswith("run.")]
        assert types.count("run.created") == 1
        assert types[-1] == f"run.{scene.outcome}"
        assert "run.interrupted" not in types
    keys = [s["key"] for s in signals]
    assert len(keys) == len(set(keys))
    order = [s["run_id"] for s in signals if s["type"] == "message.text"]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > 4 * len(SCENES)


def test_the_call_is_answered_over_a_second_connection(cli: Callable) -> None:
    """When the run asks, the stream that answers is attached."""
    signals = lines(cli("demo", "--json", "--pace", "0").out)
    called = "run_demo_call_0001"
    types = [s["type"] for s in signals if s.get("run_id") == called or s["type"] == "source.connected"]
    assert types.count("source.connected") == 2
    assert types.index("run.action_required") < types.index("source.connected", 1) < types.index("run.completed")
    sources = {s["source"] for s in signals if s["type"] == "source.ended"}
    assert len(sources) == 2


@pytest.mark.parametrize("dialect", ["assistants", "responses", "ag-ui", "langgraph"])
def test_a_client(cli: Callable, dialect: str) -> None:
    """A client starts runs: calls are executed, one is approved, a connection breaks off, a run fails."""
    found = cli("demo", "--dialect", dialect, "--json", "--pace", "0")
    assert (found.code, found.err) == (ExitCode.COMPLETED, "")
    signals = lines(found.out)
    types = [signal["type"] for signal in signals]
    ends = [kind for kind in types if kind in ("run.completed", "run.failed", "run.interrupted")]
    assert ends == ["run.completed"] * (1 if dialect == "ag-ui" else 2) + ["run.failed"]
    assert types.count("run.action_required") == (1 if dialect == "langgraph" else 2)
    texts = "".join(signal["delta"] for signal in signals if signal["type"] == "message.text")
    assert "It has 13 words, which cost 0.91 euros." in texts  # what the tools have returned
    assert "The offer is on the table." in texts
    keys = [signal["key"] for signal in signals if "run_id" in signal]
    assert len(keys) == len(set(keys))


def test_a_client_without_a_server(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extras."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    found = cli("demo", "--dialect", "responses")
    assert found.code == ExitCode.USAGE
    assert "runstream[http,testing]" in found.err


def test_a_show_that_goes_wrong(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not end as scripted is named, and the exit code says so."""
    real = demo.load
    broken = real("text.sse").replace(b"event: thread.run.completed", b"event: nothing")
    broken = broken[: broken.index(b"event: nothing")]
    monkeypatch.setattr(demo, "load", lambda name: broken if name == "text.sse" else real(name))
    found = cli("demo", "--json", "--pace", "0")
    assert found.code == ExitCode.NOT_COMPLETED
    assert "run_demo_text_0001: in_progress, though the script says completed" in found.err
