"""Frames that are cut out without the protocol's parser: nobody may be able to tell, whatever a server sends and
however it is cut up on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from runstream.sources.websocket_batches import BatchConnection
from runstream.sources.websocket_frames import PlainFrames

MAX = 70_000


def frame(first: int, data: bytes, *, masked: bool = False, wide: int = 0) -> bytes:
    """A frame as its bytes, right or wrong.

    Args:
        first: Its first byte.
        data: Its payload.
        masked: Whether it says that it is masked.
        wide: Bytes of its length, where not as few as can be.
    """
    mask, length = 0x80 * masked, len(data)
    if length < 126 and wide == 0:
        return bytes((first, mask | length)) + data
    if length < 65536 and wide < 8:
        return bytes((first, mask | 126)) + length.to_bytes(2, "big") + data
    return bytes((first, mask | 127)) + length.to_bytes(8, "big") + data


class Transport:
    """Takes down what is written, and whether the other side may send."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, *limits: Any) -> None: ...
    def is_closing(self) -> bool:
        return False


async def outcome(sent: bytes, cuts: Iterable[int], *, max_size: int, plain: bool) -> dict[str, Any]:
    """What comes of these bytes after a handshake, cut into pieces: the end of the handshake may be anywhere too."""
    protocol = ClientProtocol(parse_uri("ws://h/"), max_size=max_size)
    connection = BatchConnection(protocol, max_size=max_size if plain else None, ping_interval=None)
    transport = Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    shaking = asyncio.ensure_future(connection.handshake())
    await asyncio.sleep(0)
    server = ServerProtocol()
    asked = len(transport.written)
    server.receive_data(bytes(transport.written))
    request = server.events_received()[0]
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    answer = b"".join(server.data_to_send())
    whole = answer + sent
    start = 0
    for stop in (*sorted({min(len(answer) + cut, len(whole)) for cut in cuts}), len(whole)):
        if stop > start:
            connection.data_received(whole[start:stop])
        start = stop
    await shaking
    server.receive_data(bytes(transport.written[asked:]))
    answers = [(frame.opcode, bytes(frame.data)) for frame in server.events_received() if isinstance(frame, Frame)]
    messages = [bytes(data) for data in connection._whole]
    connection.eof_received()
    connection.connection_lost(None)
    closed = connection.protocol.close_exc
    connection._whole.clear()
    with pytest.raises(ConnectionClosed):
        await connection.take()
    return {
        "messages": messages,
        "answers": answers,
        "received": closed.rcvd,
        "sent": closed.sent,
        "order": closed.rcvd_then_sent,
    }


SIZES = st.sampled_from([0, 1, 5, 124, 125, 126, 127, 300, 65_535, 65_536, MAX, MAX + 1])
BODIES = SIZES.map(lambda size: (b"%06d" % size * (size // 6 + 1))[:size])
SMALL = st.binary(max_size=12)
PLAIN = st.builds(frame, st.sampled_from([0x81, 0x82]), BODIES | SMALL, wide=st.sampled_from([0, 0, 2, 8]))
PINGS = st.builds(frame, st.sampled_from([0x89, 0x8A]), SMALL)
PARTS = st.builds(frame, st.sampled_from([0x01, 0x02, 0x00, 0x80]), SMALL)
CLOSES = st.sampled_from([frame(0x88, b""), frame(0x88, b"\x03\xe8"), frame(0x88, b"\x03\xf3no"), frame(0x88, b"\x03")])
WRONG = st.one_of(
    st.builds(frame, st.integers(0, 255), SMALL),
    st.builds(frame, st.sampled_from([0x81, 0x89]), SMALL, masked=st.just(True)),
    st.builds(frame, st.sampled_from([0x89, 0x8A, 0x09, 0x88]), BODIES),
    st.binary(max_size=20),
    st.just(bytes((0x81, 127)) + b"\xff" * 8),
)
SENT = st.lists(PLAIN | PLAIN | PLAIN | PINGS | PARTS, max_size=12).flatmap(
    lambda begin: st.lists(CLOSES | WRONG | PLAIN, max_size=3).map(lambda end: b"".join([*begin, *end]))
)


@settings(max_examples=400, deadline=None)
@given(SENT, st.lists(st.integers(-40, 2_000) | st.integers(0, 300_000), max_size=30), st.sampled_from([MAX, 100, 0]))
async def test_it_is_as_if_the_protocol_had_read_everything(sent: bytes, cuts: list[int], max_size: int) -> None:
    ours = await outcome(sent, cuts, max_size=max_size, plain=True)
    assert ours == await outcome(sent, cuts, max_size=max_size, plain=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(PLAIN | PINGS, min_size=1, max_size=6), st.integers(1, 4))
async def test_it_is_so_at_every_cut(sent: list[bytes], step: int) -> None:
    whole = b"".join(part for part in sent if len(part) < 700)
    cuts = range(-3, len(whole), step)
    ours = await outcome(whole, cuts, max_size=MAX, plain=True)
    assert ours == await outcome(whole, cuts, max_size=MAX, plain=False)


def test_what_is_plain_never_reaches_the_parser_and_the_rest_does_from_then_on() -> None:
    plain = PlainFrames(MAX)
    got: list[bytes] = []
    ping, part = frame(0x89, b"?"), frame(0x01, b"part")
    assert plain.cut(frame(0x81, b"a") + ping + frame(0x82, b"b" * 300), got.append) == ping
    assert got == [b"a", b"b" * 300]
    assert not plain.over
    assert plain.cut(frame(0x81, b"c") + part + frame(0x81, b"d"), got.append) == part + frame(0x81, b"d")
    assert got == [b"a", b"b" * 300, b"c"]
    assert plain.over


def test_a_message_that_is_too_large_is_not_held() -> None:
    plain = PlainFrames(1000)
    begun = frame(0x81, b"x" * 1001)[:50]
    assert plain.cut(begun, print) == begun
    assert plain.over
    assert plain.rest() == b""


def test_a_flood_of_pings_and_a_large_message_in_small_pieces_take_linear_time() -> None:
    """Seconds or minutes, where each step copied what there is so far."""
    began = time.process_time()
    pings = frame(0x89, b"") * 130_000
    assert PlainFrames(MAX).cut(pings, print) == pings
    plain = PlainFrames(2**24)
    got: list[bytes] = []
    large = frame(0x81, b"x" * 2**24)
    for start in range(0, len(large), 1024):
        assert plain.cut(large[start : start + 1024], got.append) == b""
    assert got == [b"x" * 2**24]
    assert time.process_time() - began < 20
