"""The checker of the AG-UI protocol: the rules that its dialect counts, with places, and forms that it accepts."""

from __future__ import annotations

from typing import Any, Final

from runstream.checker.ag_ui_fields import wrong_fields
from runstream.checker.findings import Findings, clip_names
from runstream.checker.protocol import Framing, Message, ProtocolChecker
from runstream.checker.rules import CheckRule, Severity, breaks, note, rule_table
from runstream.checker.values import Growth, Table, as_list, as_map, as_text
from runstream.dialects.ag_ui import AgUiDialect
from runstream.dialects.ag_ui_rules import RULES
from runstream.dialects.ag_ui_texts import delta_name
from runstream.dialects.ag_ui_wire import field_of
from runstream.model.raw import RawItem, Request

__all__ = ["AG_UI_RULES", "AgUiChecker"]

_NOTES: Final = frozenset({"older_type", "snapshot_text"})


def _severity(name: str) -> Severity:
    return "note" if name in _NOTES else "error"


AG_UI_RULES: Final = rule_table(
    "ag-ui",
    (
        *(CheckRule(rule.name, rule.text, rule.place, _severity(rule.name)) for rule in RULES.values()),
        breaks("field_form", "event", "A field has its type; required ones are present, and none is null."),
        note("null_field", "event", "A field that is absent is left out; a null breaks strict readers."),
        note("timestamp_unit", "event", "Timestamps in seconds are read as milliseconds."),
        note("waiting_calls", "run", "A run ends with calls without results, and does not name those that wait."),
        note("interrupt_form", "run", "An interrupt in a CUSTOM event is unknown to readers of outcomes."),
        note("parent_message", "call", "A call names a parent message that was never opened."),
        note("empty_message", "message", "A message without content is shown as an empty one."),
        note("earlier_call", "call", "A result of a call that this stream lacks; only the request shows it."),
        note("reasoning_repeated", "reasoning", "A reasoning comes again under another id: readers show it twice."),
        note("snapshot_only", "snapshot", "An answer stands in a snapshot alone: readers of a stream show nothing."),
        note("snapshot_ids", "snapshot", "A snapshot has other ids than the stream: readers show messages twice."),
    ),
)

_OPTIONAL_NULL: Final = ("snapshot", "value", "event", "result", "rawEvent")
_SECONDS: Final = 10**11  # a smaller number of milliseconds is before 1974


