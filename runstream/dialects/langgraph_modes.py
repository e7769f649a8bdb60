"""The modes of the LangGraph server's run wire: the data of one event of a mode enter, events leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from runstream.dialects.base import KnownIds
from runstream.dialects.langgraph_base import LangGraphBase
from runstream.dialects.langgraph_messages import MessageLog, message_id
from runstream.dialects.langgraph_objects import LoggedMessage, Place, reasoning_id
from runstream.dialects.langgraph_outcomes import Outcome, decide_at_end, error_status
from runstream.dialects.langgraph_runs import ServerRun
from runstream.dialects.langgraph_wire import (
    INTERRUPT,
    Json,
    content_of,
    integer_of,
    json_text,
    mapping_of,
    mappings_of,
    role_of,
    text_of,
)
from runstream.model.common import ErrorObject, LastError
from runstream.model.events import (
    CustomEvent,
    Event,
    MessageEvent,
    TextAppend,
)
from runstream.model.frozen import freeze

__all__ = ["HANDLERS", "Modes", "error_of"]

_MAX_GUESSES: Final = 64  # open messages whose whole text is kept


class Modes(LangGraphBase):
    """The part of the run wire's dialect that decodes the data of events; see
    :class:`~runstream.dialects.langgraph.LangGraphDialect`.

    Args:
        known: What the runs have, also from other sources.
        options: Those of the dialect.
    """

    __slots__ = ("_known", "_shown", "_texts")

    def __init__(self, *, known: KnownIds | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._known = known
        self._texts: dict[str, LoggedMessage] = {}  # the open messages that have a text
        self._shown: dict[str, list[str]] = {}  # the whole texts of open messages, in the mode that sends them

    # one method for each kind of event; it returns `None` if the data have another form

    def _on_values(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        if not (isinstance(value, dict) and set(value) == {INTERRUPT}):
            run.has_values = run.has_values or not place.path
        return self._after(run, place, run.add_values(value, place))

    def _on_updates(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return self._after(run, place, run.add_updates(value, place)) if isinstance(value, dict) else None

    def _on_messages(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        if not isinstance(value, list) or not value or not isinstance(value[0], dict):
            return None
        message, facts = value[0], mapping_of(value[1]) if len(value) > 1 else {}
        events = _begin_node(run, facts, place)
        kind = message.get("type")
        if kind == "AIMessageChunk":
            if run.log.has_gap:
                self._open_message(run, message_id(message), place, facts)
            events += run.log.add_chunk(message, place)
        else:
            events += run.add_messages((message,), place)
        return self._after(run, place, events)

    def _open_message(self, run: ServerRun, id: str, place: Place, facts: Json | None = None) -> LoggedMessage:
        """The message with this id. One that is first seen after a gap may lack its beginning, or continue the message
        that another stream has begun.

        Args:
            run: Its run.
            id: Its id.
            place: The place of the event.
            facts: The facts beside its chunk.
        """
        log = run.log
        is_later = log.has_gap and _begins_later(log, facts or {})
        if not log.has_gap or is_later or log.is_known(id):
            return log.open_message(id, place, is_whole=is_later)
        message = log.open_message(id, place)
        known = self._known
        if known is not None:
            message.is_created = known.has_object(run.run_id, id)
            message.has_reasoning = known.has_object(run.run_id, reasoning_id(id))
        else:
            message.is_created = log.is_joined  # a second beginning would take back what another stream has sent
        return message

    def _begin_again(self, run: ServerRun) -> None:
        """Note that the server sends a run from its beginning, which it does where it can't resume."""
        for message in run.log.messages.values():
            self._shown.pop(message.id, None)
        run.begin_again()

    def _after(self, run: ServerRun, place: Place, events: list[Event]) -> list[Event]:
        """Note the messages that have a text now, for the short way of their next chunks, and the tokens of those that
        have ended.
        """
        ended = False
        for event in events:
            if isinstance(event, MessageEvent) and event.data.is_terminal:
                ended = True
            if isinstance(event, TextAppend):
                message = run.log.messages.get(event.object_id)
                if message is None or message.mode == "partial":
                    continue  # its chunks would repeat its text
                if event.target == "text" and set(message.parts) == {-1}:
                    self._texts[message.id] = message
            else:
                self._forget_text(getattr(event.data, "id", None), event)
        return [*events, *run.show_usage(place)] if ended else events

    def _forget_text(self, id: Any, event: Event) -> None:
        if id in self._texts and not self._texts[id].is_open:
            del self._texts[id]
        if id in self._shown and getattr(getattr(event.data, "status", None), "is_terminal", False):
            del self._shown[id]

    def _on_metadata_of_messages(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        if not isinstance(value, dict):
            return None
        events: list[Event] = []
        for found in mappings_of(list(value.values())):
            events += _begin_node(run, mapping_of(found.get("metadata")), place)
        return events

    def _on_partial(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        """Decode the text so far. The arguments of calls are guesses until the model says why it stopped."""
        if not isinstance(value, list):
            return None
        events: list[Event] = []
        for message in mappings_of(value):
            if role_of(message) == "assistant" and isinstance(message.get("id"), str):
                events += self._add_partial(run, message, place)
        return self._after(run, place, events)

    def _add_partial(self, run: ServerRun, value: Json, place: Place) -> list[Event]:
        log = run.log
        message = self._open_message(run, value["id"], place)
        if not message.is_open:
            return []
        if not (message.is_created or message.has_reasoning):
            message.may_lack = False  # this mode sends the text from its beginning
        log.note_facts(message, value)
        content = content_of(value)
        if message.is_finished:
            return log.add_message(value, place)
        if message.mode == "chunks":
            return self._add_calls(run, message, value, place)  # the chunks have its text, and may be ahead of this one
        message.mode = "partial"
        events: list[Event] = []
        texts = [text for _, text in content.texts]
        known = self._shown.get(message.id)
        if known is None and message.is_created:
            events.append(log.show_text(message, texts, place))  # received by an earlier decoder, or in another mode
        elif known is not None and any(not new.startswith(old) for old, new in zip(known, texts, strict=False)):
            events.append(log.show_text(message, texts, place))
        else:
            known = known or []
            for part, (index, text) in enumerate(content.texts):
                old = known[part] if part < len(known) else ""
                events += log.add_text(message, part if index is None and part else index, text[len(old) :], place)
        self._shown[message.id] = texts
        if len(self._shown) > _MAX_GUESSES:
            del self._shown[next(iter(self._shown))]
        reasoning = "".join(text for _, text in content.reasoning)
        events += log.grow_reasoning(message, reasoning, place)
        return [*events, *self._add_calls(run, message, value, place)]

    def _add_calls(self, run: ServerRun, message: LoggedMessage, value: Json, place: Place) -> list[Event]:
        """Announce the calls of a message."""
        events: list[Event] = []
        for call in mappings_of(value.get("tool_calls")):
            if id := text_of(call.get("id")):
                events += run.log.begin_call(message, id, text_of(call.get("name")), None, place)
        return events

    def _on_complete(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return self._after(run, place, run.add_messages(value, place)) if isinstance(value, list) else None

    def _on_custom(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return [CustomEvent(freeze(value), place.id, run_id=run.run_id, name="custom", path=place.path)]

    def _on_feedback(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return [CustomEvent(freeze(value), place.id, run_id=run.run_id, name="feedback")]

    def _on_task(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return self._after(run, place, run.add_task(value, place)) if isinstance(value, dict) else None

    def _on_checkpoint(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        return self._after(run, place, run.add_checkpoint(value, place)) if isinstance(value, dict) else None

    def _on_debug(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        found = mapping_of(value)
        payload = mapping_of(found.get("payload"))
        match found.get("type"):
            case "task" | "task_result":
                return self._on_task(run, payload, place)
            case "checkpoint":
                return self._on_checkpoint(run, payload, place)
        return []

    def _on_error(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        error = error_of(value)
        if error.code == "TimeoutError":
            run.error = {"code": error.code, "message": error.message}  # of a node, or the server's own limit
            return []
        return self._fail(run, LastError(code=error.code, message=error.message), place)

    def _fail(self, run: ServerRun, error: LastError, place: Place) -> list[Event]:
        self._texts.clear()
        return run.end(Outcome(error_status(error.code), error), place)

    def _on_end(self, run: ServerRun, value: Any, place: Place) -> list[Event] | None:
        """Decode the event with which other servers end a stream; some say in it how the run ended."""
        status = _END_STATUSES.get(text_of(mapping_of(value).get("status")) or "")
        if run.interrupts.waits or status == "requires_action":
            run.interrupts.waits = True
            return run.end(Outcome("requires_action"), place)
        if status is not None:
            return run.end(Outcome(status), place)
        run.answers.run = run.answers.run or {"status": "success"}
        return run.end(decide_at_end(run.answers, run.interrupts, visible=True), place) if run.is_visible else []


_Handler = Callable[[Modes, ServerRun, Any, Place], list[Event] | None]

HANDLERS: Final[dict[str, _Handler]] = {
    "values": Modes._on_values,
    "updates": Modes._on_updates,
    "messages": Modes._on_messages,
    "messages/metadata": Modes._on_metadata_of_messages,
    "messages/partial": Modes._on_partial,
    "messages/complete": Modes._on_complete,
    "custom": Modes._on_custom,
    "feedback": Modes._on_feedback,
    "tasks": Modes._on_task,
    "checkpoints": Modes._on_checkpoint,
    "debug": Modes._on_debug,
    "error": Modes._on_error,
    "end": Modes._on_end,
}
"""The methods by the name of the event."""
_END_STATUSES: Final = {
    "completed": "completed",
    "success": "completed",
    "interrupted": "requires_action",
    "requires_action": "requires_action",
    "failed": "failed",
    "error": "failed",
    "cancelled": "cancelled",
    "timeout": "expired",
}


def _begins_later(log: MessageLog, facts: Json) -> bool:
    """True if a chunk is one of a step that began after the gap, so that its message did too."""
    task, step = text_of(facts.get("langgraph_checkpoint_ns")), integer_of(facts.get("langgraph_step"))
    return bool(task) and step is not None and log.is_after_gap((task or "").rpartition("|")[0], step)


def _begin_node(run: ServerRun, facts: Json, place: Place) -> list[Event]:
    """Begin the node that sends a message, if it is one of the graph whose path the event has."""
    task, node = text_of(facts.get("langgraph_checkpoint_ns")), text_of(facts.get("langgraph_node"))
    if task and node and place.path == tuple(task.split("|"))[:-1]:
        return run.begin_node(run.node_id(task.rpartition("|")[2]), node, place)
    return []


def error_of(value: Any) -> ErrorObject:
    """The error in the data of an event."""
    found = mapping_of(value)
    message = found.get("message", found.get("detail"))
    code = found.get("error")
    return ErrorObject(
        code=code if isinstance(code, str) else None,
        message=message if isinstance(message, str) or message is None else json_text(message),
    )
