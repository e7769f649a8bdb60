"""The requests in flight on one WebSocket of the Responses API: messages in, each for the request that it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from runstream.model.raw import RawEvent, RawItem
from runstream.sources.connection_loop import Disconnect
from runstream.sources.websocket_batches import BatchConnection

__all__ = ["Lane", "LaneRouter"]

_ENDS: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
_LIMIT_REACHED: Final = "websocket_connection_limit_reached"
_STEERED: Final = "steered"


class _Frame(msgspec.Struct):
    """The fields of a message that say which request it answers, and whether it is the end."""

    type: Any = None
    stream_id: Any = None


class _Details(msgspec.Struct):
    reason: Any = None


class _Response(msgspec.Struct):
    incomplete_details: _Details | None = None


class _End(msgspec.Struct):
    response: _Response | None = None


class _ErrorBody(msgspec.Struct):
    code: Any = None


class _Error(msgspec.Struct):
    error: _ErrorBody | None = None
    code: Any = None
    status: Any = None


_decode_frame: Final = msgspec.json.Decoder(_Frame).decode
_decode_end: Final = msgspec.json.Decoder(_End).decode
_decode_error: Final = msgspec.json.Decoder(_Error).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class Lane:
    """One request in flight, with the messages that answer it and were not read yet.

    Args:
        stream_id: The name of its lane on the wire; ``None`` for the default lane.
        max_bytes: The size of the messages at which the reading of the socket pauses (bytes).

    Attributes:
        has_begun: True once a response of it was created.
        has_ended: True once its last message has arrived.
        may_end: True after an error that may be its last message.
        refused: The HTTP status of the error that refused the request; ``None`` if it was accepted, 0 if the error has
            none.
        is_left: True once its messages are not read any more; they are dropped until its end.
        lost: How the connection ended, if it ended before the response.
    """

    def __init__(self, stream_id: str | None, max_bytes: int) -> None:
        self.stream_id = stream_id
        self.has_begun = False
        self.has_ended = False
        self.may_end = False
        self.refused: int | None = None
        self.is_left = False
        self.lost: Disconnect | None = None
        self._max_bytes = max_bytes
        self._items: list[RawEvent] = []
        self._size = 0
        self._steers = 0  # inputs that were accepted, and whose response was not created yet
        self._is_between = False  # a response has ended, and its successor has not begun
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def receive(self) -> list[RawEvent]:
        """Wait for messages, and return all that wait; none at the end."""
        while not self._items and not self.is_over:
            self._arrived.clear()
            await self._arrived.wait()
        items, self._items, self._size = self._items, [], 0
        self._room.set()
        return items

    @property
    def is_over(self) -> bool:
        """True if nothing more arrives."""
        return self.has_ended or self.lost is not None

    async def room(self) -> None:
        """Return when the messages that wait are few enough."""
        await self._room.wait()

    def leave(self) -> None:
        """Note that it is not read any more."""
        self.is_left = True
        self._items, self._size = [], 0
        self._room.set()

    def lose(self, end: Disconnect) -> None:
        """Note the end of the connection."""
        self.lost = end
        self._arrived.set()

    def push(self, item: RawEvent, kind: str) -> None:
        """Add a message.

        Args:
            item: The message.
            kind: Its type.
        """
        if not self.is_left:
            self._items.append(item)
            self._size += len(item.data)
            if self._size > self._max_bytes:
                self._room.clear()
        if kind == "response.created":
            self._steers -= self._is_between and self._steers > 0
            self.has_begun, self._is_between, self.refused = True, False, None
        elif kind in _ENDS:
            self._is_between = True
            is_steered = kind == "response.incomplete" and _reason(item.data) == _STEERED
            self.has_ended = not (self._steers or is_steered)
            self._steers = max(self._steers, int(is_steered))
        elif kind == "response.steer.accepted":
            self._steers += 1
        elif kind == "response.steer.failed":
            self._steers = max(0, self._steers - 1)
            self.has_ended = self.has_ended or (self._is_between and not self._steers)
        if kind == "error":
            if not self.has_begun:
                self.refused = _status(item.data)
            # It refused a request. Of a response that is not read any more, it is taken for the end.
            self.has_ended = self.has_ended or not self.has_begun or self._is_between or self.is_left
            self.may_end = True
        elif kind.startswith("response."):
            self.may_end = False
        self._arrived.set()

    def suspect(self, item: RawEvent) -> None:
        """Add an error that may have refused the request: nothing that follows, or what follows, says so."""
        self.push(item, "")
        self.refused, self.may_end = _status(item.data), True

    @property
    def is_suspected(self) -> bool:
        """True if an error may have refused the request."""
        return self.may_end and not self.has_begun

    def finish(self) -> None:
        """Note that nothing more arrives."""
        self.has_ended = True
        self._arrived.set()


class LaneRouter:
    """The receiver of one WebSocket: passes each message to the lane that it names.

    A message that names none is one of the default lane. Of a server that names no lanes at all, it is one of the
    request that was sent first. An error that names none, of a server that has named no lane so far, is one of the
    request that was sent first and may have been refused.

    Args:
        socket: The connection.
        opened_at: When it was opened (seconds of the loop's clock).
        on_free: Called when a request that was left has ended, so that its lane is free.

    Attributes:
        lanes: The requests in flight, in the order in which they were sent.
        is_retired: True if no further request is sent over it.
        names_lanes: False once the server has answered a request with a lane by messages without one.
        unplaced: The number of messages that answer no request in flight.
    """

    def __init__(self, socket: BatchConnection, opened_at: float, on_free: Callable[[], None]) -> None:
        self.socket = socket
        self.opened_at = opened_at
        self._on_free = on_free
        self.lanes: dict[str | None, Lane] = {}
        self.is_retired = False
        self.names_lanes = True
        self.unplaced = 0
        self.task: asyncio.Task[None] | None = None
        self._refused: set[str | None] = set()  # lanes whose last request was refused
        self._has_named = False  # a message has named a lane

    live = True

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Pass messages on; return when all lanes have room."""
        full: dict[Lane, None] = {}
        for item in items:
            if isinstance(item, RawEvent) and (lane := self._pass_on(item)) is not None:
                full[lane] = None
        for lane in full:
            await lane.room()

    def _pass_on(self, item: RawEvent) -> Lane | None:
        kind, stream_id = "", None
        try:
            frame = _decode_frame(item.data)
        except _UNREADABLE:
            pass  # the dialect rejects it
        else:
            kind = frame.type if isinstance(frame.type, str) else ""
            stream_id = frame.stream_id if isinstance(frame.stream_id, str) else None
        if kind == "error" and _code(item.data) == _LIMIT_REACHED:
            self.is_retired, kind = True, ""  # the end of no response
        self._has_named = self._has_named or stream_id is not None
        lane = self.lanes.get(stream_id)
        if lane is None and stream_id is None:
            if kind == "error" and self.names_lanes and not self._has_named:
                for each in self.lanes.values():
                    if not (each.has_begun or each.is_suspected):
                        each.suspect(item)
                        return each
            if kind == "response.created":
                self.names_lanes = False
                for each in [each for each in self.lanes.values() if each.is_suspected]:
                    self._finish(each)
            lane = next(iter(self.lanes.values()), None)
            if kind == "error" and self.names_lanes:
                kind = ""  # it concerns the connection
        if kind in _ENDS and stream_id in self._refused and (lane is None or not lane.has_begun):
            self._refused.discard(stream_id)
            lane = None  # the end of the request that an error has refused, and not of the next one
        if lane is None:
            self.unplaced += 1
            return None
        lane.push(item, kind)
        if kind == "response.created":
            self._refused.discard(stream_id)
        elif kind == "error" and lane.has_ended:
            self._refused.add(stream_id)
        if lane.has_ended:
            self._finish(lane)
        return lane

    def _finish(self, lane: Lane) -> None:
        lane.finish()
        self.lanes.pop(lane.stream_id, None)
        if lane.is_left:
            self._on_free()

    def lose(self, end: Disconnect) -> None:
        """Note the end of the connection: all requests in flight are lost."""
        self.is_retired = True
        lanes, self.lanes = self.lanes, {}
        for lane in lanes.values():
            lane.lose(end)


def _reason(data: bytes) -> Any:
    try:
        response = _decode_end(data).response
    except _UNREADABLE:
        return None
    return response.incomplete_details.reason if response is not None and response.incomplete_details else None


def _status(data: bytes) -> int:
    try:
        status = _decode_error(data).status
    except _UNREADABLE:
        return 0
    return status if isinstance(status, int) else 0


def _code(data: bytes) -> Any:
    try:
        error = _decode_error(data)
    except _UNREADABLE:
        return None
    return error.code if error.error is None else error.error.code
