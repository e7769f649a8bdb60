"""The judge of a case: what must hold whatever happened, and which difference from the clean stream is excused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from runstream.core.state import RunState
from runstream.model.run import Run
from runstream.model.signals import (
    ArgumentsDelta,
    RunInterrupted,
    RunPaused,
    Signal,
    SourceEnded,
    SourceResumed,
    TextDelta,
    TextReplaced,
)
from tests.faults.cases import Case, slow
from tests.faults.expected import Clean, clean, facts_of, objects_of
from tests.faults.permitted import LOSING, Excuses
from tests.faults.runner import Seen

__all__ = ["KINDS", "Verdict", "followed", "judge", "misled"]

KINDS = ("equal", "interrupted", "rejected", "partial", "failure")


class Verdict(NamedTuple):
    """What came of a case: one of `KINDS`, and what should not be."""

    kind: str
    problems: list[str]


def judge(case: Case, seen: Seen) -> Verdict:
    """Judge a case."""
    if seen.hung:
        return Verdict("failure", ["it hangs"])
    if seen.error:
        return Verdict("failure", [seen.error])
    told = clean(case.tellings, case.source)
    excuses = Excuses(case, seen, told)
    problems = [*_always(case, seen, told, lossy=excuses.lossy), *excuses.of_the_end()]
    states = {state.run_id: state for state in seen.states}
    cut = reduced = False
    if not excuses.lossy and not case.has("corrupt"):
        problems += _disorder(seen, told)
    for run_id, whole in told.runs.items():
        state = states.get(run_id)
        if excuses.is_cut(run_id, state):
            cut = True
            problems += excuses.of_a_cut(run_id, state)
        if state is not None:
            found = list(_differences(state, whole, seen, told))
            reduced = reduced or bool(found)
            problems += [problem for id, what in found for problem in excuses.of(state, id, what)]
    if problems:
        return Verdict("failure", problems)
    if cut:
        return Verdict("interrupted", [])
    if reduced:
        return Verdict("rejected" if len(seen.rejects) > told.rejects and case.has("corrupt") else "partial", [])
    return Verdict("equal", [])


def _always(case: Case, seen: Seen, told: Clean, *, lossy: bool) -> list[str]:
    """What must hold whatever the server did."""
    problems = [f"key {key} came {n} times" for key, n in Counter(s.key for s in seen.signals).items() if n > 1]
    problems += misled(
        seen.signals, seen.states, replaced=not case.identified and case.has("twice", "again", "corrupt")
    )
    if sum(isinstance(signal, SourceEnded) for signal in seen.signals) != 1:
        problems.append("the source's end was not told once")
    may_reject = case.has("junk", "corrupt") or (case.source == "file" and case.has("cut"))
    if not told.rejects and not may_reject and seen.rejects:
        problems.append(f"a reject out of nothing: {seen.rejects[0].reason}")
    if seen.stats is None or seen.stats.rejected != len(seen.rejects):
        problems.append("rejects are not counted right")
    if case.identified and not lossy and not case.has("corrupt"):
        # What comes again is known by its id, so what is shown never needs to be taken back.
        taken_back = [signal.key for signal in seen.signals if isinstance(signal, TextReplaced)]
        problems += [f"{key}: nothing was to be healed" for key in taken_back if key not in told.replaced]
        if seen.nameless and not told.rejects and not case.has(*LOSING) and not slow(case) and case.source != "poll":
            problems.append(f"{seen.nameless} connections did not say where to go on")
    if seen.carried_out > 1:
        problems.append(f"{seen.carried_out} POSTs may have started a run")
    for state in seen.states:
        problems += _of_a_run(state, seen, told, lossy=lossy, fetched=case.server == "fetched")
    if isinstance(seen.everything, tuple) and not (seen.states and all(state.is_terminal for state in seen.states)):
        problems.append("results() gave runs though one had not ended")
    return problems


def _of_a_run(state: RunState, seen: Seen, told: Clean, *, lossy: bool, fetched: bool) -> list[str]:
    whole = told.runs.get(state.run_id)
    if whole is None:
        return [f"run {state.run_id} was never told of"]
    problems = []
    left = [s for s in seen.signals if isinstance(s, RunPaused | RunInterrupted) and s.run_id == state.run_id]
    result = seen.results[state.run_id]
    if state.is_terminal:
        if state.status != whole.status:
            problems.append(f"{state.run_id} ended {state.status}, the clean one {whole.status}")
        if not fetched and seen.sent.isdisjoint(told.terminal.get(state.run_id, ())):
            problems.append(f"{state.run_id} ended {state.status} though nobody said so: a wrong success")
        if left and not fetched:  # whoever fetches it is told of its end after that of its source
            problems.append(f"{state.run_id} ended and was {left[-1].type}")
    elif not fetched or not left:
        wanted = RunPaused if state.run.requires_action else RunInterrupted
        if len(left) != 1 or not isinstance(left[0], wanted):
            problems.append(f"{state.run_id} was left {state.status} and told of by {[s.type for s in left]}")
    if isinstance(result, Run) is not state.is_terminal:
        problems.append(f"result({state.run_id}) gave {type(result).__name__} for {state.status}")
    known = set(told.facts[state.run_id])
    if lossy:
        # Of a request that was missed nothing is known, so the round of a later status is counted lower.
        known |= {f"{key[:-1]}{lower}" for key in known if "/status/" in key for lower in range(int(key[-1]))}
    if extra := [key for key in facts_of(seen.signals, state.run_id) if key not in known]:
        problems.append(f"facts that the clean stream does not have: {extra}")
    return problems


def _disorder(seen: Seen, told: Clean) -> list[str]:
    """Facts in another order than those of the clean stream. Where a run's beginning is never told, what was held
    until the run was seen is told after it, and what can't be read may be told later; so this holds only where the
    server tells everything well.
    """
    problems = []
    for state in seen.states:
        keys = list(facts_of(seen.signals, state.run_id))
        if keys != [key for key in told.facts.get(state.run_id, ()) if key in set(keys)]:
            problems.append(f"{state.run_id}: the facts came in another order: {keys}")
    return problems


def _differences(state: RunState, whole: RunState, seen: Seen, told: Clean) -> list[tuple[str, str]]:
    """In what a run differs from the clean one: the id that is concerned, and what it is."""
    found = []
    if state.is_terminal and state.run.to_dict() != whole.run.to_dict():
        found.append((state.run_id, "run"))
    mine, theirs = objects_of(state), objects_of(whole)
    for id in mine.keys() | theirs.keys():
        if id not in mine:
            found.append((id, "missing"))
        elif id not in theirs:
            found.append((id, "made up"))
        elif mine[id] != theirs[id]:
            found.append((id, "object"))
    facts: dict[str, Any] = facts_of(seen.signals, state.run_id)
    for key, said in told.facts[state.run_id].items():
        if key not in facts:
            found.append((key.split("/")[0], f"no fact {key}"))
        elif facts[key] != said:
            found.append((key.split("/")[0], f"fact {key}"))
    return found


_Texts: TypeAlias = dict[tuple[str, int], str]


def followed(signals: Iterable[Signal], *, replaced: bool) -> tuple[_Texts, list[str]]:
    """The texts by message and part, as shown in the end; and what no screen could make sense of.

    Args:
        signals: The signals.
        replaced: Whether arguments may turn out to be others than those given. No signal takes them back before
            `tool_call.completed` gives them whole, so what follows stands at its place, after a gap.
    """
    shown: _Texts = {}
    arguments: dict[str, int] = {}
    problems = []
    for signal in signals:
        if isinstance(signal, TextDelta):
            place = signal.message_id, signal.part
            held = shown.get(place, "")
            if signal.offset != len(held):
                problems.append(f"{signal.key}: {len(held)} characters were shown so far")
            shown[place] = held + signal.delta
        elif isinstance(signal, TextReplaced):
            shown[signal.message_id, signal.part] = signal.text
        elif isinstance(signal, ArgumentsDelta):
            length = arguments.get(signal.call_id, 0)
            if signal.offset < length or (signal.offset > length and not replaced):
                problems.append(f"{signal.key}: {length} characters were given so far")
            arguments[signal.call_id] = signal.offset + len(signal.delta)
    return shown, problems


def misled(signals: Sequence[Signal], states: Iterable[RunState], *, replaced: bool = False) -> list[str]:
    """Where the screen differs from the final states.

    Where a later connection tells a message again, its state begins anew; what was shown stays until the text has
    come further or the message ends. So a message that is left open may be shown to be longer than it is.

    Args:
        signals: The signals.
        states: The final states.
        replaced: Whether what comes twice counts twice, or comes with a hole the second time, as in
            :func:`followed`; then what is shown may be another.
    """
    shown, problems = followed(signals, replaced=replaced)
    by_message: dict[str, str] = {}
    for (id, _), text in sorted(shown.items()):
        by_message[id] = by_message.get(id, "") + text
    again = any(isinstance(signal, SourceResumed) for signal in signals)
    written = {message.id: message for state in states for message in state.messages}
    for id in by_message.keys() | written.keys():
        is_shown, message = by_message.get(id, ""), written.get(id)
        text = message.text if message is not None else ""
        if again and (message is None or not message.is_terminal) and len(text) < len(is_shown):
            if not replaced and not is_shown.startswith(text):
                problems.append(f"{id}: another text is shown than was ever told")
        elif is_shown != text:
            problems.append(f"{id}: the progress of its text does not add up to it")
    return problems
