"""The Responses dialect: raw events of OpenAI's Responses wire in, canonical events out.

A response is a piece of a run. A run begins with a response; it has a further response if the first one waited for the
application, or was steered (:mod:`runstream.dialects.responses_links`). An item of a response is a message or a step
(:mod:`runstream.dialects.responses_items`).

Servers differ in which key of an item is reliable, so an item is found by its announced id, else by its index, else it
is the only open one (:meth:`~runstream.dialects.responses_state.Response.find`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from runstream.dialects.base import BaseDialect, KnownIds
from runstream.dialects.responses_aside import (
    AGENT_ITEM,
    REFUSALS,
    decode_output,
    decode_private,
    decode_steering,
)
from runstream.dialects.responses_end import ENDS, end_response, end_steering, run_event, settle
from runstream.dialects.responses_items import CONTENT, decode_item, decode_part
from runstream.dialects.responses_lanes import Deferred, Lanes
from runstream.dialects.responses_links import Links
from runstream.dialects.responses_memory import dump_memory, load_memory
from runstream.dialects.responses_pairs import SplitPairs
from runstream.dialects.responses_redaction import RESPONSES_RULES
from runstream.dialects.responses_run import error_of
from runstream.dialects.responses_state import Response
from runstream.dialects.responses_wire import (
    AGENT_EVENT,
    OTHER_NAMES,
    Fragment,
    Json,
    RepeatedResponses,
    decode_fragment,
    decode_fragments,
    is_of_wire,
    text_of,
    with_agent,
)
from runstream.model.events import (
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    Reject,
    TextAppend,
    UnknownEvent,
)
from runstream.model.jsontext import MAX_NESTING
from runstream.model.raw import Answer, ConnectionEvent, Idle, RawEvent, RawItem, Request
from runstream.model.raw_events import RawEvents
from runstream.model.text_fragments import TextFragments

__all__ = ["ResponsesDialect"]

_SNAPSHOTS: Final = frozenset({"created", "queued", "in_progress", *ENDS})
_FAILURES: Final = frozenset({"incomplete", "failed", "cancelled"})
_ITEM_EVENTS: Final = frozenset({"output_item.added", "output_item.done"})
_RESPONSE: Final = 4  # the index of the response in `_growing`
_SURROGATE: Final = b"\\ud"  # the beginning of the escape of a surrogate
_SURROGATE_UPPER: Final = b"\\uD"
_NO_RESPONSE: Final = "No response is open, and none has its item"

Decoded = Event | Reject | Sequence[Event | Reject]


class ResponsesDialect(BaseDialect):
    """Decodes the Responses wire: SSE blocks, WebSocket frames, JSON lines, and polled response objects.

    Args:
        continues: The id of the run that the first response of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for action, by the id of its last response or of an awaited call.
        known: What the runs have, also from other sources.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = (
        "_cursor",
        "_deferred",
        "_dump",
        "_growing",
        "_lanes",
        "_links",
        "_pairs",
        "_responses",
        "_small",
    )

    redaction = RESPONSES_RULES

    def __init__(
        self,
        *,
        continues: str | None = None,
        memory: bytes | None = None,
        find_run: Callable[[str], str | None] | None = None,
        known: KnownIds | None = None,
        max_message_bytes: int = 16 * 2**20,
        max_nesting: int = MAX_NESTING,
    ) -> None:
        super().__init__()
        self._responses = RepeatedResponses(max_message_bytes, max_nesting)
        self._small = self._responses.small
        self._pairs = SplitPairs()
        self._links = Links(continues, find_run, known)
        self._lanes = Lanes()
        self._deferred: dict[str | None, Deferred] = {}
        # Of the text that grew last: the class of its fragments, item id, index, lane, response, id of the message or
        # step, target, run id, prefix of identities, name of the event.
        self._growing: Any = None
        self._dump: bytes | None = None  # the memory, until it changes
        self._cursor: str | None = None  # the identity of the last event
        if memory is not None:
            self._lanes.update(load_memory(memory, self._links))

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True for an event by its name, an error with its type, and a response as an object."""
        return is_of_wire(raw)

    def decode(self, item: RawItem) -> Decoded:
        """Decode one item. Never raises on input."""
        if type(item) is not RawEvent:
            return self._decode_other(item)
        growing = self._growing
        if growing is None and item.event in OTHER_NAMES:
            return self._decode_any(item)
        if len(item.data) > self._small and not self._responses.admits(item.data):
            return self._decode_any(item)
        try:
            fragment = decode_fragment(item.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            is_odd = _SURROGATE in item.data or _SURROGATE_UPPER in item.data
            return self._decode_any(self._pairs.join(item, self._lanes.last_number) if is_odd else item)
        if growing is not None:
            # The text that grew last, which no other event has followed.
            kind, item_id, index, lane, response, object_id, target, run_id, prefix, name = growing
            number = fragment.sequence_number
            if (
                type(fragment) is kind
                and fragment.item_id == item_id
                and fragment.index == index
                and (fragment.stream_id is lane or fragment.stream_id == lane)
                and number is not None
                and number > response.number
                and (text := fragment.delta)
            ):
                response.number = number
                id: str | None = f"{prefix}{number}"
                self._cursor = id
                return TextAppend(object_id, target, index, text, id, run_id, name)
        return self._decode_fragment(item, fragment)

    def _decode_fragment(self, raw: RawEvent, fragment: Fragment) -> Decoded:
        """Decode a fragment of another text than the one that grew last, or one without a new number."""
        if self._pairs.halves:
            raw = self._pairs.join(raw, self._lanes.last_number)
            fragment = decode_fragment(raw.data)
        response = self._lanes.get(fragment.stream_id)
        found = response.by_id.get(fragment.item_id) if response is not None and fragment.item_id is not None else None
        if (
            response is None
            or found is None
            or response.error is not None
            or response.is_repeated(fragment.sequence_number)  # it may be the event that made its item
        ):
            return self._decode_any(raw)
        kind, index, target = type(fragment), fragment.index, fragment.target
        response.has_stable_ids = response.has_stable_ids or found.announced
        if (target, index) not in found.seen:
            found.seen.add((target, index))
            self._dump = None
        id = self._cursor = response.identify(fragment.sequence_number)
        if not fragment.delta:
            return EmptyEvent(id=id, run_id=response.run_id, name=fragment.name)
        place = (found.id, target, response.run_id, response.prefix, fragment.name)
        self._growing = (kind, fragment.item_id, index, fragment.stream_id, response, *place)
        return TextAppend(found.id, target, index, fragment.delta, id, response.run_id, fragment.name)

    def decode_fragments(self, events: RawEvents, first: int) -> TextFragments | None:
        """Decode raw events that are fragments of the text that grew last, and whose numbers count up."""
        if self._growing is None:
            return None
        kind, item_id, index, lane, response, object_id, target, run_id, prefix, name = self._growing
        if events.event is not None and events.event != name:
            return None
        data = events.data[first:]
        if max(map(len, data)) > self._small and not all(map(self._responses.admits, data)):
            return None
        found = decode_fragments(kind, data)
        if not found:
            return None
        number, count = found[0].sequence_number, len(found)
        if number is None or number <= response.number:
            return None
        texts = [each.delta for each in found]
        if (
            [each.sequence_number for each in found] == list(range(number, number + count))
            and [each.item_id for each in found].count(item_id) == count
            and [each.index for each in found].count(index) == count
            and [each.stream_id for each in found].count(lane) == count
            and all(texts)
        ):
            return TextFragments(object_id, target, index, texts, run_id, name, prefix, number)
        return None

    def may_continue(self, raw: RawEvent) -> bool:
        """True if the name is the same, or unknown."""
        return self._growing is not None and (raw.event is None or raw.event == self._growing[-1])

    def take_fragments(self, fragments: TextFragments, count: int) -> None:
        """Note the number of the last one."""
        response = self._growing[_RESPONSE]
        assert fragments.number is not None
        response.number = fragments.number + count - 1
        self._cursor = f"{fragments.prefix}{response.number}"

    def end(self, clean: bool) -> Sequence[Event | Reject]:
        """The ends of responses whose last event was an error, or that were steered without a successor."""
        self._dump = None
        events = [event for lane in list(self._deferred) for event in self._release(lane, None)]
        for response in self._lanes.responses:
            events += settle(response, self._links)
            if clean:
                events += end_steering(response, self._links)
        return events

    def cursor(self, run_id: str | None = None) -> str | None:
        """The response and the number of the last event, of the source or of the open response of a run: ``resp_1/12``.
        A server continues after it.
        """
        return self._cursor if run_id is None else self._lanes.cursor(run_id)

    @property
    def expects_idle(self) -> bool:
        """True while an event is deferred that only a later one, or silence, makes certain."""
        return bool(self._deferred) or any(response.error is not None for response in self._lanes.values())

    def dump(self) -> bytes | None:
        """The responses of which more may follow, with their items, so that fragments after a restart find them; and
        the runs of responses that continue one, so that a server which sends all again continues them too.
        """
        if self._dump is None:
            self._dump = dump_memory(self._lanes.items(), self._links)
        return self._dump or None

    def forget(self, run_id: str) -> None:
        """Forget the responses of a run."""
        self._dump = None
        self._growing = None
        self._links.forget(run_id)
        self._lanes.forget(run_id)

    # items beside the stream

    def _decode_other(self, item: RawItem) -> Decoded:
        self._growing = None
        if isinstance(item, Answer):
            return self._decode_any(RawEvent(data=item.data, at=item.at)) if item.status < 300 else ()
        if isinstance(item, Request):
            if self._links.ask(item):
                self._dump = None
            return ()
        if isinstance(item, Idle):
            self._dump = None
            events = [event for lane in list(self._deferred) for event in self._release(lane, None)]
            return events + [event for response in self._lanes.responses for event in settle(response, self._links)]
        if isinstance(item, ConnectionEvent):
            self._lanes.reconnect()
        return super().decode(item)

    # events

    def _decode_any(self, raw: RawEvent) -> Decoded:
        self._growing = None
        value = self._responses.read(raw)
        if isinstance(value, DoneEvent | Reject):
            return value
        name = value.get("type")
        if not isinstance(name, str) and raw.event is not None and raw.event.startswith(("response.", "error")):
            name = raw.event
        if not isinstance(name, str):
            if value.get("object") == "response":
                return self._decode_snapshot(value, None, "response", None)
            if "error" not in value:
                return Reject(raw, "Neither a `type` nor an `object` says what this is")
            name = "error"
        if name == AGENT_EVENT and isinstance(inner := value.get("data"), dict):
            self._links.is_one_run = True
            value, name = inner, text_of(inner.get("type")) or ""
        elif name == AGENT_ITEM and (events := decode_output(value, self._lanes.get(None))):
            self._dump = None
            return events
        return self._decode_event(raw, value, name)

    def _decode_event(self, raw: RawEvent, value: Json, name: str) -> Decoded:
        lane = text_of(value.get("stream_id"))
        if self._deferred and (deferred := self._deferred.get(lane)) is not None:
            found = deferred.add(raw, value, name, self._links)
            return () if found is None else self._release(lane, found[0])
        kind = name.removeprefix("response.")
        number = value.get("sequence_number")
        snapshot = value if value.get("object") == "response" else value.get("response")
        if kind in _SNAPSHOTS and isinstance(snapshot, dict):
            if kind == "created" and not self._links.is_certain(snapshot, lane) and (id := text_of(snapshot.get("id"))):
                self._deferred[lane] = Deferred(id, [raw])
                return ()
            return self._decode_snapshot(snapshot, lane, name, number)
        response = self._lanes.get(lane)
        if name == "error":
            response = (response.with_number(number) or response) if response is not None else None
            return self._decode_error(value, response, raw, lane)
        if kind in _SNAPSHOTS:
            return Reject(raw, "Expected an object in `response`", object_ids=None)
        if kind.startswith(("steer.", "inject.")):
            self._dump = None
            id = raw.id
            if response is not None:
                id = self._cursor = response.identify(number)
            return decode_steering(value, name, id, response, self._lanes.responses, self._links)
        if response is None:
            if kind in _ITEM_EVENTS or kind.rpartition(".")[0] in CONTENT:
                return Reject(raw, _NO_RESPONSE, object_ids=())
            return () if name == "keepalive" else UnknownEvent(raw.data, raw.id, name=name)
        return self._decode_item(raw, value, name, kind, response)

    def _decode_item(self, raw: RawEvent, value: Json, name: str, kind: str, response: Response) -> Decoded:
        """Decode an event of an item, or one that concerns no part of the response."""
        item = value.get("item") if kind in _ITEM_EVENTS else None
        index = value.get("output_index")
        index = index if type(index) is int else None
        if isinstance(item, dict):
            item_id = text_of(item.get("id")) or None
        else:
            item_id = text_of(value.get("item_id")) or text_of(value.get("id")) or None
        number = value.get("sequence_number")
        named = text_of(value.get("response_id"))
        if named is not None or item_id is not None:
            shown = item if isinstance(item, dict) else None
            response = response.with_event(named, item_id, number, shown, whole=kind.endswith("done"))
        elif (found := response.with_number(number)) is not None:
            response = found
        elif name == "keepalive" or response.is_repeated(number):
            return EmptyEvent(run_id=response.run_id, name=name)  # of an earlier response, or known
        is_repeated = response.repeats = response.is_repeated(number)
        self._dump = None
        id = self._cursor = response.identify(number)
        if isinstance(item, dict) or kind.rpartition(".")[0] in CONTENT:
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
            events: list[Event] | None = decode_item(response, with_agent(item, value), index, kind, name, id)
        else:
            events = decode_part(response, value, kind, name, id)
        if events is None:
            return decode_private(raw, value, name, id, response)
        if response.error is not None and name != "keepalive" and not is_repeated:
            # The response goes on, so the error was not its end.
            events.insert(0, ErrorEvent(error_of(response.error), id, run_id=response.run_id, name="error"))
            response.error = None
        return events or EmptyEvent(id=id, run_id=response.run_id, name=name)

    # responses

    def _decode_snapshot(self, value: Json, lane: str | None, name: str, number: object) -> Sequence[Event | Reject]:
        """Decode an event with the whole response, or a response that was polled."""
        self._dump = None
        kind = name.removeprefix("response.")
        response = self._lanes.get(lane)
        is_known = begins = False
        events: list[Event] = []
        id = text_of(value.get("id"))
        if response is not None and kind != "created":
            response = response.with_id(id)
        is_other = response is not None and (
            id not in response.ids if kind == "created" else id is not None and response.is_other(id, value)
        )
        if response is None or kind == "created" or is_other:
            if response is not None and is_other and id not in self._links.runs:
                events += settle(response, self._links)  # else the server sends known responses again, this one too
            id = id or (response.id if response is not None else "response")
            is_known = id in self._links.runs
            response = self._lanes.begin(lane, id, value, self._links)
            begins = True
        response.show(id, value)
        identity = self._cursor = response.identify(number)
        status = text_of(value.get("status"))
        if kind in ENDS:
            # Some servers leave the status of an earlier snapshot in it. A failure that it reports is one.
            status = status if kind == "completed" and status in _FAILURES else kind
        if response.error is not None and kind not in ("failed", "in_progress", "queued") and status != "failed":
            # The response ends otherwise: the error was not its end. A snapshot that has not ended is the beginning,
            # repeated.
            events.append(ErrorEvent(error_of(response.error), identity, run_id=response.run_id, name="error"))
            response.error = None
        if not response.is_open and status not in ENDS:
            return [*events, EmptyEvent(id=identity, run_id=response.run_id, name=name)]  # repeated after the end
        if status is not None and status in ENDS and (kind != "created" or status != "queued"):
            if begins and value.get("output"):
                # The piece begins before its items: else these are taken for items of the piece before.
                events.append(run_event(response, "in_progress", name, identity, created=not is_known))
            if self._pairs.halves:
                self._pairs.forget({None, *response.by_id})
            return [*events, *end_response(response, status, name, identity, self._links)]
        # The source begins the run, or a known response again; a further response continues its run.
        created = kind == "created" and (is_known or response.run_id == response.id)
        status = "queued" if status == "queued" else "in_progress"
        return [*events, run_event(response, status, name, identity, created=created)]

    def _release(self, lane: str | None, run_id: str | None) -> list[Event | Reject]:
        """The events that were deferred. All have the identity of the last one, since they are decoded as one."""
        deferred = self._deferred.pop(lane)
        self._links.bind(deferred.id, run_id)
        events: list[Event | Reject] = []
        for raw in deferred.raws:
            decoded: Any = self.decode(raw)
            events += decoded if isinstance(decoded, list | tuple) else [decoded]
        id = events[-1].id if events else None
        return [event if isinstance(event, Reject) else structs.replace(event, id=id) for event in events]

    # errors

    def _decode_error(
        self, value: Json, response: Response | None, raw: RawEvent, lane: str | None
    ) -> Event | Sequence[Event]:
        error, number = error_of(value), value.get("sequence_number")
        if response is not None and value == response.last_error and response.is_repeated(number):
            self._cursor = response.identify(number)
            return EmptyEvent(id=self._cursor, run_id=response.run_id, name="error")
        if response is None or not response.is_open or error.code in REFUSALS:
            run_id = self._links.refused(lane) if error.code != "websocket_connection_limit_reached" else None
            return ErrorEvent(error, raw.id, run_id=run_id, name="error")
        self._dump = None
        response.error = response.last_error = value  # the end may follow, with the same cause
        id = self._cursor = response.identify(number)
        return EmptyEvent(id=id, run_id=response.run_id, name="error")
