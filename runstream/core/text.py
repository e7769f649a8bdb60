"""Text that grows by appending, in O(1) per fragment, while every earlier length of it stays readable.

A :class:`Text` is a frozen handle (buffer, length). Handles of one text share one append-only buffer; appending to
a handle that is not the newest forks it, so two different fragments appended to one handle give two right texts.
"""

from __future__ import annotations

from io import StringIO

from msgspec import Struct

__all__ = ["Text", "TextBuffer", "append_text", "text_from"]


class TextBuffer:
    """An append-only text: what was read before in one string, what came since in a compact tail.

    Attributes:
        tail: Written to by whoever appends, who then sets the other two.
        length: Characters in all.
        last: The fragment that was written last.
    """

    __slots__ = ("_head", "last", "length", "tail")

    def __init__(self, head: str = "") -> None:
        self._head = head
        self.tail = StringIO(newline="")  # "" as newline: no translation, what is written is what is read
        self.length = len(head)
        self.last = head

    def equals(self, text: str) -> bool:
        """Whether the whole text is this one; what was not read yet stays so."""
        return self.length == len(text) and self._head + self.tail.getvalue() == text

    def read(self) -> str:
        """The whole text; one join, which is then kept."""
        if self.length != len(self._head):
            self._head += self.tail.getvalue()
            self.tail = StringIO(newline="")
        return self._head


class Text(Struct, frozen=True, gc=False, eq=False):
    """The first ``length`` characters of a buffer.

    Attributes:
        buffer: The shared buffer.
        length: How much of it is this text's (characters).
        shown: The longest length that was already given out as signals; larger than ``length`` after a restart.
        prior: What was shown before a restart, until the new text has passed it.
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
    """``text`` with ``fragment`` after it; ``text`` itself stays what it was."""
    if text is None:
        text = Text(TextBuffer(), 0)
    buffer = text.buffer
    if buffer.length != text.length:
        buffer = TextBuffer(str(text))  # somebody else appended here: fork
    buffer.tail.write(fragment)
    buffer.last = fragment
    buffer.length = length = text.length + len(fragment)
    prior = text.prior
    if prior is not None and text.length > prior.length:
        prior = None  # passed, and compared
    return Text(buffer, length, max(text.emitted, length), prior)


def text_from(text: Text, offset: int) -> str:
    """What stands in ``text`` from ``offset`` on (characters); O(1) if that is the last fragment."""
    buffer = text.buffer
    if buffer.length == text.length and len(buffer.last) == text.length - offset:
        return buffer.last
    return str(text)[offset:]
