"""The messages and calls of one run of the LangGraph server: chunks, texts so far, and whole messages in, events out.

The same message arrives in several modes, and again in the state of the parent graph: its id makes it one. A message
begins with its first text, so a message that only calls tools is no message. A tool's message is the result of its
call.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from runstream.dialects.langgraph_objects import (
    Call,
    LoggedMessage,
    Place,
    call_event,
    message_event,
    reasoning_event,
    reasoning_id,
)
from runstream.dialects.langgraph_wire import (
    Content,
    Json,
    add_usage,
    content_of,
    integer_of,
    is_json_of,
    json_text,
    make_message_id,
    mapping_of,
    mappings_of,
    role_of,
    text_of,
    usage_of,
)
from runstream.model.common import Usage
from runstream.model.events import Event, MessageEvent, Target, TextAppend
from runstream.model.step import StepStatus

__all__ = ["MessageLog", "message_id"]

_MAX_KEPT: Final = 4096  # messages or calls that have ended, of one run


class MessageLog(Struct):
    """The messages and calls of one run of the server.

    Attributes:
        messages: The messages, by id.
        calls: The calls, by id; the latest of each id.
        model: The name of the model that answered last.
        is_joined: True if the stream was joined within the run, until the end of a message: what is open then may be
            known from another stream.
        has_gap: True if events may not have been received, until nothing that was sent then can still be open: what is
            first seen meanwhile may lack its beginning.
        steps: The first step that was seen after the gap, of each graph by its namespace.
    """

    messages: dict[str, LoggedMessage] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    model: str | None = None
    is_joined: bool = False
    has_gap: bool = False
    steps: dict[str, int] = field(default_factory=dict)

    def usage(self) -> Usage | None:
        """The tokens of all messages."""
        return add_usage([each.usage for each in self.messages.values() if each.usage is not None])

    def is_known(self, id: str) -> bool:
        """True if a message has this id."""
        return id in self.messages

    def note_gap(self) -> None:
        """Note that events may not have been received: of open messages a part, of new ones the beginning."""
        self.has_gap = True
        self.steps.clear()
        for message in self.messages.values():
            message.may_lack = message.may_lack or message.is_open

    def end_gap(self) -> None:
        """Note that nothing is open that was sent during the gap: the beginning of what follows is received."""
        self.has_gap = self.is_joined = False
        self.steps.clear()

    def begin_again(self) -> None:
        """Note that the server sends the run from its beginning: what is open begins again."""
        self.end_gap()
        for id, message in self.messages.items():
            if message.is_open:
                self.begin_message_again(id)

    def begin_message_again(self, id: str) -> None:
        """Note that the server sends a message from its beginning, if it is open: its texts, its calls, its tokens."""
        message = self.messages[id]
        if not message.is_open:
            return
        self.messages[id] = LoggedMessage(id, message.run_id, message.path, calls=message.calls)
        for call in filter(None, map(self.calls.get, message.calls.values())):
            if call.is_open and call.message_id == id:
                call.is_created, call.arguments = False, None
                call.fragments.clear()

    def is_after_gap(self, graph: str, step: int) -> bool:
        """True if a step began after the gap: an earlier step of its graph was still running after it.

        Args:
            graph: The namespace of the graph.
            step: The number of the step.
        """
        if graph not in self.steps and len(self.steps) >= _MAX_KEPT:
            return False
        return step > self.steps.setdefault(graph, step)

    def open_message(self, id: str, place: Place, *, is_whole: bool = False) -> LoggedMessage:
        """The message with this id; a new one if it is unknown.

        Args:
            id: The id.
            place: The place of the event.
            is_whole: True if its beginning was certainly received.
        """
        message = self.messages.get(id)
        if message is None:
            may_lack = self.has_gap and not is_whole
            message = self.messages[id] = LoggedMessage(id, place.run_id, place.path, may_lack=may_lack)
            if len(self.messages) > _MAX_KEPT:
                oldest = next(iter(self.messages.values()))
                if not oldest.is_open:
                    del self.messages[oldest.id]
        return message

    # fragments

    def add_chunk(self, value: Json, place: Place) -> list[Event]:
        """Decode a chunk of a message."""
        message = self.open_message(message_id(value), place)
        self.note_facts(message, value, add=True)
        if not message.is_open:
            return []
        content = content_of(value)
        message.mode = message.mode or ("chunks" if content.texts or content.reasoning or content.summaries else "")
        events = self.add_content(message, content, place) if message.mode != "partial" else []
        for fragment in mappings_of(value.get("tool_call_chunks")):
            index, id = integer_of(fragment.get("index")), text_of(fragment.get("id")) or None
            call = self.find_call(message, index, id)
            name = text_of(fragment.get("name"))
            if call is None:
                call = self._begin_call(message, id or f"{message.id}:{index or 0}", name, index)
            elif id is not None:
                message.last_call = id
            # The first fragment has the id or the name: without both, the call lacks its beginning.
            events += self._announce(call, place, partial=id is None and name is None)
            events += self.add_arguments(call, text_of(fragment.get("args")) or "", place)
        if value.get("chunk_position") == "last":
            events += self.close(message, place)
        return events

    def add_content(self, message: LoggedMessage, content: Content, place: Place) -> list[Event]:
        """Append the texts of a chunk."""
        events: list[Event] = []
        for index, text in content.summaries:
            events += self._add_reasoning(message, "summary", index or 0, text, place)
        for index, text in content.reasoning:
            part = message.reasoning.setdefault(-1 if index is None else index, len(message.reasoning))
            events += self._add_reasoning(message, "reasoning", part, text, place)
        for index, text in content.texts:
            events += self.add_text(message, index, text, place)
        return events

    def add_text(self, message: LoggedMessage, index: int | None, text: str, place: Place) -> list[Event]:
        """Append a fragment of the text of a block; of the block that grows if it has no index."""
        if index is None:
            part = max(message.part, 0)
            if not message.parts:
                message.parts[-1] = 0
        else:
            part = message.parts.setdefault(index, len(message.parts))
        if not text:
            return []
        message.part = part
        events: list[Event] = []
        if not message.is_created:
            message.is_created = True
            events.append(message_event(message, "in_progress", (), place, created=True, partial=message.may_lack))
        return [*events, TextAppend(message.id, "text", part, text, place.id, message.run_id, place.name)]

    def _add_reasoning(self, message: LoggedMessage, target: Target, part: int, text: str, place: Place) -> list[Event]:
        if not text:
            return []
        events: list[Event] = []
        if not message.has_reasoning:
            message.has_reasoning = True
            partial = message.may_lack
            shown = reasoning_event(message, StepStatus.IN_PROGRESS, (), (), place, created=True, partial=partial)
            events.append(shown)
        return [*events, TextAppend(reasoning_id(message.id), target, part, text, place.id, message.run_id, place.name)]

    def grow_reasoning(self, message: LoggedMessage, text: str, place: Place) -> list[Event]:
        """Append what the whole reasoning so far has more than before."""
        known = message.reasoning.get(-1, 0)
        message.reasoning[-1] = len(text)  # in this mode the length, since the reasoning has one part
        return self._add_reasoning(message, "reasoning", 0, text[known:], place)

    def add_arguments(self, call: Call, text: str, place: Place) -> list[Event]:
        """Append a fragment of the arguments of a call."""
        if not text or not call.is_open:
            return []
        call.fragments.append(text)
        return [TextAppend(call.step_id, "arguments", 0, text, place.id, place.run_id, place.name)]

    def find_call(self, message: LoggedMessage, index: int | None, id: str | None) -> Call | None:
        """The call of a fragment, by its id, else by its index, else the last one; ``None`` if it is new."""
        if id is not None:
            known = self.calls.get(id)
            is_same = known is not None and (
                known.message_id in (message.id, None) or self._is_unclear(known.message_id)
            )
            if is_same and index is not None:
                message.calls[index] = id
            return known if is_same else None
        found = message.calls.get(index) if index is not None else message.last_call
        return self.calls.get(found) if found is not None else None

    def _is_unclear(self, message_id: str | None) -> bool:
        """True if a message was open together with another one, whose calls can't be distinguished from its own."""
        message = self.messages.get(message_id or "")
        return message is not None and message.is_unclear

    def begin_call(
        self, message: LoggedMessage, id: str, name: str | None, index: int | None, place: Place
    ) -> list[Event]:
        """Announce a call of a message, if it is new."""
        call = self.find_call(message, index, id) or self._begin_call(message, id, name, index)
        return self._announce(call, place)

    def _announce(self, call: Call, place: Place, *, partial: bool = False) -> list[Event]:
        if call.is_created:
            return []
        call.is_created = True
        return [call_event(call, place, created=True, partial=partial)]

    def _begin_call(self, message: LoggedMessage, id: str, name: str | None, index: int | None) -> Call:
        # Some models begin to number their calls again in each message.
        step_id = id if id not in self.calls else f"{message.id}/{id}"
        call = self.calls[id] = Call(id, step_id, message.id, name, message.path, is_created=False)
        message.calls[len(message.calls) if index is None else index] = id
        message.last_call = id
        if len(self.calls) > _MAX_KEPT:
            del self.calls[next(iter(self.calls))]
        return call

    # whole messages

    def add_message(self, value: Json, place: Place) -> list[Event]:
        """Decode a whole message of any role. Messages of users and of the system are none of the run's."""
        match role_of(value):
            case "tool":
                return self.add_result(value, place)
            case "assistant":
                return self._add_answer(value, place)
        return []

    def _add_answer(self, value: Json, place: Place) -> list[Event]:
        id = text_of(value.get("id")) or None
        made = make_message_id(value)
        if id is not None and id not in self.messages and made in self.messages:
            self.messages[id] = self.messages[made]  # received without its id before
        message = self.open_message(id or made, place)
        self.note_facts(message, value, add=False)
        corrects = not message.is_open
        if corrects and message.is_whole:
            return []
        message.may_lack, message.is_whole = False, True
        content = content_of(value)
        events: list[Event] = []
        if content.reasoning or content.summaries:
            texts = [text for _, text in content.reasoning], [text for _, text in content.summaries]
            is_new, message.has_reasoning = not message.has_reasoning, True
            ended = StepStatus.COMPLETED
            events.append(reasoning_event(message, ended, *texts, place, created=is_new, corrects=corrects))
        calls = mappings_of(value.get("tool_calls")) or content.calls
        for call in (*calls, *mappings_of(value.get("invalid_tool_calls"))):
            events += self.add_call(message, call, place)
        whole = [text for _, text in content.texts]
        if not corrects:
            return events + self.close(message, place, whole)
        if shown := [text for text in whole if text]:
            is_new, message.is_created = not message.is_created, True
            events.append(message_event(message, "completed", shown, place, created=is_new, corrects=True))
        return events

    def add_call(self, message: LoggedMessage, value: Json, place: Place) -> list[Event]:
        """Show a call that is whole. Its arguments replace those that were streamed, unless both are the same JSON."""
        id = text_of(value.get("id")) or None
        if id is None:
            return []
        call = self.find_call(message, None, id)
        name, arguments = text_of(value.get("name")), value.get("args")
        if call is None:
            call = self._begin_call(message, id, name, None)
        if call.arguments is not None or arguments is None:
            return self._announce(call, place)
        streamed = "".join(call.fragments)
        is_equal = bool(streamed) and is_json_of(streamed, arguments)
        call.name, call.arguments = call.name or name, streamed if is_equal else json_text(arguments)
        call.fragments.clear()
        if not call.is_open:
            return [call_event(call, place, status=StepStatus.COMPLETED, corrects=True)]
        if is_equal:
            return self._announce(call, place)
        is_new, call.is_created = not call.is_created, True
        return [call_event(call, place, created=is_new)]

    def add_result(self, value: Json, place: Place) -> list[Event]:
        """Decode the message of a tool: the result of its call."""
        id = text_of(value.get("tool_call_id")) or None
        if id is None:
            return []
        content = value.get("content")
        texts = [text for _, text in content_of(value).texts] if isinstance(content, list) else []
        output = "".join(texts) if texts else "" if content is None else json_text(content)
        return self.end_call(id, text_of(value.get("name")), output, failed=value.get("status") == "error", place=place)

    def end_call(self, id: str, name: str | None, output: str, *, failed: bool, place: Place) -> list[Event]:
        """Show the result of a call. One that is unknown, such as a call of an earlier run of the thread, is new."""
        call = self.calls.get(id)
        is_new = call is None
        if call is None:
            call = self.calls[id] = Call(id, id, None, name, place.path)
        if not call.is_open:
            return []
        call.is_open = False
        call.name = call.name or name
        status = StepStatus.FAILED if failed else StepStatus.COMPLETED
        return [call_event(call, place, status=status, output=output, created=is_new)]

    # ends

    def close(
        self,
        message: LoggedMessage,
        place: Place,
        texts: list[str] | None = None,
        *,
        reasoning: list[str] | None = None,
        failed: bool = False,
    ) -> list[Event]:
        """End a message.

        Args:
            message: The message.
            place: The place of the events.
            texts: Its texts, if they were received whole.
            reasoning: The texts of its reasoning, likewise.
            failed: True if it ends before its end.
        """
        return self._end(message, place, texts, "incomplete" if failed else "completed", reasoning)

    def close_all(self, place: Place, status: StepStatus | None) -> list[Event]:
        """End what is open when the run has ended, or waits.

        Args:
            place: The place of the events.
            status: The status of the calls without a result; ``None`` to leave them open.
        """
        events: list[Event] = []
        for message in self.messages.values():
            if message.is_open:
                whole = (message.is_finished or status is StepStatus.COMPLETED) and not message.is_unclear
                events += self._end(message, place, None, "completed" if whole else "incomplete")
        for call in self.calls.values() if status is not None else ():
            if call.is_open:
                call.is_open = False
                events.append(call_event(call, place, status=status or StepStatus.COMPLETED))
        return events

    def _end(
        self,
        message: LoggedMessage,
        place: Place,
        texts: list[str] | None,
        status: str,
        reasoning: list[str] | None = None,
    ) -> list[Event]:
        message.is_open = self.is_joined = False
        events: list[Event] = []
        if message.has_reasoning:
            ended = StepStatus.COMPLETED if status == "completed" else StepStatus.CANCELLED
            partial = message.may_lack and bool(reasoning)
            events.append(reasoning_event(message, ended, reasoning or (), (), place, partial=partial))
        texts = [text for text in texts or () if text]
        if message.is_created or texts:
            is_new, message.is_created = not message.is_created, True
            partial = message.may_lack and bool(texts)
            events.append(message_event(message, status, texts, place, created=is_new, partial=partial))
        return events

    def note_facts(self, message: LoggedMessage, value: Json, *, add: bool = False) -> None:
        """Note the tokens and the model; the tokens of chunks are added up."""
        usage = usage_of(value)
        if usage is not None:
            known = message.usage if add else None
            message.usage = usage if known is None else tuple(map(sum, zip(known, usage, strict=True)))
        facts = mapping_of(value.get("response_metadata"))
        if facts:
            message.is_finished = message.is_finished or any(facts.get(key) for key in _REASONS)
            self.model = text_of(facts.get("model_name")) or text_of(facts.get("model")) or self.model

    def show_text(self, message: LoggedMessage, texts: list[str], place: Place) -> MessageEvent:
        """The event with the whole text of an open message."""
        is_new, message.is_created = not message.is_created, True
        return message_event(message, "in_progress", texts, place, created=is_new)


_REASONS: Final = ("finish_reason", "stop_reason", "done_reason", "status")


def message_id(value: Json) -> str:
    """The id of a message; one that is made from it if it has none."""
    return text_of(value.get("id")) or make_message_id(value)
