"""The checker of the Assistants protocol: server-sent events, or envelopes with the name and the data of an event."""

from __future__ import annotations

from typing import Any, Final

from runstream.checker.findings import Findings, clip_name
from runstream.checker.protocol import DONE, Framing, Message, ProtocolChecker
from runstream.checker.rules import breaks, note, rule_table
from runstream.checker.values import Growth, Table, absent, as_list, as_map, as_text, count_of
from runstream.core.status import TRANSITIONS, Transition
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.run import RunStatus

__all__ = ["ASSISTANTS_RULES", "AssistantsChecker"]

ASSISTANTS_RULES: Final = rule_table(
    "assistants",
    (
        breaks("event_name", "event", "An event has a name in its framing."),
        note("known_type", "event", "A name that the description lacks is unknown to most readers."),
        breaks("done_data", "stream", "The data of `done` are [DONE]."),
        breaks("done_event", "stream", "A stream ends with `done`."),
        breaks("event_after_done", "stream", "No event follows `done`."),
        note("error_form", "stream", "An error inside `error` breaks readers that expect its fields at the top."),
        breaks("object_fields", "object", "An object has its id, its kind, its status and its time."),
        note("fields_absent", "object", "A run without fields of the description breaks readers that expect a null."),
        breaks("time_form", "object", "Times are whole Unix seconds."),
        note("unknown_value", "object", "A value outside of the published ones breaks readers that list them."),
        breaks("event_status", "object", "The status of an object is that of its event."),
        breaks("created_first", "object", "An object is created before its other events."),
        breaks("created_once", "object", "An object is created once."),
        breaks("status_repeated", "object", "An event with the status of an object occurs once."),
        breaks("event_after_end", "object", "No event of an object follows its end."),
        breaks("status_order", "run", "The statuses of a run follow its life cycle."),
        breaks("terminal_event", "run", "A run ends, or requires action, before its stream ends."),
        breaks("required_action", "run", "A run that requires action has calls with ids and names."),
        breaks("left_open", "run", "The steps and messages of a run end before it is completed."),
        note("message_incomplete", "run", "A message is incomplete, though its run is completed."),
        breaks("delta_form", "delta", "The content or tool calls of a delta are a list."),
        breaks("delta_index", "delta", "A part or call of a delta has an index."),
        breaks("index_shared", "delta", "Each call of a step has an index of its own."),
        breaks("text_whole", "delta", "A whole text is equal to its deltas."),
    ),
)

_RUN: Final = "thread.run."
_STEP: Final = "thread.run.step."
_MESSAGE: Final = "thread.message."
_KINDS: Final = {_STEP: "thread.run.step", _MESSAGE: "thread.message", _RUN: "thread.run"}
_ENDED: Final = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
_RUN_FIELDS: Final = (
    *("assistant_id", "required_action", "last_error", "expires_at", "started_at", "cancelled_at", "failed_at"),
    *("completed_at", "incomplete_details", "model", "instructions", "tools", "metadata", "usage", "temperature"),
    *("top_p", "max_prompt_tokens", "max_completion_tokens", "truncation_strategy", "tool_choice"),
    *("parallel_tool_calls", "response_format"),
)
_TIMES: Final = (
    *("created_at", "expires_at", "started_at", "cancelled_at", "failed_at", "completed_at", "incomplete_at"),
    "expired_at",
)
_STEP_TYPES: Final = frozenset({"message_creation", "tool_calls"})
_TOOL_TYPES: Final = frozenset({"code_interpreter", "file_search", "function"})
_ERROR_CODES: Final = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
_MILLISECONDS: Final = 10**11
_EXPECTED: Final = Transition.EXPECTED


class _Object:
    """A run, step or message: its place in its life, and its growing texts by place."""

    __slots__ = ("calls", "is_created", "run_id", "status", "texts", "word")

    def __init__(self) -> None:
        self.is_created = False
        self.status = ""  # the last one
        self.word = ""  # the last part of the name of its last event
        self.run_id = ""
        self.texts: Table[Growth] = Table()
        self.calls: Table[str] = Table()


