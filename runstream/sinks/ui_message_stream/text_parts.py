"""Texts of messages and of reasoning as parts of a UI message: appended and replaced texts in, chunks out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from runstream.sinks.ui_message_stream.chunks import NAMESPACE, UiMessageChunk

__all__ = ["PartKey", "TextKind", "TextParts"]

TextKind: TypeAlias = Literal["text", "refusal", "reasoning", "summary"]

_CHUNKS: Final = {"text": "text", "refusal": "text", "reasoning": "reasoning", "summary": "reasoning"}
# The kinds that the type of the part does not show.
_MARKS: Final = frozenset({"refusal", "summary"})


class PartKey(Struct, frozen=True):
    """The place of a text.

    Attributes:
        run_key: The key of its run.
        run_id: The id of its run.
        kind: Its kind.
        object_id: The id of its message or step.
        part: The index of the part in its message or step.
    """

    run_key: str
    run_id: str
    kind: TextKind
    object_id: str
    part: int

    @property
    def owner(self) -> tuple[str, str]:
        """The message or step, among those of all runs."""
        return self.run_key, self.object_id

    def metadata(self, path: tuple[str, ...], *, replaces: bool) -> UiMessageChunk:
        """The ``providerMetadata`` of its part."""
        name = "messageId" if _CHUNKS[self.kind] == "text" else "stepId"
        fields: dict[str, Any] = {"runId": self.run_id, name: self.object_id, "part": self.part}
        if self.kind in _MARKS:
            fields[self.kind] = True
        if path:
            fields["path"] = [*path]
        if replaces:
            fields["replaces"] = True
        return {NAMESPACE: fields}


class TextParts:
    """The open text parts of a stream. Text parts may be open side by side: each has an id.

    A part that was closed and grows again is continued by a new part with the same place; so is a text that was
    replaced, with ``replaces`` in its metadata. The protocol has no chunk that removes text.
    """

    def __init__(self) -> None:
        self._open: dict[PartKey, str] = {}  # the ids on the wire
        self._of_owner: dict[tuple[str, str], list[PartKey]] = {}
        self._ids: set[str] = set()

    @property
    def is_open(self) -> bool:
        """True if any part is open."""
        return bool(self._open)

    def append(self, key: PartKey, text: str, path: tuple[str, ...] = ()) -> Iterator[UiMessageChunk]:
        """The chunks that append a text; the first one opens the part."""
        if not text:
            return
        if key not in self._open:
            yield self._start(key, path, replaces=False)
        yield {"type": f"{_CHUNKS[key.kind]}-delta", "id": self._open[key], "delta": text}

    def replace(self, key: PartKey, text: str, path: tuple[str, ...] = ()) -> Iterator[UiMessageChunk]:
        """The chunks that replace all of a text: its part ends, and another one has the text."""
        if key in self._open:
            yield self._end(key)
        yield self._start(key, path, replaces=True)
        if text:
            yield {"type": f"{_CHUNKS[key.kind]}-delta", "id": self._open[key], "delta": text}

    def end(self, run_key: str, object_id: str) -> list[UiMessageChunk]:
        """The chunks that end the open parts of a message or step."""
        return [self._end(key) for key in self._of_owner.pop((run_key, object_id), []) if key in self._open]

    def end_all(self) -> list[UiMessageChunk]:
        """The chunks that end all open parts."""
        self._of_owner.clear()
        return [self._end(key) for key in [*self._open]]

    def _start(self, key: PartKey, path: tuple[str, ...], *, replaces: bool) -> UiMessageChunk:
        id = f"{key.object_id}/{key.part}"
        if key.kind in _MARKS:
            id = f"{id}/{key.kind}"
        if id in self._ids:  # an equal id in another run
            id = f"{key.run_key}/{id}"
        self._ids.add(id)
        self._open[key] = id
        self._of_owner.setdefault(key.owner, []).append(key)
        metadata = key.metadata(path, replaces=replaces)
        return {"type": f"{_CHUNKS[key.kind]}-start", "id": id, "providerMetadata": metadata}

    def _end(self, key: PartKey) -> UiMessageChunk:
        id = self._open.pop(key)
        self._ids.discard(id)
        return {"type": f"{_CHUNKS[key.kind]}-end", "id": id}
