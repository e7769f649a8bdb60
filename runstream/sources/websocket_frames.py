"""The frames of a WebSocket that need nothing but to be cut out: whole messages, neither fragmented nor compressed.

They are nearly all that servers of runs send, and reading them in general is half the cost of a live socket. Whatever
else comes, and from then on everything, is left to the protocol's own parser (RFC 6455, section 5.2, has the format).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["PlainFrames"]

_MESSAGES: Final = frozenset({0x81, 0x82})  # the first byte of a whole text, or of a whole binary message
_PINGS: Final = frozenset({0x89, 0x8A})  # and of a ping or pong


class PlainFrames:
    """Cuts messages out of what a server sends; begins and stops between two frames.

    Args:
        max_size: Bytes of the largest message. A larger one is not held, but left to the parser to refuse.

    Attributes:
        over: Whether something came that is for the parser, which must get everything from then on.
    """

    __slots__ = ("_max", "_need", "_tail", "over")

    def __init__(self, max_size: int) -> None:
        self.over = False
        self._max = max_size
        self._tail = bytearray()  # a frame that has begun
        self._need = 0  # bytes that must be there before there is more to tell of it

    def cut(self, data: bytes, give: Callable[[bytes], object]) -> bytes:
        """Give the messages that are whole now, in order, and return what the parser has to get.

        Pings and pongs are among that; where they stand between messages is of no consequence.

        Args:
            data: What was read of the socket.
            give: Takes the data of a message.
        """
        if self._tail:
            self._tail += data
            if len(self._tail) < self._need:
                return b""
            data = self.rest()
        position, end, other = 0, len(data), bytearray()
        need = 2
        while end - position >= 2:
            head, length = data[position], data[position + 1]
            start = position + 2
            control = head not in _MESSAGES
            if control and (head not in _PINGS or length > 125):
                return self._leave(other, data[position:])
            if length > 125:
                if length > 127:  # masked, which a server must not do
                    return self._leave(other, data[position:])
                start += 2 if length == 126 else 8
                if start > end:
                    need = start - position
                    break
                length = int.from_bytes(data[position + 2 : start], "big")
            if length > self._max and not control:
                return self._leave(other, data[position:])
            stop = start + length
            if stop > end:
                need = stop - position
                break
            if control:
                other += data[position:stop]
            else:
                give(data[start:stop])
            position, need = stop, 2
        if position < end:
            self._tail += data[position:]
            self._need = need
        return bytes(other)

    def rest(self) -> bytes:
        """What has come of a frame that is not whole yet; it is taken out."""
        rest = bytes(self._tail)
        self._tail = bytearray()
        return rest

    def _leave(self, other: bytearray, rest: bytes) -> bytes:
        self.over = True
        return bytes(other + rest)
