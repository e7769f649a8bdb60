"""The content of one connection: its events with the injected faults, and their bytes as frames, blocks and chunks."""

from __future__ import annotations

import json
import random
import re
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from websockets.frames import Frame, Opcode

from runstream.model.raw import RawEvent
from runstream.recordings.server import encode_frames
from tests.faults.cases import Case, ConnectionPlan, Fault
from tests.faults.junk import BARE_JUNK, JUNK, LANGGRAPH_JUNK, MAX_BYTES, MAX_FRAME
from tests.faults.streams import StreamEvent, interleaved, shuffled

__all__ = [
    "MAX_BYTES",
    "MAX_FRAME",
    "NAMED",
    "Item",
    "answer",
    "block",
    "chunk",
    "connection_items",
    "corrupt",
    "event_id",
    "event_order",
    "frame",
    "in_other_form",
    "inside_a_character",
    "junk",
    "pieces",
]


NAMED = frozenset({"assistants", "langgraph"})
"""The protocols whose events have their names beside the data. Those of the others are complete messages."""
_INDEX = re.compile(r'"index": ?([0-9]+)')


class Item(NamedTuple):
    """One item of a connection: an event or junk.

    Attributes:
        name: The name of the event; ``None`` if the data are a complete message.
        data: Its data.
        id: Its id, if it is sent with one.
        number: The number of the event, -1 for junk and corrupt events.
        place: Its place in the order of this connection, -1 for junk and corrupt events.
        bare: True if its data are a complete message of a WebSocket, with the name in them.
    """

    name: str | None
    data: bytes
    id: str | None = None
    number: int = -1
    place: int = -1
    bare: bool = False

    def envelope(self) -> bytes:
        """The item as a message of a WebSocket."""
        if self.name is None or self.bare:
            return self.data
        if self.number < 0:  # built by hand, so that corrupt data stay corrupt
            named = b'{"event":' + msgspec.json.encode(self.name) + b',"data":'
            return named + self.data + b"}"
        return encode_frames([RawEvent(self.name, self.data, self.id)])[0].data


def event_id(case: Case, event: StreamEvent) -> str | None:
    """The id with which an event is sent, if any.

    The Responses wire and the LangGraph server's thread protocol have it in the data, the AG-UI wire has none.
    """
    if case.protocol not in NAMED:
        return None
    if case.ids == "count":
        return str(event.number)
    return event.id if case.ids == "all" or (case.ids == "some" and (event.number + case.seed) % 3 == 0) else None


def event_order(case: Case, connection: int) -> list[StreamEvent]:
    """All events in the order of a connection; with `reorder` and `replay` each connection has its own order."""
    if not case.has("reorder"):
        return interleaved(case.streams, None)
    seed = f"{case}/{connection if case.server == 'replay' else 0}"
    if case.protocol == "ag-ui" or (case.protocol == "responses" and case.source != "ws"):  # only a socket has lanes
        return shuffled(case.streams, seed)
    return interleaved(case.streams, seed)


def connection_items(case: Case, connection: int, plan: ConnectionPlan, start: int) -> tuple[list[Item], Item | None]:
    """The items of a connection, and the event after them.

    Args:
        case: The case.
        connection: The number of the connection.
        plan: Its faults.
        start: The place of its first event.

    Returns:
        The items until the loss, and the next event, ``None`` if there is none.
    """
    rng = case.rng("connection_items", connection)
    order = event_order(case, connection)
    if case.protocol not in NAMED:
        lanes = case.protocol == "responses" and case.has("reorder") and case.source == "ws" and len(case.streams) > 1
        everything = [response_item(case, event, place, lanes=lanes) for place, event in enumerate(order)]
    else:
        everything = [
            Item(event.name, event.data, event_id(case, event), event.number, place)
            for place, event in enumerate(order)
        ]
        if case.has("indices"):
            style = case.rng("indices").choice(("text", "none", "shared"))
            everything = [item._replace(data=_with_indices(item.data, style)) for item in everything]
    rest = everything[start:]
    stop = len(rest) if plan.loss is None else _share(plan.loss, len(rest))
    items = rest[:stop]
    for fault in plan.content:
        items = _changed(items, fault, rng, case)
    return items, rest[stop] if stop < len(rest) else None


