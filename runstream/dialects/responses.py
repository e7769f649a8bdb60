"""The Responses dialect: raw events of OpenAI's Responses wire in, canonical events out.

A response is a piece of a run. A run begins with a response; it has a further response if the first one waited for the
application: the second one names it in ``previous_response_id``, or the application has said which run its source
continues. An item of a response is a message or a step.

Servers differ in which key of an item is reliable, so an item is found by its announced id, else by its index, else it
is the only open one (:meth:`_Response.find`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from runstream.dialects.base import BaseDialect
from runstream.dialects.responses_wire import (
    ANSWERED,
    TARGETS,
    Fragment,
    Json,
    action_of,
    awaited_call,
    decode_fragment,
    error_of,
    message_of,
    run_of,
    step_of,
    text_of,
)
from runstream.model.events import (
    DoneEvent,
    ErrorEvent,
    Event,
    MessageEvent,
    Reject,
    RunEvent,
    StepEvent,
    Target,
    TextAppend,
    UnknownEvent,
)
from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.raw import Answer, Idle, RawEvent, RawItem
from runstream.model.run import RunStatus

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


class _Item:
    """An item of a response.

    Attributes:
        id: The id of its message or step.
        index: Its index in the output; ``None`` if it is unknown.
        value: The item as it was sent last.
        seen: The texts of which a fragment was received, by target and index.
        kind: The class of its last fragment; its index is ``part``.
        closed: True once the item was sent whole.
        output: The output of its call, if another item has it.
    """

    __slots__ = ("closed", "id", "index", "kind", "output", "part", "seen", "value")

    def __init__(self, id: str, index: int | None, value: Json) -> None:
        self.id = id
        self.index = index
        self.value = value
        self.seen: set[tuple[Target, int]] = set()
        self.kind: type[Fragment] | None = None
        self.part = 0
        self.closed = False
        self.output: str | None = None

    @property
    def type(self) -> str:
        """The type of the item on the wire."""
        return text_of(self.value.get("type")) or ""


class _Response:
    """A response that was begun.

    Attributes:
        id: Its id, from its first snapshot.
        ids: All its ids; some servers send another one in each snapshot.
        prefix: The beginning of the identities of its events.
        run_id: The id of its run.
        value: Its latest snapshot.
        items: Its items, in order.
        by_id: The items by each id that names them.
        by_index: The items by their index; the latest one where several have it.
        number: The highest number of its events; -1 before the first one.
        error: An error that names no response, and that may be its end.
        is_open: True until its end.
    """

    __slots__ = ("by_id", "by_index", "error", "id", "ids", "is_open", "items", "number", "prefix", "run_id", "value")

    def __init__(self, id: str, run_id: str, value: Json) -> None:
        self.id = id
        self.ids = {id}
        self.prefix = f"{id}/"
        self.run_id = run_id
        self.value = value
        self.items: list[_Item] = []
        self.by_id: dict[str, _Item] = {}
        self.by_index: dict[int, _Item] = {}
        self.number = -1
        self.error: Json | None = None
        self.is_open = True

    def find(self, id: str | None, index: int | None) -> _Item | None:
        """The item with this id, else the one with this index, else the only open one."""
        item = self.by_id.get(id) if id is not None else None
        if item is None and index is not None:
            item = self.by_index.get(index)
        if item is None and index is None:
            items = [each for each in self.items if not each.closed]
            item = items[0] if len(items) == 1 else None
        return item

    def add(self, id: str | None, index: int | None, value: Json) -> _Item:
        """Add an item; one without an id gets an id that a replay makes again."""
        position = len(self.items) if index is None else index
        item = _Item(id or f"{self.id}:{position}", index, value)
        self.items.append(item)
        self.by_id[item.id] = item
        if index is not None:
            self.by_index[index] = item
        return item

    def identify(self, number: object) -> str | None:
        """The identity of an event with this number; ``None`` if the numbers of the response do not grow."""
        if type(number) is not int:
            return None
        if number > self.number:
            self.number = number
        elif not self.number:
            return None
        return f"{self.prefix}{number}"


class ResponsesDialect(BaseDialect):
    """Decodes the Responses wire: SSE blocks, WebSocket frames, JSON lines, and polled response objects.

    Args:
        continues: The id of the run that the first response of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for an answer to a response, by the id of this response.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = ("_continues", "_dump", "_find_run", "_lanes", "_max_bytes", "_max_nesting", "_runs", "_steered")

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
        self._lanes: dict[str | None, _Response] = {}  # the latest response of each lane
        self._runs: dict[str, str] = {}  # the run of each response
        self._steered: dict[str, str] = {}  # the run of each response that a successor will follow unasked
        self._dump: bytes | None = None  # the memory, until it changes
        if memory is not None:
            self._restore(memory)

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
            if (fragment.target, index) not in found.seen:
                found.seen.add((fragment.target, index))
                self._dump = None
        if not fragment.delta:
            return ()
        number = fragment.sequence_number
        if number is not None and number > response.number:
            response.number = number
            id: str | None = f"{response.prefix}{number}"
        else:
            id = response.identify(number)
        return TextAppend(found.id, fragment.target, index, fragment.delta, id, response.run_id, fragment.name)

    def end(self, clean: bool) -> Sequence[Event]:
        """The end of each open response whose last event was an error."""
        return [event for response in self._lanes.values() for event in self._settle(response)]

    def dump(self) -> bytes | None:
        """The open responses with their items, so that fragments after a restart find them."""
        if self._dump is None:
            lanes = [
                (lane, each.id, each.run_id, each.value, [_pack(item) for item in each.items], each.number > 0)
                for lane, each in self._lanes.items()
                if each.is_open
            ]
            self._dump = msgspec.msgpack.encode(lanes) if lanes else b""
        return self._dump or None

    def _restore(self, memory: bytes) -> None:
        """Continue where the decoder was that has made this memory. A memory of another form is ignored."""
        try:
            lanes = msgspec.msgpack.decode(memory, type=_Memory)
        except msgspec.MsgspecError:
            return
        for lane, id, run_id, value, items, numbered in lanes:
            response = self._lanes[lane] = _Response(id, run_id, value)
            response.number = 1 if numbered else -1
            self._runs[id] = run_id
            for item_id, index, shown, seen, closed, output in items:
                item = response.add(item_id, index, shown)
                item.seen.update(seen)
                item.closed = closed
                item.output = output

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
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return Reject(raw, f"Not JSON: {error or 'nested too deeply'}", object_ids=None)
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
        if name == "keepalive":
            return ()
        if response is None:
            return UnknownEvent(data, raw.id, name=name)
        self._dump = None
        id = response.identify(number)
        events: list[Event] | None = []
        if response.error is not None:
            # The response goes on, so the error was not its end.
            settled: list[Event] = [ErrorEvent(error_of(response.error), id, run_id=response.run_id, name="error")]
            response.error = None
        else:
            settled = []
        if kind in ("output_item.added", "output_item.done") and isinstance(item := value.get("item"), dict):
            index = value.get("output_index")
            events = self._decode_item(response, item, index if type(index) is int else None, kind, name, id)
        else:
            events = self._decode_part(response, value, kind, name, id)
        if events is None:
            events = [UnknownEvent(data, id, run_id=response.run_id, name=name)]
        return [*settled, *events]

    def _decode_snapshot(self, value: Json, lane: str | None, name: str, number: object) -> Sequence[Event | Reject]:
        """Decode an event with the whole response, or a response that was polled."""
        self._dump = None
        kind = name.removeprefix("response.")
        response = self._lanes.get(lane)
        events: list[Event] = []
        id = text_of(value.get("id"))
        is_other = response is not None and id is not None and id not in response.ids
        if response is None or kind == "created" or (is_other and not response.is_open):
            if response is not None:
                events += self._settle(response)
            response = self._begin(value, lane, id or (response.id if response is not None else "response"))
        elif kind != "failed":
            events += self._settle(response)
        response.value = value
        if id is not None:
            response.ids.add(id)
        identity = response.identify(number)
        status = text_of(value.get("status"))
        if kind in ("completed", "incomplete", "failed"):
            status = kind  # some servers leave the status of an earlier snapshot in it
        if status in _ENDS and (kind != "created" or status != "queued"):
            return [*events, *self._end_response(response, status, name, identity)]
        run = run_of(value, response.run_id, "queued" if status == "queued" else "in_progress")
        created = kind == "created" and response.run_id == response.id
        return [*events, self._run_event(response, run, name, identity, created=created)]

    def _begin(self, value: Json, lane: str | None, id: str) -> _Response:
        """Begin a response, and find its run: by the word of the application, by its link, else it is a new one."""
        run_id = self._runs.get(id)
        previous = text_of(value.get("previous_response_id"))
        if run_id is None and self._continues is not None:
            run_id, self._continues = self._continues, None
        if run_id is None and previous is not None:
            if previous in self._steered:
                run_id = self._steered.pop(previous)
            elif self._find_run is not None:
                run_id = self._find_run(previous)
        if run_id is None:
            run_id = id
        self._runs[id] = run_id
        if len(self._runs) > _MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        response = self._lanes[lane] = _Response(id, run_id, value)
        return response

    def _run_event(
        self, response: _Response, run: Any, name: str, id: str | None, *, created: bool = False
    ) -> RunEvent:
        return RunEvent(run, id, run_id=response.run_id, created=created, name=name, piece=response.id)

    def _end_response(self, response: _Response, status: str, name: str, id: str | None) -> list[Event]:
        """End a response: the items that the stream left out or open, then the run."""
        response.is_open = False
        response.error = None
        events: list[Event] = []
        output = response.value.get("output")
        for position, value in enumerate(output if isinstance(output, list) else ()):
            if isinstance(value, dict):
                item = self._match(response, value, position)
                if item is None:
                    item = response.add(text_of(value.get("id")), None, value)
                if not item.closed:
                    events += self._close(response, item, value, name, id)
        for item in response.items:
            if not item.closed and item.type == "message":
                ending = "completed" if status == "completed" else "incomplete"
                item.closed = True
                message = message_of({"role": item.value.get("role")}, item.id, response.run_id, ending)
                events.append(MessageEvent(message, id, run_id=response.run_id, name=name))
            elif item.closed and item.output is None and item.type in ANSWERED:
                value = item.value if status == "completed" else {**item.value, "status": "incomplete"}
                events += self._show(response, item, value, name, id)
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
            if awaited:
                status, action = "requires_action", action_of(awaited)
        if status == "incomplete" and _reason(response.value) == "steered":
            status = "in_progress"
            self._steered[response.id] = response.run_id  # a successor follows, and names this response
        run = run_of(response.value, response.run_id, status, action)
        events.append(self._run_event(response, run, name, id))
        return events

    def _match(self, response: _Response, value: Json, position: int) -> _Item | None:
        """The streamed item that an item of the final output repeats; ids may differ there."""
        id, call_id, type = text_of(value.get("id")), text_of(value.get("call_id")), value.get("type")
        if id is not None and (item := response.by_id.get(id)) is not None:
            return item
        if call_id is not None:
            for item in response.items:
                if item.value.get("call_id") == call_id and item.type == type:
                    return item
        item = response.by_index.get(position)
        if item is not None and item.type == type and (call_id is None or item.value.get("call_id") is None):
            return item
        return None

    def _decode_item(
        self, response: _Response, value: Json, index: int | None, kind: str, name: str, id: str | None
    ) -> list[Event]:
        item_id = text_of(value.get("id")) or None
        if kind.endswith("added"):
            item = response.by_id.get(item_id) if item_id is not None else None
            if item is None:
                item = response.add(item_id, index, value)
            return self._show(response, item, value, name, id, created=True)
        item = response.find(item_id, index)
        if item is None or (item.closed and item.value.get("call_id") != value.get("call_id")):
            item = response.add(item_id, index, value)
        return self._close(response, item, value, name, id)

    def _close(self, response: _Response, item: _Item, value: Json, name: str, id: str | None) -> list[Event]:
        """Close an item that was sent whole."""
        item.closed = True
        item.value = value
        events: list[Event] = []
        if item.type.endswith("_output"):
            for call in response.items:
                if call.closed and call is not item and call.value.get("call_id") == value.get("call_id"):
                    call.output = text_of(value.get("output")) or msgspec.json.encode(value.get("output")).decode()
                    events += self._show(response, call, call.value, name, id)
            return events
        return self._show(response, item, value, name, id)

    def _show(
        self, response: _Response, item: _Item, value: Json, name: str, id: str | None, *, created: bool = False
    ) -> list[Event]:
        """The event with an item as far as it is known."""
        run_id = response.run_id
        if item.type == "message":
            status = "incomplete" if value.get("status") == "incomplete" else "completed"
            message = message_of(value, item.id, run_id, status if item.closed else "in_progress")
            return [MessageEvent(message, id, run_id=run_id, created=created, name=name)]
        if item.type.endswith("_output"):
            return []
        failed = value.get("status") in ("failed", "incomplete")
        # A call that another item of the response may answer, and that is not asked for if the response fails.
        is_open = not item.closed or (response.is_open and item.output is None and item.type in ANSWERED)
        status = "in_progress" if is_open else "failed" if failed else "completed"
        step = step_of(value, item.id, run_id, status, item.output)
        return [StepEvent(step, id, run_id=run_id, created=created, name=name)]

    def _decode_part(self, response: _Response, value: Json, kind: str, name: str, id: str | None) -> list[Event] | None:
        """Decode an event of a part of an item; ``None`` if it is unknown."""
        middle, _, last = kind.rpartition(".")
        target = TARGETS.get(middle)
        if target is None:
            return [] if last in _STATES or middle in _PARTS else None
        text = value.get("delta") if last == "delta" else value.get(_WHOLE.get(middle, "text"))
        if not isinstance(text, str):
            return None
        found = value.get("output_index")
        item_id = text_of(value.get("item_id")) or text_of(value.get("id")) or None
        item = response.find(item_id, found if type(found) is int else None)
        events: list[Event] = []
        if item is None:
            shown = {"id": item_id, "type": _ITEM_TYPES.get(middle, "message"), "call_id": value.get("call_id")}
            item = response.add(item_id, found if type(found) is int else None, shown)
            events = self._show(response, item, shown, name, id, created=True)
        found = value.get("summary_index" if target == "summary" else "content_index")
        index = found if type(found) is int and target in _INDEXED else 0
        is_new = (target, index) not in item.seen
        item.seen.add((target, index))
        # The whole text repeats its fragments; where there were none, it is the only one.
        if text and (last == "delta" or (is_new and not item.closed)):
            events.append(TextAppend(item.id, target, index, text, id, response.run_id, name))
        return events

    # errors

    def _decode_error(self, value: Json, response: _Response | None, raw: RawEvent) -> Event | Sequence[Event]:
        error = error_of(value)
        if response is None or not response.is_open or error.code in _REFUSALS:
            return ErrorEvent(error, raw.id, name="error")
        self._dump = None
        response.error = value  # `response.failed` may follow, with the same cause
        response.identify(value.get("sequence_number"))
        return ()

    def _settle(self, response: _Response) -> list[Event]:
        """The end of a response by an error, if no further event of the response has followed it."""
        if response.error is None:
            return []
        response.value = {**response.value, "error": response.error}
        return self._end_response(response, "failed", "error", None)


