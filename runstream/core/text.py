"""Text that grows by appending, in O(1) per fragment, while each earlier length of it stays readable.

A :class:`Text` is a frozen handle (buffer, length). All handles of one text share one append-only buffer. Appending to
a handle that is not the newest forks the buffer, so two different fragments appended to one handle give two correct
texts.
"""

from __future__ import annotations

from io import StringIO

from msgspec import Struct

__all__ = ["Text", "TextBuffer", "append_text", "text_from"]


class TextBuffer:
    """An append-only text: the part that was read before as one string, the part since then as a compact tail.

    Attributes:
        tail: The part since the last reading. Code that appends writes to it and then sets the other two attributes.
        length: The length of the whole text (characters).
        last: The last fragment.
    """

    __slots__ = ("_head", "last", "length", "tail")

    def __init__(self, head: str = "") -> None:
        self._head = head
        self.tail = StringIO(newline="\n")  # no translation of line ends, and no search for them, as "" would begin
        self.length = len(head)
        self.last = head

    def equals(self, text: str) -> bool:
        """True if the whole text is this one. Unlike :meth:`read` it keeps no copy, since most texts end with it."""
        if self.length != len(text):
            return False
        return text == (self._head if self.length == len(self._head) else self._head + self.tail.getvalue())

    def read(self) -> str:
        """The whole text. It is joined once and then kept."""
        if self.length != len(self._head):
            self._head += self.tail.getvalue()
            self.tail = StringIO(newline="\n")
        return self._head


class Text(Struct, frozen=True, gc=False, eq=False):
    """The first ``length`` characters of a buffer.

    Attributes:
        buffer: The shared buffer.
        length: The length of this text (characters).
        emitted: The longest length that was already emitted as signals; larger than ``length`` after a reset.
        prior: The text before a reset, until the new text is longer.
    """

    buffer: TextBuffer
    length: int
    emitted: int = 0
    prior: Text | None = None

    def __str__(self) -> str:
        whole = self.buffer.read()
        return whole if self.length == len(whole) else whole[: self.length]

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Text) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


def append_text(text: Text | None, fragment: str) -> Text:
    """A text with ``fragment`` at its end; ``text`` itself does not change."""
    if text is None:
        text = Text(TextBuffer(), 0)
    buffer = text.buffer
    if buffer.length != text.length:
        buffer = TextBuffer(str(text))  # another fragment was appended to this handle: fork
    buffer.tail.write(fragment)
    buffer.last = fragment
    buffer.length = length = text.length + len(fragment)
    prior = text.prior
    if prior is not None and text.length > prior.length:
        prior = None  # the new text is longer, and was compared
    return Text(buffer, length, max(text.emitted, length), prior)


def text_from(text: Text, offset: int) -> str:
    """The text from ``offset`` (characters) to its end; O(1) if this is the last fragment."""
    buffer = text.buffer
    if buffer.length == text.length and len(buffer.last) == text.length - offset:
        return buffer.last
    return str(text)[offset:]
