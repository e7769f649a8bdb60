"""The official AG-UI client as an oracle: it makes the same of every recorded stream; a difference has its reason."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import fold_sources
from runstream.model.frozen import thaw
from tests.conformance.test_agui_fold import FILES, FOLDER, PAIRS, raws_of
from tests.interop.node_apps import node_command

pytestmark = pytest.mark.slow

DIFFERENCES = {
    "adk_confirmation_1.sse": ({"pending"}, "the call that a confirmation asks about is not requested beside it"),
    "langgraph_interrupt_default_1.sse": ({"pending"}, "the client does not read `on_interrupt`"),
    "langgraph_interrupt_default_again.sse": ({"status", "pending"}, "the client does not read `on_interrupt`"),
    "llamaindex_tool.sse": ({"status", "pending"}, "a result in a snapshot is a result"),
    "bench_llamaindex_anthropic.jsonl": ({"status", "pending"}, "a result in a snapshot is a result"),
    "maf_approval_2.sse": ({"calls"}, "a call of the run before it, which only a snapshot repeats"),
}
"""Where the two differ: the fields, and why."""
ANNOUNCED_AGAIN = {"agno_confirmation_2.sse", "dotnet_approval_2.jsonl"}
"""Threads that announce a call in both runs: the client appends its arguments to themselves."""


@cache
def official() -> dict[str, dict[str, Any]]:
    """What the official client makes of each file, and of the last file of each pair."""
    raws_of(FILES[0])
    folder = Path(mkdtemp(prefix="ag-ui-client-"))
    command = node_command("ag_ui_client.mjs", folder, "@ag-ui/client")
    for name in FILES:
        body = (FOLDER / name).read_text(encoding="utf-8")
        if name.endswith(".jsonl"):
            body = "".join(f"data: {line}\n\n" for line in body.splitlines() if line.strip())
        (folder / name).write_text(body, encoding="utf-8")
    threads = [*FILES, *("+".join(names) for names in PAIRS)]
    arguments = ["+".join(str(folder / name) for name in thread.split("+")) for thread in threads]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=True)
    lines = iter([json.loads(line) for line in done.stdout.splitlines()])
    return {thread: [next(lines) for _ in thread.split("+")][-1] for thread in threads}


def squeezed(text: str) -> str:
    """A text without its white space: snapshots strip and join it."""
    return "".join(text.split())


def parsed(arguments: str | None) -> Any:
    """Arguments as a JSON value: snapshots write them anew."""
    try:
        return json.loads(arguments or "null")
    except ValueError:
        return arguments


def theirs(found: dict[str, Any]) -> dict[str, Any]:
    """What the official client holds, in plain words."""
    messages = found["messages"]
    texts = [
        each["content"] for each in messages if each["role"] == "assistant" and isinstance(each.get("content"), str)
    ]
    calls = {
        call["id"]: (call["function"]["name"], parsed(call["function"]["arguments"]))
        for each in messages
        for call in each.get("toolCalls") or []
    }
    pending = found["interrupts"] or found.get("pending") or []
    status = {"interrupt": "requires_action", "cancelled": "cancelled"}.get(found.get("outcome"), "completed")
    if found.get("error") is not None:
        status, pending = "failed", []
    elif status == "completed" and pending:
        status = "requires_action"
    return {
        "status": status,
        "pending": sorted(pending),
        "texts": Counter(squeezed(text) for text in texts if squeezed(text)),
        "calls": calls,
        "results": {each["toolCallId"]: each["content"] for each in messages if each["role"] == "tool"},
        "reasoning": Counter(squeezed(each["content"]) for each in messages if each["role"] == "reasoning"),
        "document": found["state"],
        "activities": {each["id"]: each["content"] for each in messages if each["role"] == "activity"},
    }


def ours(state: RunState) -> dict[str, Any]:
    """What a state has, in the same words."""
    action = state.run.required_action
    calls = [call for step in state.steps for call in step.tool_calls]
    return {
        "status": state.status.value,
        "pending": sorted(call.id for call in action.tool_calls) if action is not None else [],
        "texts": Counter(squeezed(each.text) for each in state.messages if squeezed(each.text)),
        "calls": {call.id: (call.name, parsed(call.arguments)) for call in calls if call.name is not None},
        "results": {call.id: call.output for call in calls if call.output is not None},
        "reasoning": Counter(squeezed(step.reasoning) for step in state.steps if step.type == "reasoning"),
        "document": thaw(state.document) if state.document is not None else {},
        "activities": {activity.id: thaw(activity.value) for activity in state.activities},
    }


@pytest.mark.parametrize("name", FILES)
def test_a_recording(name: str) -> None:
    """Status, what waits, texts, calls, results, reasoning, state and activities."""
    found = official()[name]
    (state,) = fold_sources([(name, raws_of(name))], dialect="ag-ui").runs
    if "threw" in found and "error" not in found:
        assert state.is_terminal or state.run.requires_action  # where it gives up, the run has its end
        return
    expected, actual = theirs(found), ours(state)
    differing = {field for field in expected if expected[field] != actual[field]}
    assert differing == DIFFERENCES.get(name, (set(), ""))[0], {f: (expected[f], actual[f]) for f in differing}


@pytest.mark.parametrize("names", PAIRS, ids=lambda names: names[-1])
def test_a_thread(names: tuple[str, ...]) -> None:
    """A pause and its answer: the texts, results and state of the whole."""
    found = official()["+".join(names)]
    if "threw" in found:
        pytest.skip(f"the official client refuses it: {found['threw'][:80]}")
    first = fold_sources([(names[0], raws_of(names[0]))], dialect="ag-ui").runs[0].run_id
    sources: list[Any] = [(name, raws_of(name), {"continues": first}) for name in names]
    (state,) = fold_sources([sources[0][:2], *sources[1:]], dialect="ag-ui").runs
    expected, actual = theirs(found), ours(state)
    fields = {"status", "texts", "calls", "results", "document"}
    for field in fields - ({"calls"} if names[-1] in ANNOUNCED_AGAIN else set()):
        assert actual[field] == expected[field], field
