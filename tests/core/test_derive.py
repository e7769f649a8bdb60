"""Signals: every type, with its key as the design's table has it, and each once."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from typing import Any

import pytest

from runstream.core.derive import derive, run_duration
from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ArgumentsDelta,
    MessageCompleted,
    RunCompleted,
    RunCreated,
    RunStatusChanged,
    Signal,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
)
from tests.core.support import RUN, asking, at, decoded, ev, keys, signals_of, state_of
from tests.support.wire import (
    code_interpreter_delta,
    error_object,
    function_call,
    function_call_delta,
    message_creation,
    message_delta,
    message_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
    usage,
)

STARTED = [at("queued"), at("in_progress", 110)]
CREATED = ev("message.created", message_object("msg_1", RUN))
STEP = ev("run.step.created", step_object("step_1", RUN, tool_calls()))
TERMINAL = ["completed", "failed", "cancelled", "expired", "incomplete"]


def says(text: str, index: int = 0) -> RawEvent:
    """A message delta."""
    return ev("message.delta", message_delta("msg_1", text, index=index))


def calls(*pieces: Any) -> RawEvent:
    """A step delta."""
    return ev("run.step.delta", step_delta("step_1", *pieces))


def finished(*texts: str, status: str = "completed") -> RawEvent:
    """The finished message."""
    content = [text_part(text) for text in texts]
    return ev(f"message.{status}", message_object("msg_1", RUN, status=status, content=content))


def after(raws: list[RawEvent], *more: RawEvent) -> list[Signal]:
    """The signals that these further events give."""
    return signals_of(more, state_of(raws))


# -- runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling", "generating"])
def test_first_sight_in_a_status_without_a_signal_of_its_own(status: str) -> None:
    """First `run.created`, then the status, from nothing."""
    created, changed = signals_of([at(status)])
    assert isinstance(created, RunCreated)
    assert created.key == "run_1/created"
    assert isinstance(changed, RunStatusChanged)
    assert (changed.key, changed.before, changed.after.value) == (f"run_1/status/{status}/0", None, status)


@pytest.mark.parametrize("status", TERMINAL)
def test_first_sight_at_the_end(status: str) -> None:
    """A late joiner sees a run for the first time when it has ended: two signals."""
    assert keys(signals_of([at(status)])) == ["run_1/created", f"run_1/{status}"]


def test_first_sight_of_a_run_that_waits() -> None:
    """The calls that it waits for are whole, and it waits."""
    assert keys(signals_of([asking("b", "a")])) == [
        "run_1/created",
        "run_1/call/b/completed",
        "run_1/call/a/completed",
        "run_1/action_required/a,b",
    ]


@pytest.mark.parametrize("status", TERMINAL)
def test_each_end_once(status: str) -> None:
    """An end is told once, with the run and its duration; what is filled in later is not."""
    (signal,) = after(STARTED, at(status, 110, completed_at=130))
    assert signal.type == f"run.{status}"
    assert signal.key == f"run_1/{status}"
    assert signal.run.status == status  # type: ignore[union-attr]
    assert signal.duration == 30.0  # type: ignore[union-attr]
    assert after([*STARTED, at(status, 110)], at(status, 110, usage=usage(1, 2)), at("failed", 110)) == []


def test_a_status_once_a_round() -> None:
    """Statuses come and go: each is told once a round, with what was before it."""
    story = [*STARTED, at("generating", 110), at("in_progress", 110), asking("a"), at("queued", 110)]
    story += [at("in_progress", 120), asking("b", started_at=120), at("queued", 120), at("cancelling", 120)]
    assert [key for key in keys(signals_of(story)) if "/status/" in key] == [
        "run_1/status/queued/0",
        "run_1/status/in_progress/0",
        "run_1/status/generating/0",
        "run_1/status/queued/1",
        "run_1/status/in_progress/1",
        "run_1/status/queued/2",
        "run_1/status/cancelling/2",
    ]
    queued = next(s for s in signals_of(story) if s.key == "run_1/status/queued/1")
    assert isinstance(queued, RunStatusChanged)
    assert (queued.before, queued.after, queued.round) == ("requires_action", "queued", 1)


def test_other_changes_of_a_run_give_no_signal() -> None:
    """What changes without a change of status shows in the state alone."""
    assert after(STARTED, at("in_progress", 110, metadata={"a": "b"})) == []


def test_the_status_of_the_object_counts() -> None:
    """`thread.run.completed` with the status `incomplete` is incomplete."""
    assert keys(after(STARTED, ev("run.completed", {**RUN, "status": "incomplete"}))) == ["run_1/incomplete"]


def test_duration_as_observed() -> None:
    """Where the server does not say when a run ended, the duration is that observed; open runs have none."""
    state = state_of([at("queued")])
    assert run_duration(state) is None
    assert run_duration(state_of([at("expired")], state)) is None  # no time has passed
    observed = fold(
        [RawEvent(raw.event, raw.data, at=float(moment)) for moment, raw in enumerate([*STARTED, at("expired", 110)])]
    )
    assert run_duration(observed.runs[0]) == 2.0


# -- what a run waits for --------------------------------------------------------------


def test_action_required_for_tool_outputs() -> None:
    """Each call with its name and its arguments, as text and parsed."""
    signal = after(STARTED, asking("call_1", arguments='{"city":"Oslo","n":[1]}'))[-1]
    assert isinstance(signal, ActionRequired)
    (call,) = signal.calls
    assert (call.id, call.name, call.arguments) == ("call_1", "look_up", '{"city":"Oslo","n":[1]}')
    assert dict(call.parsed)["city"] == "Oslo"
    assert call.error is None
    assert signal.action.type == "submit_tool_outputs"


@pytest.mark.parametrize("arguments", ["{", "nonsense", '{"a":1}}', "[" * 5000])
def test_a_parse_error_is_a_value(arguments: str) -> None:
    """Arguments that are no JSON stand as they came, beside the reason."""
    signal = after(STARTED, asking("call_1", arguments=arguments))[-1]
    assert isinstance(signal, ActionRequired)
    (call,) = signal.calls
    assert call.arguments == arguments
    assert call.parsed is None
    assert call.error


@pytest.mark.parametrize("arguments", ["", " ", "\n"])
def test_empty_arguments_are_no_arguments(arguments: str) -> None:
    """A function without parameters is called with an empty text by some servers."""
    (call,) = after(STARTED, asking("call_1", arguments=arguments))[-1].calls  # type: ignore[union-attr]
    assert (call.arguments, dict(call.parsed), call.error) == (arguments, {}, None)


def test_action_required_for_approval() -> None:
    """Azure's approval of MCP calls is asked for the same way."""
    call = {"id": "call_9", "type": "mcp", "name": "search", "arguments": '{"q":1}', "server_label": "s"}
    action = {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [call]}}
    signal = after(STARTED, at("requires_action", 110, required_action=action))[-1]
    assert isinstance(signal, ActionRequired)
    assert signal.key == "run_1/action_required/call_9"
    assert [(call.name, dict(call.parsed)) for call in signal.calls] == [("search", {"q": 1})]


