"""Snapshots of the messages of an AG-UI thread, and its state."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.model.signals import TextReplaced
from tests.dialects.agui import (
    call,
    content,
    event,
    finished,
    flat,
    folded,
    request,
    result,
    run_of,
    started,
    text,
)

USER = {"id": "u1", "role": "user", "content": "hello"}


def snapshot(*messages: dict[str, Any]) -> RawEvent:
    """A MESSAGES_SNAPSHOT."""
    return event("MESSAGES_SNAPSHOT", messages=list(messages))


def assistant(id: str, words: str = "", *calls: tuple[str, str, str]) -> dict[str, Any]:
    """A message of the assistant; its calls as id, name and arguments."""
    found = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": given}} for id, name, given in calls
    ]
    return {"id": id, "role": "assistant", "content": words, **({"toolCalls": found} if found else {})}


def tool(call_id: str, output: str, id: str = "x") -> dict[str, Any]:
    """A message with the result of a call."""
    return {"id": id, "role": "tool", "toolCallId": call_id, "content": output}


def test_everything_in_one_snapshot() -> None:
    """Without any other event, messages, calls and results are those of the snapshot."""
    found = [USER, assistant("a1", "Let me look.", ("c1", "lamp", "{}")), tool("c1", "lit"), assistant("a2", "Lit.")]
    state = run_of(started(), snapshot(*found), finished())
    assert (state.text, state.status) == ("Let me look.Lit.", "completed")
    assert [(each.name, each.arguments, each.output) for each in state.tool_calls] == [("lamp", "{}", "lit")]
    assert [message.status for message in state.messages] == ["completed", "completed"]


def test_a_snapshot_repeats_nothing() -> None:
    """What was streamed is there once, whatever ids the snapshot has, and however often it comes."""
    calls = assistant("z1", "Let me look.", ("c1", "lamp", "{}"))
    items = [
        text("Let me look."),
        call("lamp"),
        snapshot(USER, calls),
        result("lit"),
        text("It is lit.", "m2"),
        snapshot(USER, {**calls, "id": "z2"}, tool("c1", "lit", "z3"), assistant("z4", "It is lit.")),
        snapshot(USER, {**calls, "id": "z5"}, tool("c1", "lit", "z6"), assistant("z7", "It is lit.")),
    ]
    state = run_of(started(), items, finished())
    assert state.text == "Let me look. It is lit. "
    assert [(each.name, each.output) for each in state.tool_calls] == [("lamp", "lit")]


def test_equal_texts_are_two_messages() -> None:
    """Each message of a snapshot stands for one that was streamed."""
    items = [text("Done."), text("Done.", "m2"), snapshot(USER, assistant("a1", "Done."), assistant("a2", "Done."))]
    assert run_of(started(), items, finished()).text == "Done. Done. "
    items = [text("Done."), snapshot(USER, assistant("a1", "Done."), assistant("a2", "Done."))]
    assert run_of(started(), items, finished()).text == "Done. Done."


def test_results_that_are_only_in_a_snapshot() -> None:
    """The call is answered, and the run does not wait for it."""
    items = [call("lamp"), snapshot(USER, assistant("a1", "", ("c1", "lamp", "{}")), tool("c1", "lit"))]
    state = run_of(started(), items, finished())
    assert (state.status, [each.output for each in state.tool_calls]) == ("completed", ["lit"])


def test_a_snapshot_takes_nothing_back() -> None:
    """A shorter, another or an absent message leaves the streamed one."""
    items = [text("The whole text"), snapshot(USER, assistant("m1", "The")), snapshot(USER)]
    state = run_of(started(), items, finished())
    assert [message.text for message in state.messages] == ["The whole text "]


@pytest.mark.parametrize(
    ("snapshots", "expected", "count"),
    [
        (["The whole text"], "The whole text ", 0),  # servers strip
        (["The whole"], "The whole text ", 0),  # a beginning: it takes nothing back
        ([""], "The whole text ", 0),
        (["The ----- text"], "The ----- text", 1),  # of equal length and with equal ends
        (["Removed."], "Removed.", 1),
        (["The whole text, and more"], "The whole text, and more", 1),
        (["Removed.", "Removed."], "Removed.", 1),
        (["Removed.", "The whole text"], "The whole text", 2),
    ],
)
def test_a_text_that_a_snapshot_replaces(snapshots: list[str], expected: str, count: int) -> None:
    """As in the official client, the text of a message is the one of the snapshot, under the id of the message."""
    found = folded(
        started(), text("The whole text"), [snapshot(USER, assistant("m1", each)) for each in snapshots], finished()
    )
    (state,) = found.runs
    assert ([message.text for message in state.messages], state.text) == ([expected], expected)
    assert found.stats.violations.get("snapshot_text", 0) == count
    shown = [signal.text for signal in found.signals if isinstance(signal, TextReplaced)]
    assert len(shown) == (0 if expected.startswith("The whole text ") else count)
    assert shown[-1:] == ([expected] if shown else [])


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize(
    ("before", "words", "after", "expected", "count"),
    [
        ("a", "x", "b", "xb", 1),
        ("number 123", "number ---", " is it", "number --- is it", 1),
        ("number 123", "number ---", "", "number ---", 1),
        ("one ", "one two", "two", "one two", 0),  # the snapshot is ahead, and the stream reaches it
        ("one ", "one two", "", "one two", 0),
        ("one two", "one", " three", "one two three", 0),
        ("", "one", "one two", "one two", 0),
    ],
)
def test_a_text_that_a_snapshot_replaces_before_its_end(
    before: str, words: str, after: str, expected: str, count: int, has_end: bool
) -> None:
    """What follows is appended to the text of the snapshot."""
    opened, ended = (event(f"TEXT_MESSAGE_{kind}", messageId="m1") for kind in ("START", "END"))
    items = [opened, *([content(before)] if before else []), snapshot(USER, assistant("m1", words))]
    items += [*([content(after)] if after else []), *([ended] if has_end else [])]
    found = folded(started(), items, finished())
    assert found.runs[0].text == expected
    assert found.stats.violations.get("snapshot_text", 0) == count


@pytest.mark.parametrize(
    ("streamed", "given", "expected", "count"),
    [
        ('{"a":1}', '{ "a": 1 }', '{"a":1}', 0),  # in another form
        ('{"a":1}', '{"a":2}', '{"a":1}', 1),  # a call is executed once, as it was announced
        ('{"a":1}', "", '{"a":1}', 0),
        ("", '{"a":1}', '{"a":1}', 0),  # only the snapshot has them
    ],
)
def test_the_arguments_of_a_streamed_call(streamed: str, given: str, expected: str, count: int) -> None:
    """Those that were streamed count."""
    begun = event("TOOL_CALL_START", toolCallId="c1", toolCallName="lamp")
    grown = [event("TOOL_CALL_ARGS", toolCallId="c1", delta=streamed)] if streamed else []
    ended = event("TOOL_CALL_END", toolCallId="c1")
    found = folded(
        started(), begun, grown, ended, snapshot(USER, assistant("a1", "", ("c1", "lamp", given))), finished()
    )
    (state,) = found.runs
    assert [(call.name, call.arguments) for call in state.tool_calls] == [("lamp", expected)]
    assert [call.arguments for call in state.run.pending_tool_calls] == [expected]
    assert found.stats.violations.get("snapshot_text", 0) == count


def test_a_call_of_which_only_the_result_was_streamed() -> None:
    """As in a run that continues another one: the call is one of an earlier run, and its result stays."""
    whole = [USER, assistant("a1", "", ("c1", "lamp", '{"a":1}')), tool("c1", "lit")]
    items = [result("lit"), snapshot(*whole), snapshot(*whole)]
    found = folded(started(), items, finished())
    (state,) = found.runs
    assert [(call.name, call.arguments, call.output) for call in state.tool_calls] == [(None, None, "lit")]
    assert found.stats.violations == {"result_of_known_call": 1}


def test_reasoning_that_a_snapshot_replaces() -> None:
    """Likewise."""
    thought = [
        event("REASONING_MESSAGE_START", messageId="x1", role="reasoning"),
        event("REASONING_MESSAGE_CONTENT", messageId="x1", delta="Tides."),
        event("REASONING_MESSAGE_END", messageId="x1"),
    ]
    other = {"id": "x1", "role": "reasoning", "content": "Moons."}
    found = folded(started(), thought, snapshot(USER, other), finished())
    assert (found.runs[0].reasoning, found.stats.violations) == ("Moons.", {"snapshot_text": 1})


def test_a_message_whose_text_is_only_in_the_snapshot() -> None:
    """It was opened and ended without content, or is open."""
    opened, ended = (event(f"TEXT_MESSAGE_{kind}", messageId="m1") for kind in ("START", "END"))
    whole = snapshot(USER, assistant("m1", "words"))
    for items in ([opened, ended, whole], [opened, whole, ended], [opened, whole]):
        assert run_of(started(), items, finished()).text == "words"
    assert run_of(started(), opened, whole, content("words"), ended, finished()).text == "words"


def test_earlier_messages_are_no_part_of_a_run() -> None:
    """Those before the user's last message, and those that the request had."""
    before = [USER, assistant("a0", "Old.", ("c0", "lamp", "{}")), tool("c0", "lit"), {**USER, "id": "u2"}]
    state = run_of(started(), snapshot(*before, assistant("a1", "New.")), finished())
    assert (state.text, state.tool_calls) == ("New.", ())
    history = [USER, assistant("a0", "Old.")]
    state = run_of(request(messages=history), started(), snapshot(*history, assistant("a1", "New.")), finished())
    assert state.text == "New."


