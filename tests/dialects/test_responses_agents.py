"""The Responses dialect on responses of several agents: the agent of an item is its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.dialects.responses import ResponsesDialect
from runstream.engine.fold import Folded, fold
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired, MessageCompleted, TextDelta
from tests.support.responses import ResponseScript

Json = dict[str, Any]
ROOT, HELPER, DEEP = "/root", "/root/researcher", "/root/researcher/reader"


def tagged(script: ResponseScript, first: int, agent: str, *, events: bool = True, items: bool = True) -> None:
    """Name the agent of the events of a script from the first one on, and of the items in them."""
    for event in script.events[first:]:
        if events:
            event["agent"] = {"agent_name": agent}
        if items and "item" in event:
            event["item"] = {**event["item"], "agent": {"agent_name": agent}}
    if items:
        ids = {event["item"]["id"] for event in script.events[first:] if "item" in event}
        script.response["output"] = [
            {**item, "agent": {"agent_name": agent}} if item["id"] in ids else item
            for item in script.response["output"]
        ]


def conversation(**options: Any) -> ResponseScript:
    """A response in which two subagents say something before the agent that was asked."""
    script = ResponseScript().begin()
    for agent, text in ((DEEP, "deep"), (HELPER, "helped"), (ROOT, "done")):
        first = len(script.events)
        script.think("hm").say(text[:2], text[2:])
        tagged(script, first, agent, **options)
    return script.end()


def read(script: ResponseScript) -> Folded:
    """The fold, which is the same if each event comes twice."""
    folded = fold(script.raws(), dialect="responses")
    twice = fold([raw for raw in script.raws() for _ in range(2)], dialect="responses")
    assert [signal.key for signal in twice.signals] == [signal.key for signal in folded.signals]
    assert twice.runs[0].to_dict() == folded.runs[0].to_dict()
    return folded


@pytest.mark.parametrize("options", [{}, {"events": False}, {"items": False}], ids=["both", "items", "events"])
def test_the_agent_of_an_item_is_its_path(options: Json) -> None:
    """Names are paths below the agent that was asked; its own text is that of the run."""
    folded = read(conversation(**options))
    (state,) = folded.runs
    assert state.status == "completed"
    assert state.text == "done"
    assert state.paths == (("researcher", "reader"), ("researcher",))
    assert state.text_at(("researcher",)) == "helped"
    assert state.text_at(("researcher", "reader")) == "deep"
    assert [state.path_of(step.id) for step in state.steps] == [("researcher", "reader"), ("researcher",), ()]
    texts = [signal for signal in folded.signals if isinstance(signal, TextDelta)]
    assert ["/".join(signal.path) for signal in texts] == ["researcher/reader"] * 2 + ["researcher"] * 2 + [""] * 2
    ended = [signal for signal in folded.signals if isinstance(signal, MessageCompleted)]
    assert [signal.path for signal in ended] == [("researcher", "reader"), ("researcher",), ()]


@pytest.mark.parametrize(
    ("name", "path"), [("helper", ("helper",)), ("/root", ()), ("/", ()), ("", ()), (7, ()), (None, ())]
)
def test_other_names(name: object, path: tuple[str, ...]) -> None:
    """A name that is no path is that of one subagent; what is no name is none."""
    script = ResponseScript().begin()
    first = len(script.events)
    script.say("Hi")
    tagged(script, first, name)  # type: ignore[arg-type]
    (state,) = read(script.end()).runs
    assert state.paths == ((path,) if path else ())


def test_a_call_of_a_subagent_waits() -> None:
    """The application answers it as any other."""
    script = ResponseScript().begin()
    first = len(script.events)
    script.call("call_1", "find", "{}")
    tagged(script, first, HELPER)
    folded = read(script.end())
    (asked,) = [signal for signal in folded.signals if isinstance(signal, ActionRequired)]
    assert [call.id for call in asked.calls] == ["call_1"]
    assert [folded.runs[0].path_of(step.id) for step in folded.runs[0].steps] == [("researcher",)]


def test_an_item_that_was_not_announced() -> None:
    """The event of its first fragment names the agent; so does a later decoder that has the memory."""
    fields = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "agent": {"agent_name": HELPER}}
    script = ResponseScript().begin().send("output_text.delta", delta="Hi", **fields)
    assert read(script).runs[0].paths == (("researcher",),)
    dialect = ResponsesDialect()
    for raw in script.raws():
        dialect.decode(raw)
    later = ResponsesDialect(memory=dialect.dump())
    whole = {"id": "msg_1", "type": "message", "status": "completed", "content": []}
    done = {"type": "response.output_item.done", "output_index": 0, "item": whole, "sequence_number": 9}
    decoded: Any = later.decode(RawEvent(data=json.dumps(done).encode()))
    assert [event.path for event in decoded] == [("researcher",)]


def test_items_between_agents_are_generic_calls() -> None:
    """What agents say to one another is kept, and nothing of it waits."""
    script = ResponseScript().begin()
    call = {"id": "mac_1", "type": "multi_agent_call", "call_id": "c1", "action": "spawn_agent", "arguments": "{}"}
    output = {"id": "mao_1", "type": "multi_agent_call_output", "call_id": "c1", "output": [{"text": "ok"}]}
    for at, item in enumerate((call, output)):
        script.send("output_item.added", output_index=at, item=item)
        script.send("output_item.done", output_index=at, item=item)
        script.response["output"] = [*script.response["output"], item]
    (state,) = read(script.end()).runs
    assert state.status == "completed"
    assert [(each.type, each.output is not None) for each in state.tool_calls] == [("multi_agent", True)]
