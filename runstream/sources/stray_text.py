"""Text in an event stream that is no field of one: JSON without its ``data:``, or a body that is no event stream."""

from __future__ import annotations

from typing import Final

from runstream.model.raw import Malformed

__all__ = ["JSON_START", "StrayText", "no_stream_reason"]

JSON_START: Final = (b"{", b"[")
_MAX_SIZE: Final = 16 * 1024  # bytes that are kept


def no_stream_reason(item: Malformed) -> str:
    """Return the reason of a source whose server sent such text and no event."""
    what = "JSON" if item.data.startswith(JSON_START) else "text"
    return f"the server sent {what} that is no event stream"


class StrayText:
    """Collects the lines that are no fields, between two blocks.

    Attributes:
        has_fields: True if the stream has had a field or a comment. Then an unknown field is ignored, as WHATWG HTML
            9.2.6 defines; JSON is never one.
    """

    __slots__ = ("_is_json", "_line", "_text", "has_fields")

    def __init__(self) -> None:
        self.has_fields = False
        self._text = bytearray()
        self._line = 0
        self._is_json = False

    def __bool__(self) -> bool:
        return bool(self._text)

    def add(self, line: bytes, lineno: int) -> Malformed | None:
        """Add a line; return the text before it, if that is complete.

        Args:
            line: The line.
            lineno: Its number, from 1.
        """
        report = None
        if line.startswith(JSON_START):
            report = self.take()
            self._text.clear()  # text before JSON in a stream without fields: the JSON says more
            self._is_json = True
        elif not self._is_json and self.has_fields:
            return None
        if not self._text:
            self._line = lineno
        room = _MAX_SIZE - len(self._text)
        self._text += ((b"\n" if self._text else b"") + line)[: max(room, 0)]
        return report

    def take(self, *, at_end: bool = False) -> Malformed | None:
        """Return the collected text, if it is JSON, or if the stream ends and had no field at all.

        Other text is kept as long as the stream has no field.
        """
        report = None
        if self._text and (self._is_json or (at_end and not self.has_fields)):
            reason = "JSON without 'data:'" if self._is_json else "no event stream"
            report = Malformed(line=self._line, reason=reason, data=bytes(self._text))
        if self._is_json or at_end or self.has_fields:
            self._text.clear()
            self._is_json = False
        return report

    def is_stray(self, line: bytes, fields: frozenset[bytes]) -> bool:
        """Return whether the bytes behind the last line end are stray text, and not the beginning of a field.

        Args:
            line: The bytes.
            fields: The names of the known fields.
        """
        if line.startswith(JSON_START) or self._is_json:
            return True
        return not self.has_fields and not any(name.startswith(line) or line.startswith(name) for name in fields)