def test_messages_of_an_earlier_run_of_the_stream() -> None:
    """They are known by their ids."""
    found = folded(started(), text("One"), finished(), started("r2"), snapshot(assistant("m1", "One ")), finished("r2"))
    assert [state.text for state in found.runs] == ["One ", ""]


def test_the_history_before_an_answer() -> None:
    """With a known request, what precedes the answered call is history, whatever its ids."""
    first = [request(tools=[{"name": "map"}]), started(), *text("Look"), *call("map"), finished()]
    answer = tool("c1", "shown")
    history = [USER, assistant("z1", "Look", ("c1", "map", "{}")), answer]
    again = snapshot(USER, assistant("z2", "Look", ("c1", "map", "{}")), answer, assistant("z3", "Done"))
    state = run_of(first, request("r2", messages=history), started("r2"), again, finished("r2"))
    assert (state.run_id, state.text, len(state.tool_calls)) == ("r1", "Look Done", 1)


def test_a_call_that_waits_is_in_the_last_message() -> None:
    """A question of an earlier run has no result either, but the thread went on."""
    asked = assistant("a1", "", ("c1", "map", "{}"))
    assert run_of(started(), snapshot(USER, asked), finished()).status == "requires_action"
    assert run_of(started(), snapshot(USER, asked, assistant("a2", "Done")), finished()).status == "completed"


