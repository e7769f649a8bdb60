"""The checker of LangGraph's run wire: one event stream of a run, or of a thread."""

from __future__ import annotations

from typing import Any, Final

from runstream.checker.findings import Findings, clip_name, clip_names
from runstream.checker.protocol import DONE, Framing, Message, ProtocolChecker
from runstream.checker.rules import breaks, note, rule_table
from runstream.checker.values import Table, as_list, as_map, as_text, count_of
from runstream.dialects.redaction_rules import split_words

__all__ = ["LANGGRAPH_RULES", "LangGraphChecker"]

LANGGRAPH_RULES: Final = rule_table(
    "langgraph",
    (
        breaks("event_name", "event", "An event has a name in its framing."),
        note("known_mode", "event", "A name that is no stream mode is unknown to most readers."),
        breaks("data_form", "event", "The data of an event have the form of its mode."),
        breaks("metadata_first", "stream", "A stream begins with `metadata`, unless a reader joins it."),
        note("joined_stream", "stream", "A stream that is joined begins without `metadata`."),
        breaks("event_after_error", "stream", "`error` is the last event of its run."),
        note("outcome", "stream", "No event says how the run ended: a reader has to ask the server."),
        note("pause_visible", "stream", "The modes of this stream show no interrupt."),
        breaks("run_id", "run", "`metadata` names the run."),
        note("retry", "run", "`metadata` comes again for a further attempt; the text starts again."),
        breaks("id_growth", "id", "The ids of events grow; readers resume behind the last one."),
        note("id_repeated", "id", "Events with one id: a reader that resumes behind it loses the later ones."),
        breaks("id_missing", "id", "Every event of a stream that can be resumed has an id."),
        breaks("message_id", "message", "A chunk of a message has its id."),
        breaks("call_start", "message", "The first chunk of a tool call has its id and name."),
        note("interrupt_id", "interrupt", "An interrupt without an id can't be answered by itself."),
        note("interrupts_apart", "interrupt", "The interrupts of one step come in several events, each with a part."),
        note("interrupt_left_out", "interrupt", "Later `values` lack an interrupt that still waits."),
        note("request_headers", "secret", "Events repeat headers of the request, which may have credentials."),
    ),
)

_MODES: Final = split_words(
    """
    metadata values updates messages messages/metadata messages/partial messages/complete custom tasks checkpoints
    debug events error feedback state_update end
    """
)
_SHOW_INTERRUPTS: Final = frozenset({"updates", "values", "tasks", "debug"})
_OBJECTS: Final = split_words("metadata values messages/metadata tasks checkpoints debug error")
_MAX_DEPTH: Final = 6


