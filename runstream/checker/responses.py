"""The checker of the Responses protocol: over server-sent events, JSON lines and WebSocket messages with lanes."""

from __future__ import annotations

from typing import Any, Final

from runstream.checker.findings import Findings, clip_name
from runstream.checker.protocol import DONE, Framing, Message, ProtocolChecker
from runstream.checker.responses_items import CheckedResponse, ItemChecker
from runstream.checker.responses_rules import FIELDS, RESPONSES_RULES, SNAPSHOTS, TERMINAL, is_known_type
from runstream.checker.values import Table, absent, as_map, as_text, count_of

__all__ = ["ResponsesChecker"]

_REQUIRED: Final = (
    *("id", "object", "created_at", "status", "model", "output"),
    *("error", "incomplete_details", "metadata", "parallel_tool_calls", "tools"),
)
_OF_SOCKET: Final = ("response.steer.", "response.inject.")
_SHELL: Final = "response.shell_call_command."


class ResponsesChecker(ProtocolChecker):
    """Checks the rules of the Responses protocol.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.
    """

    rules = RESPONSES_RULES

    def __init__(self, findings: Findings, framing: Framing) -> None:
        super().__init__(findings, framing)
        self._lanes: Table[CheckedResponse] = Table()
        self._items = ItemChecker(self.violate)
        self._has_begun = False
        self._is_socket = framing == "messages"  # or lines with several responses: those of a WebSocket

    def message(self, message: Message) -> None:
        """Check one message."""
        value = message.value
        if value == DONE:
            self.violate("done_marker")
            return
        if not isinstance(value, dict):
            return
        kind = as_text(value.get("type"))
        if kind is None:
            if value.get("object") == "response":
                self.answer(value)
            else:
                self.violate("type_missing")
            return
        if self.framing == "sse" and message.name != kind:
            self.violate("event_name", "no `event:`" if not message.name else "`event:` is another one")
        self._check_form(kind, value)
        lane = as_text(value.get("stream_id")) or ""
        response = self._lanes.get(lane)
        is_first = kind == "response.created" and not self._is_again(response, value)
        if is_first:
            response = self._begin(lane, response)
        elif kind == "error":
            self._error(response, value)
            return
        elif not kind.startswith("response.") and kind != "keepalive":
            return  # a private event, or one of the connection
        elif kind.startswith(_OF_SOCKET):
            if response is not None and not response.has_ended and "sequence_number" in value:
                self._check_number(response, value, is_first=False)
            return
        if response is None:
            response = self._begin_unseen(lane, kind, value)
        self._check_number(response, value, is_first=is_first)
        if response.has_ended and kind != "keepalive":
            self.violate("one_terminal_event" if kind in TERMINAL else "event_after_end", object_id=response.id)
            return
        if kind in SNAPSHOTS:
            self._snapshot(response, kind, as_map(value.get("response")))
        else:
            self._items.event(response, kind, value)

    def answer(self, value: Any) -> None:
        """Check a response object that was fetched."""
        if isinstance(value, dict) and value.get("object") == "response":
            self._check_object(value)

    def end(self) -> None:
        """Check that no response is left open."""
        for response in self._lanes.values():
            if not response.has_ended:
                self.violate("terminal_event", object_id=response.id)

    # the form of an event

    def _check_form(self, kind: str, value: dict[str, Any]) -> None:
        if kind == "keepalive":
            self.violate("keepalive")
        elif not is_known_type(kind):
            self.violate("known_type", clip_name(kind))
        missing = absent(value, FIELDS.get(kind, ()))
        if missing:
            self.violate("field_missing", ", ".join(missing), value.get("item_id"))
        elif kind.startswith(_SHELL) and "item_id" not in value:
            self.violate("item_id_absent")

    def _check_number(self, response: CheckedResponse, value: dict[str, Any], *, is_first: bool) -> None:
        number, last = count_of(value.get("sequence_number")), response.number
        if number is None:
            self.violate("sequence_number", object_id=response.id)
            return
        response.number = number
        if is_first:
            if number:
                self.violate("sequence_start", f"{number}", response.id)
        elif last is not None and number <= last:
            self.violate("sequence_growth", f"{number} after {last}", response.id)
        elif last is not None and number > last + 1:
            self.violate("sequence_gap", f"{number} after {last}", response.id)

    # responses

    def _is_again(self, response: CheckedResponse | None, value: dict[str, Any]) -> bool:
        """True for an event that creates the open response."""
        id = as_text(as_map(value.get("response")).get("id"))
        if response is None or response.has_ended or response.id != id:
            return False
        self.violate("created_once", object_id=id)
        return True

    def _begin(self, lane: str, before: CheckedResponse | None) -> CheckedResponse:
        if before is not None and not before.has_ended:
            self.violate("terminal_event", "another response begins", before.id)
        self._is_socket = self._is_socket or (self._has_begun and self.framing == "lines")
        self._has_begun = True
        found = self._lanes[lane] = CheckedResponse()
        return found

    def _begin_unseen(self, lane: str, kind: str, value: dict[str, Any]) -> CheckedResponse:
        """A response whose beginning is not in this stream: a reader resumed it, or it has none."""
        found = self._lanes[lane] = CheckedResponse(resumed=True)
        if count_of(value.get("sequence_number")):
            self.violate("resumed_stream")
            self.is_joined = True
        else:
            self.violate("first_event", clip_name(kind))
            found.resumed = False
        self._has_begun = True
        return found

    def _snapshot(self, response: CheckedResponse, kind: str, value: dict[str, Any]) -> None:
        id = as_text(value.get("id")) or ""
        if response.id and id and id != response.id:
            self.violate("response_id", "another id than before", id)
        response.id = response.id or id
        self._check_object(value)
        self._check_status(kind, value)
        if kind not in TERMINAL:
            return
        response.has_ended = True
        if kind == "response.failed":
            if not as_map(value.get("error")):
                self.violate("failure_reason", "no error", id)
            elif response.has_error:
                self.violate("error_repeated", object_id=id)
        elif kind == "response.incomplete" and not as_text(as_map(value.get("incomplete_details")).get("reason")):
            self.violate("failure_reason", "no incomplete_details.reason", id)
        self._items.finish(response, kind.removeprefix("response."), value)

    def _check_object(self, value: dict[str, Any]) -> None:
        if missing := absent(value, _REQUIRED):
            self.violate("response_fields", ", ".join(missing), value.get("id"))
        elif not isinstance(value["output"], list):
            self.violate("response_fields", "output is no list", value.get("id"))
        if "usage" not in value:
            self.violate("usage_absent", object_id=value.get("id"))
        if isinstance(value.get("created_at"), float):
            self.violate("fractional_time", "created_at", value.get("id"))

    def _check_status(self, kind: str, value: dict[str, Any]) -> None:
        status, expected = as_text(value.get("status")), kind.removeprefix("response.")
        if expected == "created":
            expected = "queued" if status == "queued" and value.get("background") is True else "in_progress"
        if status is not None and status != expected:
            self.violate("response_status", f"{clip_name(status)} in {kind}", value.get("id"))
        limit = count_of(value.get("max_output_tokens"))
        used = count_of(as_map(value.get("usage")).get("output_tokens"))
        if status == "completed" and limit is not None and used is not None and used >= limit > 0:
            self.violate("truncated_but_completed", f"{used} of {limit} tokens", value.get("id"))

    def _error(self, response: CheckedResponse | None, value: dict[str, Any]) -> None:
        is_nested = isinstance(value.get("error"), dict)
        if is_nested and not {"status", "stream_id"} & value.keys() and not self._is_socket:
            self.violate("error_form")
        if response is not None and not response.has_ended:
            response.has_error = True
            if "sequence_number" in value:
                self._check_number(response, value, is_first=False)
        elif not self._has_begun and count_of(value.get("sequence_number")):
            self.violate("sequence_start", f"{value['sequence_number']}")
        self._has_begun = True