def test_reasoning_and_activities_of_a_snapshot() -> None:
    """Those that were not streamed are new."""
    thought = {"id": "x1", "role": "reasoning", "content": "Tides."}
    plan = {"id": "p1", "role": "activity", "activityType": "PLAN", "content": {"steps": 1}}
    state = run_of(started(), snapshot(USER, thought, plan), snapshot(USER, {**thought, "id": "x2"}), finished())
    assert state.reasoning == "Tides."
    assert {activity.id: activity.value for activity in state.activities} == {"p1": {"steps": 1}}


def test_malformed_snapshots() -> None:
    """What can't be read is skipped."""
    odd: list[Any] = [None, 3, {}, {"role": "tool"}, {"role": "assistant", "toolCalls": [None, {}, {"id": "c"}]}]
    state = run_of(started(), event("MESSAGES_SNAPSHOT", messages=odd), event("MESSAGES_SNAPSHOT"), finished())
    assert (state.text, state.tool_calls, state.status) == ("", (), "completed")


# the state


def test_snapshots_and_deltas_of_the_state() -> None:
    """They make the document of the run, whoever sends them."""
    items = [
        event("STATE_SNAPSHOT", snapshot={"a": [1]}),
        event("STATE_DELTA", delta=[{"op": "add", "path": "/a/-", "value": 2}]),
        event("STATE_DELTA", delta=[{"op": "replace", "path": "/a/0", "value": 3}], subagentRunId="s1"),
    ]
    state = run_of(started(), items, finished())
    assert state.document == {"a": [3, 2]}