class LangGraphChecker(ProtocolChecker):
    """Checks the rules of LangGraph's run wire.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.
    """

    rules = LANGGRAPH_RULES

    def __init__(self, findings: Findings, framing: Framing) -> None:
        super().__init__(findings, framing)
        self._count = 0
        self._modes: set[str] = set()
        self._attempts: Table[int] = Table()
        self._run: str | None = None
        self._has_error = self._has_end = self._has_interrupt = False
        self._last_id: str | None = None
        self._ids: Table[bool] = Table()
        self._calls: Table[bool] = Table()
        self._asked: Table[str] = Table()  # the places of interrupts since the last metadata, by id
        self._has_headers = False

    def message(self, message: Message) -> None:
        """Check one message."""
        name, value = message.name, message.value
        if value == DONE:
            return
        if not name:
            self.violate("event_name")
            return
        mode, _, space = name.partition("|")
        self._count += 1
        self._check_id(message.raw.id)
        if mode not in _MODES:
            self.violate("known_mode", clip_name(mode))
            return
        self._modes.add(mode)
        if mode in ("error", "metadata") or self._count > 1:
            pass
        elif message.raw.id is not None:
            self.violate("joined_stream")
            self.is_joined = True
        else:
            self.violate("metadata_first", clip_name(mode))
        if self._has_error and mode != "metadata":
            self.violate("event_after_error", clip_name(mode))
        if (mode in _OBJECTS and not isinstance(value, dict)) or not self._check_mode(mode, value, is_root=not space):
            self.violate("data_form", clip_name(mode))
        if not self._has_headers and mode in ("checkpoints", "debug", "messages"):
            found = _headers_in(value, _MAX_DEPTH)
            self._has_headers = bool(found)
            if found:
                self.violate("request_headers", clip_names(found))

    def end(self) -> None:
        """Check what the stream says about the end of its run."""
        if self._count and not self._has_error and not self._has_end:
            self.violate("outcome", "it waits" if self._has_interrupt else "")
            if not self._modes & _SHOW_INTERRUPTS:
                self.violate("pause_visible", ", ".join(sorted(self._modes - {"metadata"})))

    def _check_id(self, id: str | None) -> None:
        if id is None:
            if self._last_id is not None:
                self.violate("id_missing")
            return
        if self._last_id is not None and id != self._last_id and _order(id) < _order(self._last_id):
            self.violate("id_growth")
        if id in self._ids:
            self.violate("id_repeated")
        self._ids[id] = True
        self._last_id = id

    def _check_mode(self, mode: str, value: Any, *, is_root: bool) -> bool:
        """Check the data of one mode; False if they have another form."""
        if mode == "metadata":
            self._metadata(as_map(value))
        elif mode == "error":
            self._has_error = True
            return as_text(as_map(value).get("error")) is not None
        elif mode == "end":
            self._has_end = True
        elif mode == "messages":
            if not (isinstance(value, list) and len(value) == 2 and all(isinstance(each, dict) for each in value)):
                return False
            self._chunk(value[0])
        elif mode in ("messages/partial", "messages/complete"):
            return isinstance(value, list) and len(as_list(value)) == len(value)
        elif mode == "updates":
            if not isinstance(value, dict):
                return False
            self._interrupts(value, mode)
        elif mode == "values" and is_root:
            self._interrupts(value, mode)
            missing = [id for id, place in self._asked.items() if place == "values"]
            if missing and "__interrupt__" not in value:
                self.violate("interrupt_left_out", f"{len(missing)} waiting")
                self._asked.clear()
        return True

    def _metadata(self, value: dict[str, Any]) -> None:
        run_id = as_text(value.get("run_id"))
        if run_id is None:
            self.violate("run_id")
            return
        attempt = count_of(value.get("attempt")) or 1
        if value.get("status") != "run_done":
            if run_id in self._attempts and attempt > 1:
                self.violate("retry", f"attempt {attempt}", run_id)
            self._attempts[run_id] = attempt
        if run_id != self._run:
            self._run = run_id
            self._has_error = self._has_interrupt = False
            self._asked.clear()

    def _chunk(self, chunk: dict[str, Any]) -> None:
        id = as_text(chunk.get("id"))
        if chunk.get("type") != "AIMessageChunk":
            return
        if id is None:
            self.violate("message_id")
        for call in as_list(chunk.get("tool_call_chunks")):
            place = (id, count_of(call.get("index")))
            if place not in self._calls:
                self._calls[place] = True
                if not (as_text(call.get("id")) and as_text(call.get("name"))):
                    self.violate("call_start", object_id=id)

    def _interrupts(self, value: dict[str, Any], mode: str) -> None:
        found = value.get("__interrupt__")
        if not isinstance(found, list):
            return
        self._has_interrupt = True
        ids = [as_text(each.get("id")) for each in as_list(found)]
        if found and None in ids:
            self.violate("interrupt_id")
        new = [id for id in ids if id is not None and id not in self._asked]
        if new and self._asked and mode == "updates":
            self.violate("interrupts_apart", object_id=new[0])
        for id in ids:
            if id is not None:
                self._asked[id] = mode


def _order(id: str) -> tuple[int, ...] | tuple[float]:
    """The order of an id: by its numbers, if it has the form of the server."""
    first, _, second = id.partition("-")
    if first.isdigit() and (not second or second.isdigit()) and len(id) < 40:
        return (int(first), int(second or 0))
    return (float("inf"),)


def _headers_in(value: Any, depth: int) -> list[str]:
    """The names of request headers within `configurable`, or beside a message."""
    if depth and isinstance(value, dict):
        found = [name for name in as_map(value.get("configurable")) if _is_header(name)]
        for each in value.values():
            found = found or _headers_in(each, depth - 1)
        return found
    if isinstance(value, list) and len(value) == 2 and depth == _MAX_DEPTH:  # a message and its metadata
        return [name for name in as_map(value[1]) if _is_header(name)]
    return []


def _is_header(name: str) -> bool:
    lower = name.lower()
    return lower in ("authorization", "cookie") or lower.startswith("x-")
