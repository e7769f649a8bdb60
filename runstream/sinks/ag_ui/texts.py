"""The texts and refusals of messages: their signals enter, AG-UI events leave."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Final

from runstream.core.state import RunState
from runstream.model.message import Message, RefusalPart, TextPart
from runstream.model.signals import RefusalDelta, TextDelta, TextReplaced
from runstream.sinks.ag_ui.events import AgUiEvent
from runstream.sinks.ag_ui.lanes import Lanes
from runstream.sinks.ag_ui.transcript import TextRecord, Transcript

__all__ = ["REFUSAL", "Texts"]

REFUSAL: Final = "/refusal"
"""The end of the id of a message with a refusal."""

_ROLE: Final = "assistant"  # messages of other roles come from the front end, or are instructions that stay here


class Texts:
    """The messages of a run.

    Args:
        out: The list to which snapshots of all messages are appended.
        lanes: What is open.
        transcript: The messages of the thread.
    """

    def __init__(self, out: list[AgUiEvent], lanes: Lanes, transcript: Transcript) -> None:
        self._out = out
        self._lanes = lanes
        self._transcript = transcript
        self._skipped: set[str] = set()  # messages of other roles
        self._unopened: dict[str, TextRecord] = {}  # without text so far, in order
        self._changed: dict[str, TextRecord] = {}

    def create(self, message: Message, path: tuple[str, ...]) -> TextRecord | None:
        """The record of a message; ``None`` for one that is not sent.

        Args:
            message: The message.
            path: Its path.
        """
        if message.role not in (_ROLE, None):
            self._skipped.add(message.id)
            return None
        return self._record(message.id, path)

    def write(self, signal: TextDelta | RefusalDelta, state: RunState | None) -> None:
        """Send text that was appended."""
        is_refusal = isinstance(signal, RefusalDelta)
        record = self._find(signal.message_id, signal.path, state, is_refusal=is_refusal)
        if record is None:
            return
        part, length = signal.part, record.length(signal.part)
        delta = signal.delta
        if signal.offset > length:
            if not length and self._transcript.earlier_text(record.id) is not None:
                record.skip(part, signal.offset)  # the front end has it from an earlier run
            elif state is not None and (message := state.message(signal.message_id)) is not None:
                delta = _text_of(message, part, is_refusal)[length : signal.offset] + delta
        elif signal.offset < length:
            delta = delta[length - signal.offset :]
        self._append(record, part, delta)

    def replace(self, signal: TextReplaced, state: RunState | None) -> None:
        """Send a text that replaces another one."""
        record = self._find(signal.message_id, signal.path, state)
        if record is None:
            return
        known = record.text_of(signal.part)
        if signal.text.startswith(known) and record.length(signal.part) == len(known):
            self._append(record, signal.part, signal.text[len(known) :])
            return
        record.replace(signal.part, signal.text)
        if record.is_sent:
            self._changed[record.id] = record
            self.flush()

    def end(self, message: Message, path: tuple[str, ...]) -> None:
        """Send the end of a message, and text that no signal had."""
        record = self._transcript.texts.get(message.id) or self.create(message, path)
        refusal = self._transcript.texts.get(message.id + REFUSAL)
        if record is not None:
            for part, content in enumerate(message.content):
                if isinstance(content, TextPart):
                    self._complete(record, part, content.text.value or "")
            self._close(record)
        if refusal is not None:
            self._close(refusal)

    def flush(self) -> None:
        """Send a snapshot of all messages if one of them has text that does not stand at its end."""
        if self._changed:
            self._changed.clear()
            self._out.append({"type": "MESSAGES_SNAPSHOT", "messages": self._transcript.messages()})

    def add_state(self, message: Message, path: tuple[str, ...]) -> list[TextRecord]:
        """The records of a message of a state, and of its refusal, if they have text."""
        record = self.create(message, path)
        if record is None:
            return []
        found = []
        for part, content in enumerate(message.content):
            if isinstance(content, TextPart) and content.text.value:
                record.append(part, content.text.value)
                found.append(record)
            elif isinstance(content, RefusalPart) and content.refusal:
                refusal = self._record(message.id + REFUSAL, path)
                refusal.append(part, content.refusal)
                found.append(refusal)
        if message.is_terminal:
            self._unopened.pop(record.id, None)
        return list(dict.fromkeys(found))

    def keep(self, records: Iterable[TextRecord]) -> list[dict[str, Any]]:
        """The messages of records, for a snapshot: they count as sent."""
        messages = []
        for record in records:
            record.is_sent = True
            self._unopened.pop(record.id, None)
            messages += record.to_messages()
        return messages

    def send(self, records: Iterable[TextRecord], *, is_terminal: bool) -> None:
        """Send records as if they were new."""
        for record in records:
            self.open(record)
            self._lanes.write(record, record.text)
            if is_terminal:
                self._lanes.close_text(record)

    def open(self, record: TextRecord) -> None:
        """Open a message; those before it that have no text so far are opened too, so that the order is kept."""
        if record.is_open:
            return
        if record.id in self._unopened:
            before = itertools.takewhile(lambda each: each is not record, self._unopened.values())
            # A refusal needs no message with text beside it.
            for each in [each for each in before if each.id + REFUSAL != record.id]:
                del self._unopened[each.id]
                self._open(each)
            del self._unopened[record.id]
        self._open(record)

    def _open(self, record: TextRecord) -> None:
        metadata = {"metadata": {"refusal": True}} if record.id.endswith(REFUSAL) else {}
        self._lanes.open_text(record, **metadata)

    def _record(self, id: str, path: tuple[str, ...]) -> TextRecord:
        found = self._transcript.texts.get(id)
        if found is None:
            found = self._transcript.add_text(TextRecord(id, _ROLE, self._lanes.tag(path)))
            if (text := self._transcript.earlier_text(id)) is not None:
                found.append(0, text)
            self._unopened[id] = found
        return found

    def _find(
        self, id: str, path: tuple[str, ...], state: RunState | None, *, is_refusal: bool = False
    ) -> TextRecord | None:
        if id in self._skipped:
            return None
        found = self._transcript.texts.get(id + REFUSAL if is_refusal else id)
        if found is None:
            known = state.message(id) if state is not None else None
            if self.create(known or Message(id=id), path) is None:
                return None
            found = self._record(id + REFUSAL if is_refusal else id, path)
        return found

    def _append(self, record: TextRecord, part: int, text: str) -> None:
        if not text:
            return
        is_last = record.is_last(part)
        record.append(part, text)
        if not is_last:
            self._changed[record.id] = record  # a snapshot for each piece would cost too much
            return
        self.open(record)
        self._lanes.write(record, text)

    def _complete(self, record: TextRecord, part: int, text: str) -> None:
        if record.length(part) < len(text) and text.startswith(record.text_of(part)):
            self._append(record, part, text[record.length(part) :])

    def _close(self, record: TextRecord) -> None:
        self._unopened.pop(record.id, None)
        if record.id in self._changed:
            self.flush()
        self._lanes.close_text(record)


def _text_of(message: Message, part: int, is_refusal: bool) -> str:
    content = message.content[part] if part < len(message.content) else None
    if isinstance(content, TextPart):
        return content.text.value or ""
    if is_refusal and isinstance(content, RefusalPart):
        return content.refusal or ""
    return ""