def unknown(**fields: Any) -> dict[str, Any]:
    """A required action that nobody knows."""
    return {"type": "solve_captcha", "solve_captcha": {"image": "file_1", **fields}}


def test_action_required_of_unknown_type() -> None:
    """An action without call ids is told too; its key is a digest of the action, and a round of its own."""
    first, again = (at("requires_action", 110, required_action=unknown(n=number)) for number in (1, 2))
    signal = after(STARTED, first)[-1]
    assert isinstance(signal, ActionRequired)
    assert signal.calls == ()
    assert signal.key.startswith("run_1/action_required/digest:")
    assert after([*STARTED, first], first) == []
    other = after([*STARTED, first], again)[-1]
    assert other.key != signal.key
    assert other.type == "run.action_required"


def test_the_digest_is_the_same_on_any_machine() -> None:
    """It depends neither on the order of the fields nor on the process."""
    action = unknown(a=1, b={"c": 2})
    turned = {"solve_captcha": dict(reversed(action["solve_captcha"].items())), "type": "solve_captcha"}
    mine, other = (after(STARTED, at("requires_action", 110, required_action=one))[-1].key for one in (action, turned))
    assert mine == other == "run_1/action_required/digest:" + _digest_elsewhere(action)


def _digest_elsewhere(action: dict[str, Any]) -> str:
    code = "import hashlib, json, sys\n"
    code += "text = json.dumps(json.loads(sys.argv[1]), sort_keys=True, separators=(',', ':'))\n"
    code += "print(hashlib.sha256(text.encode()).hexdigest()[:16])"
    argv = [sys.executable, "-c", code, json.dumps(action)]
    return subprocess.run(argv, capture_output=True, check=True, text=True, timeout=60).stdout.strip()


