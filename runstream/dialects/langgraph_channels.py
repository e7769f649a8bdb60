"""The channels of the LangGraph server's thread protocol: the data of one event of a run enter, events leave.

No fragment names its message: while two are open in one namespace, their texts are those of the next state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from runstream.dialects.langgraph_base import LangGraphBase
from runstream.dialects.langgraph_objects import Call, LoggedMessage, Place, call_event
from runstream.dialects.langgraph_outcomes import Outcome
from runstream.dialects.langgraph_runs import ServerRun
from runstream.dialects.langgraph_wire import (
    Content,
    Json,
    content_of,
    integer_of,
    json_text,
    mapping_of,
    role_of,
    text_of,
)
from runstream.model.common import LastError
from runstream.model.events import (
    CustomEvent,
    Event,
    TextAppend,
)
from runstream.model.frozen import freeze
from runstream.model.step import StepStatus

__all__ = ["HANDLERS", "Channels", "OpenMessage"]

_MIXED: Final = "Two messages are open in this namespace, and no state says which one this text belongs to"


class OpenMessage:
    """A message that has begun in a namespace.

    Attributes:
        message: The message; ``None`` for a message of a tool or of a user.
        call_id: The call whose result it is.
        is_continued: True if it has begun in an earlier connection.
        texts: The whole texts of a result.
        whole: The whole texts of the blocks of a message, by the index of their parts.
        reasoning: Those of its reasoning.
    """

    __slots__ = ("call_id", "is_continued", "message", "reasoning", "texts", "whole")

    def __init__(
        self, message: LoggedMessage | None, call_id: str | None = None, *, is_continued: bool = False
    ) -> None:
        self.message = message
        self.call_id = call_id
        self.is_continued = is_continued
        self.texts: list[str] = []
        self.whole: dict[int, str] = {}
        self.reasoning: dict[int, str] = {}


class Channels(LangGraphBase):
    """The part of the thread protocol's dialect that decodes the data of events; see
    :class:`~runstream.dialects.langgraph_thread.LangGraphThreadDialect`.

    Args:
        options: Those of the dialect.
    """

    __slots__ = ("_open", "_pending_end")

    def __init__(self, **options: Any) -> None:
        self._open: dict[tuple[str, ...], list[OpenMessage]] = {}
        self._pending_end: tuple[str, Outcome] | None = None  # the end of a run that the server may contradict
        super().__init__(**options)

    # one method for each channel; it returns a reason if the data can't be used

    def _on_lifecycle(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        event = text_of(mapping_of(data).get("event")) or ""
        if place.path:
            if event in ("running", "started"):
                return run.begin_path(place)
            status = _STEP_STATUSES.get(event)
            events = run.begin_path(place) if status is not None else []
            return [*events, *run.end_node(run.node_id(place.path[-1]), status, place)] if status is not None else []
        match event:
            case "completed":
                self._pending_end = (run.id, Outcome("requires_action" if run.interrupts.waits else "completed"))
            case "interrupted" if run.interrupts.waits:
                return run.end(Outcome("requires_action"), place)
            case "interrupted":  # cancelled, unless a question follows
                self._pending_end = (run.id, Outcome("cancelled", LastError(code="interrupted")))
            case "failed":
                return run.end(Outcome("failed", LastError(message=text_of(mapping_of(data).get("error")))), place)
        return []

    def _on_input(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        is_new = run.interrupts.add([mapping_of(data)], run.tool_names())
        if run.waits and is_new:
            return [run.show("requires_action", place)]
        return []

    # messages

    def _on_messages(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        value = mapping_of(data)
        event = value.get("event")
        found = self._open.setdefault(place.path, [])
        if event == "message-start":
            return self._begin_message(run, value, place, found)
        if not found:
            del self._open[place.path]
            return "No message is open in this namespace"
        is_mixed = len(found) > 1
        entry = found[0]
        message = entry.message
        events: list[Event] = []
        content = mapping_of(value.get("content"))
        index = integer_of(value.get("index")) or 0
        if event == "message-finish" or event == "message-error":
            del found[0]
            if not found:
                del self._open[place.path]
            return self._finish_message(run, entry, value, place)
        if message is None:
            if event == "content-block-finish":
                entry.texts.append(text_of(content.get("text")) or json_text(dict(content)))
            return []
        if is_mixed or message.is_unclear:
            if event == "content-block-finish" and content.get("type") in ("tool_call", "invalid_tool_call"):
                return run.log.add_call(message, content, place)
            if event == "content-block-finish" and not run.has_values:
                return _MIXED
            return []
        if not message.is_open:
            return []
        match event:
            case "content-block-start":
                if content.get("type") in ("tool_call_chunk", "tool_call"):
                    return self._begin_call(run, message, content, index, place)
                return run.log.add_content(message, content_of({"content": [{**content, "index": index}]}), place)
            case "content-block-delta":
                return self._add_delta(run, message, mapping_of(value.get("delta")), index, place)
            case "content-block-finish":
                events += self._finish_block(run, entry, message, content, index, place)
        return events

    def _begin_message(self, run: ServerRun, value: Json, place: Place, found: list[OpenMessage]) -> list[Event]:
        role = role_of(value)
        id = text_of(value.get("id"))
        events: list[Event] = []
        if role == "assistant" and id is not None:
            events += run.begin_path(place)
            again = [each for each in found if each.is_continued and each.message is not None and each.message.id == id]
            if again:  # the server sends it from its beginning
                found.remove(again[0])
                run.log.begin_message_again(id)
            entry = OpenMessage(run.log.open_message(id, place, is_whole=True))
        else:
            entry = OpenMessage(None, text_of(value.get("tool_call_id")) if role == "tool" else None)
        found.append(entry)
        if len(found) > 1:
            for each in found:
                if each.message is not None:
                    each.message.is_unclear = True
        return events

    def _begin_call(
        self, run: ServerRun, message: LoggedMessage, content: Json, index: int, place: Place
    ) -> list[Event]:
        id = text_of(content.get("id")) or f"{message.id}:{index}"
        events = run.log.begin_call(message, id, text_of(content.get("name")), index, place)
        args = content.get("args")
        call = run.log.calls.get(id)
        return [*events, *run.log.add_arguments(call, args, place)] if isinstance(args, str) and call else events

    def _add_delta(self, run: ServerRun, message: LoggedMessage, delta: Json, index: int, place: Place) -> list[Event]:
        match delta.get("type"):
            case "text-delta":
                return run.log.add_text(message, index, text_of(delta.get("text")) or "", place)
            case "reasoning-delta":
                text = text_of(delta.get("reasoning")) or ""
                return run.log.add_content(message, Content([], [(index, text)], [], []), place)
            case "tool-call-delta":
                call = run.log.find_call(message, index, None)
                return run.log.add_arguments(call, text_of(delta.get("args")) or "", place) if call is not None else []
        return []

    def _finish_block(
        self, run: ServerRun, entry: OpenMessage, message: LoggedMessage, content: Json, index: int, place: Place
    ) -> list[Event]:
        """End a block. Its whole text repeats its fragments, and repairs them at the end of the message; where there
        were none, it is the only one.
        """
        events: list[Event] = []
        match content.get("type"):
            case "text":
                text = text_of(content.get("text")) or ""
                if index not in message.parts:
                    events = run.log.add_text(message, index, text, place)
                entry.whole[message.parts.get(index, -1)] = text
            case "reasoning":
                found = content_of({"content": [{**content, "index": index}]})
                if index not in message.reasoning:
                    events = run.log.add_content(message, found, place)
                entry.reasoning[message.reasoning.get(index, -1)] = "".join(text for _, text in found.reasoning)
            case "tool_call" | "invalid_tool_call":
                events = run.log.add_call(message, content, place)
        return events

    def _finish_message(self, run: ServerRun, entry: OpenMessage, value: Json, place: Place) -> list[Event]:
        message = entry.message
        if message is None:
            if entry.call_id is None:
                return []
            failed = value.get("event") == "message-error"
            return run.log.end_call(entry.call_id, None, "".join(entry.texts), failed=failed, place=place)
        facts = {"usage_metadata": value.get("usage"), "response_metadata": value.get("metadata")}
        run.log.note_facts(message, facts)
        if not message.is_open or message.is_unclear:
            return []  # the next state has its text
        whole, reasoning = (
            [known[part] for part in sorted(known)] if known.keys() >= set(parts.values()) else None
            for known, parts in ((entry.whole, message.parts), (entry.reasoning, message.reasoning))
        )
        # After a loss it stays partial: the texts may be those of a message whose beginning was lost.
        return run.log.close(message, place, whole, reasoning=reasoning, failed=value.get("event") == "message-error")

    # the other channels

    def _on_values(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        run.has_values = run.has_values or not place.path
        run.is_visible = True
        return run.add_values(data, place)

    def _on_updates(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        value = mapping_of(data)
        if set(value) == {"node", "values"}:
            value = {str(value["node"]): value["values"]}
        return run.add_updates(value, place)

    def _on_tools(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        value = mapping_of(data)
        id = text_of(value.get("tool_call_id"))
        if id is None:
            return "Expected a `tool_call_id`"
        log, name = run.log, text_of(value.get("tool_name"))
        match value.get("event"):
            case "tool-started":
                if id in log.calls:
                    return []
                call = log.calls[id] = Call(id, id, None, name, place.path)
                if value.get("input") is not None:
                    call.arguments = json_text(value["input"])
                return [call_event(call, place, created=True)]
            case "tool-output-delta":
                known = log.calls.get(id)
                text = text_of(value.get("delta")) or ""
                if known is None or not known.is_open or not text:
                    return []
                return [TextAppend(known.step_id, "output", 0, text, place.id, run.run_id, place.name)]
            case "tool-finished":
                output = value.get("output")
                message = mapping_of(output)
                if "content" in message:
                    return log.add_result({**message, "tool_call_id": id}, place)
                return log.end_call(id, name, json_text(output), failed=False, place=place)
            case "tool-error":
                return log.end_call(id, name, text_of(value.get("message")) or "", failed=True, place=place)
        return []

    def _on_custom(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        return [CustomEvent(freeze(data), place.id, run_id=run.run_id, name="custom", path=place.path)]

    def _on_tasks(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        return run.add_task(mapping_of(data), place)

    def _on_checkpoints(self, run: ServerRun, data: Any, place: Place) -> list[Event] | str:
        return run.add_checkpoint(mapping_of(data), place)


_Handler = Callable[[Channels, ServerRun, Any, Place], list[Event] | str]

HANDLERS: Final[dict[str, _Handler]] = {
    "lifecycle": Channels._on_lifecycle,
    "input.requested": Channels._on_input,
    "messages": Channels._on_messages,
    "values": Channels._on_values,
    "updates": Channels._on_updates,
    "tools": Channels._on_tools,
    "custom": Channels._on_custom,
    "tasks": Channels._on_tasks,
    "checkpoints": Channels._on_checkpoints,
}
"""The methods by the name of the channel."""
_STEP_STATUSES: Final = {
    "completed": StepStatus.COMPLETED,
    "failed": StepStatus.FAILED,
    "interrupted": StepStatus.CANCELLED,
}
