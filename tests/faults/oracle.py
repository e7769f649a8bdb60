"""The oracle: checks the invariants of a case, and its differences from the clean stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from runstream.core.state import RunState
from runstream.dialects.ag_ui_damage import visible_type
from runstream.model.run import Run
from runstream.model.signals import (
    ReasoningDelta,
    RefusalDelta,
    RunInterrupted,
    RunPaused,
    Signal,
    SourceEnded,
    SourceError,
    SourceResumed,
    TextDelta,
    TextReplaced,
)
from tests.faults.cases import LOSES_DATA, Case, has_timeouts
from tests.faults.expected import PROGRESS, Expected, expected_of, facts_by_key, objects_by_id, texts_of
from tests.faults.permitted import Permitted, is_nameless
from tests.faults.runner import Observation

__all__ = ["KINDS", "Verdict", "judge", "screen_differences", "screen_texts"]

KINDS = ("equal", "interrupted", "rejected", "partial", "failure")


class Verdict(NamedTuple):
    """The verdict of a case: one of `KINDS`, and the problems."""

    kind: str
    problems: list[str]


def judge(case: Case, observed: Observation) -> Verdict:
    """Judge a case."""
    if observed.hung:
        return Verdict("failure", ["it hangs"])
    if observed.error:
        return Verdict("failure", [observed.error])
    expected = expected_of(case.streams, case.source)
    permitted = Permitted(case, observed, expected)
    problems = [*_invariants(case, observed, expected, lossy=permitted.lossy), *permitted.check_end()]
    states = {state.run_id: state for state in observed.states}
    cut = reduced = False
    if not permitted.lossy and not case.has("corrupt"):
        problems += _order_differences(observed, expected)
    for run_id, whole in expected.runs.items():
        state = states.get(run_id)
        if permitted.is_cut(run_id, state):
            cut = True
            problems += permitted.check_cut(run_id, state)
        if state is not None:
            found = list(_differences(state, whole, observed, expected))
            reduced = reduced or bool(found)
            problems += [problem for id, what in found for problem in permitted.check(state, id, what)]
    if problems:
        return Verdict("failure", problems)
    if cut:
        return Verdict("interrupted", [])
    if reduced:
        return Verdict(
            "rejected" if len(observed.rejects) > expected.rejects and case.has("corrupt") else "partial", []
        )
    return Verdict("equal", [])


def _invariants(case: Case, observed: Observation, expected: Expected, *, lossy: bool) -> list[str]:
    """Violations of the invariants: they are true for any behaviour of the server."""
    problems = [f"key {key} came {n} times" for key, n in Counter(s.key for s in observed.signals).items() if n > 1]
    problems += screen_differences(
        observed.signals,
        observed.states,
        replaced=not case.has_all_ids and case.has("twice", "again", "corrupt"),
        corrected=not lossy and not case.has("corrupt") and (case.has_all_ids or case.server != "back"),
    )
    if sum(isinstance(signal, SourceEnded) for signal in observed.signals) != 1:
        problems.append("the end of the source was not signalled exactly once")
    may_reject = case.has("junk", "corrupt", "error") or (case.source == "file" and case.has("cut"))
    # Bytes that are no chunk are the only text of a body that ends with its connection.
    may_reject = may_reject or (case.source in {"sse", "post"} and case.has("protocol"))
    if not expected.rejects and not may_reject and observed.rejects:
        problems.append(f"a reject out of nothing: {observed.rejects[0].reason}")
    if observed.stats is None or observed.stats.rejected != len(observed.rejects):
        problems.append("the count of rejects is wrong")
    if case.has_all_ids and not lossy and not case.has("corrupt"):
        # Repeated events are recognised by their ids, so no shown text needs a correction.
        taken_back = [signal.key for signal in observed.signals if isinstance(signal, TextReplaced)]
        problems += [f"{key}: there was nothing to correct" for key in taken_back if key not in expected.replaced]
        if (
            observed.without_last_id
            and not expected.rejects
            and not case.has(*LOSES_DATA)
            and not has_timeouts(case)
            and case.source != "poll"
        ):
            problems.append(f"{observed.without_last_id} connections sent no last event id")
    if observed.executed_posts > 1:
        problems.append(f"{observed.executed_posts} POSTs may have started a run")
    for state in observed.states:
        problems += _check_run(state, observed, expected, case, lossy=lossy)
    if isinstance(observed.everything, tuple) and not (
        observed.states and all(state.is_terminal for state in observed.states)
    ):
        problems.append("results() gave runs though one had not ended")
    return problems


def _check_run(state: RunState, observed: Observation, expected: Expected, case: Case, *, lossy: bool) -> list[str]:
    whole = expected.runs.get(state.run_id)
    protocol, fetched, unreadable = case.protocol, case.server == "fetched", case.has("corrupt")
    corrupt = unreadable and protocol != "assistants"  # whose events name their run, so that each is whole or missing
    if whole is None:
        if (lossy or corrupt) and any(state.run_id in run.pieces for run in expected.runs.values()):
            return []  # a response continues one of which nothing was received
        if protocol == "ag-ui" and not state.is_terminal and state.run_id.startswith("run_"):
            return []  # of the run that the request asked for, nothing but junk was received
        if corrupt and state.run_id.startswith(("run/", "run_", "run-")):
            return []  # the start of a run was unreadable, so that it has a made-up id, or that of the request
        return [f"run {state.run_id} is not in the stream"]
    if state.status == "completed" and (lossy or corrupt) and _has_lost_call(state, whole, observed, expected):
        return []
    if state.status == "completed" and corrupt and _has_hidden_question(state, observed, expected):
        return []
    problems = []
    left = [s for s in observed.signals if isinstance(s, RunPaused | RunInterrupted) and s.run_id == state.run_id]
    result = observed.results[state.run_id]
    if state.is_terminal:
        if state.status != whole.status:
            problems.append(f"{state.run_id} ended {state.status}, the clean one {whole.status}")
        if not fetched and observed.sent.isdisjoint(expected.terminal.get(state.run_id, ())):
            problems.append(f"{state.run_id} ended {state.status} without an event that says so: a wrong success")
        if left and not fetched:  # the end of a fetched run may be known after the end of its source
            problems.append(f"{state.run_id} ended and was {left[-1].type}")
    elif not fetched or not left:
        wanted = RunPaused if state.run.requires_action else RunInterrupted
        if len(left) != 1 or not isinstance(left[0], wanted):
            problems.append(f"{state.run_id} was left {state.status} with the signals {[s.type for s in left]}")
    if isinstance(result, Run) is not state.is_terminal:
        problems.append(f"result({state.run_id}) gave {type(result).__name__} for {state.status}")
    known = set(expected.facts[state.run_id])
    if lossy or corrupt or unreadable:
        # A lost required action is not counted, so the round of a later status is lower.
        known |= {f"{key[:-1]}{lower}" for key in known if "/status/" in key for lower in range(int(key[-1]))}
        if state.is_terminal and state.status != "completed":  # this end ends a message whose own end was lost
            known |= {f"{key.removesuffix('/completed')}/incomplete" for key in known if "/message/" in key}
        known |= _reduced_requests(known, facts_by_key(observed.signals, state.run_id))
    if protocol == "langgraph" and (lossy or corrupt):
        facts = facts_by_key(observed.signals, state.run_id)
        known |= {key for key in facts if re.search("/(step|call)/", key) and is_nameless(unquote(key.split("/")[2]))}
    if protocol.startswith("langgraph") and (lossy or corrupt):
        # The end of a run, or of an attempt, ends what is open, as the next state does: each in its own way.
        ends = ("completed", "incomplete", "cancelled", "failed", "expired")
        ended = {key.rpartition("/")[0] for key in known if re.search("/(step|message)/", key)}
        known |= {f"{key}/{end}" for key in ended for end in ends}
    failed = any(isinstance(signal, SourceError) and signal.error is None for signal in observed.signals)
    if protocol == "langgraph" and (failed or (case.source == "file" and case.has("cut"))):
        # Interrupts come one by one, and only the server's answer has the nodes of a breakpoint.
        known |= _reduced_requests(known, facts_by_key(observed.signals, state.run_id))
    if corrupt and protocol == "ag-ui":
        known |= set(facts_by_key(observed.signals, state.run_id))  # `check` judges the objects
    if extra := [key for key in facts_by_key(observed.signals, state.run_id) if key not in known]:
        problems.append(f"facts that the clean stream does not have: {extra}")
    return problems


def _has_lost_call(state: RunState, whole: RunState, observed: Observation, expected: Expected) -> bool:
    """Whether no event was received that shows a call for which the run waits: where the final response is empty, its
    run has completed as far as the client can know. An item before any event that shows its response is of none.
    """
    if state.pieces and state.pieces != whole.pieces and state.pieces == whole.pieces[: len(state.pieces)]:
        return observed.sent.isdisjoint(expected.begun.get(state.pieces[-1], ()))
    return whole.run.requires_action and any(
        observed.sent.isdisjoint(numbers)
        for call in whole.run.pending_tool_calls
        if (numbers := expected.announced.get(call.id or ""))
    )


def _has_hidden_question(state: RunState, observed: Observation, expected: Expected) -> bool:
    """Whether the only question of a run of AG-UI was unreadable, and nothing in its bytes shows that it was an event.

    Beside a plain end it then is like any text that is no event, such as a sign of life.
    """
    asked = expected.asked.get(state.run_id)
    hidden = any(visible_type(getattr(reject.raw, "data", b"")) is None for reject in observed.rejects)
    return asked is not None and observed.sent.isdisjoint(asked) and hidden


def _reduced_requests(known: set[str], keys: Iterable[str]) -> set[str]:
    """The requests for some of the calls of a request of the clean stream.

    Where the wire has no list of the awaited calls, one whose item was corrupt is not among them: of a request without
    any call, the key has a digest.
    """
    found = set()
    for key in keys:
        start, _, calls = key.rpartition("/")
        names = set() if calls.startswith("digest:") else set(calls.split(","))
        for other in known if start.endswith("/action_required") else ():
            if other.startswith(f"{start}/") and names < set(other.removeprefix(f"{start}/").split(",")):
                found.add(key)
    return found


def _order_differences(observed: Observation, expected: Expected) -> list[str]:
    """Facts in another order than those of the clean stream.

    The order is guaranteed only if the server sends everything in a readable form: events before an unknown run's first
    event are kept until then, and an unreadable event may be repeated later.
    """
    problems = []
    for state in observed.states:
        known = expected.facts.get(state.run_id, {})
        keys = [key for key in facts_by_key(observed.signals, state.run_id) if key in known]
        if keys != [key for key in known if key in set(keys)]:
            problems.append(f"{state.run_id}: the facts came in another order: {keys}")
    return problems


def _differences(state: RunState, whole: RunState, observed: Observation, expected: Expected) -> list[tuple[str, str]]:
    """The differences of a run from the expected one: the id of the object, and the kind of difference."""
    found = []
    if state.is_terminal and state.run.to_dict() != whole.run.to_dict():
        found.append((state.run_id, "run"))
    mine, theirs = objects_by_id(state), objects_by_id(whole)
    for id in mine.keys() | theirs.keys():
        if id not in mine:
            found.append((id, "missing"))
        elif id not in theirs:
            found.append((id, "made up"))
        elif mine[id] != theirs[id]:
            found.append((id, "object"))
    facts: dict[str, Any] = facts_by_key(observed.signals, state.run_id)
    for key, said in expected.facts[state.run_id].items():
        if key not in facts:
            found.append((_object_of(key), f"no fact {key}"))
        elif facts[key] != said and facts[key] != {**said, "thread_id": said["thread_id"] or facts[key]["thread_id"]}:
            # The thread of a run may be known earlier than in the clean stream, from an answer of its server.
            found.append((_object_of(key), f"fact {key}"))
    return found


def _object_of(key: str) -> str:
    """The id of the message, step, call or run in a key."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 and parts[1] in {"message", "step", "call"} else parts[0]