def test_an_action_that_is_left_open() -> None:
    """`requires_action` without saying what for has no signal; once it says so, it has."""
    bare = [*STARTED, at("requires_action", 110)]
    assert after(STARTED, bare[-1]) == []
    assert keys(after(bare, asking("a"))) == ["run_1/call/a/completed", "run_1/action_required/a"]


# -- messages --------------------------------------------------------------------------


def test_a_message_in_order() -> None:
    """Created, its text as it grows, completed; each with its key."""
    found = after(
        STARTED, CREATED, says("Hel"), says("lo"), says("!"), says("B", 1), says("y", 1), finished("Hello!", "By")
    )
    assert keys(found) == [
        "run_1/message/msg_1/created",
        "run_1/message/msg_1/text/0/0",
        "run_1/message/msg_1/text/0/3",
        "run_1/message/msg_1/text/0/5",
        "run_1/message/msg_1/text/1/0",
        "run_1/message/msg_1/text/1/1",
        "run_1/message/msg_1/completed",
    ]
    assert [s.delta for s in found if isinstance(s, TextDelta)] == ["Hel", "lo", "!", "B", "y"]
    assert isinstance(found[-1], MessageCompleted)
    assert found[-1].message.text == "Hello!By"


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_message_seen_for_the_first_time_at_its_end(status: str) -> None:
    """It is created, its text is told, and it has ended: three signals of one event."""
    found = after(STARTED, finished("Hello", status=status))
    assert keys(found) == [
        "run_1/message/msg_1/created",
        "run_1/message/msg_1/text/0/0",
        f"run_1/message/msg_1/{status}",
    ]


def test_a_partial_message_is_created_when_it_is_seen() -> None:
    """Deltas of a message never seen give text alone; its creation is told with the first full object."""
    assert keys(after(STARTED, says("Hi"), says("!"), CREATED, CREATED)) == [
        "run_1/message/msg_1/text/0/0",
        "run_1/message/msg_1/text/0/2",
        "run_1/message/msg_1/created",
    ]


def test_a_full_object_tells_only_what_is_missing() -> None:
    """Text that a full object adds to what was told is told as text."""
    found = after([*STARTED, CREATED, says("Hel")], finished("Hello"))
    assert keys(found) == ["run_1/message/msg_1/text/0/3", "run_1/message/msg_1/completed"]
    assert isinstance(found[0], TextDelta)
    assert found[0].delta == "lo"


@pytest.mark.parametrize("texts", [("Hallo",), ("He",)])
def test_a_full_object_that_says_otherwise_replaces(texts: tuple[str, ...]) -> None:
    """What was shown was wrong: the whole text of the part follows, before the message's end."""
    found = after([*STARTED, CREATED, says("Hel")], finished(*texts))
    assert [signal.type for signal in found] == ["message.text_replaced", "message.completed"]
    assert isinstance(found[0], TextReplaced)
    assert found[0].text == "".join(texts)
    assert found[0].key.startswith("run_1/message/msg_1/text_replaced/")


