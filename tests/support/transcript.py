"""A plain consumer of signals: it keeps the texts, calls and statuses, and fails on a gap, an overlap or a repetition.

It knows nothing of states: it is what an application with nothing but signals would write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runstream.core.state_snapshot import StateSnapshot
from runstream.model.signals import (
    ActionRequired,
    ActivityChanged,
    ArgumentsDelta,
    CustomReceived,
    DocumentChanged,
    ProgressSignal,
    ReasoningDelta,
    RefusalDelta,
    RunSignal,
    RunStatusChanged,
    Signal,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)

__all__ = ["Transcript", "transcript_of"]


class Transcript:
    """What the signals of some runs say.

    Attributes:
        texts: The texts that grow, by the beginning of the keys of their signals.
        values: The latest value of each document and activity.
        done: The facts that stay true, by key, with what they say.
        statuses: The present status of each run.
        keys: The keys of all facts that were received.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.values: dict[Any, Any] = {}
        self.done: dict[str, Any] = {}
        self.statuses: dict[str, Any] = {}
        self.keys: set[str] = set()

    def add(self, signal: Signal) -> None:
        """Process one signal."""
        if isinstance(signal, ProgressSignal):
            self._grow(signal)
            return
        assert signal.key not in self.keys, f"twice: {signal.key}"
        self.keys.add(signal.key)
        if isinstance(signal, RunSignal):
            self._note(signal)

    def _grow(self, signal: Any) -> None:
        place, offset = signal.key.rsplit("/", 1)
        text = self.texts.get(place, "")
        assert isinstance(signal, TextDelta | RefusalDelta | ReasoningDelta | ArgumentsDelta | ToolCallOutputDelta)
        assert len(text) == int(offset) == signal.offset, f"{place}: {len(text)} characters, then offset {offset}"
        self.texts[place] = text + signal.delta

    def _note(self, signal: RunSignal) -> None:
        run = signal.run_key
        match signal:
            case TextReplaced(message_id=id, part=part, text=text):
                delta = TextDelta(signal.run_id, signal.thread_id, signal.scope, signal.at, id, part, 0, "")
                self.texts[delta.key.rsplit("/", 1)[0]] = text
            case DocumentChanged(value=value, partial=partial):
                self.values[run, "document", signal.path] = (value, partial)
            case ActivityChanged(activity_id=id, kind=kind, version=version, value=value, partial=partial):
                self.values[run, "activity", id] = (kind, version, value, partial)
            case RunStatusChanged(after=after):
                self.statuses[run] = after
            case ActionRequired(calls=calls):
                self.statuses[run] = [(call.key, call.arguments) for call in calls]
            case CustomReceived():
                pass
            case ToolCallCompleted(call=call):
                self.done[signal.key] = (call.name, call.arguments)
            case ToolCallResult(output=output):
                self.done[signal.key] = output
            case _ if signal.type.split(".")[0] == "run":
                if signal.type not in ("run.created", "run.paused", "run.interrupted", "run.stalled"):
                    self.statuses[run] = signal.type
                self.done[signal.key] = None
            case _:
                self.done[signal.key] = None

    def add_snapshot(self, snapshot: StateSnapshot) -> None:
        """Process a snapshot: the run is known to the last character."""
        for signal in snapshot.signals():
            self.add(signal)

    def facts(self) -> dict[str, Any]:
        """All that two consumers must agree on at the end, whenever they joined.

        The fact that a call is complete, or has a result, has the whole text: it corrects what was streamed.
        """
        whole = {f"{key.removesuffix('/completed')}/arguments" for key in self.done if key.endswith("/completed")}
        whole |= {f"{key.removesuffix('/result')}/output" for key in self.done if key.endswith("/result")}
        return {
            "texts": {place: text for place, text in self.texts.items() if text and place not in whole},
            "values": self.values,
            "done": self.done,
            "statuses": self.statuses,
        }


def transcript_of(items: Iterable[StateSnapshot | Signal]) -> Transcript:
    """The transcript of the items of one iterator."""
    found = Transcript()
    for item in items:
        if isinstance(item, StateSnapshot):
            found.add_snapshot(item)
        else:
            found.add(item)
    return found