class AssistantsChecker(ProtocolChecker):
    """Checks the rules of the Assistants protocol.

    Args:
        findings: Receives the violations.
        framing: How the events were delivered.
    """

    rules = ASSISTANTS_RULES

    def __init__(self, findings: Findings, framing: Framing) -> None:
        super().__init__(findings, framing)
        self._objects: dict[str, Table[_Object]] = {prefix: Table() for prefix in _KINDS}
        self._is_done = False
        self._has_events = False

    def message(self, message: Message) -> None:
        """Check one message."""
        name, value = message.name, message.value
        if self._is_done:
            self.violate("event_after_done")
        if name == "done" or value == DONE:
            self._is_done = True
            if value != DONE:
                self.violate("done_data")
            elif not name:
                self.violate("event_name", "done")
            return
        if not isinstance(value, dict):
            return
        if not name and self.framing != "sse" and value.get("object") in _KINDS.values():
            self.answer(value)
            return
        self._has_events = True
        if not name:
            self.violate("event_name", object_id=value.get("id"))
            return
        if name == "error":
            if isinstance(value.get("error"), dict):
                self.violate("error_form")
            return
        if name not in EVENT_TYPES:
            self.violate("known_type", clip_name(name))
            return
        prefix = next((prefix for prefix in (_STEP, _MESSAGE, _RUN) if name.startswith(prefix)), None)
        if prefix is None:
            return  # a thread
        word = name.removeprefix(prefix)
        if word == "delta":
            self._delta(prefix, value)
        else:
            self._object(prefix, word, value)

    def answer(self, value: Any) -> None:
        """Check an object that was fetched, or a list of them."""
        if not isinstance(value, dict):
            return
        for each in as_list(value.get("data")) if value.get("object") == "list" else (value,):
            prefix = next((prefix for prefix, kind in _KINDS.items() if each.get("object") == kind), None)
            if prefix is not None:
                self._check_fields(prefix, each)

    def end(self) -> None:
        """Check that the stream says that it is done, and that no run is left open."""
        if self._has_events and not self._is_done:
            self.violate("done_event")
        for id, run in self._objects[_RUN].items():
            if run.status not in _ENDED and run.status != "requires_action":
                self.violate("terminal_event", clip_name(run.status), id)

    # whole objects

    def _object(self, prefix: str, word: str, value: dict[str, Any]) -> None:
        self._check_fields(prefix, value)
        id, status = as_text(value.get("id")), as_text(value.get("status")) or ""
        if id is None:
            return
        table = self._objects[prefix]
        known = table.get(id)
        found = known or _Object()
        table[id] = found
        found.run_id = as_text(value.get("run_id")) or found.run_id
        if word == "created":
            if found.is_created:
                self.violate("created_once", object_id=id)
            found.is_created = True
        elif status and status != word:
            self.violate("event_status", f"{clip_name(status)} in {prefix}{word}", id)
        # A stream that continues a run begins with the end of a step of the earlier one, or with the run as queued.
        may_continue = word in _ENDED if prefix == _STEP else prefix == _RUN and word in ("queued", *_ENDED)
        if known is None and word != "created" and not may_continue:
            self.violate("created_first", word, id)
        if found.status in _ENDED:
            repeats = word == found.status
            self.violate("status_repeated" if repeats else "event_after_end", f"{word} after {found.status}", id)
            return
        self._check_change(prefix, word, id, found)
        if word != "created" or not found.status:
            found.status, found.word = (status if word == "created" else word), word
        if word in _ENDED:
            self._compare(prefix, id, found, value)
        if prefix == _RUN:
            self._check_run(word, id, value)

    def _check_change(self, prefix: str, word: str, id: str, found: _Object) -> None:
        before = found.status
        if word == "created" or not before:
            return
        if before == word:
            # `created` has the status of the event that follows it.
            if found.word == word:
                self.violate("status_repeated", word, id)
        elif prefix == _RUN and TRANSITIONS.get((RunStatus(before), RunStatus(word)), _EXPECTED) is not _EXPECTED:
            self.violate("status_order", f"{word} after {before}", id)

    def _check_run(self, word: str, id: str, value: dict[str, Any]) -> None:
        if word == "requires_action":
            action = as_map(value.get("required_action"))
            kind = as_text(action.get("type")) or ""
            if kind and kind != "submit_tool_outputs":
                self.violate("unknown_value", f"required_action.type {clip_name(kind)}", id)
            calls = as_list(as_map(action.get(kind)).get("tool_calls"))
            named = [as_text(call.get("id")) and _name_of(call) for call in calls]
            if not calls or not all(named):
                self.violate("required_action", "no calls" if not calls else "a call without id or name", id)
        elif word == "completed":
            for prefix in (_STEP, _MESSAGE):
                for object_id, found in self._objects[prefix].items():
                    if found.run_id != id:
                        continue
                    if found.status not in _ENDED:
                        self.violate("left_open", _KINDS[prefix], object_id)
                    elif found.status == "incomplete":
                        self.violate("message_incomplete", object_id=object_id)

    def _check_fields(self, prefix: str, value: dict[str, Any]) -> None:
        id = value.get("id")
        required = ("id", "object", "created_at", "status")
        if missing := absent(value, required if prefix != _MESSAGE else required[:3]):
            self.violate("object_fields", ", ".join(missing), id)
        for name in _TIMES:
            time = value.get(name)
            if time is not None and (count_of(time) is None or abs(time) > _MILLISECONDS):
                self.violate("time_form", f"{name} is no number of whole seconds", id)
                break
        if prefix == _RUN:
            if missing := absent(value, _RUN_FIELDS):
                self.violate("fields_absent", ", ".join(missing), id)
            self._check_value("status", value.get("status"), {status.value for status in RunStatus}, id)
            self._check_value("last_error.code", as_map(value.get("last_error")).get("code"), _ERROR_CODES, id)
        elif prefix == _STEP:
            self._check_value("type", value.get("type"), _STEP_TYPES, id)
            for call in as_list(as_map(value.get("step_details")).get("tool_calls")):
                self._check_value("the type of a tool call", call.get("type"), _TOOL_TYPES, id)

    def _check_value(self, field: str, value: object, known: set[str] | frozenset[str], id: object) -> None:
        if isinstance(value, str) and value not in known:
            self.violate("unknown_value", f"{field} {clip_name(value)}", id)

    # deltas

    def _delta(self, prefix: str, value: dict[str, Any]) -> None:
        id = as_text(value.get("id"))
        if id is None:
            self.violate("object_fields", "id")
            return
        found = self._objects[prefix].get(id)
        if found is None:
            found = self._objects[prefix][id] = _Object()
            self.violate("created_first", "delta", id)
        elif found.status in _ENDED:
            self.violate("event_after_end", f"delta after {found.status}", id)
            return
        delta = as_map(value.get("delta"))
        if prefix == _MESSAGE:
            entries, grow = delta.get("content"), self._grow_part
        else:
            entries, grow = as_map(delta.get("step_details")).get("tool_calls"), self._grow_call
        if entries is not None and not isinstance(entries, list):
            self.violate("delta_form", object_id=id)
        for entry in as_list(entries):
            index = count_of(entry.get("index"))
            if index is None:
                self.violate("delta_index", object_id=id)
            grow(id, found, index or 0, entry)

    def _grow_part(self, id: str, found: _Object, index: int, entry: dict[str, Any]) -> None:
        text = as_map(entry.get("text")).get("value")
        if isinstance(text, str):
            _text(found, index, "text").add(text)

    def _grow_call(self, id: str, found: _Object, index: int, entry: dict[str, Any]) -> None:
        call_id = as_text(entry.get("id"))
        known = found.calls.get(index)
        if call_id and known and call_id != known:
            self.violate("index_shared", f"index {index}", call_id)
        if call_id and not known:
            found.calls[index] = call_id
        for kind, field in (("function", "arguments"), ("code_interpreter", "input")):
            if isinstance(fragment := as_map(entry.get(kind)).get(field), str):
                _text(found, index, field).add(fragment)

    def _compare(self, prefix: str, id: str, found: _Object, value: dict[str, Any]) -> None:
        """Compare the texts of an ended object with those that grew."""
        wholes: list[tuple[int, str, object]] = []
        if prefix == _MESSAGE:
            for index, part in enumerate(as_list(value.get("content"))):
                wholes.append((index, "text", as_map(part.get("text")).get("value")))
        elif prefix == _STEP:
            for index, call in enumerate(as_list(as_map(value.get("step_details")).get("tool_calls"))):
                wholes.append((index, "arguments", as_map(call.get("function")).get("arguments")))
                wholes.append((index, "input", as_map(call.get("code_interpreter")).get("input")))
        for index, kind, whole in wholes:
            growth = found.texts.get((index, kind))
            if isinstance(whole, str) and growth is not None and growth.differs_from(whole):
                self.violate("text_whole", f"{kind}: {growth.difference(whole)}", id)


def _text(found: _Object, index: int, kind: str) -> Growth:
    growth = found.texts.get((index, kind))
    if growth is None:
        growth = found.texts[index, kind] = Growth()
    return growth


def _name_of(call: dict[str, Any]) -> str | None:
    """The name of a call: of a function, or beside the type."""
    return as_text(as_map(call.get("function")).get("name")) or as_text(call.get("name"))
