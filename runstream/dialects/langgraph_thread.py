"""The dialect of the LangGraph server's thread protocol: the events of all runs of a thread in, events out.

The stream outlives its runs. The beginning of a run names it, no other event does, except for the interrupts and the
end. No fragment names its message: while two are open in one namespace, their texts are those of the next state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct

from runstream.dialects.langgraph_channels import HANDLERS, Channels, OpenMessage
from runstream.dialects.langgraph_objects import Place
from runstream.dialects.langgraph_outcomes import Outcome
from runstream.dialects.langgraph_runs import ServerRun, without_values
from runstream.dialects.langgraph_wire import (
    Json,
    integer_of,
    mapping_of,
    mappings_of,
    text_of,
)
from runstream.model.common import ErrorObject, LastError
from runstream.model.events import (
    EmptyEvent,
    ErrorEvent,
    Event,
    MessageEvent,
    Reject,
    TextAppend,
    UnknownEvent,
)
from runstream.model.raw import Idle, RawEvent, RawItem

__all__ = ["LangGraphThreadDialect"]

_NO_RUN: Final = "Of a run that began before this stream, which does not name it"
_MAX_SEEN: Final = 8192
_VALUES: Final = frozenset({"values", "checkpoints", "custom"})
_METHODS: Final = frozenset(
    {"lifecycle", "messages", "values", "updates", "tools", "input.requested", "custom", "tasks", "checkpoints"}
)


# fragments of a text


class _TextDelta(Struct, frozen=True, gc=False, tag_field="type", tag="text-delta"):
    text: str


class _BlockDelta(Struct, frozen=True, gc=False, tag_field="event", tag="content-block-delta"):
    index: int
    delta: _TextDelta


class _Params(Struct, frozen=True, gc=False):
    namespace: tuple[str, ...]
    data: _BlockDelta


class _Fragment(Struct, frozen=True, gc=False):
    method: Literal["messages"]
    params: _Params
    event_id: str | None = None
    seq: int | None = None


_decode_fragment: Final = msgspec.json.Decoder(_Fragment).decode


class LangGraphThreadDialect(Channels):
    """Decodes the thread protocol: blocks of an event stream, frames of a socket, and the server's answers.

    Args:
        continues: The id of the run that the first run of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for the answer to an interrupt, by the id of the interrupt.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = ("_cursor", "_expected", "_is_reconnected", "_link", "_pending_run", "_seen", "_seen_before")

    def __init__(self, **options: Any) -> None:
        self._cursor: str | None = None
        self._expected: str | None = None  # the run that the server has started by command
        self._is_reconnected = False  # no new event of this later connection was decoded yet
        self._link: bool | None = None  # the next run continues the last one, or does not; `None` if this is unknown
        self._pending_run: tuple[str, str] | None = None  # a run that may continue the last one
        self._seen: set[str] = set()  # the identities of the last events
        self._seen_before: set[str] = set()  # those before them
        super().__init__(**options)
        if self._current is not None:
            for message in self._current.log.messages.values():
                if message.is_open:
                    self._open.setdefault(message.path, []).append(OpenMessage(message, is_continued=True))

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True if an event is certainly one of this protocol."""
        head = raw.data[:400]
        return b'"method"' in head and (b'"event_id"' in head or b'"params"' in head) and b'"event"' in head

    @property
    def expects_idle(self) -> bool:
        """True while the end of a run is kept back."""
        return self._pending_end is not None

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item. Never raises on input."""
        if type(item) is not RawEvent:
            if isinstance(item, Idle):
                return self._end_pending()
            return self._decode_other(item)
        try:
            fragment = _decode_fragment(item.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._decode_any(item)
        params = fragment.params
        found = self._open.get(params.namespace)
        text = params.data.delta.text
        if found is None or len(found) != 1 or not text:
            return self._decode_any(item)
        message = found[0].message
        if message is None or not message.is_created or not message.is_open or message.is_unclear:
            return self._decode_any(item)
        part = message.parts.get(params.data.index)
        if part is None:
            return self._decode_any(item)
        if fragment.seq is not None:
            self._cursor = str(fragment.seq)
        if fragment.event_id is not None and self._is_repeated(fragment.event_id):
            return ()
        return TextAppend(message.id, "text", part, text, fragment.event_id, message.run_id, "messages")

    def end(self, clean: bool) -> Sequence[Event]:
        """The end of a run that was kept back; an open run whose stream ends has an unknown outcome."""
        self._dump = None
        self._pending_run = None  # whether it continues the last one is unknown
        events = self._end_pending()
        run = self._current
        if not clean or run is None or not run.is_open or run.waits:
            return events
        return [*events, *self._settle(run, Place(None, run.run_id, "end"))]

    def _is_repeated(self, id: str) -> bool:
        """True if this event was decoded before: it would be one of the message that is open now."""
        if id in self._seen or id in self._seen_before:
            return True
        self._seen.add(id)
        if len(self._seen) > _MAX_SEEN:
            self._seen, self._seen_before = set(), self._seen
        return False

    def cursor(self, run_id: str | None = None) -> str | None:
        """The number of the last event; a server continues after it."""
        return self._cursor

    def forget(self, run_id: str) -> None:
        """Forget the server's runs of a run, and its open messages."""
        super().forget(run_id)
        self._open = {
            path: found
            for path, found in self._open.items()
            if not any(each.message is not None and each.message.run_id == run_id for each in found)
        }

    # items beside the stream

    def _note_connection(self) -> None:
        if self.connection:
            self._is_reconnected = True
            for found in self._open.values():
                for each in found:
                    each.is_continued = True
            self._note_gap()  # the numbers of a connection have holes, and prove nothing

    def _note_request(self, body: Json) -> Sequence[Event]:
        params = mapping_of(body.get("params"))
        match body.get("method"):
            case "run.start":  # without an input the run that waits goes on
                self._link = "input" in params and params["input"] is None
            case "input.respond":
                self._link = True
                responses = [params, *mappings_of(params.get("responses"))]
                self._answered = tuple(filter(None, (text_of(each.get("interrupt_id")) for each in responses)))
        return ()

    def _read_answer(self, value: Any, status: int) -> list[Event]:
        found = mapping_of(value)
        if found.get("type") in ("success", "error") and "id" in found:
            return self._decode_reply(found, None)  # to a command
        self._pending_end = None if self._asked(found) else self._pending_end
        id = text_of(found.get("run_id"))
        is_known = id is None or id in self._runs
        events = super()._read_answer(value, status)
        run = None if is_known or events else self._runs.get(id or "")
        if run is not None and run.is_open:
            # The source has joined in its middle: what follows is of this run.
            return [run.show("in_progress", Place(None, run.run_id, "run"))]
        return events

    def _asked(self, value: Json) -> bool:
        """True if an answer settles the end that is kept back."""
        if self._pending_end is None:
            return False
        body = mapping_of(mapping_of(value.get("run")).get("body")) or value
        id = text_of(value.get("run_id")) or text_of(body.get("run_id"))
        return id in (None, self._pending_end[0]) and ("run" in value or body.get("status") != "success")

    def _end_pending(self) -> list[Event]:
        """Report the end of a run that was not contradicted."""
        if self._pending_end is None:
            return []
        (id, outcome), self._pending_end = self._pending_end, None
        run = self._runs.get(id)
        return run.end(outcome, Place(None, run.run_id, "lifecycle")) if run is not None else []

    # events

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        value = self._read(raw)
        if isinstance(value, Reject):
            return value
        if not isinstance(value, dict):
            return Reject(raw, "Expected an object", object_ids=None)
        self._dump = None
        kind, method = value.get("type"), text_of(value.get("method")) or raw.event or ""
        if kind in ("success", "error") and "params" not in value:
            return self._decode_reply(value, raw) or EmptyEvent(name=kind)
        params = mapping_of(value.get("params"))
        if not params:
            return UnknownEvent(raw.data, raw.id, name=method or str(kind))
        seq = integer_of(value.get("seq"))
        if seq is not None:
            self._cursor = str(seq)
        id = text_of(value.get("event_id")) or None
        if id is not None and self._is_repeated(id):
            return ()
        is_first, self._is_reconnected = self._is_reconnected, False
        names = params.get("namespace")
        path = tuple(map(str, names)) if isinstance(names, list) else ()
        data = params.get("data")
        named = _run_in(id)
        begun: list[Event] = []
        if method == "lifecycle" and not path and mapping_of(data).get("event") in ("running", "started"):
            run_id = named or self._expected or f"run:{id}"
            if is_first and (known := self._runs.get(run_id)) is not None:
                self._open.clear()  # the server sends the run from its beginning
                known.begin_again()
            return self._begin(run_id, id) or EmptyEvent(id=id, name=method)
        begun = self._release(method, path, data, id)
        if named is not None and named not in self._runs:
            begun += self._begin(named, id)  # its beginning was before this stream
            begun += self._release(None, None, None, id)
        run = self._runs.get(named) if named is not None else self._current
        if run is None:
            return Reject(raw, _NO_RUN) if method in _METHODS else UnknownEvent(raw.data, id, name=method)
        place = Place(id, run.run_id, method, path)
        handler = HANDLERS.get(method)
        if handler is None:
            return [*begun, UnknownEvent(raw.data, id, run_id=run.run_id, name=method)]
        if method == "input.requested" and self._pending_end is not None and self._pending_end[0] == run.id:
            self._pending_end = None
        is_known = method in _VALUES and run.repeats_value(_digest_of(id, data))
        events = handler(self, run, data, place)
        if is_known and not isinstance(events, str):
            events = without_values(events)
        if isinstance(events, str):
            self._note_damage()
            return [*begun, Reject(raw, events, object_ids=None)]
        if any(isinstance(event, MessageEvent) and event.data.is_terminal for event in events):
            events = [*events, *run.show_usage(place)]
        return [*begun, *events] or EmptyEvent(id=id, run_id=run.run_id, name=method)

    def _decode_reply(self, value: Json, raw: RawEvent | None) -> list[Event]:
        """Decode the server's answer to a command."""
        if value.get("type") == "error":
            error = ErrorObject(code=text_of(value.get("error")), message=text_of(value.get("message")))
            if error.code != "resume_gap":
                return [ErrorEvent(error, run_id=self._refused(), name="error")]
            events: list[Any] = [ErrorEvent(error, name="error")]
            if raw is not None:
                reason = "The server does not have the events after the last one any more"
                events.append(Reject(raw, reason, object_ids=None))
            return events
        id = text_of(mapping_of(value.get("result")).get("run_id"))
        if id is None:
            return []
        self._expected = id
        if id in self._runs:
            return []
        events = [*self._end_pending(), *self._release(None, None, None)]
        run = self._begin_run(id)
        self._link = None
        return [*events, run.show("queued", Place(None, run.run_id, "run.start"), created=run.run_id == run.id)]

    def _refused(self) -> str | None:
        """The id of the run that the refused command was to continue, if there is one. It still waits."""
        link, self._link = self._link, None
        answered, self._answered = self._answered, ()
        run = self._current
        if link and run is not None and run.waits:
            return run.run_id
        return next(filter(None, map(self._find_run, answered)), None) if self._find_run is not None else None

    # the beginning and the end of runs

    def _begin(self, run_id: str, id: str | None) -> list[Event]:
        """Begin a run. While the last one waits, the next state says whether this one continues it."""
        events = self._end_pending() if self._pending_end is not None and self._pending_end[0] != run_id else []
        self._expected = None
        known = self._runs.get(run_id)
        last = self._current
        if known is not None:
            self._current = known
            return (
                [*events, known.show("in_progress", Place(id, known.run_id, "lifecycle"))] if known.is_open else events
            )
        if last is not None and last.waits and self._link is None and self._continues is None:
            self._pending_run = (run_id, "lifecycle")
            return events
        link, self._link = self._link, None
        return [*events, *self._start(run_id, last.run_id if link and last is not None and last.waits else None, id)]

    def _start(self, run_id: str, continues: str | None, id: str | None) -> list[Event]:
        self._open.clear()
        run = self._begin_run(run_id, continues)
        return [run.show("in_progress", Place(id, run.run_id, "lifecycle"), created=run.run_id == run.id)]

    def _release(self, method: str | None, path: Any, data: Any, id: str | None = None) -> list[Event]:
        """Begin a run that was kept back: it continues the last one if it begins with the same state."""
        if self._pending_run is None:
            return []
        (run_id, _), self._pending_run = self._pending_run, None
        last = self._current
        is_same = last is not None and method == "values" and not path and data is not None and data == last.document
        return self._start(run_id, last.run_id if last is not None and is_same else None, id)

    def _fail(self, run: ServerRun, error: LastError, place: Place) -> list[Event]:
        return run.end(Outcome("failed", error), place)


def _digest_of(id: str | None, data: Any) -> int:
    """The digest of an event: that of its id, which a repetition has too, else that of its data."""
    return crc32(id.encode() if id is not None else msgspec.json.encode(data, order="sorted"))


def _run_in(event_id: str | None) -> str | None:
    """The id of the run in the id of an event that the server has derived."""
    if event_id is None or not event_id.startswith("synth:"):
        return None
    return event_id.split(":", 2)[1] or None
