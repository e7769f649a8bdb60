"""The AG-UI dialect: raw events of the AG-UI wire in, canonical events out.

A run of the wire is a piece of a run. A pause ends it, and what the application sends then begins a further one; no
field on the wire names the earlier one. It continues the run that the application has named, else the one that waits
for an answer which the request contains, else it is a run of its own.

RUN_FINISHED is not certain when it is received: RUN_ERROR may follow, and some servers send it after each call of the
model. It is deferred until the next event or request, the end of the stream, or the end of the source's grace time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import structs

from runstream.dialects.ag_ui_boundaries import MAX_EARLY, TRAILING, Boundaries, as_list
from runstream.dialects.ag_ui_damage import note_unusable, visible_type
from runstream.dialects.ag_ui_events import HANDLERS, ON_INTERRUPT
from runstream.dialects.ag_ui_objects import Frame
from runstream.dialects.ag_ui_owners import owner_of
from runstream.dialects.ag_ui_redaction import AG_UI_RULES
from runstream.dialects.ag_ui_request import read_request
from runstream.dialects.ag_ui_snapshot import decode_messages
from runstream.dialects.ag_ui_state import MAX_KEPT, Piece
from runstream.dialects.ag_ui_texts import CLOSES_LANE, close_lane
from runstream.dialects.ag_ui_waiting import find_action, outcome_of
from runstream.dialects.ag_ui_wire import (
    EVENT_TYPES,
    Json,
    decode_fragment,
    field_of,
    objects_of,
    read_number_ids,
    restore_halves,
    text_of,
)
from runstream.dialects.json_message import read_message
from runstream.dialects.redaction_rules import split_words
from runstream.model.events import (
    DoneEvent,
    EmptyEvent,
    Event,
    Reject,
    TextAppend,
    UnknownEvent,
)
from runstream.model.raw import ConnectionEvent, Idle, Malformed, Oversized, RawEvent, RawItem, Request

__all__ = ["AgUiDialect"]

# The first events of a run that do not show whether it continues one that waits.
_UNDECIDED: Final = split_words("STEP_STARTED STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT RAW CUSTOM")
_VALUES: Final = split_words(
    "CUSTOM RAW STATE_SNAPSHOT STATE_DELTA ACTIVITY_SNAPSHOT ACTIVITY_DELTA REASONING_ENCRYPTED_VALUE"
)
_OF_CALLS: Final = split_words("TOOL_CALL_RESULT TOOL_CALL_START TOOL_CALL_CHUNK")


class AgUiDialect(Boundaries):
    """Decodes the AG-UI wire: SSE blocks, WebSocket frames or JSON lines, each with one event.

    Args:
        continues: The id of the run that the first run of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for an answer to an interrupt or a call, by its id.
        known: What the runs have, also from other sources.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).

    Attributes:
        rule_violations: The violations of the protocol's rules, by rule and with their places.
    """

    __slots__ = ()

    redaction = AG_UI_RULES

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True for an event by its type, also in an envelope."""
        try:
            found = _decode_header(raw.data)
            if found.type is msgspec.UNSET and isinstance(found.data, msgspec.Raw):
                found = _decode_header(bytes(found.data))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        if found.type is msgspec.UNSET:
            return raw.event in EVENT_TYPES
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
            or (
                piece.lanes.get(found.owner) != (target, id)
                or (fragment.role is not None and fragment.role != found.role)
                or (fragment.call_name is not None and fragment.call_name != found.name)
                if fragment.is_chunk
                else found.owner in piece.lanes
            )
        ):
            return self._decode_any(item)
        delta = fragment.delta
        identity = item.id if item.id is None else f"{piece.id}/{item.id}"
        if not delta:
            return EmptyEvent(id=identity, run_id=piece.run_id, name=fragment.name)
        if target == "arguments":
            found.take_arguments(delta, identity)
            self._dump = None
        else:  # `Growing.take`, without the call
            if not found.size:
                found.first = delta
            found.last = delta
            if found.size < MAX_KEPT:
                found.texts.append(delta)
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
            elif piece.phase in ("running", "resumed", "finishing"):
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

    def note_gap(self, run_id: str | None, event: Event | None) -> None:
        """Note that events may be lost: a call that was open is requested only if its arguments are whole anyway."""
        self._dump = None
        for piece in self._runs.open():
            if run_id in (None, piece.run_id):
                piece.note_gap(event)

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
            data = item.data if isinstance(item, Malformed) else b"{"  # as any event begins
            name = visible_type(data) or (item.event if item.event in EVENT_TYPES else None)
            reject: Any = super().decode(item)
            return self._reject(reject, data, name)
        return super().decode(item)

    # events

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        piece = self._piece
        if piece is not None and piece.phase == "resumed" and not piece.is_behind_gap and piece.has_half:
            piece.phase = "running"
            decoded = self._decode_any(raw)
            if piece.phase == "running" and piece.has_half:
                piece.phase = "resumed"
            return decoded
        if raw.data.strip() in (b"[DONE]", b'"[DONE]"'):
            self._note(self._piece, Frame("[DONE]", line=raw.line))("done_marker", "")
            return DoneEvent(id=raw.id, name="[DONE]")
        value = read_message(raw, self._max_bytes, self._max_nesting)
        if isinstance(value, Reject):
            return self._reject(value, raw.data, visible_type(raw.data))
        if isinstance(value, dict) and "type" not in value and isinstance(value.get("data"), dict):
            value = value["data"]  # an envelope, as relays and recordings put around an event
        if isinstance(value, dict) and raw.event in EVENT_TYPES and value.get("type") is None:
            value["type"] = raw.event  # a server that names its events in the framing alone
            self._note(self._piece, Frame(raw.event, line=raw.line))("field_value", "type")
        if not isinstance(value, dict) or not isinstance(name := value.get("type"), str):
            reject = Reject(raw, "Expected an object with `type`")
            if not isinstance(value, dict) or "delta" not in value:
                return reject  # such as a sign of life
            return self._reject(structs.replace(reject, object_ids=None), raw.data, None)
        self._dump = None
        has_numbers = read_number_ids(value)
        if self._is_start_lost and name in EVENT_TYPES:
            self._leave_run(value, name)
        piece = self._piece
        if piece is not None and piece.phase == "resumed":
            piece.phase = "running"
            if piece.is_behind_gap and raw.id is None:
                piece.note_gap(None)  # an id may prove that nothing is lost, which the engine knows
            piece.is_behind_gap = False
        frame = Frame(name, raw.id, raw.line)
        if name not in EVENT_TYPES:
            self._note(piece, frame)("known_type", "")
            run_id = piece.run_id if piece is not None else None
            return UnknownEvent(raw.data, self._identify(piece, raw.id), run_id=run_id, name=name)
        if any("_" in key for key in value if not key.startswith("_")):
            self._note(piece, frame)("field_name", "")
        if has_numbers:
            self._note(piece, frame)("field_value", "")
        if self._start is not None:
            if name in _UNDECIDED and len(self._early) < MAX_EARLY:
                self._early.append(raw)
                return ()
            call_id = text_of(field_of(value, "toolCallId")) if name in _OF_CALLS else None
            return [*self._begin_deferred(call_id), *as_list(self._decode_any(raw))]
        if name == "RUN_STARTED":
            return self._decode_start(value, frame)
        if name == "RUN_ERROR":
            return self._decode_error(value, frame)
        if name == "RUN_FINISHED":
            return self._decode_finish(value, frame)
        if piece is None or (self._request is not None and piece.phase in ("waiting", "ended")):
            return self._defer_early(raw, frame)
        return self._decode_inner(piece, value, frame, raw)

    def _decode_inner(self, piece: Piece, value: Json, frame: Frame, raw: RawEvent) -> Sequence[Event | Reject] | Event:
        """Decode an event between the boundaries of a run."""
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        note = self._note(piece, frame)
        name = frame.name
        if name in _VALUES and piece.repeats_value(_digest_of(value)):
            if value.get("name") == ON_INTERRUPT:
                piece.interrupts.append(value.get("value"))
            return EmptyEvent(id=frame.id, run_id=piece.run_id, name=name)
        is_odd = False
        reopen = close_lane(piece, owner_of(value)) if name in CLOSES_LANE else None
        if name == "MESSAGES_SNAPSHOT":
            for owner in list(piece.lanes):
                close_lane(piece, owner)
            messages = value.get("messages")
            if not isinstance(messages, list):
                note("field_value", "")
            found: list[Event] | None = decode_messages(
                piece, objects_of(messages), self._runs.message_ids, frame, note
            )
        else:
            if isinstance(delta := value.get("delta"), str) and "\ufffd" in delta:
                value = {**value, "delta": restore_halves(delta, raw.data)}
                is_odd = True
            found = HANDLERS[name](piece, value, frame, note)
        if found is None:
            note("field_value", "")
            if reopen is not None:
                reopen()  # an event that can't be used ends nothing
            return [Reject(raw, f"{name} lacks a field that it needs", object_ids=note_unusable(piece, value, name))]
        events = self._go_on(piece, frame) if found or name in TRAILING else []
        piece.began = True
        if is_odd and piece.has_half and piece.phase == "running":
            piece.phase = "resumed"  # so that the next event comes here, and no fragment is appended at once
        return [*events, *found] or EmptyEvent(id=frame.id, run_id=piece.run_id, name=name)


def _digest_of(value: Json) -> int:
    """The digest of an event: that of its value, since a server may write it in another form when it repeats it."""
    return crc32(msgspec.json.encode(value, order="sorted"))


class _Header(msgspec.Struct, gc=False):
    """The fields of a message that show whether it is an event of this wire."""

    type: Any = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_header: Final = msgspec.json.Decoder(_Header).decode


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