def test_the_state_of_the_request_is_the_base() -> None:
    """The first delta changes it; without one it changes the empty object."""
    delta = event("STATE_DELTA", delta=[{"op": "add", "path": "/b", "value": 2}])
    assert run_of(request(state={"a": 1}), started(), delta, finished()).document == {"a": 1, "b": 2}
    assert run_of(started(), delta, finished()).document == {"b": 2}


def test_a_delta_that_fails_is_one_reject() -> None:
    """The document is partial until the next snapshot, and the run goes on."""
    from runstream.engine.fold import fold
    from tests.dialects.agui import flat

    bad = event("STATE_DELTA", delta=[{"op": "remove", "path": "/x"}])
    for more, partial in (([], True), ([event("STATE_SNAPSHOT", snapshot={"a": 1})], False)):
        found = fold(flat([started(), bad, more, text("a"), finished()]), dialect="ag-ui")
        (state,) = found.runs
        assert (len(found.rejects), state.document_partial, state.status) == (1, partial, "completed")


def test_a_replayed_stream_patches_the_first_document() -> None:
    """A later connection that sends all again does not add twice."""
    from runstream.model.raw import ConnectionEvent

    delta = event("STATE_DELTA", delta=[{"op": "add", "path": "/a", "value": []}])
    more = event("STATE_DELTA", delta=[{"op": "add", "path": "/a/-", "value": 1}])
    lines = [started(), delta, more, *text("x")]
    connected = ConnectionEvent(connected=True)
    state = run_of(connected, lines, ConnectionEvent(connected=False, reason="cut"), connected, lines, finished())
    assert (state.document, state.text) == ({"a": [1]}, "x ")


# activities


def test_activities() -> None:
    """A snapshot is the content, a delta changes it, and one that does not replace only creates."""
    plan = {"messageId": "p1", "activityType": "PLAN"}
    items = [
        event("ACTIVITY_SNAPSHOT", **plan, content={"steps": []}),
        event("ACTIVITY_DELTA", **plan, patch=[{"op": "add", "path": "/steps/-", "value": "a"}]),
        event("ACTIVITY_SNAPSHOT", **plan, content={"steps": ["z"]}, replace=False),
    ]
    (activity,) = run_of(started(), items, finished()).activities
    assert (activity.kind, activity.value) == ("PLAN", {"steps": ["a"]})


@pytest.mark.parametrize(
    "change",
    [
        event("STATE_DELTA", delta=[{"op": "remove", "path": "/none"}]),
        event("ACTIVITY_DELTA", messageId="a", activityType="P", patch=[{"op": "remove", "path": "/none"}]),
        event("ACTIVITY_DELTA", messageId="a"),
    ],
)
def test_the_reject_of_a_patch_has_its_event(change: RawEvent) -> None:
    """With its line, and the id of its activity."""
    activity = event("ACTIVITY_SNAPSHOT", messageId="a", activityType="P", content={"x": 1})
    change = structs.replace(change, line=7)
    (reject,) = fold(flat([started(), activity, change, finished()]), dialect="ag-ui").rejects
    assert (reject.raw.data, reject.raw.line, reject.where) == (change.data, 7, "stream:7")
