"""What somebody has on the screen who only follows progress, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from runstream.core.state import RunState
from runstream.model.signals import ArgumentsDelta, Signal, SourceResumed, TextDelta, TextReplaced

__all__ = ["followed", "misled"]

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