@pytest.mark.parametrize("texts", [("",), ()])
def test_a_full_object_without_text_erases_nothing(texts: tuple[str, ...]) -> None:
    """The text that was streamed remains."""
    found = after([*STARTED, CREATED, says("Hel")], finished(*texts))
    assert [signal.type for signal in found] == ["message.completed"]
    assert found[0].message.text == "Hel"  # type: ignore[union-attr]


def test_replacements_differ_by_part_and_text() -> None:
    """The digest in the key is of part and text."""
    held = [*STARTED, CREATED, says("a"), says("b", 1)]
    one, two = (after(held, finished(*texts))[:-1] for texts in (("x", "y"), ("y", "x")))
    assert len({signal.key for signal in [*one, *two]}) == 4


def restarted(told: list[RawEvent], *again: RawEvent) -> list[Signal]:
    """The text signals of what a second connection tells, `created` first."""
    held = state_of(told)
    state = reduce(held, decoded(CREATED), restart=True)
    assert state is not None
    assert derive(held, state, 1.0) == []
    return signals_of(again, state)


def test_told_again_only_beyond_what_was_told() -> None:
    """The same text again is not told again; what goes further is."""
    held = [*STARTED, CREATED, says("Hel"), says("lo")]
    found = restarted(held, says("H"), says("ello t"), says("here"), finished("Hello there"))
    assert [(s.offset, s.delta) for s in found if isinstance(s, TextDelta)] == [(5, " t"), (7, "here")]
    assert [signal.type for signal in found] == ["message.text", "message.text", "message.completed"]


@pytest.mark.parametrize("pieces", [["Howdy", " you", "!"], ["Howdy you", "!"], ["How", "dy ", "you!"]])
def test_told_again_otherwise(pieces: list[str]) -> None:
    """Another text, told again, replaces what was shown as soon as it goes beyond it, however it is cut."""
    found = restarted([*STARTED, CREATED, says("Hel"), says("lo")], *map(says, pieces))
    shown = "Hello"
    for signal in found:
        if isinstance(signal, TextReplaced):
            shown = signal.text
        elif isinstance(signal, TextDelta):
            assert signal.offset == len(shown)
            shown += signal.delta
    assert shown == "Howdy you!"
    assert len([signal for signal in found if isinstance(signal, TextReplaced)]) == 1


def test_told_again_twice() -> None:
    """A second restart compares with the longest text that was shown."""
    held = state_of([*STARTED, CREATED, says("Hello")])
    once = state_of([says("Hel")], reduce(held, decoded(CREATED), restart=True))
    twice = reduce(once, decoded(CREATED), restart=True)
    found = signals_of([says("Hello"), says("!")], twice)
    assert [(s.offset, s.delta) for s in found if isinstance(s, TextDelta)] == [(5, "!")]


def retold(*raws: RawEvent) -> list[Signal]:
    """The signals of these events after the start of a run; each `created` may start its object again."""
    state = state_of(STARTED)
    found: list[Signal] = []
    for raw in raws:
        new = reduce(state, decoded(raw), restart=True)
        assert new is not None
        found += derive(state, new, 1.0)
        state = new
    return found


def last_state(*raws: RawEvent) -> RunState:
    """The state after these events; each `created` may start its object again."""
    state: RunState | None = state_of(STARTED)
    for raw in raws:
        state = reduce(state, decoded(raw), restart=True)
    assert state is not None
    return state


def texts(found: list[Signal]) -> list[tuple[int, str]]:
    """Where each text starts, and what it is; -1 for one that replaces."""
    shown = [signal for signal in found if isinstance(signal, TextDelta | TextReplaced)]
    return [
        (-1, signal.text) if isinstance(signal, TextReplaced) else (signal.offset, signal.delta) for signal in shown
    ]


def test_told_again_as_long_but_otherwise() -> None:
    """What was shown is remembered as it was, though a text just as long was told in between and never shown."""
    told = [CREATED, says("aa"), CREATED, says("ab"), CREATED, says("abb")]
    assert texts(retold(*told)) == [(0, "aa"), (-1, "abb")]
    assert texts(retold(*told[:4], finished("abb"))) == [(0, "aa"), (-1, "abb")]
    assert texts(retold(*told[:4], finished("aab"))) == [(0, "aa"), (2, "b")]