def _share(fault: Fault, length: int) -> int:
    return -(-length * fault.at // 1000)


def response_item(case: Case, event: StreamEvent, place: int, *, lanes: bool) -> Item:
    """An event of the Responses wire: with its number or without, and with its lane if several streams take turns."""
    data = event.data
    if case.protocol == "responses" and (case.ids not in {"all", "count"} or lanes) and data != b"[DONE]":
        data = _rewritten(data, numbered=case.ids in {"all", "count"}, lane=f"lane{event.track}" if lanes else None)
    return Item(event.name or None, data, None, event.number, place, bare=True)


@lru_cache(maxsize=8192)
def _rewritten(data: bytes, *, numbered: bool, lane: str | None) -> bytes:
    event = msgspec.json.decode(data)
    if not numbered:
        event.pop("sequence_number", None)
    if lane is not None:
        event["stream_id"] = lane
    return msgspec.json.encode(event)


@lru_cache(maxsize=8192)
def _with_indices(data: bytes, style: str) -> bytes:
    """The data of an event with other indices of calls, as some servers have them.

    Args:
        data: The data.
        style: The indices are the same as ``text``, or there are ``none``, or one is ``shared`` by all calls: a
            fragment without an id is then one of the latest call.
    """
    if b'"tool_calls"' not in data or b"step.delta" not in data:
        return data
    event = msgspec.json.decode(data)
    for call in event["delta"]["step_details"].get("tool_calls") or ():
        if style == "text":
            call["index"] = str(call["index"])
        elif style == "none":
            call.pop("index", None)
        else:
            call["index"] = 0
    return msgspec.json.encode(event)


def _changed(items: list[Item], fault: Fault, rng: random.Random, case: Case) -> list[Item]:
    kind, _, detail = fault.name.partition("-")
    place = _share(fault, len(items))
    before, after = items[:place], items[place:]
    if kind == "junk":
        return [*before, *(junk(detail, rng, case.protocol) for _ in range(rng.randint(1, 3))), *after]
    if kind == "again":
        return [*before, *before[-rng.randint(2, 30) :], *after]
    if kind == "twice":
        return [*before, *after[: rng.randint(1, 3)], *after]
    if kind == "form" and after and after[0].number >= 0:
        return [*before, in_other_form(after[0], rng, case), *after[1:]]
    if kind == "corrupt" and after and after[0].number >= 0:
        return [*before, corrupt(after[0], rng), *after[1:]]
    return items


def junk(kind: str, rng: random.Random, protocol: str = "assistants") -> Item:
    """Random data of one kind that are not an event of any run of the case."""
    if protocol not in NAMED:
        return Item(None, rng.choice(BARE_JUNK[protocol][kind]), bare=True)
    return Item(*rng.choice((JUNK if protocol == "assistants" else LANGGRAPH_JUNK)[kind]))


def in_other_form(item: Item, rng: random.Random, case: Case) -> Item:
    """The same event in a form that some servers send: indented, with escapes, encoded twice, or in an envelope."""
    try:
        value = json.loads(item.data)
    except ValueError:
        return item  # `[DONE]`
    forms = [json.dumps(value, ensure_ascii=False), json.dumps(value)]
    if case.source != "file":  # a line of a file is one message
        forms.append(json.dumps(value, indent=2, ensure_ascii=False))
    if case.protocol == "assistants":
        forms += [json.dumps(item.data.decode()), _INDEX.sub(r'"index":"\1"', item.data.decode())]
        if item.name is not None and not item.bare:
            envelope = {"event": item.name, "data": value}
            inner = {**envelope, "id": item.id} if item.id is not None else envelope
            data = json.dumps(rng.choice((inner, json.dumps(inner)))).encode()
            if rng.random() < 0.3:
                return item._replace(name="message", data=data)
    return item._replace(data=rng.choice(forms).encode())


def corrupt(item: Item, rng: random.Random) -> Item:
    """An event that can't be decoded any more: cut off, or with a byte before it that is not UTF-8.

    Within a text such a byte would leave the event readable in part.
    """
    data = item.data
    at = rng.randrange(max(len(data) - 1, 1))
    broken = data[:at] if rng.random() < 0.5 else b"\xff" + data
    return Item(item.name, broken if broken != b"" else b"\xff", item.id, bare=item.bare)


def frame(item: Item, *, binary: bool, split: bool) -> bytes:
    """One message (RFC 6455, section 5.2): a frame, or two fragments."""
    data = item.envelope()
    try:
        data.decode()
        opcode = Opcode.BINARY if binary else Opcode.TEXT
    except UnicodeDecodeError:
        opcode = Opcode.BINARY
    if not split:
        return Frame(opcode, data).serialize(mask=False)
    half = len(data) // 2
    first = Frame(opcode, data[:half], fin=False).serialize(mask=False)
    return first + Frame(Opcode.CONT, data[half:]).serialize(mask=False)


def block(item: Item, *, newline: bytes) -> bytes:
    """One block of an event stream (WHATWG HTML, section 9.2)."""
    lines = [b"event: " + item.name.encode()] if item.name else []
    lines += [b"data: " + line for line in item.data.splitlines() or [b""]]
    if item.id is not None:
        lines.append(b"id: " + item.id.encode())
    return newline.join([*lines, b"", b""])


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """``data`` in pieces of random sizes."""
    found, at = [], 0
    while at < len(data):
        size = rng.choice((1, 7, 100, 1500, 1500))
        found.append(data[at : at + size])
        at += size
    return found


def inside_a_character(data: bytes) -> int:
    """A place within a character of several bytes; the middle of the data if there is none."""
    return next((at for at, byte in enumerate(data) if 0x80 <= byte < 0xC0), len(data) // 2)


def answer(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    """A complete HTTP answer, after which the connection is closed."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Any"
    lines = [f"HTTP/1.1 {status} {phrase}", "Connection: close"]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body if status != HTTPStatus.NO_CONTENT else b"")
