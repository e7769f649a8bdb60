"""AG-UI out, as others read it: the official client with its verifier on, and the models of `ag-ui-protocol`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from runstream.core.derive import awaited_calls
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.sinks.ag_ui.events import sse_block
from tests.interop.environments import APPS, interop_python
from tests.interop.node_apps import node_command
from tests.sinks.ag_ui.encoding import RECORDED, Encoded, encode, items_of, knowledge, recorded_runs

pytestmark = pytest.mark.slow

KINDS = ("whole", "late", "offered", "old")
"""The ways of a stream: from its beginning, joined in the middle, with tools of the front end, for an older peer."""
UNTAGGED = {"old"}


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


def all_streams() -> Iterator[tuple[str, str, int, Encoded]]:
    for name in RECORDED:
        for kind, found in streams(name).items():
            for number, encoded in enumerate(found):
                yield name, kind, number, encoded


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
    return dict(zip(keys, map(json.loads, done.stdout.splitlines()), strict=True))


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
    assert expected["calls"].items() <= calls.items()
    results = {message["toolCallId"]: message["content"] for message in shown if message["role"] == "tool"}
    assert expected["outputs"].items() <= results.items()
    if expected["document"] is not None:
        assert found["state"] == expected["document"]
    assert {each["id"]: each["content"] for each in shown if each["role"] == "activity"} == expected["activities"]


def test_the_models_accept_every_event() -> None:
    """All events of all streams, validated by the Python package."""
    python = interop_python("ag_ui")
    lines = [sse_block(event)[6:-1] for *_, encoded in all_streams() for event in encoded.events]
    done = subprocess.run(
        [python, str(APPS / "ag_ui_models.py")], input=b"".join(lines), capture_output=True, timeout=300, check=True
    )
    assert done.stdout.decode() == ""
    assert len(lines) > 1000