@pytest.mark.parametrize("seed", range(300))
def test_whoever_follows_the_text_has_it_at_the_end(seed: int) -> None:
    """Appending each delta at its offset, and taking each replacement, gives the text, however often it was retold."""
    chance = random.Random(seed)

    def some() -> str:
        return "".join(chance.choices("ab", k=chance.randrange(4)))

    raws = [CREATED]
    for _ in range(chance.randrange(1, 9)):
        whole = ev("message.in_progress", message_object("msg_1", RUN, content=[text_part(some())]))
        raws.append(chance.choices([says(some(), chance.choice([0, 0, 1])), CREATED, whole], [6, 2, 1])[0])
    raws.append(finished(*[some() for _ in range(chance.randrange(3))]))
    shown: dict[int, str] = {}
    for signal in retold(*raws):
        if isinstance(signal, TextDelta):
            assert signal.offset == len(shown.get(signal.part, ""))
            shown[signal.part] = shown.get(signal.part, "") + signal.delta
        elif isinstance(signal, TextReplaced):
            shown[signal.part] = signal.text
    assert "".join(text for _, text in sorted(shown.items())) == last_state(*raws).text


def test_told_again_after_a_snapshot() -> None:
    """Text that a snapshot brought was shown too: told again in fragments, only what is beyond it is new."""
    whole = ev("message.in_progress", message_object("msg_1", RUN, content=[text_part("Hello")]))
    found = retold(whole, CREATED, says("Hel"), says("lo"), says(" you"), says("!"))
    assert texts(found) == [(0, "Hello"), (5, " you"), (9, "!")]
    assert texts(retold(whole, CREATED, says("Howdy!"))) == [(0, "Hello"), (-1, "Howdy!")]
    call = function_call("a", "f", '{"a"')
    whole = ev("run.step.in_progress", step_object("step_1", RUN, tool_calls(call)))
    found = retold(whole, STEP, calls(function_call_delta(0, '{"a":', id="a", name="f")))
    assert [(signal.offset, signal.delta) for signal in found if isinstance(signal, ArgumentsDelta)] == [
        (0, '{"a"'),
        (4, ":"),
    ]


def test_shorter_again_and_finished() -> None:
    """What is told again and ends shorter than what was shown replaces it at the end."""
    found = restarted([*STARTED, CREATED, says("Hello")], says("He"), finished("He"))
    assert [(s.type, getattr(s, "text", "")) for s in found] == [
        ("message.text_replaced", "He"),
        ("message.completed", ""),
    ]


def test_without_progress() -> None:
    """Whoever does not want progress gets everything else."""
    before = state_of([*STARTED, CREATED, says("He"), says("l")])
    for raw in (says("lo"), says("x", 1)):
        after_it = state_of([raw], before)
        assert derive(before, after_it, 1.0, progress=False) == []
        assert derive(before, after_it, 1.0) != []
    done = state_of([finished("Hallo")], before)
    assert [s.type for s in derive(before, done, 1.0, progress=False)] == ["message.text_replaced", "message.completed"]


# -- steps and tool calls --------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_a_steps_ends(status: str) -> None:
    """Created, ended; each once."""
    body = step_object("step_1", RUN, message_creation("msg_1"), status=status)
    found = after(
        STARTED, ev("run.step.created", {**body, "status": "in_progress"}), *[ev(f"run.step.{status}", body)] * 2
    )
    assert keys(found) == ["run_1/step/step_1/created", f"run_1/step/step_1/{status}"]


