"""One check: raw items enter, in order; a report leaves. The engine is the tolerant reader beside the checkers."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from runstream.checker.ag_ui import AG_UI_RULES, AgUiChecker
from runstream.checker.assistants import ASSISTANTS_RULES, AssistantsChecker
from runstream.checker.common import COMMON_RULES
from runstream.checker.event_stream import EventStreamChecker
from runstream.checker.findings import Findings, clip_name
from runstream.checker.langgraph import LANGGRAPH_RULES, LangGraphChecker
from runstream.checker.langgraph_thread import LANGGRAPH_THREAD_RULES, LangGraphThreadChecker
from runstream.checker.protocol import DONE, Framing, Message, ProtocolChecker
from runstream.checker.report import CheckedRun, CheckReport, Place
from runstream.checker.responses import ResponsesChecker
from runstream.checker.responses_rules import RESPONSES_RULES
from runstream.checker.rules import CheckRule
from runstream.core.state import RunState
from runstream.dialects.json_message import parse_json
from runstream.dialects.registry import DialectLike
from runstream.engine.engine import Engine
from runstream.model.events import DoneEvent, EmptyEvent, Event, Reject, UnknownEvent
from runstream.model.jsontext import nesting_depth
from runstream.model.limits import Limits
from runstream.model.raw import Answer, Malformed, Oversized, RawEvent, RawItem
from runstream.model.signals import RunInterrupted, Signal

__all__ = ["CHECK_RULES", "CheckSession"]

CHECK_RULES: Final[dict[str, tuple[CheckRule, ...]]] = {
    "all": tuple(COMMON_RULES.values()),
    "assistants": tuple(ASSISTANTS_RULES.values()),
    "responses": tuple(RESPONSES_RULES.values()),
    "ag-ui": tuple(AG_UI_RULES.values()),
    "langgraph": tuple(LANGGRAPH_RULES.values()),
    "langgraph-thread": tuple(LANGGRAPH_THREAD_RULES.values()),
}
"""All rules of the checker by the name of the dialect; those of every stream under ``"all"``."""

_CHECKERS: Final[dict[str, type[ProtocolChecker]]] = {
    "assistants": AssistantsChecker,
    "responses": ResponsesChecker,
    "ag-ui": AgUiChecker,
    "langgraph": LangGraphChecker,
    "langgraph-thread": LangGraphThreadChecker,
}
_MAX_KEPT: Final = 64  # events before the dialect is known
_MAX_KEPT_BYTES: Final = 32 * 2**20
_MAX_RUNS: Final = 100
_MAX_INTERRUPTED: Final = 10_000
_SHOW_NOTHING: Final = (UnknownEvent, EmptyEvent, DoneEvent)  # no one of them shows a protocol
_ANY_VALUE: Final = frozenset({"langgraph"})  # protocols whose events may have any JSON value


class CheckSession:
    """Checks one stream.

    Args:
        name: The name of the input.
        dialect: The dialect, by name or factory; ``None`` to find it.
        framing: How the events are delivered.

    Raises:
        ValueError: The dialect is not registered.
        TypeError: The factory can't be called as a factory is.
    """

    def __init__(self, name: str, dialect: DialectLike | None, framing: Framing) -> None:
        self._name = name
        self._framing: Framing = framing
        self._findings = Findings()
        self._grammar = EventStreamChecker(COMMON_RULES, self._findings) if framing == "sse" else None
        self._number = 0
        self._limits = Limits()
        self._engine = Engine(limits=self._limits, clock=time.time, progress=False)
        self._engine.on_reject = self._note_reject
        self._engine.on_signal = self._note_signal
        self._interrupted: dict[str, None] = {}
        self._rejected = 0
        self._is_unchecked = False  # the current item is no event that a reader has to use, or its framing is damaged
        # A dialect that is found has an event that shows it; one that is named may be that of another protocol.
        self._shows_protocol = dialect is None or dialect == "auto"
        if not self._shows_protocol:
            self._engine.on_event = self._note_event
        self._intake = self._engine.intake(name, dialect=dialect)
        self._dialect = dialect if isinstance(dialect, str) and dialect != "auto" else None
        self._protocol: ProtocolChecker | None = self._find()
        self._kept: list[tuple[Place, RawItem, Any]] = []
        self._kept_bytes = 0
        self._unread: list[tuple[Place, str]] = []  # the rejects before the protocol is known

    # input

    def feed_bytes(self, chunk: bytes) -> None:
        """Check the framing of the next bytes of an event stream; their events are fed apart."""
        if self._grammar is not None:
            self._grammar.feed(chunk)

    def violate(self, rule: str, detail: str = "") -> None:
        """Count a violation of a rule of every stream, at the head of the stream."""
        self._findings.add(COMMON_RULES[rule], detail, place=Place())

    def feed(self, item: RawItem) -> None:
        """Check one item."""
        if self._shows_protocol:
            self._engine.on_event = None  # one event is enough, and events that no callback takes are not built
        value: Any = None
        self._is_unchecked = isinstance(item, Malformed | Oversized | Answer) or not getattr(item, "data", b"{}")
        if isinstance(item, RawEvent | Answer):
            self._number += 1
            name, id = (item.event or "", item.id or "") if isinstance(item, RawEvent) else ("", "")
            place = Place(event=self._number, line=item.line, name=clip_name(name), id=clip_name(id))
            self._findings.place = place
            value = self._parse(item.data)
        else:
            place = Place(event=self._number + 1, line=getattr(item, "line", 0))
            self._findings.place = place
            if isinstance(item, Oversized):
                self._findings.add(COMMON_RULES["message_size"], f"{item.size} bytes")
        if self._protocol is not None:
            self._check(place, item, value)
            self._findings.place = place
            self._intake.feed(item)
            return
        self._intake.feed(item)
        self._kept_bytes += len(getattr(item, "data", b""))
        if len(self._kept) < _MAX_KEPT and self._kept_bytes <= _MAX_KEPT_BYTES:
            self._kept.append((place, item, value))
        if (found := self._find()) is not None:
            self._protocol = found
            kept, self._kept = self._kept, []
            for each in kept:
                self._check(*each)
            for unread, reason in () if found.is_joined else self._unread:
                self._findings.add(COMMON_RULES["unreadable_event"], reason, place=unread)

    def end(self, *, stopped: bool = False) -> CheckReport:
        """End the stream and return the report.

        Args:
            stopped: True if the check ends before the stream does.
        """
        self._findings.place = Place()
        if not stopped:
            if self._grammar is not None:
                self._grammar.end()
            if self._protocol is not None:
                self._findings.place = Place()
                self._protocol.end()
        self._intake.end("the stream ended", clean=not stopped)
        if not self._number:
            self._findings.add(COMMON_RULES["no_events"], place=Place())
        elif self._protocol is None and self._intake.dialect is None and self._dialect is None:
            self._findings.add(COMMON_RULES["unknown_protocol"], place=Place())
        elif not self._shows_protocol and self._engine.counts.unknown:
            detail = f"{self._number} events, none of {self._dialect or 'the dialect'}"
            self._findings.add(COMMON_RULES["unknown_protocol"], detail, place=Place())
        states = self._engine.states()
        return CheckReport(
            name=self._name,
            dialect=self._intake.dialect or self._dialect,
            events=self._number,
            findings=self._findings.result(),
            runs=tuple(self._run(state) for state in states[:_MAX_RUNS]),
            rejected=self._rejected,
            stopped=stopped,
        )

    # one message

    def _parse(self, data: bytes) -> Any:
        """The JSON value of a message; ``None`` if it can't be read, which is reported."""
        stripped = data.strip()
        if not stripped:
            return None  # an event without data: the grammar reports it
        if stripped in (b"[DONE]", b'"[DONE]"'):
            return DONE
        if len(data) > self._limits.max_message_bytes or nesting_depth(data, self._limits.max_nesting) > (
            self._limits.max_nesting
        ):
            self._findings.add(COMMON_RULES["message_size"], f"{len(data)} bytes")
            return None
        if self._framing != "sse" and not _is_utf8(data):  # of an event stream its grammar reports it
            self._findings.add(COMMON_RULES["utf8"])
        if stripped.startswith(b"data:"):
            self._findings.add(COMMON_RULES["double_encoding"], "`data:` twice")
            return None
        try:
            value = parse_json(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._findings.add(COMMON_RULES["json"], f"{len(data)} bytes")
            return None
        return value

    def _check(self, place: Place, item: RawItem, value: Any) -> None:
        """Check an item by the rules of its protocol."""
        protocol = self._protocol
        assert protocol is not None
        self._findings.place = place
        if isinstance(item, Answer):
            if value is not None:
                protocol.answer(value)
            return
        if not isinstance(item, RawEvent):
            protocol.other(item)
            return
        if value is None:
            return
        name = item.event or ""
        if isinstance(value, dict) and "type" not in value and isinstance(value.get("event"), str) and "data" in value:
            name, value = value["event"], value["data"]
            self._findings.place = msgspec.structs.replace(place, name=clip_name(name))
        elif isinstance(value, dict) and not name:
            kind = value.get("type")
            self._findings.place = msgspec.structs.replace(place, name=clip_name(kind) if isinstance(kind, str) else "")
        if not isinstance(value, dict) and value != DONE and self._intake.dialect not in _ANY_VALUE:
            rule = "double_encoding" if isinstance(value, str) and value.lstrip().startswith("{") else "json_object"
            self._findings.add(COMMON_RULES[rule])
        protocol.message(Message(item, name, value))

    def _find(self) -> ProtocolChecker | None:
        name = self._intake.dialect or self._dialect
        kind = _CHECKERS.get(name or "")
        return None if kind is None else kind(self._findings, self._framing)

    # the tolerant reader

    def _note_reject(self, reject: Reject) -> None:
        self._rejected += 1
        # The rules of the framing, and an error of the protocol at this event, say more.
        has_finding = self._is_unchecked or self._findings.errors_at == self._findings.place.event
        if has_finding or (self._protocol is not None and self._protocol.is_joined):
            return
        if self._protocol is not None:
            self._findings.add(COMMON_RULES["unreadable_event"], clip_name(reject.reason))
        elif len(self._unread) < _MAX_KEPT:
            self._unread.append((self._findings.place, clip_name(reject.reason)))

    def _note_event(self, event: Event) -> None:
        self._shows_protocol = self._shows_protocol or not isinstance(event, _SHOW_NOTHING)

    def _note_signal(self, signal: Signal) -> None:
        if isinstance(signal, RunInterrupted) and len(self._interrupted) < _MAX_INTERRUPTED:
            self._interrupted[signal.run_id] = None

    def _run(self, state: RunState) -> CheckedRun:
        run = state.run
        return CheckedRun(
            id=clip_name(run.id),
            status=clip_name(run.status.value),
            interrupted=run.id in self._interrupted and not state.is_terminal,
            messages=len(state.messages),
            characters=sum(len(message.text) for message in state.messages),
            steps=len(state.steps),
            calls=len(state.tool_calls) or sum(len(step.tool_calls) for step in state.steps),
            awaited=len(run.pending_tool_calls) if run.requires_action else 0,
        )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
