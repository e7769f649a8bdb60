"""One connection of the server: the request, what it is answered, what is told, and how it ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
from contextlib import suppress
from typing import Final

from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.faults.cases import REFUSALS, Case, Fault, Leg, legs
from tests.faults.content import (
    Item,
    answer,
    block,
    chunk,
    corrupt,
    frame,
    id_of,
    inside_a_character,
    junk,
    order,
    pieces,
    tell,
)
from tests.faults.process import Slot
from tests.faults.streams import body, snapshots

__all__ = ["Connection"]

_PATIENCE: Final = 20.0  # seconds after which even a stalled connection is given up
_FAREWELL: Final = 1.0  # seconds for the peer to close what we closed
# By these a server says that it did nothing with a request.
_NOTHING_DONE: Final = ("http-401", "http-429")
_SOUND: Final = Leg(None, (), None)


class Connection:
    """One connection.

    Args:
        case: What it is part of.
        slot: Where to note what is done.
        head: The head of the request.
        reader: The rest of what comes.
        writer: Where to answer.
    """

    def __init__(
        self, case: Case, slot: Slot, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._case = case
        self._slot = slot
        self._head = head
        self._reader = reader
        self._writer = writer
        self._number = slot.connect()
        planned = legs(case)
        self._leg = planned[self._number] if self._number < len(planned) else _SOUND
        self._chance: random.Random = case.chance("connection", self._number)
        self._protocol: ServerProtocol | None = None
        self._telling = False
        self._chunked = self._chance.random() < 0.5
        self._style = {"binary": self._chance.random() < 0.2, "split": self._chance.random() < 0.2}
        self._newline = self._chance.choice((b"\n", b"\n", b"\r\n", b"\r"))

    async def serve(self) -> None:
        """Do all of it."""
        refusal = self._leg.refusal
        if self._head.startswith(b"POST") and (refusal is None or refusal.name not in _NOTHING_DONE):
            self._slot.carried_out += 1
        if self._case.source == "poll" and (self._leg.refusal is None or self._leg.refusal.name not in REFUSALS):
            await self._poll(self._leg.refusal)
            return
        if self._leg.refusal is not None:
            await self._refuse(self._leg.refusal)
            return
        self._accept()
        listening = asyncio.create_task(self._listen())
        try:
            items, following = tell(self._case, self._number, self._leg, self._start())
            await self._tell(items)
            await self._end(self._leg.loss, following, listening)
        finally:
            listening.cancel()
            self._writer.close()

    # the request

    async def _refuse(self, fault: Fault) -> None:
        kind, _, detail = fault.name.partition("-")
        if kind == "hush":
            await self._reader.read(1)  # until the client gives up
        elif kind == "noise":
            self._writer.write(b"\x00\x01 no HTTP at all\r\n\r\n")
        elif kind == "html":
            self._writer.write(answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
        elif kind == "http":
            headers = {"Content-Type": "application/json"}
            if detail in {"429", "503"}:
                headers["Retry-After"] = self._chance.choice(("0", "1", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"))
            self._writer.write(answer(int(detail), b'{"error":{"message":"not now"}}', headers))
        with suppress(OSError):
            await self._writer.drain()
        self._writer.close()

    def _accept(self) -> None:
        if b"upgrade: websocket" in self._head.lower():
            protocol = self._protocol = ServerProtocol()
            protocol.receive_data(self._head)
            request = protocol.events_received()[0]
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            self._flush()
        else:
            framing = b"Transfer-Encoding: chunked" if self._chunked else b"Connection: close"
            self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n\r\n")

    async def _listen(self) -> None:
        """Answer what the client says, until it leaves."""
        with suppress(OSError):
            while data := await self._reader.read(65536):
                if self._protocol is not None:
                    self._protocol.receive_data(data)
                self._flush()

    def _flush(self) -> None:
        if self._protocol is None or self._telling:
            return  # a pong may not come into the middle of a message
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()  # both have said farewell, and the server is the one to hang up

    def _start(self) -> int:
        server, position = self._case.server, self._slot.position
        named = (line.split(b":", 1) for line in self._head.split(b"\r\n") if b":" in line)
        last = next((value.strip().decode() for name, value in named if name.lower() == b"last-event-id"), "")
        if position and not last:
            self._slot.nameless += 1
        if not position or server == "replay":
            return 0  # all that is lost is lost by a client that was there
        if server in {"onward", "fetched"}:
            return position + self._chance.choice((0, 0, 1, 2, 5, 20))
        if server == "back":
            return max(0, position - self._chance.choice((0, 1, 2, 5, 20)))
        places = {id_of(self._case, told): place + 1 for place, told in enumerate(order(self._case, self._number))}
        return places.get(last, 0)

    # what is polled

    async def _poll(self, fault: Fault | None) -> None:
        """Answer a poll: with a moment of the run, and all or a part of it."""
        headers = {"Content-Type": "application/json"}
        if self._chance.random() < 0.05:
            headers["openai-poll-after-ms"] = "1"
        kind, _, detail = fault.name.partition("-") if fault is not None else ("", "", "")
        moment = self._moment()
        data = body(self._case.tellings, moment)
        if kind == "junk":
            data = junk(detail, self._chance).data
        elif kind == "corrupt":
            data = corrupt(Item(None, data), self._chance).data
        whole = answer(200, data, headers)
        if fault is None or kind in {"junk", "corrupt"}:
            if fault is None:  # noted first: the client may be done before we are
                self._slot.note(min(moment, len(snapshots(self._case.tellings)) - 1))
                self._slot.position = moment + 1
            self._writer.write(whole)
            await self._writer.drain()
            self._writer.close()
            return
        start = len(whole) - len(data)
        at = start + inside_a_character(data) if detail == "utf8" else self._chance.randrange(len(whole))
        self._writer.write(whole[:at])
        listening = asyncio.create_task(self._listen())
        try:
            await self._end(Fault("drop" if kind == "cut" else fault.name), None, listening)
        finally:
            listening.cancel()
            self._writer.close()

    def _moment(self) -> int:
        position = self._slot.position
        planned = legs(self._case)
        before = planned[self._number - 1] if 0 < self._number <= len(planned) else None
        if before is None or before.refusal is None:
            return position
        if self._case.server == "replay":
            return 0
        if self._case.server == "back":
            return max(0, position - self._chance.choice((1, 2, 5)))
        return position + (self._chance.choice((0, 1, 2, 5)) if self._case.server == "onward" else 0)

    # what is told

    async def _tell(self, items: list[Item]) -> None:
        way = self._chance.choice(("whole", "whole", "each", "pieces"))
        whole = []
        for item in items:
            data = self._framed(item)
            if item.number >= 0:
                self._slot.note(item.number)
                self._slot.position = max(item.place + 1, self._slot.position)
            if way == "each":
                await self._write(data)
            else:
                whole.append(data)
        data = b"".join(whole)
        self._telling = True
        for piece in pieces(data, self._chance) if way == "pieces" else [data]:
            await self._write(piece)
        self._telling = False
        self._flush()

    def _framed(self, item: Item) -> bytes:
        if self._protocol is not None:
            return frame(item, **self._style)
        data = block(item, newline=self._newline)
        return chunk(data) if self._chunked else data

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    # how it ends

    async def _end(self, loss: Fault | None, following: Item | None, listening: asyncio.Task[None]) -> None:
        kind, _, detail = (loss.name if loss is not None else "close").partition("-")
        if kind == "cut" and following is not None:
            data = self._framed(following)
            cut = inside_a_character(data) if detail else self._chance.randrange(1, len(data))
            self._writer.write(data[:cut])
            kind = self._chance.choice(("drop", "reset"))
        if kind == "kill":
            await self._sent()
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "reset":
            await self._sent()
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        elif kind == "half":
            self._writer.write_eof()
            await self._gone(listening, _FAREWELL)
        elif kind == "stall":
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            async with asyncio.timeout(_PATIENCE):
                while await self._reader.read(65536):
                    pass
        elif kind == "protocol":
            self._writer.write(b"\xff\xff\xff\xff no frame and no chunk\r\n")
            await self._gone(listening, _FAREWELL)
        elif kind in {"close", "end"}:
            await self._close(int(detail or 1000), listening)

    async def _close(self, code: int, listening: asyncio.Task[None]) -> None:
        if self._protocol is None:
            if self._chunked:
                self._writer.write(b"0\r\n\r\n")
            return
        with suppress(Exception):  # the client may have closed it before
            if code == 1005:
                self._protocol.send_close()
            else:
                self._protocol.send_close(code, self._chance.choice(("", "bye", "später")))
        self._flush()
        await self._gone(listening, _FAREWELL)

    async def _gone(self, listening: asyncio.Task[None], within: float) -> None:
        await asyncio.wait({listening}, timeout=within)

    async def _sent(self) -> None:
        """Wait until the kernel has it all."""
        async with asyncio.timeout(_PATIENCE):
            while self._writer.transport.get_write_buffer_size():
                await asyncio.sleep(0.001)