_Texts: TypeAlias = dict[tuple[str, str, int], str]


def screen_texts(signals: Iterable[Signal], *, replaced: bool, gaps: bool = False) -> tuple[_Texts, list[str]]:
    """The texts that a screen shows which follows only the progress signals, and the signals that can't be applied.

    Args:
        signals: The signals.
        replaced: Whether texts other than that of a message may change after they were emitted. No signal corrects
            them, so a later delta may be at its place after a gap.
        gaps: Whether refusals and reasoning may have such a gap.

    Returns:
        The final texts by object (or key of the call), kind and part, and the problems.
    """
    shown: _Texts = {}
    problems = []
    for signal in signals:
        if isinstance(signal, TextReplaced):
            shown[_in_run(signal, signal.message_id), "text", signal.part] = signal.text
        elif isinstance(signal, PROGRESS):
            place = _place_of(signal)
            before = shown.get(place, "")
            may_skip = replaced or (gaps and isinstance(signal, RefusalDelta | ReasoningDelta))
            may_skip = may_skip and not isinstance(signal, TextDelta)
            if signal.offset < len(before) or (signal.offset > len(before) and not may_skip):
                problems.append(f"{signal.key}: {len(before)} characters were shown so far")
            shown[place] = before.ljust(signal.offset, "?") + signal.delta
    return shown, problems


