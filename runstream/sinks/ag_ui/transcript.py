"""The messages of a thread as the front end has them: texts and calls that were sent enter, a snapshot leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["CallRecord", "TextRecord", "Transcript", "result_id"]


def result_id(tool_call_id: str) -> str:
    """The id of the message with the result of a call."""
    return f"result-{tool_call_id}"


class TextRecord:
    """A message, as far as it was sent.

    Attributes:
        id: Its id on the wire.
        role: Its role.
        tag: The id of the subagent's run, ``None`` for the run itself.
        is_sent: True if it was opened once.
        is_open: True if it takes text.
        is_changed: True if text was added that does not stand at its end: the front end lacks it.
    """

    __slots__ = ("_lengths", "_parts", "_top", "id", "is_changed", "is_open", "is_sent", "role", "tag")

    def __init__(self, id: str, role: str, tag: str | None = None) -> None:
        self.id = id
        self.role = role
        self.tag = tag
        self.is_sent = self.is_open = self.is_changed = False
        self._parts: dict[int, list[str]] = {}
        self._lengths: dict[int, int] = {}
        self._top = 0

    def length(self, part: int) -> int:
        """The length of a part (characters)."""
        return self._lengths.get(part, 0)

    def is_last(self, part: int) -> bool:
        """True if no later part has text."""
        return part >= self._top

    def append(self, part: int, text: str) -> None:
        """Append text to a part."""
        self._parts.setdefault(part, []).append(text)
        self._lengths[part] = self.length(part) + len(text)
        self._top = max(self._top, part)

    def replace(self, part: int, text: str) -> None:
        """Set the text of a part."""
        self._parts[part], self._lengths[part] = [text], len(text)
        self._top = max(self._top, part)

    def skip(self, part: int, length: int) -> None:
        """Note that the front end has the text of a part up to a length (characters)."""
        self._lengths[part] = length

    def text_of(self, part: int) -> str:
        """The text of a part."""
        return "".join(self._parts.get(part, ()))

    @property
    def text(self) -> str:
        """The text of all parts, in their order."""
        return "".join([piece for part in sorted(self._parts) for piece in self._parts[part]])

    def to_messages(self) -> list[dict[str, Any]]:
        """The message of a snapshot."""
        message: dict[str, Any] = {"id": self.id, "role": self.role, "content": self.text}
        if self.tag is not None:
            message["subagentRunId"] = self.tag
        return [message]


class CallRecord:
    """A tool call, as far as it was sent.

    Attributes:
        id: Its id on the wire.
        name: The name of the tool, ``None`` while it is unknown.
        kind: The type of the call.
        tag: The id of the subagent's run, ``None`` for the run itself.
        length: The length of the arguments (characters).
        is_sent: True if it was opened once.
        is_open: True if it takes arguments.
        is_whole: True if its arguments are complete.
        is_earlier: True if the front end has it from an earlier run.
        output: Its result, ``None`` so far.
        lookups: How often its name was looked up.
    """

    __slots__ = (
        "_arguments",
        "id",
        "is_earlier",
        "is_open",
        "is_sent",
        "is_whole",
        "kind",
        "length",
        "lookups",
        "name",
        "output",
        "tag",
    )

    def __init__(self, id: str, tag: str | None = None) -> None:
        self.id = id
        self.tag = tag
        self.name: str | None = None
        self.kind = ""
        self.length = self.lookups = 0
        self.is_sent = self.is_open = self.is_whole = self.is_earlier = False
        self.output: str | None = None
        self._arguments: list[str] = []

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        if len(self._arguments) > 1:
            self._arguments[:] = ["".join(self._arguments)]
        return self._arguments[0] if self._arguments else ""

    def append(self, text: str) -> None:
        """Append arguments."""
        self._arguments.append(text)
        self.length += len(text)

    def replace(self, text: str) -> None:
        """Set the arguments."""
        self._arguments, self.length = [text], len(text)

    def to_messages(self) -> list[dict[str, Any]]:
        """The messages of a snapshot: that of the call, and that of its result."""
        function = {"name": self.name or self.kind, "arguments": self.arguments}
        found: list[dict[str, Any]] = [
            {
                "id": self.id,
                "role": "assistant",
                "toolCalls": [{"id": self.id, "type": "function", "function": function}],
            }
        ]
        if self.output is not None:
            found.append({"id": result_id(self.id), "role": "tool", "toolCallId": self.id, "content": self.output})
        if self.tag is not None:
            found = [{**message, "subagentRunId": self.tag} for message in found]
        return found


class Transcript:
    """The messages of a thread.

    Args:
        messages: Those that the front end has sent.

    Attributes:
        texts: The messages of this run by their ids.
        calls: Its calls by their keys.
    """

    def __init__(self, messages: Iterable[Mapping[str, Any]] = ()) -> None:
        self._earlier = [dict(message) for message in messages]
        self._texts_before = {
            str(message.get("id")): message["content"]
            for message in self._earlier
            if message.get("role") == "assistant" and isinstance(message.get("content"), str)
        }
        calls = [call for message in self._earlier for call in message.get("toolCalls") or () if isinstance(call, dict)]
        self._calls_before = {call.get("id"): call for call in calls}
        self._answered_before = {
            message.get("toolCallId") for message in self._earlier if message.get("role") == "tool"
        }
        self._order: list[TextRecord | CallRecord] = []
        self.texts: dict[str, TextRecord] = {}
        self.calls: dict[str, CallRecord] = {}

    def earlier_text(self, id: str) -> str | None:
        """The text of a message that the front end has sent; ``None`` if there is none of this id."""
        return self._texts_before.get(id)

    def add_text(self, record: TextRecord) -> TextRecord:
        """Add a message of this run."""
        self.texts[record.id] = record
        self._order.append(record)
        return record

    def add_call(self, key: str, record: CallRecord) -> CallRecord:
        """Add a call of this run."""
        self.calls[key] = record
        self._order.append(record)
        return record

    def make_call(self, key: str, id: str, tag: str | None) -> CallRecord:
        """Add a call of this run, or one of an earlier run that goes on.

        Args:
            key: Its key.
            id: Its id on the wire.
            tag: The id of the subagent's run.
        """
        record = self.add_call(key, CallRecord(id, tag))
        if (known := self._calls_before.get(id)) is not None:
            function = known.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            record.name = name if isinstance(name, str) else None
            record.is_sent = record.is_whole = record.is_earlier = True
        return record

    def is_answered(self, id: str) -> bool:
        """True if the front end has sent the result of a call itself."""
        return id in self._answered_before

    def messages(self) -> list[dict[str, Any]]:
        """All messages, those that were not sent so far left out."""
        return self.messages_with(
            [message for record in self._order if record.is_sent for message in record.to_messages()]
        )

    def messages_with(self, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages of the front end, and others: those of the same id are replaced."""
        found = list(self._earlier)
        places = {message.get("id"): place for place, message in enumerate(found)}
        for message in messages:
            place = places.get(message["id"])
            if place is None:
                found.append(message)
            else:
                found[place] = {**found[place], **message}
        return found
