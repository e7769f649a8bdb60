"""The AG-UI dialect: raw events of the AG-UI wire in, canonical events out.

A run of the wire is a piece of a run. A pause ends it, and what the application sends then begins a further one; no
field on the wire names the earlier one. It continues the run that the application has named, else the one that waits
for an answer which the request contains, else it is a run of its own.

RUN_FINISHED is not certain when it is received: RUN_ERROR may follow, and some servers send it after each call of the
model. It is deferred until the next event or request, the end of the stream, or the end of the source's grace time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import structs

from runstream.dialects.ag_ui_events import CLOSES_LANE, HANDLERS, ON_INTERRUPT, close_lane, owner_of
from runstream.dialects.ag_ui_objects import Frame, close_objects, result_event, run_event
from runstream.dialects.ag_ui_redaction import AG_UI_RULES
from runstream.dialects.ag_ui_request import input_of, read_request
from runstream.dialects.ag_ui_rules import Violations
from runstream.dialects.ag_ui_runs import Runs
from runstream.dialects.ag_ui_snapshot import decode_messages
from runstream.dialects.ag_ui_state import Finish, Growing, Input, Piece
from runstream.dialects.ag_ui_waiting import find_action, outcome_of
from runstream.dialects.ag_ui_wire import (
    EVENT_TYPES,
    RUN_ID,
    Json,
    decode_fragment,
    error_of,
    field_of,
    objects_of,
    text_of,
    time_of,
    usage_of,
)
from runstream.dialects.base import BaseDialect
from runstream.dialects.json_message import read_message
from runstream.dialects.redaction_rules import split_words
from runstream.model.common import ErrorObject, LastError
from runstream.model.events import (
    DocumentSnapshot,
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    Reject,
    TextAppend,
    UnknownEvent,
)
from runstream.model.frozen import freeze
from runstream.model.jsontext import MAX_NESTING
from runstream.model.raw import ConnectionEvent, Idle, Malformed, Oversized, RawEvent, RawItem, Request
from runstream.model.run import Run, RunStatus

__all__ = ["AgUiDialect"]

# After RUN_FINISHED these leave open whether the run goes on.
_TRAILING: Final = split_words(
    """
    RAW CUSTOM STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT ACTIVITY_SNAPSHOT ACTIVITY_DELTA STEP_FINISHED
    TEXT_MESSAGE_END TOOL_CALL_END REASONING_END REASONING_MESSAGE_END REASONING_ENCRYPTED_VALUE SUBAGENT_FINISHED
    THINKING_END THINKING_TEXT_MESSAGE_END
    """
)
# The first events of a run that do not show whether it continues one that waits.
_UNDECIDED: Final = split_words("STEP_STARTED STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT RAW CUSTOM")
_VALUES: Final = split_words(
    "CUSTOM RAW STATE_SNAPSHOT STATE_DELTA ACTIVITY_SNAPSHOT ACTIVITY_DELTA REASONING_ENCRYPTED_VALUE"
)
_OF_CALLS: Final = split_words("TOOL_CALL_RESULT TOOL_CALL_START TOOL_CALL_CHUNK")
_MAX_EARLY: Final = 64
_MAX_EARLY_BYTES: Final = 256 * 1024


class AgUiDialect(BaseDialect):
    """Decodes the AG-UI wire: SSE blocks, WebSocket frames or JSON lines, each with one event.

    Args:
        continues: The id of the run that the first run of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for an answer to an interrupt or a call, by its id.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).

    Attributes:
        rule_violations: The violations of the protocol's rules, by rule and with their places.
    """

    __slots__ = (
        "_dump",
        "_early",
        "_max_bytes",
        "_max_nesting",
        "_piece",
        "_request",
        "_runs",
        "_stale",
        "_start",
        "rule_violations",
    )

    redaction = AG_UI_RULES

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
        self._max_bytes = max_message_bytes
        self._max_nesting = max_nesting
        self._runs = Runs(continues, find_run)
        self._piece: Piece | None = self._runs.load(memory) if memory is not None else None  # of the latest event
        self._request: Input | None = None  # the latest one, until its run starts
        self._early: list[RawEvent] = []  # events whose run is not known yet
        self._stale = 0  # the number of these that an earlier connection has sent
        self._start: tuple[Json, Frame] | None = None  # a start whose run is not decided yet
        self._dump: bytes | None = None  # the memory, until it changes
        self.rule_violations = Violations()

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True for an event by its type, also in an envelope."""
        try:
            found = _decode_header(raw.data)
            if found.type is msgspec.UNSET and isinstance(found.data, msgspec.Raw):
                found = _decode_header(bytes(found.data))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        return isinstance(found.type, str) and found.type in EVENT_TYPES

    @property
    def violations(self) -> Mapping[str, int]:
        """The number of violations of each rule of the protocol, by its name."""
        return self.rule_violations.counts

    @property
    def expects_idle(self) -> bool:
        """True while the end of a run is not certain: an :class:`Idle` item settles it."""
        piece = self._piece
        return self._start is not None or (piece is not None and piece.phase == "finishing")

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item. Never raises on input."""
        if type(item) is not RawEvent:
            return self._decode_other(item)
        try:
            fragment = decode_fragment(item.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._decode_any(item)
        piece, id, target = self._piece, fragment.object_id, fragment.target
        if piece is None or piece.phase != "running" or id is None:
            return self._decode_any(item)
        found = piece.table(target).get(id)
        if (
            found is None
            or not found.is_open
            or found.is_closed
            or found.repeats
            or fragment.owner != found.owner
            or (piece.lanes.get(found.owner) != (target, id) if fragment.is_chunk else found.owner in piece.lanes)
        ):
            return self._decode_any(item)
        delta = fragment.delta
        identity = item.id if item.id is None else f"{piece.id}/{item.id}"
        if not delta:
            return EmptyEvent(id=identity, run_id=piece.run_id, name=fragment.name)
        if target == "arguments":
            found.arguments.append(delta)
            self._dump = None
        else:
            if not found.size:
                found.first = delta
            found.last = delta
            found.size += len(delta)
        return TextAppend(found.id, target, 0, delta, identity, piece.run_id, fragment.name)

    def end(self, clean: bool) -> Sequence[Event | Reject]:
        """The ends that are certain now, and events whose run was never seen."""
        self._dump = None
        frame = Frame("end")
        events: list[Event | Reject] = []
        if self._start is not None:
            events += self._begin_deferred(None)
        if self._early:
            events += self._begin_unseen(None)
        for piece in self._runs.open():
            if piece.phase == "finishing" and (clean or _is_certain(piece)):
                events += self._settle(piece, frame)
            elif piece.phase in ("running", "finishing"):
                self._note(piece, frame)("terminal_event", "")
        return events

    def dump(self) -> bytes | None:
        """The runs that have not ended, with what is open in them, and the runs of pieces that continue one."""
        if self._dump is None:
            self._dump = self._runs.dump(self._piece)
        return self._dump or None

    def forget(self, run_id: str) -> None:
        """Forget a run."""
        self._dump = None
        self._runs.forget(run_id)
        if self._piece is not None and self._piece.run_id == run_id:
            self._piece = None

    # items beside the stream

    def _decode_other(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if isinstance(item, Request | Idle):
            self._dump = None
            events: list[Event | Reject] = list(self._begin_deferred(None)) if self._start is not None else []
            if self._piece is not None and self._piece.phase == "finishing":
                events += self._settle(self._piece, Frame("RUN_FINISHED"))
            if isinstance(item, Request) and (found := read_request(item)) is not None:
                self._request = found
            return events
        if isinstance(item, ConnectionEvent) and item.connected and self.connection:
            self._runs.reconnect()
            self._stale = len(self._early)
        elif isinstance(item, Malformed | Oversized):
            self._note_damage()
        return super().decode(item)

    def _note_damage(self) -> None:
        """Note that input could not be read: it may have been a part of each open call."""
        for call in self._piece.calls.values() if self._piece is not None else ():
            if not call.answered:
                call.is_damaged = True

    # events

    def _note(self, piece: Piece | None, frame: Frame) -> Callable[[str, str], None]:
        """The function that counts a violation in an event."""
        run_id = piece.id if piece is not None else None

        def note(rule: str, object_id: str) -> None:
            self.rule_violations.add(rule, frame.name, run_id, frame.line, object_id)

        return note

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        if raw.data.strip() in (b"[DONE]", b'"[DONE]"'):
            self._note(self._piece, Frame("[DONE]", line=raw.line))("done_marker", "")
            return DoneEvent(id=raw.id, name="[DONE]")
        value = read_message(raw, self._max_bytes, self._max_nesting)
        if isinstance(value, Reject):
            self._note_damage()
            return value
        if isinstance(value, dict) and "type" not in value and isinstance(value.get("data"), dict):
            value = value["data"]  # an envelope, as relays and recordings put around an event
        if not isinstance(value, dict) or not isinstance(name := value.get("type"), str):
            return Reject(raw, "Expected an object with `type`")
        piece, self._dump = self._piece, None
        frame = Frame(name, raw.id, raw.line)
        if name not in EVENT_TYPES:
            self._note(piece, frame)("known_type", "")
            run_id = piece.run_id if piece is not None else None
            return UnknownEvent(raw.data, self._identify(piece, raw.id), run_id=run_id, name=name)
        if any("_" in key for key in value if not key.startswith("_")):
            self._note(piece, frame)("field_name", "")
        if self._start is not None:
            if name in _UNDECIDED and len(self._early) < _MAX_EARLY:
                self._early.append(raw)
                return ()
            call_id = text_of(field_of(value, "toolCallId")) if name in _OF_CALLS else None
            return [*self._begin_deferred(call_id), *_as_list(self._decode_any(raw))]
        if name == "RUN_STARTED":
            return self._decode_start(value, frame)
        if name == "RUN_ERROR":
            return self._decode_error(value, frame)
        if name == "RUN_FINISHED":
            return self._decode_finish(value, frame)
        if piece is None or (self._request is not None and piece.phase in ("waiting", "ended")):
            return self._defer_early(raw, frame)
        return self._decode_inner(piece, value, frame, raw)

    @staticmethod
    def _identify(piece: Piece | None, id: str | None) -> str | None:
        """The identity of an event: the id of its block, which counts within its run."""
        return id if id is None or piece is None else f"{piece.id}/{id}"

    def _decode_inner(self, piece: Piece, value: Json, frame: Frame, raw: RawEvent) -> Sequence[Event | Reject] | Event:
        """Decode an event between the boundaries of a run."""
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        note = self._note(piece, frame)
        name = frame.name
        if name in _VALUES and piece.repeats_value(crc32(raw.data)):
            if value.get("name") == ON_INTERRUPT:
                piece.interrupts.append(value.get("value"))
            return EmptyEvent(id=frame.id, run_id=piece.run_id, name=name)
        if name in CLOSES_LANE:
            close_lane(piece, owner_of(value))
        if name == "MESSAGES_SNAPSHOT":
            for owner in list(piece.lanes):
                close_lane(piece, owner)
            messages = value.get("messages")
            if not isinstance(messages, list):
                note("field_value", "")
            found: list[Event] | None = decode_messages(piece, objects_of(messages), self._runs.message_ids, frame)
        else:
            found = HANDLERS[name](piece, value, frame, note)
        if found is None:
            note("field_value", "")
            return [Reject(raw, f"{name} lacks a field that it needs", object_ids=())]
        events = self._go_on(piece, frame) if found or name in _TRAILING else []
        piece.began = True
        return [*events, *found] or EmptyEvent(id=frame.id, run_id=piece.run_id, name=name)

    def _go_on(self, piece: Piece, frame: Frame) -> list[Event]:
        """Note that an event of a run follows its end."""
        if piece.phase == "running":
            return []
        note = self._note(piece, frame)
        if piece.phase == "finishing":
            note("event_after_end", "")
            if frame.name in _TRAILING:
                if piece.finish is not None:
                    piece.finish.followed = True
                return []
            piece.phase, piece.finish, piece.interrupts = "running", None, []
            return []
        note("event_after_end", "")
        if piece.phase == "waiting" and frame.name not in _TRAILING:
            piece.phase, piece.finish, piece.interrupts = "running", None, []
            return [run_event(piece, self._run_of(piece, "in_progress"), frame)]
        if piece.phase == "ended" and piece.is_complete and not piece.contradicted and frame.name not in _TRAILING:
            return self._contradict(piece, frame)
        return []

    def _contradict(self, piece: Piece, frame: Frame, error: ErrorObject | None = None) -> list[Event]:
        """The report of an event that contradicts an end which was certain."""
        piece.contradicted = True
        error = error or ErrorObject(code="event_after_end")
        return [ErrorEvent(error, frame.id, run_id=piece.run_id, name=frame.name)]

    # the beginning of a run

    def _decode_start(self, value: Json, frame: Frame) -> Sequence[Event | Reject] | Event:
        piece = self._piece
        if self._stale:
            self._early, self._stale = self._early[self._stale :], 0  # this connection sends the run from its beginning
        note = self._note(piece, frame)
        wire_id = text_of(field_of(value, "runId")) or None
        if wire_id is None:
            note("field_value", "runId")
        if piece is not None and piece.phase != "ended" and not self._runs.is_replayed(wire_id):
            same = wire_id is None or wire_id == piece.id
            # Some servers send the start twice, under two ids.
            doubled = piece.phase == "running" and not piece.began and self._request is None
            if same or (doubled and text_of(field_of(value, "threadId")) in (None, piece.thread_id)):
                if piece.phase == "running":
                    note("run_started_once", "")
                identified = structs.replace(frame, id=self._identify(piece, frame.id))
                events = self._go_on(piece, identified)
                return events or EmptyEvent(id=identified.id, run_id=piece.run_id, name=frame.name)
        events = []
        if piece is not None and piece.phase == "finishing":
            events = self._settle(piece, frame)
        elif piece is not None and piece.phase == "running" and not self._runs.is_replayed(wire_id):
            note("run_started_once", "")
        request = self._request
        if request is None and isinstance(echo := value.get("input"), dict):
            request = self._request = input_of(echo)
        thread_id = text_of(field_of(value, "threadId"))
        if request is None and not self._early and self._runs.may_continue(wire_id, thread_id):
            self._start = value, frame
            return events or EmptyEvent(id=self._identify(None, frame.id), name=frame.name)
        ids = [id for raw in self._early if (id := _call_id(raw)) is not None]
        return [*events, *self._begin(value, frame, ids), *self._flush()]

    def _begin_deferred(self, call_id: str | None) -> list[Event | Reject]:
        """Begin the run whose start was deferred.

        Args:
            call_id: The id of a call that its first event names; the run that waits with this call goes on.
        """
        start, self._start = self._start, None
        if start is None:
            return []
        return [*self._begin(*start, [call_id] if call_id is not None else []), *self._flush()]

    def _begin(self, value: Json, frame: Frame, call_ids: list[str]) -> list[Event]:
        """Begin a piece, and find its run.

        Args:
            value: Its RUN_STARTED.
            frame: The frame of that event.
            call_ids: Ids of calls that its first events name.
        """
        self._dump = None
        request, self._request = self._request, None
        wire_id = text_of(field_of(value, "runId")) or None
        thread_id = text_of(field_of(value, "threadId"))
        if request is not None:
            if wire_id is not None and request.run_id not in (None, wire_id):
                self._note(self._piece, frame)("run_id", request.run_id or "")
            wire_id, thread_id = wire_id or request.run_id, thread_id or request.thread_id
        piece = self._piece = self._runs.begin(wire_id, thread_id, request, call_ids)
        piece.created_at = time_of(value.get("timestamp"))
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        events: list[Event] = [run_event(piece, self._run_of(piece, "in_progress"), frame, created=piece.is_first)]
        if request is not None and request.has_state:
            events.append(DocumentSnapshot(request.state, frame.id, run_id=piece.run_id, name=frame.name))
        for call_id, output in request.results if request is not None and not piece.is_first else ():
            call = piece.calls.get(call_id)
            if call is None:
                call = piece.calls[call_id] = Growing(f"call/{call_id}", call_id)
            if not call.answered:
                events.append(result_event(piece, call, output, frame))
        return events

    def _defer_early(self, raw: RawEvent, frame: Frame) -> Sequence[Event | Reject]:
        """Keep an event that precedes the start of its run."""
        if not self._early:
            self._note(None, frame)("first_event", "")
        self._early.append(raw)
        if len(self._early) <= _MAX_EARLY and sum(len(each.data) for each in self._early) <= _MAX_EARLY_BYTES:
            return ()
        return self._begin_unseen(None)

    def _begin_unseen(self, wire_id: str | None) -> list[Event | Reject]:
        """Begin a run whose start was not received: under the id of the request, else under one of its first event."""
        if wire_id is None and (self._request is None or self._request.run_id is None):
            found = next((id for raw in self._early if (id := _any_id(raw)) is not None), None)
            if found is None:
                early, self._early = self._early, []
                return [Reject(raw, "Its run was not seen", object_ids=()) for raw in early]
            wire_id = f"run/{found}"
        call_ids = [id for raw in self._early if (id := _call_id(raw)) is not None]
        return [*self._begin({"runId": wire_id}, Frame("RUN_STARTED"), call_ids), *self._flush()]

    def _flush(self) -> list[Event | Reject]:
        """The events that preceded the start of their run, or the decision about it."""
        early, self._early, self._stale = self._early, [], 0
        return [event for raw in early for event in _as_list(self._decode_any(structs.replace(raw, id=None)))]

    # the end of a run

    def _decode_finish(self, value: Json, frame: Frame) -> Sequence[Event | Reject] | Event:
        wire_id = text_of(field_of(value, "runId"))
        events: list[Event | Reject] = []
        if self._piece is None and (self._early or wire_id is not None):
            if not self._early:
                self._note(None, frame)("first_event", "")
                events += self._begin({**value, "timestamp": None}, frame, [])
            else:
                events += self._begin_unseen(wire_id)
        piece = self._runs.find_open(wire_id) or self._piece
        if piece is None:
            self._note(None, frame)("first_event", "")
            return UnknownEvent(msgspec.json.encode(value), frame.id, name=frame.name)
        self._piece = piece
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        note = self._note(piece, frame)
        if piece.phase == "ended":
            note("one_terminal_event", "")
            return [*events, EmptyEvent(id=frame.id, run_id=piece.run_id, name=frame.name)]
        if wire_id is not None and wire_id != piece.id:
            note("run_id", wire_id)
            if piece.is_finished:  # the end of a run whose start was not received
                return [*events, EmptyEvent(id=frame.id, run_id=piece.run_id, name=frame.name)]
        piece.is_finished = piece.is_finished or wire_id == piece.id
        if piece.phase == "finishing":
            note("one_terminal_event", "")
        for id in _open_ids(piece):
            note("closed_at_finish", id)
        outcome = value.get("outcome")
        if outcome is not None and not _is_known(outcome):
            note("known_outcome", "")
        piece.usage += [dict(entry) for entry in objects_of(value.get("usage"))]
        for owner in list(piece.lanes):
            close_lane(piece, owner)
        piece.phase, piece.finish = "finishing", Finish(dict(value))
        return [*events, EmptyEvent(id=frame.id, run_id=piece.run_id, name=frame.name)]

    def _settle(self, piece: Piece, frame: Frame) -> list[Event]:
        """The end of a run that is certain now: it is complete or cancelled, or waits for the application.

        Args:
            piece: The run of the wire.
            frame: The event that makes it certain.
        """
        value = piece.finish.value if piece.finish is not None else {}
        frame = Frame("RUN_FINISHED", frame.id, frame.line)
        action = find_action(piece, value)
        cancelled = outcome_of(value) == "cancelled"
        events: list[Event] = []
        if value.get("result") is not None:
            events += HANDLERS["CUSTOM"](piece, {"name": "result", "value": value["result"]}, frame, _ignore) or []
        events += close_objects(piece, "cancelled" if cancelled else "completed", frame, waits=action is not None)
        status = "requires_action" if action is not None else "cancelled" if cancelled else "completed"
        run = self._run_of(piece, status)
        if action is not None:
            piece.phase, piece.awaited = "waiting", [call.id for call in action.calls]
            run = run.replace(required_action=action)
        else:
            ended_at = time_of(value.get("timestamp"))
            run = run.replace(**{"cancelled_at" if cancelled else "completed_at": ended_at})
            piece.is_complete = not cancelled
            self._runs.end(piece)
        return [*events, run_event(piece, run, frame)]

    def _decode_error(self, value: Json, frame: Frame) -> Sequence[Event | Reject] | Event:
        error = error_of(value)
        wire_id = text_of(field_of(value, "runId"))
        request = self._request
        piece = self._runs.find_open(wire_id) or self._piece
        events: list[Event | Reject] = []
        if self._early and piece is None:
            events += self._begin_unseen(wire_id)
            piece, request = self._piece, None
        if request is not None or piece is None:  # it failed before it began
            self._request = None
            continues = self._runs.continued(request) is not None
            wire_id = wire_id or (request.run_id if request is not None else None)
            if continues or wire_id is None:
                return [*events, ErrorEvent(error, frame.id, run_id=self._runs.continued(request), name=frame.name)]
            if piece is not None and piece.phase == "finishing":
                events += self._settle(piece, frame)
            thread_id = text_of(field_of(value, "threadId")) or (request.thread_id if request is not None else None)
            piece = self._runs.begin(wire_id, thread_id, request, [])
        self._piece = piece
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        note = self._note(piece, frame)
        if value.get("message") is None:
            note("field_value", "message")
        if piece.phase == "ended":
            note("one_terminal_event", "")
            if piece.is_complete:
                return [*events, *self._contradict(piece, frame, error)]
            return [*events, EmptyEvent(id=frame.id, run_id=piece.run_id, name=frame.name)]
        piece.usage += [dict(entry) for entry in objects_of(value.get("usage"))]
        events += close_objects(piece, "failed", frame)
        run = self._run_of(piece, "failed")
        run = run.replace(
            last_error=LastError(code=error.code, message=error.message), failed_at=time_of(value.get("timestamp"))
        )
        self._runs.end(piece)
        return [*events, run_event(piece, run, frame, created=not piece.began and piece.created_at is None)]

    def _run_of(self, piece: Piece, status: str) -> Run:
        """A snapshot of the run of a piece."""
        return Run(
            id=piece.run_id,
            status=RunStatus(status),
            created_at=piece.created_at if piece.is_first else None,
            thread_id=piece.thread_id,
            metadata=freeze({RUN_ID: piece.id}),
            usage=usage_of(piece.usage),
        )


class _Header(msgspec.Struct, gc=False):
    """The fields of a message that show whether it is an event of this wire."""

    type: Any = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_header: Final = msgspec.json.Decoder(_Header).decode


def _ignore(rule: str, object_id: str) -> None:
    """For events that are made here."""


def _as_list(decoded: Event | Reject | Sequence[Event | Reject]) -> Sequence[Event | Reject]:
    return decoded if isinstance(decoded, list | tuple) else [decoded]  # type: ignore[list-item]


def _call_id(raw: RawEvent) -> str | None:
    """The id of the call that an event names."""
    try:
        value: Any = msgspec.json.decode(raw.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return text_of(field_of(value, "toolCallId")) if isinstance(value, dict) else None


def _any_id(raw: RawEvent) -> str | None:
    """The id of an object that an event opens or continues."""
    value: Any = msgspec.json.decode(raw.data)
    if str(value.get("type")).endswith(("END", "FINISHED", "REASONING_START")):
        return None
    names = ("messageId", "toolCallId", "subagentRunId", "stepName")
    return next((id for name in names if (id := text_of(field_of(value, name)))), None)


def _is_known(outcome: Any) -> bool:
    kind = outcome.get("type") if isinstance(outcome, dict) else None
    return kind in ("success", "cancelled") or (kind == "interrupt" and bool(objects_of(outcome.get("interrupts"))))


def _is_certain(piece: Piece) -> bool:
    """True if RUN_FINISHED is certain though its stream was cut: the run waits, or nothing of it is left to come."""
    finish = piece.finish
    if finish is None or finish.followed:
        return False
    return (
        not piece.unanswered()
        or find_action(piece, finish.value) is not None
        or outcome_of(finish.value) == "cancelled"
    )


def _open_ids(piece: Piece) -> list[str]:
    """The ids of what is open, except for what chunks have opened."""
    lanes = set(piece.lanes.values())
    tables = (("text", piece.messages), ("arguments", piece.calls), ("reasoning", piece.reasoning))
    found = [
        id
        for target, table in tables
        for id, each in table.items()
        if each.is_open and (target, id) not in lanes and (each.piece == piece.id)
    ]
    found += [key.partition("\n")[2] for key in piece.labels]
    return found + [id for id in piece.subagents if id not in piece.closed_subagents]