def test_arguments_grow_and_are_completed_by_the_request() -> None:
    """Arguments are told as they grow; that they are whole is told once, by whichever says so first."""
    pieces = [function_call_delta(0, id="call_a", name="f"), *map(_more, ['{"a"', ":1", "}"])]
    story = [STEP, *[calls(piece) for piece in pieces], asking("call_a", arguments='{"a":1}')]
    whole = tool_calls(function_call("call_a", "f", '{"a":1}', output="x"))
    story.append(ev("run.step.completed", step_object("step_1", RUN, whole, status="completed")))
    assert keys(after(STARTED, *story)) == [
        "run_1/step/step_1/created",
        "run_1/call/call_a/arguments/0",
        "run_1/call/call_a/arguments/4",
        "run_1/call/call_a/arguments/6",
        "run_1/call/call_a/completed",
        "run_1/action_required/call_a",
        "run_1/call/call_a/output/0",
        "run_1/call/call_a/result",
        "run_1/step/step_1/completed",
    ]


def _more(piece: str) -> dict[str, Any]:
    return function_call_delta(0, piece)


def test_calls_completed_by_their_step() -> None:
    """Calls that nobody waits for are whole when their step completes, before it; a failed step completes none."""
    story = [STEP, calls(code_interpreter_delta(0, id="call_c")), calls(code_interpreter_delta(0, "1+1"))]
    whole = tool_calls(
        {"id": "call_c", "type": "code_interpreter", "code_interpreter": {"input": "1+1", "outputs": []}}
    )
    done = ev("run.step.completed", step_object("step_1", RUN, whole, status="completed"))
    found = after([*STARTED, *story], done, done)
    assert keys(found) == ["run_1/call/call_c/completed", "run_1/step/step_1/completed"]
    assert isinstance(found[0], ToolCallCompleted)
    assert found[0].call.arguments == "1+1"
    failed = ev("run.step.failed", step_object("step_1", RUN, whole, status="failed"))
    assert keys(after([*STARTED, *story], failed)) == ["run_1/step/step_1/failed"]


def test_a_call_asked_for_again_is_not_completed_again() -> None:
    """A request that grows by a call is another request, but only the new call is news."""
    found = after([*STARTED, asking("a")], asking("a", "b"))
    assert keys(found) == ["run_1/call/b/completed", "run_1/action_required/a,b"]


def test_parallel_calls_tell_their_own_arguments() -> None:
    """Each call's arguments have their own offsets."""
    turns = [[function_call_delta(0, "{", id="a", name="f"), function_call_delta(1, "[", id="b", name="g")]]
    turns += [[function_call_delta(1, "1")], [function_call_delta(0, "}"), function_call_delta(1, "]")]]
    found = after([*STARTED, STEP], *[calls(*turn) for turn in turns])
    assert keys(found) == [
        "run_1/call/a/arguments/0",
        "run_1/call/b/arguments/0",
        "run_1/call/b/arguments/1",
        "run_1/call/a/arguments/1",
        "run_1/call/b/arguments/2",
    ]


def test_a_call_without_an_id_is_named_by_its_place() -> None:
    """Where the first delta was missed, step and index name the call until its id is known."""
    found = after([*STARTED, STEP], calls(function_call_delta(2, "{")), calls(function_call_delta(2, "}")))
    assert keys(found) == ["run_1/call/step_1:2/arguments/0", "run_1/call/step_1:2/arguments/1"]


def test_arguments_that_a_full_step_brings() -> None:
    """A step told in full tells the arguments that were not told; others than those told are no progress."""
    full = ev("run.step.in_progress", step_object("step_1", RUN, tool_calls(function_call("a", "f", "{}"))))
    assert keys(after(STARTED, full)) == ["run_1/step/step_1/created", "run_1/call/a/arguments/0"]
    other = tool_calls(function_call("a", "f", "[]"))
    done = ev("run.step.completed", step_object("step_1", RUN, other, status="completed"))
    found = after([*STARTED, STEP, calls(function_call_delta(0, "{", id="a", name="f"))], done)
    assert not [signal for signal in found if isinstance(signal, ArgumentsDelta)]


# -- all of them -----------------------------------------------------------------------


