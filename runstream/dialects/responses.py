"""The Responses dialect: raw events of OpenAI's Responses wire in, canonical events out.

A response is a piece of a run. A run begins with a response; it has a further response if the first one waited for the
application: the second one names it in ``previous_response_id``, or the application has said which run its source
continues. An item of a response is a message or a step.

Servers differ in which key of an item is reliable, so an item is found by its announced id, else by its index, else it
is the only open one (:meth:`~runstream.dialects.responses_state.Response.find`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from runstream.dialects.base import BaseDialect
from runstream.dialects.responses_items import close_item, decode_item, decode_part, show_item
from runstream.dialects.responses_state import Response, dump_responses, load_responses
from runstream.dialects.responses_wire import (
    ANSWERED,
    TARGETS,
    Json,
    action_of,
    awaited_call,
    decode_fragment,
    error_of,
    message_of,
    run_of,
    text_of,
)
from runstream.model.events import (
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    MessageEvent,
    Reject,
    RunEvent,
    TextAppend,
    UnknownEvent,
)
from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.raw import Answer, Idle, RawEvent, RawItem
from runstream.model.surrogates import decode_odd, is_odd, replace_surrogates

__all__ = ["ResponsesDialect"]

_ENDS: Final = {"completed": "completed", "incomplete": "incomplete", "failed": "failed", "cancelled": "cancelled"}
_SNAPSHOTS: Final = frozenset({"created", "queued", "in_progress", "completed", "incomplete", "failed"})
_MAX_RUNS: Final = 256
"""The number of responses whose run is remembered, of each source."""
# Errors that concern a request or the connection, and never an open response (WebSocket mode).
_REFUSALS: Final = frozenset(
    {
        "previous_response_not_found",
        "invalid_stream_id",
        "websocket_stream_limit_reached",
        "websocket_connection_limit_reached",
        "response_not_found",
        "response_not_active",
        "response_already_completed",
    }
)


class ResponsesDialect(BaseDialect):
    """Decodes the Responses wire: SSE blocks, WebSocket frames, JSON lines, and polled response objects.

    Args:
        continues: The id of the run that the first response of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for an answer to a response, by the id of this response.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = (
        "_continues",
        "_cursor",
        "_dump",
        "_find_run",
        "_lanes",
        "_max_bytes",
        "_max_nesting",
        "_runs",
        "_steered",
    )

    def __init__(
        self,
        *,
        continues: str | None = None,
        memory: bytes | None = None,
        find_run: Callable[[str], str | None] | None = None,
        max_message_bytes: int = 16 * 2**20,
        max_nesting: int = MAX_NESTING,
    ) -> None:
        super().__init__()
        self._continues = continues
        self._find_run = find_run
        self._max_bytes = max_message_bytes
        self._max_nesting = max_nesting
        self._lanes: dict[str | None, Response] = {}  # the latest response of each lane
        self._runs: dict[str, str] = {}  # the run of each response
        self._steered: dict[str, str] = {}  # the run of each response that a successor will follow unasked
        self._dump: bytes | None = None  # the memory, until it changes
        self._cursor: str | None = None  # the identity of the last event
        if memory is not None:
            lanes, self._runs = load_responses(memory)
            for lane, response in lanes:
                self._lanes[lane] = response
                self._runs[response.id] = response.run_id

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True for an event by its name, an error with its type, and a response as an object."""
        if raw.event is not None and raw.event.startswith(_PREFIX):
            return True
        try:
            header = _decode_header(raw.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        kind = header.type
        if isinstance(kind, str):
            return kind.startswith(_PREFIX) or (kind == "error" and header.has_error) or kind == "keepalive"
        if isinstance(header.object, str):
            return header.object == "response" and isinstance(header.id, str)
        return isinstance(header.event, str) and header.event.startswith(_PREFIX)

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item. Never raises on input."""
        if type(item) is not RawEvent:
            return self._decode_other(item)
        data = item.data
        try:
            fragment = decode_fragment(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._decode_any(item)
        response = self._lanes.get(fragment.stream_id)
        if response is None:
            return self._decode_any(item)
        found = response.by_id.get(fragment.item_id)
        if found is None or response.error is not None:
            return self._decode_any(item)
        kind, index = type(fragment), fragment.index
        if found.kind is not kind or found.part != index:
            found.kind, found.part = kind, index
            response.has_stable_ids = response.has_stable_ids or found.announced
            if (fragment.target, index) not in found.seen:
                found.seen.add((fragment.target, index))
                self._dump = None
        number = fragment.sequence_number
        if number is not None and number > response.number:
            response.number = number
            id: str | None = f"{response.prefix}{number}"
        else:
            id = response.identify(number)
        self._cursor = id
        if not fragment.delta:
            return EmptyEvent(id=id, run_id=response.run_id, name=fragment.name)
        return TextAppend(found.id, fragment.target, index, fragment.delta, id, response.run_id, fragment.name)

    def end(self, clean: bool) -> Sequence[Event]:
        """The end of each open response whose last event was an error."""
        responses = [each for last in self._lanes.values() for each in (*reversed(last.earlier), last)]
        return [event for response in responses for event in self._settle(response)]

    def cursor(self) -> str | None:
        """The response and the number of the last event: ``resp_1/12``. A server continues after it."""
        return self._cursor

    def dump(self) -> bytes | None:
        """The open responses with their items, so that fragments after a restart find them, and the runs of responses
        that continue one, so that a server which sends all again continues them too.
        """
        if self._dump is None:
            continuing = {response: run for response, run in self._runs.items() if response != run}
            self._dump = dump_responses(self._lanes.items(), continuing)
        return self._dump or None

    def forget(self, run_id: str) -> None:
        """Forget the responses of a run."""
        self._dump = None
        self._runs = {response: run for response, run in self._runs.items() if run != run_id}
        self._lanes = {lane: response for lane, response in self._lanes.items() if response.run_id != run_id}
        self._steered = {response: run for response, run in self._steered.items() if run != run_id}

    # items beside the stream

    def _decode_other(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if isinstance(item, Answer):
            return self._decode_any(RawEvent(data=item.data, at=item.at)) if item.status < 300 else ()
        if isinstance(item, Idle):
            return self.end(clean=False)
        return super().decode(item)

    # events

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        data = raw.data
        if data.strip() in (b"[DONE]", b'"[DONE]"'):
            return DoneEvent(id=raw.id, name="[DONE]")
        if len(data) > self._max_bytes:
            return Reject(raw, f"Message of {len(data)} bytes; at most {self._max_bytes} are read (max_message_bytes)")
        if nesting_depth(data, self._max_nesting) > self._max_nesting:
            return Reject(raw, f"Nested more than {self._max_nesting} levels deep (max_nesting)")
        try:
            value = _read_json(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return Reject(raw, f"Not JSON: {error or 'nested too deeply'}", object_ids=None)
        if isinstance(value, dict) and "type" not in value and isinstance(value.get("event"), str) and "data" in value:
            value = value["data"]  # an envelope, as relays and recordings put around a block of an event stream
            if value == "[DONE]":
                return DoneEvent(id=raw.id, name="[DONE]")
        if not isinstance(value, dict):
            return Reject(raw, "Expected an object with `type`")
        name = value.get("type")
        if not isinstance(name, str):
            if value.get("object") == "response":
                return self._decode_snapshot(value, None, "response", None)
            if "error" in value:
                name = "error"
            else:
                return Reject(raw, "Neither a `type` nor an `object` says what this is")
        lane = text_of(value.get("stream_id"))
        number = value.get("sequence_number")
        kind = name.removeprefix("response.")
        if kind in _SNAPSHOTS and isinstance(snapshot := value.get("response"), dict):
            return self._decode_snapshot(snapshot, lane, name, number)
        response = self._lanes.get(lane)
        if name == "error":
            return self._decode_error(value, response, raw)
        if kind in _SNAPSHOTS:
            return Reject(raw, "Expected an object in `response`", object_ids=None)
        if response is None:
            if kind in _ITEM_EVENTS or kind.rpartition(".")[0] in TARGETS:
                return Reject(raw, _NO_RESPONSE, object_ids=())
            return () if name == "keepalive" else UnknownEvent(data, raw.id, name=name)
        item = value.get("item") if kind in _ITEM_EVENTS else None
        index = value.get("output_index")
        index = index if type(index) is int else None
        if isinstance(item, dict):
            item_id = text_of(item.get("id")) or None
        else:
            item_id = text_of(value.get("item_id")) or text_of(value.get("id")) or None
        response = response.with_item(item_id)
        is_repeated = response.is_repeated(number)
        self._dump = None
        id = self._cursor = response.identify(number)
        if isinstance(item, dict) or kind.rpartition(".")[0] in TARGETS:
            is_unknown = item_id not in response.by_id if item_id else response.find(None, index) is None
            if (
                is_unknown
                and is_repeated
                and len(response.ids) > 1
                and (kind == "output_item.added" or not response.is_open)
            ):
                return EmptyEvent(id=id, run_id=response.run_id, name=name)  # of ids that change in every event
            if is_unknown and not response.is_open:
                return Reject(raw, _NO_RESPONSE, object_ids=())
        if isinstance(item, dict):
            events: list[Event] | None = decode_item(response, item, index, kind, name, id)
        else:
            events = decode_part(response, value, kind, name, id)
        if events is None:
            return UnknownEvent(data, id, run_id=response.run_id, name=name)
        if response.error is not None and name != "keepalive":
            # The response goes on, so the error was not its end.
            events.insert(0, ErrorEvent(error_of(response.error), id, run_id=response.run_id, name="error"))
            response.error = None
        return events or EmptyEvent(id=id, run_id=response.run_id, name=name)

    def _decode_snapshot(self, value: Json, lane: str | None, name: str, number: object) -> Sequence[Event | Reject]:
        """Decode an event with the whole response, or a response that was polled."""
        self._dump = None
        kind = name.removeprefix("response.")
        response = self._lanes.get(lane)
        is_known = False
        events: list[Event] = []
        id = text_of(value.get("id"))
        if response is not None and kind != "created":
            response = response.with_id(id)
        is_other = response is not None and (
            id not in response.ids if kind == "created" else id is not None and response.is_other(id, value)
        )
        if response is None or kind == "created" or is_other:
            if response is not None and is_other and id not in self._runs:
                events += self._settle(response)  # else the server sends known responses again, this one too
            id = id or (response.id if response is not None else "response")
            is_known = id in self._runs
            response = self._begin(value, lane, id)
        elif kind != "failed":
            events += self._settle(response)
        response.show(id, value)
        identity = self._cursor = response.identify(number)
        status = text_of(value.get("status"))
        if kind in ("completed", "incomplete", "failed"):
            status = kind  # some servers leave the status of an earlier snapshot in it
        if not response.is_open and status not in _ENDS:
            return [*events, EmptyEvent(id=identity, run_id=response.run_id, name=name)]  # repeated after the end
        if status in _ENDS and (kind != "created" or status != "queued"):
            return [*events, *self._end_response(response, status, name, identity)]
        run = run_of(value, response.run_id, "queued" if status == "queued" else "in_progress")
        # The source begins the run, or a known response again; a further response continues its run.
        created = kind == "created" and (is_known or response.run_id == response.id)
        return [*events, self._run_event(response, run, name, identity, created=created)]

    def _begin(self, value: Json, lane: str | None, id: str) -> Response:
        """Begin a response, and find its run: by the word of the application, by its link, else it is a new one."""
        run_id = self._runs.get(id)
        previous = text_of(value.get("previous_response_id"))
        if run_id is None and self._continues is not None:
            run_id, self._continues = self._continues, None
        if run_id is None and previous is not None:
            if previous in self._steered:
                run_id = self._steered.pop(previous)
            else:
                run_id = self._find_run(previous) if self._find_run is not None else None
                known = self._lanes.get(lane)
                if run_id is None and known is not None and previous in known.ids and known.has_lost_request:
                    run_id = known.run_id
        if run_id is None:
            run_id = id
        self._runs[id] = run_id
        if len(self._runs) > _MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        last = self._lanes.get(lane)
        response = self._lanes[lane] = Response(id, run_id, value)
        if last is not None:
            response.follow(last)
        return response

    def _run_event(self, response: Response, run: Any, name: str, id: str | None, *, created: bool = False) -> RunEvent:
        return RunEvent(run, id, run_id=response.run_id, created=created, name=name, piece=response.id)

    def _end_response(self, response: Response, status: str, name: str, id: str | None) -> list[Event]:
        """End a response: the items that the stream left out or open, then the run."""
        response.is_open = False
        response.error = None
        events: list[Event] = []
        output = response.value.get("output")
        for position, value in enumerate(output if isinstance(output, list) else ()):
            if isinstance(value, dict):
                item = response.match(value, position)
                if item is None:
                    item = response.add(text_of(value.get("id")), None, value)
                if not item.closed:
                    events += close_item(response, item, value, name, id)
        is_waiting = False
        for item in response.items:
            if not item.closed and item.type == "message":
                ending = "completed" if status == "completed" else "incomplete"
                item.closed = True
                message = message_of({"role": item.value.get("role")}, item.id, response.run_id, ending)
                events.append(MessageEvent(message, id, run_id=response.run_id, name=name))
            elif not item.closed and awaited_call(item.value, response.value) is not None:
                is_waiting = True  # for a call that was announced and whose end was lost: it is not offered
            elif item.closed and item.output is None and item.type in ANSWERED:
                value = item.value if status == "completed" else {**item.value, "status": "incomplete"}
                events += show_item(response, item, value, name, id)
        action = None
        if status == "completed":
            answered = {item.value.get("call_id") for item in response.items if item.type.endswith("_output")}
            awaited = [
                call
                for item in response.items
                if item.closed
                and item.value.get("call_id") not in answered
                and (call := awaited_call(item.value, response.value)) is not None
            ]
            if awaited or is_waiting:
                status, action = "requires_action", action_of(awaited)
        if status == "incomplete" and _reason(response.value) == "steered":
            status = "in_progress"
            self._steered[response.id] = response.run_id  # a successor follows, and names this response
        run = run_of(response.value, response.run_id, status, action)
        events.append(self._run_event(response, run, name, id))
        return events

    # errors

    def _decode_error(self, value: Json, response: Response | None, raw: RawEvent) -> Event | Sequence[Event]:
        error = error_of(value)
        if response is None or not response.is_open or error.code in _REFUSALS:
            return ErrorEvent(error, raw.id, name="error")
        self._dump = None
        response.error = value  # the end may follow, with the same cause
        id = self._cursor = response.identify(value.get("sequence_number"))
        return EmptyEvent(id=id, run_id=response.run_id, name="error")

    def _settle(self, response: Response) -> list[Event]:
        """The end of a response by an error, if no further event of the response has followed it."""
        if response.error is None:
            return []
        response.value = {**response.value, "error": response.error}
        return self._end_response(response, "failed", "error", None)


_PREFIX: Final = "response."


class _Header(msgspec.Struct):
    """The fields of a message that say whether it is one of this wire."""

    type: Any = None
    object: Any = None
    event: Any = None
    id: Any = None
    code: Any = msgspec.UNSET
    message: Any = msgspec.UNSET
    error: Any = msgspec.UNSET

    @property
    def has_error(self) -> bool:
        return any(value is not msgspec.UNSET for value in (self.code, self.message, self.error))


_decode_header: Final = msgspec.json.Decoder(_Header).decode
_NO_RESPONSE: Final = "No response is open, and none has its item"
_ITEM_EVENTS: Final = frozenset({"output_item.added", "output_item.done"})


def _read_json(data: bytes) -> Any:
    """Parse JSON; U+FFFD replaces lone surrogates, and bytes that are not UTF-8.

    Raises:
        ValueError, msgspec.MsgspecError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        if not is_odd(data):
            raise
        return replace_surrogates(decode_odd(data))


def _reason(response: Json) -> str | None:
    details = response.get("incomplete_details")
    return text_of(details.get("reason")) if isinstance(details, dict) else None
