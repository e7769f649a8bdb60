"""What the two wires of the LangGraph server have in common: their runs, the answers of the server, the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from runstream.dialects.base import BaseDialect
from runstream.dialects.langgraph_objects import Place
from runstream.dialects.langgraph_outcomes import decide, decide_at_end
from runstream.dialects.langgraph_redaction import LANGGRAPH_RULES
from runstream.dialects.langgraph_runs import ServerRun
from runstream.dialects.langgraph_wire import Json, mapping_of, text_of
from runstream.dialects.memory_codec import MemoryCodec
from runstream.errors import DecodeError
from runstream.model.common import LastError
from runstream.model.events import Event, Reject
from runstream.model.frozen import thaw
from runstream.model.jsontext import MAX_NESTING, STREAM_TEXT, decode_json, is_stream_text, nesting_depth
from runstream.model.raw import (
    Answer,
    ConnectionEvent,
    Malformed,
    Oversized,
    RawEvent,
    RawItem,
    Request,
    ResponseHead,
)

__all__ = ["LangGraphBase", "latest_run"]

_MAX_RUNS: Final = 64
"""The number of the server's runs that are remembered, of each source."""


class _Memory(Struct):
    """What a later decoder needs."""

    runs: list[ServerRun] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    current: str | None = None


_codec: Final = MemoryCodec(_Memory, thaw)


def latest_run(memory: bytes | None) -> str | None:
    """The server's id of the run that a source has read last.

    Args:
        memory: The :meth:`~LangGraphBase.dump` of its dialect.
    """
    try:
        return _codec.decode(memory).current if memory is not None else None
    except msgspec.MsgspecError:
        return None