def test_order_of_the_signals_of_a_whole_run() -> None:
    """A run from its creation to its end gives its signals in the order of a story."""
    story = [
        at("queued"),
        at("queued"),
        at("in_progress", 110),
        CREATED,
        says("Hi"),
        finished("Hi"),
        at("completed", 110),
    ]
    assert keys(signals_of(story)) == [
        "run_1/created",
        "run_1/status/queued/0",
        "run_1/status/in_progress/0",
        "run_1/message/msg_1/created",
        "run_1/message/msg_1/text/0/0",
        "run_1/message/msg_1/completed",
        "run_1/completed",
    ]


def test_nothing_changed_gives_nothing() -> None:
    """The same object before and after has no signals."""
    state = state_of(STARTED)
    assert derive(state, state, 1.0) == []


def test_a_change_kept_and_told_later() -> None:
    """What a change says does not depend on what came after it."""
    states = [state_of([*STARTED, CREATED, says("One")])]
    for text in (" two", " three", " four"):
        states.append(state_of([says(text)], states[-1]))
    told = [signal for pair in itertools.pairwise(states) for signal in derive(*pair, 1.0)]
    assert [(signal.offset, signal.delta) for signal in told if isinstance(signal, TextDelta)] == [
        (3, " two"),
        (7, " three"),
        (13, " four"),
    ]
    states = [state_of([*STARTED, STEP, calls(function_call_delta(0, id="a", name="f"))])]
    for text in ("{", '"a"', ":1}"):
        states.append(state_of([calls(function_call_delta(0, text))], states[-1]))
    told = [signal for pair in itertools.pairwise(states) for signal in derive(*pair, 1.0)]
    assert [(signal.offset, signal.delta) for signal in told if isinstance(signal, ArgumentsDelta)] == [
        (0, "{"),
        (1, '"a"'),
        (4, ":1}"),
    ]


def test_a_thread_that_becomes_known() -> None:
    """From the snapshot on that tells the thread, every signal has it, the text that grows already too."""
    bare = {"id": "run_1", "status": "in_progress"}
    held = [ev("run.in_progress", bare), says("One"), says(" two"), says(" three")]
    found = after(held, ev("run.in_progress", {**bare, "thread_id": "thread_7"}), says(" four"))
    assert [signal.thread_id for signal in found if isinstance(signal, TextDelta)] == ["thread_7"]


def test_head_and_json() -> None:
    """Every signal says which run, thread, scope and when, and is one line of JSON with type and key."""
    story = [*STARTED, CREATED, says("Hi"), STEP, calls(function_call_delta(0, "{}", id="a", name="f"))]
    story += [asking("a"), ev("error", error_object("no")), at("failed", 110)]
    found = fold(story, scope="eu", clock=lambda: 7.0).signals
    for signal in found:
        told = json.loads(signal.to_json())
        assert (told["type"], told["key"], told["scope"], told["at"]) == (signal.type, signal.key, "eu", 7.0)
        if not signal.type.startswith("source."):
            assert (told["run_id"], told["thread_id"]) == ("run_1", "thread_0001")
        assert "\n" not in signal.to_json()
    assert isinstance(found[-2], SIGNAL_TYPES["run.failed"])


def test_a_thread_that_is_unknown() -> None:
    """Where the thread is unknown, it is null."""
    (created, _) = signals_of([ev("run.queued", {"id": "run_1", "status": "queued"})])
    assert isinstance(created, RunCreated)
    assert created.thread_id is None


def test_run_completed_carries_the_usage() -> None:
    """The run that ended is in the signal, with its usage."""
    (signal,) = after(STARTED, at("completed", 110, usage=usage(3, 4)))
    assert isinstance(signal, RunCompleted)
    assert signal.run.usage is not None
    assert signal.run.usage.total_tokens == 7


def test_an_empty_first_fragment_tells_nothing() -> None:
    """Only what was appended is told, and so each offset once."""
    found = signals_of([*STARTED, CREATED, says(""), says(""), says("a")])
    assert [(signal.offset, signal.delta) for signal in found if isinstance(signal, TextDelta)] == [(0, "a")]
