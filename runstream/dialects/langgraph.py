"""The dialect of the LangGraph server's run wire: one stream of events a run, in any of its modes, in; events out.

A clean end of the stream is no success, and a run that waits has the status of a success: what the server says when it
is asked (:class:`~runstream.Answer`) is the outcome. Interrupts come one by one, so a request for action is emitted at
the end of the step, which is the end of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4
from zlib import crc32

import msgspec

from runstream.dialects.langgraph_modes import HANDLERS, Modes, error_of
from runstream.dialects.langgraph_objects import Place
from runstream.dialects.langgraph_runs import ServerRun, without_values
from runstream.dialects.langgraph_wire import (
    MODES,
    Json,
    decode_text_chunk,
    integer_of,
    mapping_of,
    split_name,
    text_of,
)
from runstream.errors import DecodeError
from runstream.model.events import (
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    Reject,
    TextAppend,
    UnknownEvent,
)
from runstream.model.jsontext import decode_json
from runstream.model.raw import RawEvent, RawItem, ResponseHead

__all__ = ["LangGraphDialect"]

_NO_RUN: Final = "No event, no header and no application names the run of this stream"
_MAX_SEEN: Final = 8192
_MANY: Final = 8  # ids that follow one another count; a few do so by chance
_MAX_DIGITS: Final = 18


class LangGraphDialect(Modes):
    """Decodes the run wire: blocks of an event stream, the server's answers, and what a graph in this process yields.

    Args:
        continues: The id of the run that the first run of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for the answer to an interrupt, by the id of the interrupt.
        known: What the runs have, also from other sources.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = (
        "_consecutive",
        "_cut_id",
        "_has_ids",
        "_is_reconnected",
        "_is_started",
        "_last_id",
        "_pending_run",
        "_repeats",
        "_seen",
        "_seen_before",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pending_run: tuple[str, int, str] | None = None  # a run that may continue the last one: id, attempt, name
        self._seen: dict[str, int] = {}  # the identities of the last events, with a hash of each
        self._seen_before: dict[str, int] = {}  # those before them
        self._is_started = False
        self._has_ids = False
        self._last_id: str | None = None
        self._cut_id: str | None = None  # the last one of the connections before
        self._consecutive = 0  # the number of ids that have followed one another
        self._is_reconnected = False  # no event of this later connection was decoded yet
        self._repeats = 0

    @classmethod
    def recognises(cls, raw: RawEvent) -> bool:
        """True if an event is certainly one of this wire."""
        name = raw.event
        if name is None:
            value = _peek(raw.data)
            if value is None or not isinstance(value.get("event"), str) or "data" not in value:
                return False
            name, data = value["event"], value["data"]
            return split_name(name)[0] in MODES or (name == "metadata" and "run_id" in mapping_of(data))
        if name == "metadata":
            return b'"run_id"' in raw.data[:200]
        if name == "messages" and not raw.data.lstrip().startswith(b"["):
            return False  # an event of the thread protocol
        if name in ("values", "updates", "tasks", "checkpoints") and b'"method"' in raw.data[:200]:
            return False
        return split_name(name)[0] in MODES or name.startswith("messages/")

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item. Never raises on input."""
        if type(item) is not RawEvent:
            return self._decode_other(item)
        if self._texts:
            try:
                chunk, _ = decode_text_chunk(item.data)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                return self._decode_any(item)
            message = self._texts.get(chunk.id)
            if message is not None and message.is_open and chunk.content:
                text = chunk.content
                id = self._identify(item.id) if item.id is not None else None
                if id is not None:
                    seen = self._seen
                    known = seen.get(id) or self._seen_before.get(id)
                    if known is not None and (known == hash(text) or known == hash(item.data)):
                        return ()
                    if not id.isdigit():
                        # Times of milliseconds prove nothing about what is missing: this memory of them is enough.
                        seen[id] = hash(text)
                        if len(seen) > _MAX_SEEN:
                            self._seen, self._seen_before = {}, seen
                        id = None
                return TextAppend(chunk.id, "text", message.part, text, id, message.run_id, item.event or "")
        return self._decode_any(item)

    def end(self, clean: bool) -> Sequence[Event]:
        """What the stream has left open: that its run waits, or that its outcome is unknown."""
        self._dump = None
        self._pending_run = None  # whether it continues the last one is unknown
        run = self._current
        if run is None or not run.is_open or run.waits:
            return ()
        if run.is_local and clean and run.is_visible and run.error is None:
            run.answers.run = {"status": "success"}  # the graph has returned
        if not clean and run.error is None and not run.interrupts.waits and run.answers.run is None:
            return ()  # cut off: the engine knows why
        return self._settle(run, Place(None, run.run_id, "end"))

    def _identify(self, id: str | None) -> str | None:
        """The identity of an event: its id, with its place among the events of the same id behind it."""
        if id is None:
            return None
        last = self._last_id
        if id == last:
            self._repeats += 1
            return f"{id}.{self._repeats}"
        if last is not None and id.isdigit():
            self._count(last, id)
        self._last_id = id
        self._has_ids = True
        self._repeats = 0
        return id

    def _count(self, last: str, id: str) -> None:
        """Compare the ids of two successive events: where ids count, one that is skipped is an event that is lost."""
        step = _distance(last, id)
        if step > 1 and self._consecutive >= _MANY:
            self._note_gap()
        self._consecutive = self._consecutive + 1 if step == 1 else 0

    def _is_repeated(self, id: str, data: bytes, value: Any) -> bool:
        """True if this event was decoded before: what it has begun is not begun again."""
        digest = hash(data)  # another event may have the same id
        known = self._seen.get(id), self._seen_before.get(id)
        if digest in known or (isinstance(text := _chunk_text(value), str) and hash(text) in known):
            return True
        self._seen[id] = digest
        if len(self._seen) > _MAX_SEEN:
            self._seen, self._seen_before = {}, self._seen
        return False

    # items beside the stream

    def _note_request(self, body: Json) -> Sequence[Event]:
        resume = mapping_of(body.get("command")).get("resume")
        self._answered = tuple(resume) if isinstance(resume, dict) else ()
        self._is_started = "assistant_id" in body
        return ()

    def _note_head(self, item: ResponseHead) -> Sequence[Event]:
        """The head of a response names the thread and the run; the run exists from then on."""
        headers = dict(item.headers)
        parts = (headers.get("content-location") or headers.get("location") or "").strip("/").split("/")
        found = dict(zip(parts[::2], parts[1::2], strict=False))
        if (id := found.get("runs")) is None:
            return ()
        is_new = id not in self._runs
        # A response to a request that has started its run begins with it, any other one may begin anywhere.
        run = self._begin_run(id) if self._is_started else self._join_run(id)
        run.thread_id = found.get("threads") or run.thread_id
        self._texts = {key: each for key, each in self._texts.items() if each.run_id == run.run_id}
        if not (is_new and self._is_started):
            return ()
        return [run.show("queued", Place(None, run.run_id, "run"), created=run.run_id == run.id)]

    def _note_connection(self) -> None:
        if self.connection:
            self._is_reconnected = True
            self._texts.clear()  # so that the first event leaves the short way
            if not self._has_ids and self._current is not None:
                self._current.log.is_joined = True  # the stream goes on somewhere
        self._cut_id = self._last_id or self._cut_id
        self._last_id = None  # a server may repeat the last event

    # events

    def _decode_any(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        value = self._read(raw)
        if isinstance(value, Reject):
            return value
        name = raw.event
        is_local = name is None
        if name is None:
            if not isinstance(value, dict):
                return Reject(raw, "Expected the name of an event beside its data")
            if isinstance(value.get("event"), str) and "data" in value:
                name, value = value["event"], value["data"]
            elif isinstance(value.get("run_id"), str) and "status" in value:
                return self._read_answer(value, 200)
            else:
                return Reject(raw, "Expected an object with `event` and `data`")
        base, path = split_name(name)
        id = self._identify(raw.id)
        # Another form of `metadata`, such as with white space, begins nothing; another attempt does.
        data = msgspec.json.encode(value, order="sorted") if base == "metadata" else raw.data
        is_repeated = id is not None and self._is_repeated(id, data, value)
        begins_again = self._is_reconnected and base == "metadata"
        if self._is_reconnected:
            self._is_reconnected = False
            # An event that was received before, or the next number, proves that nothing was lost. A time proves
            # nothing: of several events with the time of the last one, the server leaves out the others.
            if not (is_repeated or (id is not None and self._cut_id and _distance(self._cut_id, id) == 1)):
                self._note_gap()
        if is_repeated:
            return ()
        self._dump = None
        if base == "metadata":
            if begins_again and (known := self._runs.get(text_of(mapping_of(value).get("run_id")) or "")) is not None:
                self._begin_again(known)
            return self._decode_metadata(mapping_of(value), name, id, raw)
        facts = _facts_of(base, value)
        begun = self._release(base, value, id) if self._pending_run is not None and self._is_next(facts) else []
        run = self._run_of(facts, is_local=is_local)
        begins, continues = run is None and is_local and base in HANDLERS, self._continues
        if begins:
            run = self._begin_run(f"run-{uuid4().hex}")  # a graph in this process, whose runs have no id
            run.is_local = True
        if run is None:
            if base in ("error", "end"):
                return [*begun, *self._decode_stray(base, value, name, id)]
            if base in HANDLERS or base in _IGNORED:
                return Reject(raw, _NO_RUN)
            return UnknownEvent(raw.data, id, name=name)
        place = Place(id, run.run_id, name, path)
        if run.status in (None, "queued") and base != "error":
            begun = [*begun, run.show("in_progress", place)]
        handler = HANDLERS.get(base)
        if handler is not None:
            run.is_visible = run.is_visible or base in _VISIBLE
            # A graph in this process sends nothing again.
            is_known = base in _VALUES and not is_local and run.repeats_value(crc32(raw.data, crc32(name.encode())))
            events = handler(self, run, value, place)
            if is_known and events:
                events = without_values(events)
            if begins and not events:  # an event with nothing begins no run
                del self._runs[run.id]
                self._aliases.pop(run.id, None)
                self._current, self._continues, begun = None, continues, []
            if events is None:
                self._note_damage()
                return [*begun, Reject(raw, "Not the form that an event of this name has", object_ids=None)]
            if path and events:
                begun = [*begun, *run.begin_path(place)]
            events = [*begun, *events]
        elif base in _IGNORED:
            events = begun
        else:
            events = [*begun, UnknownEvent(raw.data, id, run_id=run.run_id, name=name)]
        return events or EmptyEvent(id=id, run_id=run.run_id, name=name)

    def _is_next(self, facts: Json) -> bool:
        """True if an event may be the first one of the run whose beginning is kept back: it names no earlier run."""
        id = text_of(facts.get("run_id"))
        return id is None or id not in self._runs

    def _run_of(self, facts: Json, *, is_local: bool) -> ServerRun | None:
        """The run of an event. Only chunks and the metadata of messages name it."""
        id = text_of(facts.get("run_id"))
        run = self._runs.get(id) if id is not None else self._current
        if id is not None and run is None:
            run = self._join_run(id)
        if run is None and self._continues is not None and not is_local:
            run = self._join_run(self._continues)
        if run is not None and facts:
            run.thread_id = text_of(facts.get("thread_id")) or run.thread_id
            run.assistant_id = text_of(facts.get("assistant_id")) or run.assistant_id
        return run

    def _join_run(self, id: str) -> ServerRun:
        """The run with this id; one that is unknown has begun before this stream."""
        is_new = id not in self._runs
        run = self._begin_run(id)
        if is_new:
            run.log.is_joined = True
            run.log.note_gap()
        return run

    def _decode_metadata(
        self, value: Json, name: str, id: str | None, raw: RawEvent
    ) -> Event | Reject | Sequence[Event | Reject]:
        run_id = text_of(value.get("run_id"))
        if run_id is None:
            return UnknownEvent(raw.data, id, name=name)
        if value.get("status") == "run_done":
            begun = self._release(None, None, id)
            run = self._runs.get(run_id)
            if run is None or not run.is_open:
                return begun or EmptyEvent(id=id, name=name)
            return [*begun, *self._settle(run, Place(id, run.run_id, name))]
        attempt = integer_of(value.get("attempt")) or 1
        last = self._current
        if (
            last is not None
            and last.id != run_id
            and last.waits
            and self._continues is None
            and run_id not in self._runs
        ):
            self._pending_run = (run_id, attempt, name)
            return EmptyEvent(id=id, name=name)
        return self._start(run_id, attempt, name, id, None)

    def _start(self, run_id: str, attempt: int, name: str, id: str | None, continues: str | None) -> list[Event]:
        run = self._begin_run(run_id, continues)
        run.log.end_gap()  # the stream begins with it
        place = Place(id, run.run_id, name)
        if not run.is_open:
            return [EmptyEvent(id=id, run_id=run.run_id, name=name)]
        if attempt > run.attempt:
            self._texts.clear()
            return run.retry(attempt, place)
        return [run.show("in_progress", place, created=run.run_id == run.id)]

    def _release(self, base: str | None, value: Any, id: str | None = None) -> list[Event]:
        """Begin a run that was kept back: it continues the last one, which waits, if it begins with the same state."""
        if self._pending_run is None:
            return []
        (run_id, attempt, name), self._pending_run = self._pending_run, None
        last = self._current
        is_same = last is not None and base == "values" and isinstance(value, dict) and value == last.document
        return self._start(run_id, attempt, name, id, last.run_id if last is not None and is_same else None)

    def _decode_stray(self, base: str, value: Any, name: str, id: str | None) -> list[Event]:
        if base == "end":
            return [DoneEvent(id=id, name=name)]
        return [ErrorEvent(error_of(value), id, name=name)]


_IGNORED: Final = frozenset({"events"})  # callbacks, which repeat all this at great length
_VALUES: Final = frozenset({"values", "checkpoints", "debug", "custom", "feedback"})
_VISIBLE: Final = frozenset({"values", "updates", "tasks", "debug"})


def _distance(last: str, id: str) -> int:
    """The difference of two ids that are numbers; 0 if they are none."""
    is_counted = last.isdecimal() and id.isdecimal() and max(len(last), len(id)) <= _MAX_DIGITS
    return int(id) - int(last) if is_counted else 0


def _chunk_text(value: Any) -> Any:
    """The text of a chunk, of which the short way notes only that."""
    return value[0].get("content") if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _facts_of(base: str, value: Any) -> Json:
    """The facts beside a message, which name its run."""
    if base == "messages" and isinstance(value, list) and len(value) > 1:
        return mapping_of(value[1])
    if base == "messages/metadata":
        return mapping_of(mapping_of(next(iter(mapping_of(value).values()), None)).get("metadata"))
    return {}


def _peek(data: bytes) -> Json | None:
    if len(data) > 65536:
        return None
    try:
        value = decode_json(data)
    except DecodeError:
        return None
    return value if isinstance(value, dict) else None
