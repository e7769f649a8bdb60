"""Bytes on the wire, under control to the last one: WebSocket frames, blocks and chunks of an event stream."""

from __future__ import annotations

import random
from http import HTTPStatus

from websockets.frames import Frame, Opcode

from tests.faults.telling import Item

__all__ = ["answer", "block", "chunk", "frame", "inside_a_character", "pieces"]


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
