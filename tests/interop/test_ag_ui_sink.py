"""AG-UI out, as others read it: the official client with its verifier on, and the models of `ag-ui-protocol`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from runstream.core.derive import awaited_calls
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.sinks.ag_ui.events import sse_block
from runstream.testing import conversations, value_events
from tests.interop.environments import APPS, interop_python
from tests.interop.node_apps import node_command
from tests.properties.strategies import raws, tales
from tests.sinks.ag_ui.encoding import RECORDED, Encoded, encode, items_of, knowledge, recorded_runs
from tests.support.canonical import play, run

pytestmark = pytest.mark.slow

KINDS = ("whole", "late", "offered", "old")
"""The ways of a stream: from its beginning, joined in the middle, with tools of the front end, for an older peer."""


@cache
def streams(name: str) -> dict[str, list[Encoded]]:
    """The streams of a recording, of each kind."""
    items, dialect = items_of(name)
    whole = recorded_runs(name)
    tools = {call.name or "" for run in whole for call in awaited_calls(run.state) if call.kind == "function"}

    def offered() -> AgUiEncoder:
        return AgUiEncoder("thread-1", "run-1", tools=tools)

    def old() -> AgUiEncoder:
        return AgUiEncoder("thread-1", "run-1", version=None)

    return {
        "whole": whole,
        "late": encode(items, dialect=dialect, join_after=len(items) // 2),
        "offered": encode(items, dialect=dialect, make=offered) if tools else [],
        "old": encode(items, dialect=dialect, make=old),
    }


def examples(strategy: SearchStrategy[Any], number: int) -> list[Any]:
    """Examples of a strategy, the same in each run."""
    found: list[Any] = []

    checks, phases = list(HealthCheck), [Phase.generate]
    options = {"database": None, "deadline": None, "suppress_health_check": checks, "phases": phases}

    @settings(max_examples=number, derandomize=True, **options)
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


@cache
def generated() -> list[Encoded]:
    """The streams of generated runs: whole ones, rough ones, and some that are joined late."""
    found = []
    for conversation in examples(conversations(max_runs=2), 60):
        found += encode(conversation.raw_events(interleaved=True))
    for number, lines in enumerate(examples(tales(), 80)):
        items = raws(lines)
        found += encode(items, join_after=len(items) // 2 if number % 2 else None)
    for events in examples(value_events(), 30):
        engine, signals = play([run("queued"), run("in_progress"), *events])
        encoder = AgUiEncoder("thread-1", "run-1")
        sent = [event for signal in signals for event in encoder.encode(signal)]
        found.append(Encoded(engine.states()[0], sent + encoder.finish(), encoder, {}))
    return found


def all_streams() -> Iterator[tuple[str, str, int, Encoded]]:
    for name in RECORDED:
        for kind, found in streams(name).items():
            for number, encoded in enumerate(found):
                yield name, kind, number, encoded
    for number, encoded in enumerate(generated()):
        yield "generated", "whole", number, encoded


def json_lines(text: str) -> list[Any]:
    """The values of lines of JSON, which may contain other line separators."""
    return [json.loads(line) for line in text.split("\n") if line]


@cache
def official() -> dict[tuple[str, str, int], dict[str, Any]]:
    """What the official client makes of each stream."""
    folder = Path(mkdtemp(prefix="ag-ui-sink-"))
    command = node_command("ag_ui_client.mjs", folder, "@ag-ui/client")
    paths, keys = [], []
    for name, kind, number, encoded in all_streams():
        path = folder / f"{len(keys)}.sse"
        path.write_bytes(b"".join(map(sse_block, encoded.events)))
        paths.append(str(path))
        keys.append((name, kind, number))
    done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=550, check=True)
    return dict(zip(keys, json_lines(done.stdout), strict=True))


def test_an_older_client_reads_what_it_gets() -> None:
    """The release before 1.0, which declares no version: it accepts all streams for such a peer."""
    folder = Path(mkdtemp(prefix="ag-ui-old-"))
    command = node_command("ag_ui_client.mjs", folder, "ag-ui-client-0-0-57")
    old = [(name, encoded) for name, kind, _, encoded in all_streams() if kind == "old"]
    paths = [folder / f"{number}.sse" for number in range(len(old))]
    for path, (_, encoded) in zip(paths, old, strict=True):
        path.write_bytes(b"".join(map(sse_block, encoded.events)))
    environ = {**os.environ, "AG_UI_CLIENT": "ag-ui-client-0-0-57"}
    done = subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, timeout=550, check=True, env=environ
    )
    for (name, encoded), found in zip(old, json_lines(done.stdout), strict=True):
        assert "threw" not in found or encoded.events[-1]["type"] == "RUN_ERROR", (name, found["threw"])
        _compare(encoded, found, "old")


@pytest.mark.parametrize("name", RECORDED)
def test_the_official_client_knows_the_same(name: str) -> None:
    """Its verifier accepts the stream; texts, calls, outputs, state, activities and what waits are the same."""
    for kind, runs in streams(name).items():
        for number, encoded in enumerate(runs):
            found = official()[name, kind, number]
            end = encoded.events[-1]
            assert found.get("error") == end.get("message")
            assert "threw" not in found or "error" in found, found["threw"]
            _compare(encoded, found, kind)
            outcome = end.get("outcome") or {}
            assert found.get("interrupts", []) == [each["id"] for each in outcome.get("interrupts", [])]
            if kind == "offered" and outcome.get("type") == "success" and (waiting := encoded.encoder.waiting):
                assert found["pending"] == [call.id for call in waiting.calls]
            elif outcome.get("type") == "success":
                assert not found["pending"]


def test_the_official_client_knows_the_same_of_generated_runs() -> None:
    """Any run; text that replaces other text too."""
    for number, encoded in enumerate(generated()):
        found = official()["generated", "whole", number]
        assert "threw" not in found or "error" in found, found["threw"]
        _compare(encoded, found, "whole")


def _compare(encoded: Encoded, found: dict[str, Any], kind: str) -> None:
    expected = knowledge(encoded.state)
    shown = [message for message in found["messages"] if not str(message["id"]).endswith("/refusal")]
    texts = [message for message in shown if message["role"] == "assistant" and message.get("content")]
    if kind != "old":
        assert "".join(each["content"] for each in texts if "subagentRunId" not in each) == expected["text"]
        assert sorted(each["content"] for each in texts if "subagentRunId" in each) == expected["inner"]
    else:
        assert len("".join(each["content"] for each in texts)) == len(expected["text"] + "".join(expected["inner"]))
    calls = {
        call["id"]: (call["function"]["name"], call["function"]["arguments"])
        for message in shown
        for call in message.get("toolCalls") or ()
    }
    assert {id: call for id, call in expected["calls"].items() if id in calls or call[1]}.items() <= calls.items()
    results = {message["toolCallId"]: message["content"] for message in shown if message["role"] == "tool"}
    assert expected["outputs"].items() <= results.items()
    if () in encoded.state.documents:
        assert found["state"] == expected["document"]
    assert {each["id"]: each["content"] for each in shown if each["role"] == "activity"} == {
        id: value if isinstance(value, dict) else {"value": value} for id, value in expected["activities"].items()
    }


def test_the_models_accept_every_event() -> None:
    """All events of all streams, validated by the Python package."""
    python = interop_python("ag_ui")
    lines = [sse_block(event)[6:-1] for *_, encoded in all_streams() for event in encoded.events]
    done = subprocess.run(
        [python, str(APPS / "ag_ui_models.py")], input=b"".join(lines), capture_output=True, timeout=300, check=True
    )
    assert done.stdout.decode() == ""
    assert len(lines) > 1000
