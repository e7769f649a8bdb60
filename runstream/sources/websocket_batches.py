"""A WebSocket connection that returns all received messages in one call.

``recv`` returns one message a call, through three coroutines, which costs more than to decode the message. Only the
queue behind the frames is replaced: protocol, compression, limits and closing are those of ``websockets``.
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
"""Most messages returned by one call: the more there are, the longer they block the loop."""


class BatchConnection(ClientConnection):
    """A client's connection, for ``create_connection`` of :func:`websockets.asyncio.client.connect`.

    Messages are received by :meth:`receive`, in place of ``recv``. If a version of ``websockets`` doesn't pass its
    frames to ``process_event``, which the response to the handshake shows, `receive` calls ``recv``.

    Args:
        protocol: Reads and writes the frames.
        max_queue: Number of queued messages at which reading of the socket pauses; it resumes at a quarter of them.
            The messages of one read may exceed it. A message whose last fragment has not arrived is limited by
            ``max_size``.
        options: The options of ``ClientConnection``.
    """

    def __init__(self, protocol: ClientProtocol, *, max_queue: int = 16, **options: Any) -> None:
        super().__init__(protocol, max_queue=max_queue, **options)
        self._high, self._low = max_queue, max_queue // 4
        self._messages: list[bytes | bytearray | memoryview] = []  # an empty deque takes ten times the memory
        self._fragments = bytearray()  # a message whose last fragment has not arrived
        self._arrival: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._lost = False
        self._receives_frames = False

    async def receive(self) -> list[bytes]:
        """Wait for a message, and return the received messages in order, at most 64.

        If messages are queued already, no other task runs meanwhile. Cancelling loses none. Only one task at a time
        may call it.

        Raises:
            ConnectionClosed: The connection is closed, and all its messages were returned.
        """
        if not self._receives_frames:
            return [await self.recv(decode=False)]
        messages = self._messages
        while not messages:
            if self._lost:
                return [await self.recv(decode=False)]  # raises: its own queue is empty
            self._arrival = self.loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        batch = [bytes(message) for message in messages[:_BATCH]]
        del messages[:_BATCH]
        if self._reading_paused:
            if len(messages) <= self._low:
                self._reading_paused = False
                self.transport.resume_reading()
        elif len(messages) > self._high:
            self._pause()
        return batch

    def process_event(self, event: Event) -> None:
        """Queue the data of messages; other events are processed by ``websockets``."""
        if not isinstance(event, Frame):  # the response to the handshake
            self._receives_frames = True
            super().process_event(event)
            return
        opcode = event.opcode
        if opcode is _TEXT or opcode is _BINARY:
            if event.fin:
                self._messages.append(event.data)
            else:
                self._fragments = bytearray(event.data)
        elif opcode is _CONT:
            self._fragments += event.data
            if event.fin:
                self._messages.append(self._fragments)
                self._fragments = bytearray()
        else:
            super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Process the bytes that were read from the socket."""
        super().data_received(data)
        if self._messages:
            if self._arrival is not None:
                # The waiting task runs before the socket is read again, and pauses reading if it can't return them all.
                self._wake()
            elif len(self._messages) > self._high and not self._reading_paused:
                self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the waiting task: the socket is closed."""
        super().connection_lost(exc)
        self._lost = True
        self._wake()

    def _pause(self) -> None:
        self._reading_paused = True
        self.transport.pause_reading()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
