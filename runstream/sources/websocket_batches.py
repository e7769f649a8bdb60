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
_PART: Final = 4096  # bytes
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
        max_queue_bytes: Size of the queued messages (bytes, inflated) at which reading pauses. Compressed bytes that
            were read before are inflated later: one message, and what 4 KiB of them inflate to, may exceed it.
        options: The options of ``ClientConnection``. ``write_limit`` is the number of bytes that wait to be sent, pongs
            among them, at which reading pauses too: a peer that does not read gets no more answers.

    Attributes:
        pauses: The number of times that reading paused.
    """

    def __init__(
        self, protocol: ClientProtocol, *, max_queue: int = 16, max_queue_bytes: int = 2**24, **options: Any
    ) -> None:
        super().__init__(protocol, max_queue=max_queue, **options)
        self.pauses = 0
        self._high, self._low = max_queue, max_queue // 4
        self._high_bytes, self._low_bytes = max_queue_bytes, max_queue_bytes // 4
        self._size = 0  # of the queued messages
        self._unread = b""  # bytes of the socket that were not processed yet
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
        self._size -= sum(map(len, batch))
        if self._unread:
            self._process_unread()
        if not self._reading_paused:
            if self._is_full:
                self._pause()
        elif len(messages) <= self._low and self._size <= self._low_bytes:
            self._resume()
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
                self._size += len(event.data)
            else:
                self._fragments = bytearray(event.data)
        elif opcode is _CONT:
            self._fragments += event.data
            if event.fin:
                self._messages.append(self._fragments)
                self._size += len(self._fragments)
                self._fragments = bytearray()
        else:
            super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Process the bytes that were read from the socket."""
        if self._unread:
            self._unread += data
        else:
            self._unread = data
            self._process_unread()
        if self._unread:
            self._pause()
        if self._messages:
            if self._arrival is not None:
                # The waiting task runs before the socket is read again, and pauses reading if it can't return them all.
                self._wake()
            elif self._is_full:
                self._pause()

    def eof_received(self) -> None:
        """Process what was read, whatever it inflates to, and then the end of the socket's data."""
        data, self._unread = self._unread, b""
        if data:
            super().data_received(data)
        super().eof_received()

    def pause_writing(self) -> None:
        """Pause reading too: the peer does not read, and each ping that it sends would be answered."""
        super().pause_writing()
        self._pause()

    async def drain(self) -> None:
        """Wait for the peer to read; for a close frame no longer than the time for closing."""
        if self.paused and self.protocol.close_expected():
            async with asyncio.timeout(self.close_timeout):
                await super().drain()
        else:
            await super().drain()

    def resume_writing(self) -> None:
        """Resume what waited for the peer."""
        super().resume_writing()
        if not self._is_full:
            self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the waiting task: the socket is closed. Bytes that were not processed are lost with the connection."""
        self._unread = b""
        super().connection_lost(exc)
        self._lost = True
        self._wake()

    @property
    def _is_full(self) -> bool:
        return len(self._messages) > self._high or self._size > self._high_bytes

    def _process_unread(self) -> None:
        """Process the bytes that were read, as many as there is room for. Compressed ones are processed in parts: a
        read of the socket may inflate to a thousand times its size.
        """
        while self._unread and self._size <= self._high_bytes:
            is_plain = self._receives_frames and not self.protocol.extensions
            part = self._unread if is_plain else self._unread[:_PART]
            self._unread = b"" if is_plain else self._unread[_PART:]
            super().data_received(part)

    def _pause(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.pauses += 1
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._reading_paused and not self.paused and not self._unread:
            self._reading_paused = False
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
