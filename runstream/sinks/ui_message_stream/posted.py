"""The message that a stream continues, as a browser posted it: JSON in, what the browser has already out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from runstream.sinks.ui_message_stream.chunks import NAMESPACE, UiMessageChunk
from runstream.sinks.ui_message_stream.text_parts import PartKey

__all__ = ["PostedMessage", "is_tool"]

# The parts without a place to grow at, and the field that names each.
_NAMED: Final = {"source-url": "sourceId", "source-document": "sourceId", "file": "url"}


def is_tool(type: str) -> bool:
    """True for the type of a part that shows a call of a tool."""
    return type == "dynamic-tool" or type.startswith("tool-")


class PostedMessage:
    """A posted message of the assistant; anything may be missing in it.

    Args:
        message: The message; ``None`` for none.

    Attributes:
        tools: Its tool parts by ``toolCallId``.
    """

    def __init__(self, message: Mapping[str, Any] | None) -> None:
        self.tools: dict[str, Mapping[str, Any]] = {}
        self._texts: dict[tuple[Any, ...], str] = {}
        self._others: set[tuple[str, Any]] = set()
        self._runs: frozenset[str] = frozenset()
        if message is None:
            return
        metadata = message.get("metadata")
        runs = metadata.get("runs") if isinstance(metadata, Mapping) else None
        self._runs = frozenset(runs) if isinstance(runs, Mapping) else frozenset()
        for type, part in _parts(message):
            if is_tool(type):
                if isinstance(id := part.get("toolCallId"), str):
                    self.tools[id] = part
            elif type in ("text", "reasoning"):
                self._add_text(type, part)
            elif isinstance(name := part.get(_NAMED.get(type, "")), str):
                self._others.add((type, name))

    @property
    def declined(self) -> list[str]:
        """The ids of the calls that the user has declined just now."""
        return [id for id, part in self.tools.items() if _is_declined(part)]

    def has_run(self, run_id: str) -> bool:
        """True if the message shows a run."""
        return run_id in self._runs

    def has(self, chunk: UiMessageChunk) -> bool:
        """True if the message has the part of a source or of a file."""
        type = chunk["type"]
        return (type, chunk.get(_NAMED.get(type, ""))) in self._others

    def text(self, key: PartKey) -> str:
        """The text at a place, as far as the browser has it."""
        return self._texts.get((key.run_id, key.kind, key.object_id, key.part), "")

    def _add_text(self, type: str, part: Mapping[str, Any]) -> None:
        metadata = part.get("providerMetadata")
        place = metadata.get(NAMESPACE) if isinstance(metadata, Mapping) else None
        text = part.get("text")
        if not isinstance(place, Mapping) or not isinstance(text, str):
            return
        kind = "refusal" if place.get("refusal") else "summary" if place.get("summary") else type
        owner = place.get("messageId") if type == "text" else place.get("stepId")
        key = (place.get("runId"), kind, owner, place.get("part"))
        if all(isinstance(each, str | int) for each in key):
            self._texts[key] = text if place.get("replaces") else self._texts.get(key, "") + text


def _parts(message: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parts = message.get("parts")
    for part in parts if isinstance(parts, Sequence) and not isinstance(parts, str) else ():
        if isinstance(part, Mapping) and isinstance(type := part.get("type"), str):
            yield type, part


def _is_declined(part: Mapping[str, Any]) -> bool:
    approval = part.get("approval")
    return (
        part.get("state") == "approval-responded"
        and isinstance(approval, Mapping)
        and approval.get("approved") is False
    )
