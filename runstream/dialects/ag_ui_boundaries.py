"""The boundaries of AG-UI runs: their starts and ends enter, the events of runs that begin, wait and end leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import structs

from runstream.dialects.ag_ui_damage import may_ask, may_grow_call, visible_type
from runstream.dialects.ag_ui_events import HANDLERS
from runstream.dialects.ag_ui_objects import Frame, close_objects, run_event
from runstream.dialects.ag_ui_repeats import decide_repeats, take_results
from runstream.dialects.ag_ui_request import input_of
from runstream.dialects.ag_ui_rules import Violations
from runstream.dialects.ag_ui_runs import Runs
from runstream.dialects.ag_ui_state import Finish, Input, Piece, open_ids
from runstream.dialects.ag_ui_texts import close_lane
from runstream.dialects.ag_ui_waiting import find_action, is_known_outcome, outcome_of, pending_ids
from runstream.dialects.ag_ui_wire import (
    EVENT_TYPES,
    RUN_ID,
    Json,
    any_id_of,
    call_id_of,
    error_of,
    field_of,
    id_in,
    text_of,
    time_of,
    usage_entries,
    usage_of,
)
from runstream.dialects.base import BaseDialect, KnownIds
from runstream.dialects.redaction_rules import split_words
from runstream.model.common import ErrorObject, LastError
from runstream.model.events import (
    DocumentSnapshot,
    EmptyEvent,
    ErrorEvent,
    Event,
    Reject,
    UnknownEvent,
)
from runstream.model.frozen import freeze
from runstream.model.jsontext import MAX_NESTING
from runstream.model.raw import RawEvent
from runstream.model.run import Run, RunStatus

__all__ = ["MAX_EARLY", "TRAILING", "Boundaries", "as_list"]

# After RUN_FINISHED these leave open whether the run goes on.
TRAILING: Final = split_words(
    """
    RAW CUSTOM STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT ACTIVITY_SNAPSHOT ACTIVITY_DELTA STEP_FINISHED
    TEXT_MESSAGE_END TOOL_CALL_END REASONING_END REASONING_MESSAGE_END REASONING_ENCRYPTED_VALUE SUBAGENT_FINISHED
    THINKING_END THINKING_TEXT_MESSAGE_END
    """
)
MAX_EARLY: Final = 64
_MAX_EARLY_BYTES: Final = 256 * 1024


class Boundaries(BaseDialect):
    """The part of the AG-UI dialect that begins and ends runs; see :class:`~runstream.dialects.ag_ui.AgUiDialect`.

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

    __slots__ = (
        "_dump",
        "_early",
        "_is_start_lost",
        "_max_bytes",
        "_max_nesting",
        "_piece",
        "_request",
        "_runs",
        "_stale",
        "_start",
        "rule_violations",
    )

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
        self._max_bytes = max_message_bytes
        self._max_nesting = max_nesting
        self._runs = Runs(continues, find_run, known)
        self._piece: Piece | None = self._runs.load(memory) if memory is not None else None  # of the latest event
        self._request: Input | None = None  # the latest one, until its run starts
        self._early: list[RawEvent | Reject] = []  # events whose run is not known yet, and those that can't be read
        self._is_start_lost = False  # True if an event that could not be read may have been the start of a run
        self._stale = 0  # the number of events in `_early` that an earlier connection has sent
        self._start: tuple[Json, Frame] | None = None  # a start whose run is not decided yet
        self._dump: bytes | None = None  # the memory, until it changes
        self.rule_violations = Violations()

    def _note(self, piece: Piece | None, frame: Frame) -> Callable[[str, str], None]:
        """The function that counts a violation in an event."""
        run_id = piece.id if piece is not None else None

        def note(rule: str, object_id: str) -> None:
            self.rule_violations.add(rule, frame.name, run_id, frame.line, object_id)

        return note

    @staticmethod
    def _identify(piece: Piece | None, id: str | None) -> str | None:
        """The identity of an event: the id of its block, which counts within its run."""
        return id if id is None or piece is None else f"{piece.id}/{id}"

    def _go_on(self, piece: Piece, frame: Frame) -> list[Event]:
        """Note that an event of a run follows its end."""
        if piece.phase == "running":
            return []
        note = self._note(piece, frame)
        if piece.phase == "finishing":
            note("event_after_end", "")
            if frame.name in TRAILING:
                if piece.finish is not None:
                    piece.finish.followed = True
                return []
            piece.phase, piece.finish, piece.interrupts = "running", None, []
            return []
        note("event_after_end", "")
        if piece.phase == "waiting" and frame.name not in TRAILING:
            piece.phase, piece.finish, piece.interrupts = "running", None, []
            return [run_event(piece, self._run_of(piece, "in_progress"), frame)]
        if piece.phase == "ended" and piece.is_complete and not piece.contradicted and frame.name not in TRAILING:
            return self._contradict(piece, frame)
        return []

    def _contradict(self, piece: Piece, frame: Frame, error: ErrorObject | None = None) -> list[Event]:
        """The report of an event that contradicts an end which was certain."""
        piece.contradicted = True
        error = error or ErrorObject(code="event_after_end")
        return [ErrorEvent(error, frame.id, run_id=piece.run_id, name=frame.name)]

    # input that could not be read

    def _note_damage(self, data: bytes, name: str | None) -> list[Event]:
        """Note an event that could not be read. What its bytes show decides about the run; the rest is a reject.

        Args:
            data: Its bytes.
            name: Its type, as far as it is known.

        Returns:
            The end of a run that has become certain, since another one has started.
        """
        piece, self._dump = self._piece, None
        if piece is None or self._start is not None:
            return []
        piece.note_damage(name, cuts=name in ("TOOL_CALL_ARGS", "TOOL_CALL_CHUNK") or may_grow_call(data))
        piece.has_lost_question = piece.has_lost_question or may_ask(data)
        if piece.phase == "running":
            return []
        if name == "RUN_STARTED":
            events = self._settle(piece, Frame(name)) if piece.phase == "finishing" else []
            self._piece, self._is_start_lost = None, True
            return events
        if name is None:
            self._is_start_lost = True
        elif name == "RUN_ERROR" and piece.phase == "finishing":
            piece.phase, piece.finish = "running", None
        elif name != "RUN_FINISHED" and piece.phase == "finishing":
            return self._go_on(piece, Frame(name))
        return []

    def _reject(self, reject: Reject, data: bytes, name: str | None) -> Sequence[Event | Reject]:
        """Reject an event that can't be read; behind events whose run is not known yet, when it is: it is a gap in it.

        Args:
            reject: The reject.
            data: The bytes of the event.
            name: Its type, as far as it is known.
        """
        if self._piece is None and 0 < len(self._early) < MAX_EARLY:
            self._early.append(reject)
            return ()
        return [*self._note_damage(data, name), reject]

    def _leave_run(self, value: Json, name: str) -> None:
        """Leave the current run: the next one has begun, by an event that could not be read.

        The end of the run that is left is not certain, since that event may have been an error of it.

        Args:
            value: The first event that could be read.
            name: Its type.
        """
        piece = self._piece
        if name == "RUN_STARTED":
            self._is_start_lost = False
        elif piece is None or name in TRAILING:
            return
        elif name not in ("RUN_FINISHED", "RUN_ERROR") and id_in(value) is None:
            return  # it begins nothing
        elif name == "RUN_FINISHED" and self._runs.find_open(text_of(field_of(value, "runId"))) is not None:
            self._is_start_lost = False
        else:
            if piece.phase == "finishing":
                piece.phase, piece.finish = "running", None
            self._piece = None

    def _decode_start(self, value: Json, frame: Frame) -> Sequence[Event | Reject] | Event:
        if not self._stale:
            return self._start_run(value, frame)
        # This connection sends the run from its beginning.
        rejects = [each for each in self._early[: self._stale] if isinstance(each, Reject)]
        self._early, self._stale = self._early[self._stale :], 0
        return [*rejects, *as_list(self._start_run(value, frame))]

    def _start_run(self, value: Json, frame: Frame) -> Sequence[Event | Reject] | Event:
        piece = self._piece
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
        ids = [id for raw in self._early_events() if (id := call_id_of(raw)) is not None]
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
        self._is_start_lost = False
        request, self._request = self._request, None
        wire_id = text_of(field_of(value, "runId")) or None
        thread_id = text_of(field_of(value, "threadId"))
        if request is not None:
            if wire_id is not None and request.run_id not in (None, wire_id):
                self._note(self._piece, frame)("run_id", request.run_id or "")
            wire_id, thread_id = wire_id or request.run_id, thread_id or request.thread_id
        if self._runs.is_used(wire_id, request):
            self._note(self._piece, frame)("run_id", wire_id or "")
        piece = self._piece = self._runs.begin(wire_id, thread_id, request, call_ids)
        piece.created_at = time_of(value.get("timestamp"))
        frame = structs.replace(frame, id=self._identify(piece, frame.id))
        events: list[Event] = [run_event(piece, self._run_of(piece, "in_progress"), frame, created=piece.is_first)]
        if request is not None and request.has_state:
            events.append(DocumentSnapshot(request.state, frame.id, run_id=piece.run_id, name=frame.name))
        if request is not None and not piece.is_first:
            events += take_results(piece, request, frame)
        return events

    def _defer_early(self, raw: RawEvent, frame: Frame) -> Sequence[Event | Reject]:
        """Keep an event that precedes the start of its run."""
        if not self._early:
            self._note(None, frame)("first_event", "")
        self._early.append(raw)
        if self._is_start_lost and (id := any_id_of(raw)) is not None and (found := self._runs.find_sender(id)):
            return self._begin_known(*found, name=frame.name)
        if len(self._early) <= MAX_EARLY and sum(len(each.data) for each in self._early_events()) <= _MAX_EARLY_BYTES:
            return ()
        return self._begin_unseen(None)

    def _begin_known(self, id: str, piece: Piece | None, *, name: str) -> Sequence[Event | Reject]:
        """Find the run whose start could not be read by an object that this run has sent before.

        Args:
            id: The id of the piece that has sent it.
            piece: The piece, if it is open.
            name: The type of the event.
        """
        goes_on = piece is not None and (not self._runs.is_replayed(id) or name.endswith(("_CONTENT", "_ARGS")))
        if not goes_on:
            return self._begin_unseen(id) if self._runs.is_replayed(id) else ()
        self._piece, self._is_start_lost = piece, False
        return self._flush()

    def _begin_unseen(self, wire_id: str | None) -> list[Event | Reject]:
        """Begin a run whose start was not received: under the id of the request, else under one of its first event."""
        if wire_id is None and (self._request is None or self._request.run_id is None):
            found = next((id for raw in self._early_events() if (id := any_id_of(raw)) is not None), None)
            if found is None:
                early, self._early = self._early, []
                unseen = "Its run was not seen"
                return [each if isinstance(each, Reject) else Reject(each, unseen, object_ids=()) for each in early]
            wire_id = f"run/{found}"
        call_ids = [id for raw in self._early_events() if (id := call_id_of(raw)) is not None]
        return [*self._begin({"runId": wire_id}, Frame("RUN_STARTED"), call_ids), *self._flush()]

    def _flush(self) -> list[Event | Reject]:
        """The events that preceded the start of their run, or the decision about it."""
        early, self._early, self._stale = self._early, [], 0
        events: list[Event | Reject] = []
        for each in early:
            if isinstance(each, Reject):
                name = visible_type(each.raw.data) or (each.raw.event if each.raw.event in EVENT_TYPES else None)
                events += [*self._note_damage(each.raw.data, name), each]
            else:
                events += as_list(self._decode_any(structs.replace(each, id=None)))
        return events

    def _early_events(self) -> Iterator[RawEvent]:
        """The events whose run is not known yet."""
        return (each for each in self._early if not isinstance(each, Reject))

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
        for id in open_ids(piece):
            note("closed_at_finish", id)
        outcome = value.get("outcome")
        if outcome is not None and not is_known_outcome(outcome):
            note("known_outcome", "")
        piece.usage += usage_entries(value.get("usage"), note)
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
        events = decide_repeats(piece, pending_ids(value), frame, self._note(piece, frame))
        action = find_action(piece, value)
        cancelled = outcome_of(value) == "cancelled"
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
        if request is None and piece is not None and (ended := self._runs.find_ended(wire_id, piece)) is not None:
            self._note(piece, frame)("event_after_end", wire_id or "")
            return ErrorEvent(error, frame.id, run_id=ended, name=frame.name)
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
        piece.usage += usage_entries(value.get("usage"), note)
        events += decide_repeats(piece, (), frame, note)
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

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        """Decode an event of any kind; the dialect defines it."""
        raise NotImplementedError


def _ignore(rule: str, object_id: str) -> None:
    """For events that are made here."""


def as_list(decoded: Event | Reject | Sequence[Event | Reject]) -> Sequence[Event | Reject]:
    return decoded if isinstance(decoded, list | tuple) else [decoded]  # type: ignore[list-item]
