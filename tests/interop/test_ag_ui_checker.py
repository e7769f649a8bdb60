"""The official AG-UI client and the checker agree on what breaks the protocol; a difference has its reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.checker.streams import Event, ag_ui_events, check_lines, errors
from tests.interop.node_apps import node_command

pytestmark = pytest.mark.slow

UNCHECKED = {
    "terminal_event": "a stream that just ends is a success for the client",
    "result_once": "the client shows a second result as another message",
    "subagent_known": "the client accepts events of a subagent that was never started",
    "unreadable_event": "a patch that fails is a warning of the client",
}
"""The rules that the client does not check, and what it does instead."""


def of(kind: str, **fields: object) -> Event:
    """An event."""
    return {"type": kind, **fields}


def conforming() -> list[Event]:
    """A stream with everything that can be opened."""
    own = {"subagentRunId": "a"}
    more = [
        of("STEP_STARTED", stepName="s"),
        of("SUBAGENT_STARTED", subagentRunId="a", name="helper"),
        of("TEXT_MESSAGE_START", messageId="m0", role="assistant", **own),
        of("TEXT_MESSAGE_CONTENT", messageId="m0", delta="x", **own),
        of("TEXT_MESSAGE_END", messageId="m0", **own),
        of("SUBAGENT_FINISHED", subagentRunId="a"),
        of("STEP_FINISHED", stepName="s"),
        of("STATE_SNAPSHOT", snapshot={"a": 1}),
        of("STATE_DELTA", delta=[{"op": "replace", "path": "/a", "value": 2}]),
        of("TEXT_MESSAGE_CHUNK", messageId="k1", role="assistant", delta="q"),
        of("TEXT_MESSAGE_CHUNK", delta="r"),
    ]
    events = ag_ui_events()
    return [*events[:6], *more, *events[6:]]


def mutations() -> dict[str, list[Event]]:
    """The stream with one event left out, repeated, or exchanged with one of the next three."""
    events = conforming()
    found = {"none": events}
    for at in range(len(events)):
        found[f"without_{at}"] = events[:at] + events[at + 1 :]
        found[f"twice_{at}"] = events[: at + 1] + events[at:]
        for other in range(at + 1, min(at + 4, len(events))):
            swapped = list(events)
            swapped[at], swapped[other] = swapped[other], swapped[at]
            found[f"swapped_{at}_{other}"] = swapped
    return found


ADDED = (
    *(("timestamp", 1.5), ("timestamp", "x"), ("timestamp", None), ("rawEvent", None), ("metadata", None)),
    *(("metadata", []), ("own", 1), ("role", None), ("role", "odd"), ("name", None), ("parentMessageId", None)),
    *(("parentMessageId", 5), ("outcome", None), ("result", None), ("usage", None), ("usage", {}), ("input", None)),
)


def wrong_fields() -> dict[str, list[Event]]:
    """The stream with one field of one event left out, null or of another type, or with one more."""
    found: dict[str, list[Event]] = {}
    for at, event in enumerate(conforming()):
        for name in event.keys() - {"type"}:
            edits = [{**event, name: value} for value in (None, 7, {"z": 1}, [])]
            edits.append({key: value for key, value in event.items() if key != name})
            for number, edit in enumerate(edits):
                found[f"{at}_{name}_{number}"] = [*conforming()[:at], edit, *conforming()[at + 1 :]]
        for number, (name, value) in enumerate(ADDED):
            if name not in event:
                edit = {**event, name: value}
                found[f"{at}_more_{number}"] = [*conforming()[:at], edit, *conforming()[at + 1 :]]
    return found


@pytest.mark.parametrize("streams", [mutations(), wrong_fields()], ids=["events", "fields"])
def test_the_official_client_rejects_what_breaks_a_rule(tmp_path: Path, streams: dict[str, list[Event]]) -> None:
    """For each mutation: the client throws if, and only if, a rule that it checks is broken."""
    command = node_command("ag_ui_client.mjs", tmp_path, "@ag-ui/client")
    paths = [tmp_path / f"{name}.sse" for name in streams]
    for path, events in zip(paths, streams.values(), strict=True):
        path.write_text("".join(f"data: {json.dumps(event)}\n\n" for event in events), encoding="utf-8")
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=300, check=True)
    wrong = {}
    for (name, events), line in zip(streams.items(), done.stdout.splitlines(), strict=True):
        broken = errors(check_lines(events, "ag-ui"))
        threw = json.loads(line).get("threw")
        if bool(broken - set(UNCHECKED)) != bool(threw):
            wrong[name] = broken, threw
    assert wrong == {}
    assert len(streams) > 100