def _place_of(signal: Any) -> tuple[str, str, int]:
    if isinstance(signal, ReasoningDelta):
        return _in_run(signal, signal.step_id), signal.kind, signal.part
    if isinstance(signal, TextDelta | RefusalDelta):
        kind = "text" if isinstance(signal, TextDelta) else "refusal"
        return _in_run(signal, signal.message_id), kind, signal.part
    return signal.call_key, signal.type, 0


def _in_run(signal: Any, id: str) -> str:
    """The place of an object on a screen: two runs may have objects with one id."""
    return f"{signal.run_id}/{id}"


def screen_differences(
    signals: Sequence[Signal], states: Sequence[RunState], *, replaced: bool = False, corrected: bool = True
) -> list[str]:
    """The differences between such a screen and the final states.

    If a later connection replays a message, its state restarts; the shown text stays until the replayed text is longer
    or the message ends. The shown text of a message without an end may therefore be longer than that of its state.

    Args:
        signals: The signals.
        states: The final states.
        replaced: Whether repeated deltas count twice, or are repeated with a gap, as in :func:`screen_texts`; the
            shown text may then differ.
        corrected: Whether refusals and reasoning were received without a gap, and not again from their middle: no
            signal corrects them then.
    """
    shown, problems = screen_texts(signals, replaced=replaced, gaps=not corrected)
    by_message: dict[str, str] = {}
    for (id, kind, _), text in sorted(shown.items()):
        if kind == "text":
            by_message[id] = by_message.get(id, "") + text
    again = any(isinstance(signal, SourceResumed) for signal in signals)
    written = {f"{state.run_id}/{message.id}": message for state in states for message in state.messages}
    for id in by_message.keys() | written.keys():
        is_shown, message = by_message.get(id, ""), written.get(id)
        text = message.text if message is not None else ""
        if again and (message is None or not message.is_terminal) and len(text) < len(is_shown):
            if not replaced and not is_shown.startswith(text):
                problems.append(f"{id}: the shown text is not one of the message")
        elif is_shown != text:
            problems.append(f"{id}: the progress of its text does not add up to it")
    if corrected and not replaced:
        problems += _other_differences(shown, states, again=again)
    return problems


def _other_differences(shown: _Texts, states: Iterable[RunState], *, again: bool) -> list[str]:
    """The same for refusals and reasoning, which no signal corrects: an ended one has the shown text."""
    problems = []
    for state in states:
        for item in (*state.messages, *state.steps):
            for (kind, part), text in texts_of(state, item.id).items():
                if kind not in {"refusal", "reasoning", "summary"} or (again and item.id in state.partial):
                    continue
                seen = shown.get((f"{state.run_id}/{item.id}", kind, part), "")
                if seen != text and not (again and not item.is_terminal and seen.startswith(text)):
                    problems.append(f"{item.id}: the progress of its {kind} does not add up to it")
    return problems
