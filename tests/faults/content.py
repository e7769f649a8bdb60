"""What one connection tells: the events from some point on, as bytes, with the faults that change what is told."""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from websockets.frames import Frame, Opcode

from runstream.model.raw import RawEvent
from runstream.recordings.server import encode_frames
from tests.faults.cases import Case, Fault, Leg
from tests.faults.streams import Told, interleaved

__all__ = [
    "MAX_BYTES",
    "MAX_FRAME",
    "Item",
    "answer",
    "block",
    "chunk",
    "corrupt",
    "frame",
    "id_of",
    "inside_a_character",
    "junk",
    "order",
    "pieces",
    "tell",
]

MAX_BYTES = 64 * 1024
"""What the pipeline takes for one message (bytes)."""
MAX_FRAME = 96 * 1024
"""What a WebSocket source takes for one message (bytes)."""

_NOBODY = b'{"id":"msg_nobody","delta":{"content":[{"index":0,"type":"text","text":{"value":"?"}}]}}'
_JUNK: dict[str, tuple[tuple[str | None, bytes], ...]] = {
    "json": (
        (None, b""),
        (None, b"{"),
        (None, b"nonsense"),
        ("thread.run.queued", b'{"id":"run_1","status":'),
        ("thread.message.delta", b"[DONE"),
        (None, b'{"event":"thread.run.queued","data":{"id":"run_junk"}} {}'),
    ),
    "types": (
        (None, b"5"),
        (None, b"null"),
        (None, b'["thread.run.queued"]'),
        (None, b'{"event":5,"data":{}}'),
        ("thread.run.queued", b'{"id":5,"status":"queued"}'),
        ("thread.run.queued", b'{"id":"run_junk"}'),
        ("thread.run.queued", b'{"id":"run_junk","status":[]}'),
        ("thread.message.delta", b"7"),
        ("thread.run.step.created", b"null"),
        ("thread.message.completed", b'"text"'),
    ),
    "bytes": (
        (None, b"\xff\xfe\x00\x01"),
        ("thread.run.queued", b'{"id":"run_junk","status":"queued","model":"\xc3"}'),
        ("thread.message.delta", b'{"id":"msg_junk\xed\xa0\x80"}'),
        (None, bytes(range(256))),
    ),
    "deep": (
        ("thread.run.queued", b"[" * 5000 + b"]" * 5000),
        (None, b'{"event":"thread.message.delta","data":' + b'{"a":' * 400 + b"1" + b"}" * 401),
        ("error", b'{"a":' * 8000),
    ),
    "large": (
        ("thread.run.queued", b'{"id":"run_junk","status":"queued","model":"' + b"x" * MAX_BYTES + b'"}'),
        (None, b" " * (MAX_BYTES + 1)),
    ),
    "names": (
        ("thread.run.step.imagined", b"{}"),
        ("", b"{}"),
        ("ping", b"null"),
        ("error", b'{"error":{"message":"not now","type":"server_error","code":null,"param":null}}'),
        ("done", b"[DONE]"),
        ("x.y", b'{"a":1e999,"b":"\\ud800"}'),
    ),
    "orphan": (
        ("thread.message.delta", _NOBODY),
        (
            "thread.run.step.completed",
            b'{"id":"step_nobody","object":"thread.run.step","run_id":"run_nobody","status":"completed"}',
        ),
    ),
    "giant": ((None, b'"' + b"x" * MAX_FRAME + b'"'),),
}


class Item(NamedTuple):
    """One thing that is told.

    Attributes:
        name: The event's name; ``None``: the data is a whole message of its own.
        data: Its data.
        id: Its id, where it is told with one.
        number: The event's number, -1 where it is none (any more).
        place: Its place in this connection's order, -1 likewise.
    """

    name: str | None
    data: bytes
    id: str | None = None
    number: int = -1
    place: int = -1

    def envelope(self) -> bytes:
        """It as a message of a WebSocket."""
        if self.name is None:
            return self.data
        if self.number < 0:  # what is broken stays broken
            named = b'{"event":' + msgspec.json.encode(self.name) + b',"data":'
            return named + self.data + b"}"
        return encode_frames([RawEvent(self.name, self.data, self.id)])[0].data


def id_of(case: Case, told: Told) -> str | None:
    """The id with which an event is told, if any."""
    if case.ids == "count":
        return str(told.number)
    return told.id if case.ids == "all" or (case.ids == "some" and (told.number + case.seed) % 3 == 0) else None


def order(case: Case, connection: int) -> list[Told]:
    """All events in the order in which a connection tells them; an order of its own where it tells all of them."""
    if not case.has("reorder"):
        return interleaved(case.tellings, None)
    return interleaved(case.tellings, f"{case}/{connection if case.server == 'replay' else 0}")


def tell(case: Case, connection: int, leg: Leg, start: int) -> tuple[list[Item], Item | None]:
    """What is told, and what would come next.

    Args:
        case: The case.
        connection: The connection's number.
        leg: Its faults.
        start: From which place on.
    """
    chance = case.chance("tell", connection)
    everything = [
        Item(told.name, told.data, id_of(case, told), told.number, place)
        for place, told in enumerate(order(case, connection))
    ]
    rest = everything[start:]
    stop = len(rest) if leg.loss is None else _share(leg.loss, len(rest))
    items = rest[:stop]
    for fault in leg.content:
        items = _changed(items, fault, chance)
    return items, rest[stop] if stop < len(rest) else None


def _share(fault: Fault, length: int) -> int:
    return -(-length * fault.at // 1000)


def _changed(items: list[Item], fault: Fault, chance: random.Random) -> list[Item]:
    kind, _, detail = fault.name.partition("-")
    place = _share(fault, len(items))
    before, after = items[:place], items[place:]
    if kind == "junk":
        return [*before, *(junk(detail, chance) for _ in range(chance.randint(1, 3))), *after]
    if kind == "again":
        return [*before, *before[-chance.randint(2, 30) :], *after]
    if kind == "twice":
        return [*before, *after[: chance.randint(1, 3)], *after]
    if kind == "corrupt" and after and after[0].number >= 0:
        return [*before, corrupt(after[0], chance), *after[1:]]
    return items


def junk(kind: str, chance: random.Random) -> Item:
    """What is no event of any run, of one kind."""
    return Item(*chance.choice(_JUNK[kind]))


def corrupt(item: Item, chance: random.Random) -> Item:
    """An event that nobody can read any more: cut off, or with a byte that is no UTF-8."""
    data = item.data
    at = chance.randrange(max(len(data) - 1, 1))
    broken = data[:at] if chance.random() < 0.5 else data[:at] + b"\xff" + data[at:]
    return Item(item.name, broken if broken != b"" else b"\xff", item.id)


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


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """``data`` in pieces of any size."""
    found, at = [], 0
    while at < len(data):
        size = chance.choice((1, 7, 100, 1500, 1500))
        found.append(data[at : at + size])
        at += size
    return found


def inside_a_character(data: bytes) -> int:
    """A place in the middle of a character of several bytes; the middle of it all where there is none."""
    return next((at for at, byte in enumerate(data) if 0x80 <= byte < 0xC0), len(data) // 2)


def answer(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    """A whole HTTP answer, after which the connection is closed."""
    phrase = HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {phrase}", "Connection: close"]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body if status != HTTPStatus.NO_CONTENT else b"")