class AgUiChecker(ProtocolChecker):
    """Checks the rules of the AG-UI protocol. A decoder of its own counts those that the dialect knows.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.
    """

    rules = AG_UI_RULES

    def __init__(self, findings: Findings, framing: Framing) -> None:
        super().__init__(findings, framing)
        self._dialect = AgUiDialect()
        self._seen = 0
        self._messages: Table[int] = Table()  # the fragments of each message of this stream, by id
        self._calls: Table[bool] = Table()  # the calls of the run that have no result
        self._results: Table[str] = Table()  # the messages of results, by call
        self._reasoning: Table[Growth] = Table()
        self._reasoned: Table[bool] = Table()  # the digests of whole reasonings
        self._runs = 0
        self._has_request = False
        self._reported: set[str] = set()

    def message(self, message: Message) -> None:
        """Check one message."""
        value = message.value
        kind = as_text(value.get("type")) or "" if isinstance(value, dict) else ""
        self._runs += kind == "RUN_STARTED"
        before = self._seen
        self._dialect.decode(message.raw)
        self._take()
        if isinstance(value, dict):
            if before == self._seen:
                self._check_fields(kind, value)
            self._check_form(value)
            self._check_run(kind, value)
            self._check_messages(kind, value)

    def other(self, item: RawItem) -> None:
        """Receive an item that has no message."""
        self._has_request = self._has_request or isinstance(item, Request)
        self._dialect.decode(item)
        self._take()

    def end(self) -> None:
        """Check the end of the stream."""
        self._dialect.end(clean=True)
        self._take()

    def _take(self) -> None:
        """Report the violations that the decoder has counted."""
        found = self._dialect.rule_violations
        count = found.counts.total() - self._seen
        self._seen += count
        for each in list(found.latest)[-count:] if count else ():
            rule = each.rule
            if rule == "result_of_known_call" and self._runs <= 1 and not self._has_request:
                rule = "earlier_call"  # a run that continues another one
            self.violate(rule, object_id=each.object_id or each.run_id)

    def _check_fields(self, kind: str, value: dict[str, Any]) -> None:
        """Check the fields of an event of which the decoder has found no fault."""
        for name in wrong_fields(kind, value):
            self.violate("field_form", f"{name} is {_name_of(value, name)}", value.get("messageId"))

    def _once(self, rule: str, detail: str = "", object_id: object = "") -> None:
        """Report a form that every event may have, at its first event."""
        if rule not in self._reported:
            self._reported.add(rule)
            self.violate(rule, detail, object_id)

    def _check_form(self, value: dict[str, Any]) -> None:
        nulls = [name for name, each in value.items() if each is None and name not in _OPTIONAL_NULL]
        if nulls:
            self._once("null_field", clip_names(nulls))
        time = value.get("timestamp")
        if isinstance(time, int | float) and 0 < time < _SECONDS:
            self._once("timestamp_unit")

    def _check_run(self, kind: str, value: dict[str, Any]) -> None:
        call_id = as_text(field_of(value, "toolCallId"))
        if kind == "RUN_STARTED":
            self._calls.clear()
        elif kind in ("TOOL_CALL_START", "TOOL_CALL_CHUNK") and call_id:
            if call_id not in self._calls:
                self._calls[call_id] = True
                parent = value.get("parentMessageId")
                if isinstance(parent, str) and parent not in self._messages:
                    self.violate("parent_message", object_id=call_id)
        elif kind == "TOOL_CALL_RESULT" and call_id:
            self._calls.pop(call_id, None)
            self._results[call_id] = as_text(field_of(value, "messageId")) or ""
        elif kind == "CUSTOM" and value.get("name") == "on_interrupt":
            self.violate("interrupt_form")
        elif kind == "MESSAGES_SNAPSHOT":
            self._check_snapshot(value)
        elif kind == "RUN_FINISHED":
            outcome = as_map(value.get("outcome"))
            says = outcome.get("type") not in (None, "success") or outcome.get("pendingToolCallIds")
            if self._calls and not says:
                self.violate("waiting_calls", f"{len(self._calls)} calls", next(iter(self._calls)))

    def _check_messages(self, kind: str, value: dict[str, Any]) -> None:
        id = as_text(field_of(value, "messageId"))
        if id is None:
            return
        if kind in ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK"):
            self._messages[id] = self._messages.get(id, 0) + bool(value.get(delta_name(value, "text")))
        elif kind == "TEXT_MESSAGE_END" and self._messages.get(id) == 0:
            self.violate("empty_message", object_id=id)
        elif kind == "REASONING_MESSAGE_CONTENT" and isinstance(value.get("delta"), str):
            growth = self._reasoning.get(id)
            if growth is None:
                growth = self._reasoning[id] = Growth()
            growth.add(value["delta"])
        elif kind == "REASONING_MESSAGE_END" and (ended := self._reasoning.pop(id, None)) is not None:
            if ended.digest in self._reasoned:
                self.violate("reasoning_repeated", object_id=id)
            self._reasoned[ended.digest] = True

    def _check_snapshot(self, value: dict[str, Any]) -> None:
        messages = as_list(value.get("messages"))
        ids = {as_text(each.get("id")) for each in messages}
        for each in messages:
            known = self._results.get(as_text(each.get("toolCallId")) or "")
            if known and known != each.get("id") and each.get("role") == "tool":
                self._once("snapshot_ids", "a tool message", each.get("id"))
        last = messages[-1] if messages else {}
        if not self._messages and last.get("role") == "assistant" and as_text(last.get("content")):
            self._once("snapshot_only", object_id=last.get("id"))
        missing = [id for id, fragments in self._messages.items() if fragments and id not in ids]
        if missing:
            self._once("snapshot_ids", f"{len(missing)} messages", missing[0])


def _name_of(value: dict[str, Any], name: str) -> str:
    """The type of a field in JSON, or that it is absent."""
    if name not in value:
        return "absent"
    field = value[name]
    kinds = {bool: "a boolean", int: "a number", float: "a fraction", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(field), "null")
