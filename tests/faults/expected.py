"""What the clean stream comes to: the offline fold of the same events, as the source would have delivered them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from msgspec import Struct

from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.model.events import RunEvent
from runstream.model.message import TextPart
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ArgumentsDelta,
    RunInterrupted,
    RunPaused,
    RunSignal,
    Signal,
    TextDelta,
    TextReplaced,
)
from tests.faults import streams as polled
from tests.faults.content import Item
from tests.faults.streams import interleaved

__all__ = ["Clean", "clean", "detail", "facts_of", "objects_of", "texts_of"]

# Progress may come in other pieces. What was shown and is healed is told by `text_replaced`: the clean stream has
# nothing to heal. How a run was left depends on when its source ended; the oracle holds that by itself.
_FREE = (TextDelta, ArgumentsDelta, TextReplaced, RunPaused, RunInterrupted)


class Clean(Struct, frozen=True):
    """What the clean stream comes to.

    Attributes:
        runs: The final states, by run id.
        facts: The signals other than progress by run id: what they say, by key, in order.
        rejects: How many events can't be read even so.
        terminal: The numbers of the events that end each run.
        whole: The numbers of the events that give each message or step in full after its end.
        texts: All that the texts of messages and the arguments of calls ever were, by message or step and place; of
            what only grew the last.
        replaced: The keys of the texts that it replaces itself, where a full object says other than its fragments.
        done_before: Whether `done` is told before the end.
    """

    runs: dict[str, RunState]
    facts: dict[str, dict[str, Any]]
    rejects: int
    terminal: dict[str, frozenset[int]]
    whole: dict[str, frozenset[int]]
    texts: dict[tuple[str, int], tuple[str, ...]]
    replaced: frozenset[str]
    done_before: bool


@lru_cache(maxsize=2048)
def clean(tellings: tuple[str, ...], source: str) -> Clean:
    """What the tellings come to, one after the other."""
    told = interleaved(tellings, None)
    raws = [RawEvent(item.name, item.data) for item in told]
    if source == "ws":
        raws = [RawEvent(data=Item(item.name, item.data, None, item.number).envelope()) for item in told]
    if source == "poll":
        return _polled(tellings)
    folded = fold(raws, clock=lambda: 1.0)
    return _clean(folded, [[raw] for raw in raws])


def _polled(tellings: tuple[str, ...]) -> Clean:
    """What comes of all moments that a server tells which is polled."""
    moments = polled.raws(tellings)
    return _clean(fold([raw for moment in moments for raw in moment], clock=lambda: 1.0), moments)


def _clean(folded: Folded, told: list[list[RawEvent]]) -> Clean:
    """From what it comes to, and what is told, by number."""
    terminal: dict[str, set[int]] = {}
    whole: dict[str, set[int]] = {}
    event: Any
    for number, raws in enumerate(told):
        for event in (event for raw in raws for event in AssistantsDialect().feed(raw)):
            data = getattr(event, "data", None)
            if data is not None and getattr(data, "is_terminal", False):
                kind = terminal if isinstance(event, RunEvent) else whole
                kind.setdefault(data.id, set()).add(number)
    return Clean(
        {state.run_id: state for state in folded.runs},
        {state.run_id: facts_of(folded.signals, state.run_id) for state in folded.runs},
        len(folded.rejects),
        {id: frozenset(numbers) for id, numbers in terminal.items()},
        {id: frozenset(numbers) for id, numbers in whole.items()},
        _history([raw for raws in told for raw in raws]),
        frozenset(signal.key for signal in folded.signals if isinstance(signal, TextReplaced)),
        any(raw.data == b"[DONE]" for raws in told[:-1] for raw in raws),
    )


def _history(raws: list[RawEvent]) -> dict[tuple[str, int], tuple[str, ...]]:
    engine = Engine(clock=lambda: 1.0)
    found: dict[tuple[str, int], tuple[str, ...]] = {}

    def note(state: RunState) -> None:
        item: Any
        for item in (*state.messages, *state.steps):
            for place, text in texts_of(state, item.id).items():
                known = found.get((item.id, place), ("",))
                found[item.id, place] = (*known[:-1], text) if text.startswith(known[-1]) else (*known, text)

    engine.on_state = note
    engine.intake("clean").feed_all(raws)
    return found


def texts_of(state: RunState, id: str) -> dict[int, str]:
    """The texts of a message's parts, or the arguments of a step's calls, by index."""
    if (message := state.message(id)) is not None:
        return {at: part.text.value or "" for at, part in enumerate(message.content) if isinstance(part, TextPart)}
    step = state.step(id)
    calls = step.tool_calls if step is not None else ()
    return {at: getattr(call, "arguments", None) or "" for at, call in enumerate(calls)}


def facts_of(signals: Iterable[Signal], run_id: str) -> dict[str, Any]:
    """What a run's signals other than progress say, by key, in order."""
    return {
        signal.key: detail(signal)
        for signal in signals
        if isinstance(signal, RunSignal) and signal.run_id == run_id and not isinstance(signal, _FREE)
    }


def detail(signal: Signal) -> dict[str, Any]:
    """What a signal says, but for what was observed and not told."""
    return {name: value for name, value in signal.to_dict().items() if name not in {"at", "duration"}}


def objects_of(state: RunState) -> dict[str, Any]:
    """The messages and steps of a state as on the wire, by id."""
    items: tuple[Any, ...] = (*state.steps, *state.messages)
    return {item.id: item.to_dict() for item in items}
