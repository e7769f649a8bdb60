"""One connection of the server: the request, the answer, the events and the end."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import socket
import struct
from contextlib import suppress
from typing import Final

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.faults.cases import LOSES_DATA, REFUSALS, Case, ConnectionPlan, Fault, connection_plans, has_timeouts
from tests.faults.content import (
    Item,
    answer,
    block,
    chunk,
    connection_items,
    corrupt,
    event_id,
    event_order,
    frame,
    inside_a_character,
    junk,
    pieces,
)
from tests.faults.junk import JSON_ERRORS, RETRY_AFTER
from tests.faults.process import Slot
from tests.faults.streams import graph_answers, graph_place, poll_body, snapshots

__all__ = ["Connection", "reply"]

_STALL_TIMEOUT: Final = 20.0  # seconds after which even a stalled connection is closed
_BETWEEN_LINES: Final = 0.05  # seconds between the lines of a head that never ends
_CLOSE_TIMEOUT: Final = 1.0  # seconds for the peer to close the connection too
# Refusals which mean that the server did not execute the request.
_NOT_EXECUTED: Final = ("http-401", "http-429")
_WITHOUT_FAULTS: Final = ConnectionPlan(None, (), None)


def reply(case: Case, slot: Slot, path: str) -> bytes:
    """The answer of a LangGraph server to a question about a run: it is running until all its events were sent.

    Args:
        case: The case.
        slot: The record of the case.
        path: The path of the request, below the case.
    """
    name = case.streams[0]
    kind = "run" if "/runs/" in path else "state" if path.endswith("/state") else "thread"
    status, body = graph_answers(name)[kind]
    if kind == "run" and slot.position < len(event_order(case, 0)):
        thread_id, run_id = graph_place(name)
        status, body = 200, {"run_id": run_id, "thread_id": thread_id, "status": "running"}
    return answer(status, msgspec.json.encode(body), {"Content-Type": "application/json"})


class Connection:
    """One connection.

    Args:
        case: The case of the connection.
        slot: The record of the case.
        head: The head of the request.
        body: Its body.
        reader: The rest of the request.
        writer: For the answer.
    """

    def __init__(
        self,
        case: Case,
        slot: Slot,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._case = case
        self._slot = slot
        self._head = head
        self._body = body
        self._subscribed = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._number = slot.connect()
        planned = connection_plans(case)
        self._plan = planned[self._number] if self._number < len(planned) else _WITHOUT_FAULTS
        self._rng: random.Random = case.rng("connection", self._number)
        self._protocol: ServerProtocol | None = None
        self._sending = False
        self._chunked = self._rng.random() < 0.5
        self._style = {"binary": self._rng.random() < 0.2, "split": self._rng.random() < 0.2}
        self._newline = self._rng.choice((b"\n", b"\n", b"\r\n", b"\r"))
        self._is_compressed = case.source in {"sse", "post"} and case.rng("compression", self._number).random() < 0.2

    async def serve(self) -> None:
        """Read the request, answer it, and end the connection, as the case demands."""
        refusal = self._plan.refusal
        thread = self._case.protocol == "langgraph-thread"  # whose POST only subscribes
        if self._head.startswith(b"POST") and not thread and (refusal is None or refusal.name not in _NOT_EXECUTED):
            self._slot.executed_posts += 1
        if self._case.source == "poll" and (self._plan.refusal is None or self._plan.refusal.name not in REFUSALS):
            await self._poll(self._plan.refusal)
            return
        if self._plan.refusal is not None:
            await self._refuse(self._plan.refusal)
            return
        self._accept()
        listening = asyncio.create_task(self._listen())
        try:
            if self._case.protocol == "langgraph-thread" and self._protocol is not None:
                async with asyncio.timeout(_STALL_TIMEOUT):
                    await self._subscribed.wait()
            items, following = connection_items(self._case, self._number, self._plan, self._start())
            await self._send_items(items)
            await self._end(self._plan.loss, following, listening)
        finally:
            listening.cancel()
            self._writer.close()

    # the request

    async def _refuse(self, fault: Fault) -> None:
        kind, _, detail = fault.name.partition("-")
        if kind == "hush":
            await self._reader.read(1)  # until the client closes
        elif kind == "head":
            await self._send_endless_head()
        elif kind == "error":
            body = self._rng.choice(JSON_ERRORS)
            self._writer.write(answer(200, body, {"Content-Type": "text/event-stream"}))
        elif kind == "coding":
            headers = {"Content-Type": "text/event-stream", "Content-Encoding": self._rng.choice(("br", "zstd", "x"))}
            self._writer.write(answer(200, b"data: compressed\n\n", headers))
        elif kind == "noise":
            self._writer.write(b"\x00\x01 no HTTP at all\r\n\r\n")
        elif kind == "html":
            self._writer.write(answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
        elif kind == "http":
            headers = {"Content-Type": "application/json"}
            if detail in {"429", "503"}:
                headers["Retry-After"] = self._rng.choice(RETRY_AFTER)
            self._writer.write(answer(int(detail), b'{"error":{"message":"not now"}}', headers))
        with suppress(OSError):
            await self._writer.drain()
        self._writer.close()

    async def _send_endless_head(self) -> None:
        """Send one line after the other until the client closes, or the time of a stalled connection is over."""
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        with suppress(OSError):
            for number in range(int(_STALL_TIMEOUT / _BETWEEN_LINES)):
                self._writer.write(b"X-Line-%d: more\r\n" % number)
                await self._writer.drain()
                await asyncio.sleep(_BETWEEN_LINES)

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
            if self._is_compressed:
                framing += b"\r\nContent-Encoding: gzip"
            if self._case.protocol == "langgraph":
                thread_id, run_id = graph_place(self._case.streams[0])
                framing += f"\r\nContent-Location: /threads/{thread_id}/runs/{run_id}".encode()
            self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n\r\n")

    async def _listen(self) -> None:
        """Answer control frames until the client closes."""
        with suppress(OSError):
            while data := await self._reader.read(65536):
                if self._protocol is not None:
                    self._protocol.receive_data(data)
                    for event in self._protocol.events_received():
                        if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                            self._body = bytes(event.data)
                            self._subscribed.set()
                self._flush()
        self._subscribed.set()

    def _flush(self) -> None:
        if self._protocol is None or self._sending:
            return  # a pong may not be sent within a message
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()  # after the closing handshake the server closes the connection

    def _start(self) -> int:
        server, position = self._case.server, self._slot.position
        if self._case.protocol == "responses" and server in {"onward", "back"}:
            return self._response_start(position)
        named = (line.split(b":", 1) for line in self._head.split(b"\r\n") if b":" in line)
        last = next((value.strip().decode() for name, value in named if name.lower() == b"last-event-id"), "")
        if self._case.protocol == "langgraph-thread":
            if not self._body:
                return 0  # the client is gone
            command = msgspec.json.decode(self._body)
            last = str(command.get("params", command).get("since", ""))
        if position and not last:
            self._slot.without_last_id += 1
        if not position or server == "replay":
            return 0  # a gap exists only for a client that was connected before
        if server in {"onward", "fetched"}:
            return position + self._rng.choice((0, 0, 1, 2, 5, 20))
        if server == "back":
            if self._case.protocol == "langgraph-thread":
                position = int(last or 0)  # the place that the client names, which is never after a gap
            return max(0, position - self._rng.choice((0, 1, 2, 5, 20)))
        order = event_order(self._case, self._number)
        responses = self._case.protocol == "responses"
        if self._case.protocol == "langgraph-thread":
            return int(last or 0)
        ids = (event.id if responses else event_id(self._case, event) for event in order)
        return {id: place + 1 for place, id in enumerate(ids) if id}.get(last, 0)

    def _response_start(self, position: int) -> int:
        """The start within events of the Responses wire.

        An item names no response. So a server begins within a response only if it has sent its beginning, and the
        client has received it; else at the beginning of a response.
        """
        if not position:
            return 0
        order = event_order(self._case, self._number)
        begins = [place for place, event in enumerate(order) if b'"response.created"' in event.data]
        if self._case.server == "back":
            start = max(0, position - self._rng.choice((0, 1, 2, 5, 20)))
        else:
            start = position + self._rng.choice((0, 0, 1, 2, 5, 20))
            start = next((place for place in begins if position <= place < start), start)
        if self._case.has(*LOSES_DATA) or has_timeouts(self._case):
            start = max((place for place in begins if place <= start), default=0)
        return start

    # polls

    async def _poll(self, fault: Fault | None) -> None:
        """Answer a poll with a snapshot of the run, or with a part of one."""
        headers = {"Content-Type": "application/json"}
        if self._rng.random() < 0.05:
            headers["openai-poll-after-ms"] = "1"
        kind, _, detail = fault.name.partition("-") if fault is not None else ("", "", "")
        moment = self._moment()
        data = poll_body(self._case.streams, moment)
        if kind == "junk":
            data = junk(detail, self._rng, self._case.protocol).data
        elif kind == "corrupt":
            data = corrupt(Item(None, data), self._rng).data
        whole = answer(200, data, headers)
        if fault is None or kind in {"junk", "corrupt"}:
            if fault is None:  # recorded first: the client may finish earlier
                self._slot.note(min(moment, len(snapshots(self._case.streams)) - 1))
                self._slot.position = moment + 1
            self._writer.write(whole)
            await self._writer.drain()
            self._writer.close()
            return
        start = len(whole) - len(data)
        at = start + inside_a_character(data) if detail == "utf8" else self._rng.randrange(len(whole))
        self._writer.write(whole[:at])
        listening = asyncio.create_task(self._listen())
        try:
            await self._end(Fault("drop" if kind == "cut" else fault.name), None, listening)
        finally:
            listening.cancel()
            self._writer.close()

    def _moment(self) -> int:
        position = self._slot.position
        planned = connection_plans(self._case)
        before = planned[self._number - 1] if 0 < self._number <= len(planned) else None
        if before is None or before.refusal is None:
            return position
        if self._case.server == "replay":
            return 0
        if self._case.server == "back":
            return max(0, position - self._rng.choice((1, 2, 5)))
        return position + (self._rng.choice((0, 1, 2, 5)) if self._case.server == "onward" else 0)

    # events

    async def _send_items(self, items: list[Item]) -> None:
        way = self._rng.choice(("whole", "whole", "each", "pieces"))
        whole = []
        for item in items:
            data = self._frame(item)
            if item.number >= 0:
                self._slot.note(item.number)
                self._slot.position = max(item.place + 1, self._slot.position)
            if way == "each":
                await self._write(data)
            else:
                whole.append(data)
        data = b"".join(whole)
        self._sending = True
        for piece in pieces(data, self._rng) if way == "pieces" else [data]:
            await self._write(piece)
        self._sending = False
        self._flush()

    def _frame(self, item: Item) -> bytes:
        if self._protocol is not None:
            return frame(item, **self._style)
        data = block(item, newline=self._newline)
        if self._is_compressed:
            data = gzip.compress(data)  # each block is a member of its own (RFC 1952, section 2.2)
        return chunk(data) if self._chunked else data

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    # the end

    async def _end(self, loss: Fault | None, following: Item | None, listening: asyncio.Task[None]) -> None:
        if loss is None and self._case.protocol == "langgraph-thread":
            await self._wait_until_closed(listening, _STALL_TIMEOUT)  # the stream outlives its runs
            return
        kind, _, detail = (loss.name if loss is not None else "close").partition("-")
        if kind == "cut" and following is not None:
            data = self._frame(following)
            cut = inside_a_character(data) if detail else self._rng.randrange(1, len(data))
            self._writer.write(data[:cut])
            kind = self._rng.choice(("drop", "reset"))
        if kind == "kill":
            await self._wait_until_sent()
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "reset":
            await self._wait_until_sent()
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        elif kind == "half":
            self._writer.write_eof()
            await self._wait_until_closed(listening, _CLOSE_TIMEOUT)
        elif kind == "stall":
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            async with asyncio.timeout(_STALL_TIMEOUT):
                while await self._reader.read(65536):
                    pass
        elif kind == "protocol":
            self._writer.write(b"\xff\xff\xff\xff no frame and no chunk\r\n")
            await self._wait_until_closed(listening, _CLOSE_TIMEOUT)
        elif kind in {"close", "end"}:
            await self._close(int(detail or 1000), listening)

    async def _close(self, code: int, listening: asyncio.Task[None]) -> None:
        if self._protocol is None:
            if self._chunked:
                self._writer.write(b"0\r\n\r\n")
            return
        with suppress(Exception):  # the client may have closed it already
            if code == 1005:
                self._protocol.send_close()
            else:
                self._protocol.send_close(code, self._rng.choice(("", "bye", "später")))
        self._flush()
        await self._wait_until_closed(listening, _CLOSE_TIMEOUT)

    async def _wait_until_closed(self, listening: asyncio.Task[None], within: float) -> None:
        await asyncio.wait({listening}, timeout=within)

    async def _wait_until_sent(self) -> None:
        """Wait until the kernel has all data."""
        async with asyncio.timeout(_STALL_TIMEOUT):
            while self._writer.transport.get_write_buffer_size():
                await asyncio.sleep(0.001)
