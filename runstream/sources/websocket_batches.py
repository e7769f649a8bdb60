"""A WebSocket connection that hands over, in one go, all the messages that have come.

``recv`` gives one message a call, through three coroutines: that costs more than to decode it. What there is to
gain is gained after the frames are read: protocol, compression, limits and closing are those of ``websockets``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

__all__ = ["BatchConnection"]

_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY
_CONT: Final = Opcode.CONT
_BATCH: Final = 64
"""Messages handed over at once: the more there are, the longer the loop is kept."""


class BatchConnection(ClientConnection):
    """A client's connection, for ``create_connection`` of :func:`websockets.asyncio.client.connect`.

    Messages are taken by :meth:`take`, in place of ``recv``. Where a version of ``websockets`` doesn't give its
    frames to ``process_event``, which the answer to the handshake shows, `take` leaves it to ``recv``.

    Args:
        protocol: Reads and writes the frames.
        max_queue: Messages that wait before reading of the socket pauses; it goes on at a quarter of them. What came
            in one read may go beyond it. A message whose last fragment has not come is bounded by ``max_size``.
        options: Those of ``ClientConnection``.
    """

    def __init__(self, protocol: ClientProtocol, *, max_queue: int = 16, **options: Any) -> None:
        super().__init__(protocol, max_queue=max_queue, **options)
        self._high, self._low = max_queue, max_queue // 4
        self._whole: list[bytes | bytearray | memoryview] = []  # an empty deque takes ten times the memory
        self._begun = bytearray()  # a message whose last fragment has not come
        self._arrival: asyncio.Future[None] | None = None
        self._pausing = False
        self._lost = False
        self._gets_frames = False

    async def take(self) -> list[bytes]:
        """The messages that have come, in order and not more than 64; once there is one.

        Where messages wait already, the loop gets no turn. Cancelling loses none. One task at a time may call it.

        Raises:
            ConnectionClosed: The connection is closed, and all its messages were taken.
        """
        if not self._gets_frames:
            return [await self.recv(decode=False)]
        whole = self._whole
        while not whole:
            if self._lost:
                return [await self.recv(decode=False)]  # raises: nothing was left to it
            self._arrival = self.loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        batch = [bytes(message) for message in whole[:_BATCH]]
        del whole[:_BATCH]
        if self._pausing:
            if len(whole) <= self._low:
                self._pausing = False
                self.transport.resume_reading()
        elif len(whole) > self._high:
            self._pause()
        return batch

    def process_event(self, event: Event) -> None:
        """Keep the data of messages; the rest is websockets' own."""
        if not isinstance(event, Frame):  # the answer to the handshake
            self._gets_frames = True
            super().process_event(event)
            return
        opcode = event.opcode
        if opcode is _TEXT or opcode is _BINARY:
            if event.fin:
                self._whole.append(event.data)
            else:
                self._begun = bytearray(event.data)
        elif opcode is _CONT:
            self._begun += event.data
            if event.fin:
                self._whole.append(self._begun)
                self._begun = bytearray()
        else:
            super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Take in what was read of the socket."""
        super().data_received(data)
        if self._whole:
            if self._arrival is not None:
                # Who waits runs before the socket is read again, and pauses it if this is more than it takes.
                self._wake()
            elif len(self._whole) > self._high and not self._pausing:
                self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        self._lost = True
        self._wake()

    def _pause(self) -> None:
        self._pausing = True
        self.transport.pause_reading()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