_Memory: Any = list[
    tuple[
        str | None,
        str,
        str,
        dict[str, Any],
        list[tuple[str, int | None, dict[str, Any], list[tuple[Target, int]], bool, str | None]],
        bool,
    ]
]


def _pack(item: _Item) -> tuple[str, int | None, Json, list[tuple[Target, int]], bool, str | None]:
    return item.id, item.index, item.value, sorted(item.seen), item.closed, item.output


_STATES: Final = frozenset(
    {"in_progress", "searching", "interpreting", "generating", "completed", "failed", "compacting"}
)
_PARTS: Final = frozenset(
    {"content_part", "reasoning_summary_part", "reasoning_part", "output_text.annotation"}
)
# The key of the whole text in an event that ends with `.done`.
_WHOLE: Final = {
    "refusal": "refusal",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "mcp_call_arguments": "arguments",
    "code_interpreter_call_code": "code",
}
_INDEXED: Final = frozenset({"text", "refusal", "reasoning", "summary"})
# The type of an item that was never announced, by the events of its parts.
_ITEM_TYPES: Final = {
    "reasoning": "reasoning",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "function_call",
    "custom_tool_call_input": "custom_tool_call",
    "mcp_call_arguments": "mcp_call",
    "code_interpreter_call_code": "code_interpreter_call",
}


def _reason(response: Json) -> str | None:
    details = response.get("incomplete_details")
    return text_of(details.get("reason")) if isinstance(details, dict) else None