class LangGraphBase(BaseDialect):
    """The runs of one source, and what the server says when it is asked.

    A run of the server that waits has ended for the server: the answer starts another run there, which does not name
    the first one. The application says which run a source continues.

    Args:
        continues: The id of the run that the first run of the source continues.
        memory: The :meth:`dump` of an earlier decoder of this source.
        find_run: Returns the id of the run that waits for the answer to an interrupt, by the id of the interrupt.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).
    """

    __slots__ = (
        "_aliases",
        "_answered",
        "_continues",
        "_current",
        "_dump",
        "_find_run",
        "_max_bytes",
        "_max_nesting",
        "_runs",
    )

    redaction = LANGGRAPH_RULES

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
        self._runs: dict[str, ServerRun] = {}  # by the server's id, the oldest first
        self._aliases: dict[str, str] = {}  # the run of each run of the server that continues one
        self._answered: tuple[str, ...] = ()  # the interrupts that the last request answers
        self._current: ServerRun | None = None
        self._dump: bytes | None = None
        if memory is not None:
            self._load(memory)

    # memory

    def _load(self, memory: bytes) -> None:
        try:
            found = _codec.decode(memory)
        except msgspec.MsgspecError:
            return
        self._runs = {run.id: run for run in found.runs}
        self._aliases = found.aliases
        self._current = self._runs.get(found.current or "")

    def dump(self) -> bytes | None:
        """The runs that have not ended, with their messages and interrupts, and the runs that each continues."""
        if self._dump is None:
            runs = [run.for_memory() for run in self._runs.values() if run.is_open]
            current = self._current.id if self._current is not None else None
            memory = _Memory(runs, self._aliases, current)
            self._dump = _codec.encode(memory) if runs or self._aliases else b""
        return self._dump or None

    def forget(self, run_id: str) -> None:
        """Forget the server's runs of a run."""
        self._dump = None
        self._runs = {id: run for id, run in self._runs.items() if run.run_id != run_id}
        self._aliases = {id: known for id, known in self._aliases.items() if known != run_id}
        if self._current is not None and self._current.run_id == run_id:
            self._current = None

    # runs

    def _begin_run(self, id: str, continues: str | None = None) -> ServerRun:
        """The run with this id on the server; the one that begins if it is unknown.

        Args:
            id: The server's id.
            continues: The id of the run that it continues, as the stream shows it.
        """
        run = self._runs.get(id)
        if run is None:
            run = self._runs[id] = ServerRun(id, self._resolve(id, continues))
            if len(self._runs) > _MAX_RUNS:
                del self._runs[next(iter(self._runs))]
        self._current = run
        return run

    def _resolve(self, id: str, continues: str | None) -> str:
        """The id of the run that a run of the server is a piece of: by the word of the application, by the interrupts
        that its request answers, as the stream shows it; else it is a run of its own.
        """
        found = self._aliases.get(id)
        if found is None and self._continues is not None:
            found, self._continues = self._continues, None
        if found is None and self._find_run is not None:
            answered, self._answered = self._answered, ()
            found = next(filter(None, map(self._find_run, (*answered, id))), None)
        found = found or continues
        if found is None or found == id:
            return id
        self._aliases[id] = found
        if len(self._aliases) > _MAX_RUNS:
            del self._aliases[next(iter(self._aliases))]
        return found

    # items beside the stream

    def _decode_other(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if isinstance(item, Answer):
            self._dump = None
            return self._decode_answer(item)
        if isinstance(item, Request):
            if self._continues is None and item.continues is not None:
                self._continues = item.continues
            try:
                body = mapping_of(decode_json(item.body)) if item.body else {}
            except DecodeError:
                body = {}
            return self._note_request(body)
        if isinstance(item, ResponseHead):
            self._dump = None
            return self._note_head(item) if item.status < 300 else ()
        if isinstance(item, ConnectionEvent) and item.connected:
            self._note_connection()
        elif isinstance(item, Malformed | Oversized):
            self._note_damage()
        return super().decode(item)

    def _note_request(self, body: Json) -> Sequence[Event]:
        return ()

    def _note_head(self, item: ResponseHead) -> Sequence[Event]:
        return ()

    def _note_connection(self) -> None:
        pass

    def _decode_answer(self, item: Answer) -> Sequence[Event | Reject]:
        try:
            value = decode_json(item.data) if item.data else None
        except DecodeError as error:
            raw = RawEvent(data=item.data, at=item.at, line=item.line)
            return (Reject(raw, f"An answer: {error.reason}"),)
        return self._read_answer(value, item.status)

    def _read_answer(self, value: Any, status: int) -> list[Event]:
        """Decode an answer of the server: about the run that it names, else about the last one."""
        found = mapping_of(value)
        body = mapping_of(mapping_of(found.get("run")).get("body")) or found
        id = text_of(found.get("run_id")) or text_of(body.get("run_id"))
        run = self._runs.get(id) if id is not None else self._current
        if run is None and id is not None:
            current = self._current
            run = self._begin_run(id)
            self._current = current or run
        if run is None:
            return []
        run.answers.add(value, status)
        run.note_answer()
        outcome = decide(run.answers, run.id, run.interrupts, run.tool_names(), visible=run.is_visible)
        return run.end(outcome, Place(None, run.run_id, "run")) if outcome is not None else []

    # the end

    def _settle(self, run: ServerRun, place: Place) -> list[Event]:
        """Report how a run ended whose stream has ended, and about which the server says nothing more."""
        if not run.is_open or run.waits:
            return []
        if run.error is not None:
            error = LastError(code=run.error["code"], message=run.error["message"])
            return self._fail(run, error, place)
        return run.end(decide_at_end(run.answers, run.interrupts, visible=run.is_visible), place)

    def _fail(self, run: ServerRun, error: LastError, place: Place) -> list[Event]:
        raise NotImplementedError

    # events

    def _read(self, raw: RawEvent) -> Any:
        """The JSON of an event, or the reject that it becomes."""
        data = raw.data
        if len(data) > self._max_bytes:
            self._note_damage()
            return Reject(raw, f"Message of {len(data)} bytes; at most {self._max_bytes} are read (max_message_bytes)")
        if nesting_depth(data, self._max_nesting) > self._max_nesting:
            self._note_damage()
            return Reject(raw, f"Nested more than {self._max_nesting} levels deep (max_nesting)")
        if not data.strip():
            return None
        try:
            return decode_json(data)
        except DecodeError as error:
            self._note_damage()
            return Reject(raw, STREAM_TEXT if is_stream_text(data) else error.reason, object_ids=None)

    def _note_damage(self) -> None:
        """Note that input could not be read: it may have been the beginning of a message."""
        self._note_gap()

    def _note_gap(self) -> None:
        """Note that events of the open runs may not have been received."""
        self._dump = None
        for run in self._runs.values():
            if run.is_open:
                run.log.note_gap()
