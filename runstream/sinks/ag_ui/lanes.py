"""What is open on an AG-UI stream: it is opened before its content, and closed before its run finishes.

Each method appends the events that are needed to a list, so every prefix of the stream is valid.
"""

from __future__ import annotations

from typing import Any

from runstream.sinks.ag_ui.events import AgUiEvent
from runstream.sinks.ag_ui.transcript import CallRecord, TextRecord, result_id

__all__ = ["Lanes", "Subagent"]


class Subagent:
    """A subagent on the wire.

    Attributes:
        id: The id of its run.
        is_open: True until it has ended.
    """

    __slots__ = ("id", "is_open", "step_id")

    def __init__(self, id: str, step_id: str) -> None:
        self.id = id
        self.step_id = step_id
        self.is_open = True

    def matches(self, name: str) -> bool:
        """True if a name of a path is that of this subagent: its id, or (LangGraph) the name of a node and its id."""
        return name in (self.id, self.step_id) or name.endswith(f":{self.step_id}")


class Lanes:
    """The open objects of a stream.

    Args:
        out: The list to which events are appended.
        modern: True for a peer of 1.0: subagents are announced, and their objects have tags.
    """

    def __init__(self, out: list[AgUiEvent], *, modern: bool) -> None:
        self._out = out
        self._modern = modern
        self._texts: dict[str, TextRecord] = {}
        self._calls: dict[str, CallRecord] = {}
        self._spans: dict[str, tuple[str | None, dict[str, None]]] = {}  # open reasoning messages by step
        self._steps: dict[str, tuple[str | None, str]] = {}  # tag and label by the id of the step
        self._labels: set[tuple[str | None, str]] = set()
        self._subagents: dict[tuple[str, ...], list[Subagent]] = {}  # by the path of the parent
        self._paths: dict[tuple[str, ...], Subagent] = {}
        self._ids: dict[str, int] = {}

    def _add(self, type: str, tag: str | None = None, **fields: Any) -> None:
        event = {"type": type, **fields}
        if tag is not None:
            event["subagentRunId"] = tag
        self._out.append(event)

    # texts

    def open_text(self, record: TextRecord, **fields: Any) -> None:
        """Open a message; nothing happens if it is open."""
        if not record.is_open:
            record.is_open = record.is_sent = True
            self._texts[record.id] = record
            self._add("TEXT_MESSAGE_START", record.tag, messageId=record.id, role=record.role, **fields)

    def write(self, record: TextRecord, text: str) -> None:
        """Send text of an open message."""
        self._add("TEXT_MESSAGE_CONTENT", record.tag, messageId=record.id, delta=text)

    def close_text(self, record: TextRecord) -> None:
        """Close a message; nothing happens if it is not open."""
        if record.is_open:
            record.is_open = False
            del self._texts[record.id]
            self._add("TEXT_MESSAGE_END", record.tag, messageId=record.id)

    # calls

    def open_call(self, record: CallRecord) -> None:
        """Open a call; nothing happens if it is open."""
        if not record.is_open:
            record.is_open = record.is_sent = True
            self._calls[record.id] = record
            name = record.name or record.kind or "tool"
            self._add("TOOL_CALL_START", record.tag, toolCallId=record.id, toolCallName=name)

    def write_arguments(self, record: CallRecord, text: str) -> None:
        """Send arguments of an open call."""
        self._add("TOOL_CALL_ARGS", record.tag, toolCallId=record.id, delta=text)

    def close_call(self, record: CallRecord) -> None:
        """Close a call; nothing happens if it is not open."""
        if record.is_open:
            record.is_open = False
            del self._calls[record.id]
            self._add("TOOL_CALL_END", record.tag, toolCallId=record.id)

    def answer(self, record: CallRecord, output: str) -> None:
        """Send the result of a call, which is closed before."""
        self.close_call(record)
        record.output = output
        id = result_id(record.id)
        self._add("TOOL_CALL_RESULT", record.tag, messageId=id, toolCallId=record.id, content=output, role="tool")

    # reasoning

    def open_span(self, step_id: str, tag: str | None) -> None:
        """Open the reasoning of a step; nothing happens if it is open."""
        if step_id not in self._spans:
            self._spans[step_id] = tag, {}
            self._add("REASONING_START", tag, messageId=step_id)

    def reason(self, step_id: str, message_id: str, tag: str | None, text: str) -> None:
        """Send reasoning of a step, "" to open its message."""
        self.open_span(step_id, tag)
        tag, opened = self._spans[step_id]
        if message_id not in opened:
            opened[message_id] = None
            self._add("REASONING_MESSAGE_START", tag, messageId=message_id, role="reasoning")
        if text:
            self._add("REASONING_MESSAGE_CONTENT", tag, messageId=message_id, delta=text)

    def close_span(self, step_id: str) -> None:
        """Close the reasoning of a step; nothing happens if it is not open."""
        if step_id in self._spans:
            tag, opened = self._spans.pop(step_id)
            for message_id in opened:
                self._add("REASONING_MESSAGE_END", tag, messageId=message_id)
            self._add("REASONING_END", tag, messageId=step_id)

    # steps

    def open_step(self, step_id: str, name: str, tag: str | None) -> None:
        """Open a step. A name that is open under the same owner gets a number."""
        if step_id in self._steps:
            return
        number, label = 1, name
        while (tag, label) in self._labels:
            number += 1
            label = f"{name} ({number})"
        self._steps[step_id] = tag, label
        self._labels.add((tag, label))
        self._add("STEP_STARTED", tag, stepName=label)

    def close_step(self, step_id: str) -> None:
        """Close a step; nothing happens if it is not open."""
        if step_id in self._steps:
            tag, label = self._steps.pop(step_id)
            self._labels.discard((tag, label))
            self._add("STEP_FINISHED", tag, stepName=label)

    # subagents

    def open_subagent(
        self, path: tuple[str, ...], step_id: str, name: str | None, description: str | None = None
    ) -> Subagent | None:
        """Announce a subagent; nothing happens if it is known.

        Args:
            path: The path of its parent.
            step_id: The id of its step, or its name in paths.
            name: Its name.
            description: Its description.
        """
        if not self._modern:
            return None
        known = self._subagents.setdefault(path, [])
        id = step_id.removeprefix("subagent/")
        if any(each.step_id == step_id for each in known):
            return None
        parent = self.tag(path)
        self._ids[id] = self._ids.get(id, 0) + 1  # an id is used once in a run
        found = Subagent(id if self._ids[id] == 1 else f"{id}~{self._ids[id]}", step_id)
        known.append(found)
        fields: dict[str, Any] = {"name": name or id.partition(":")[0] or id}
        if description is not None:
            fields["description"] = description
        if parent is not None:
            fields["parentSubagentRunId"] = parent
        self._add("SUBAGENT_STARTED", found.id, **fields)
        return found

    def tag(self, path: tuple[str, ...]) -> str | None:
        """The id of the subagent's run at a path, which is announced if it is new; ``None`` for the run itself."""
        if not path or not self._modern:
            return None
        found = self._paths.get(path)
        if found is None:
            known = self._subagents.get(path[:-1], ())
            found = next((each for each in reversed(known) if each.matches(path[-1])), None)
            if found is None:
                found = self.open_subagent(path[:-1], path[-1], None)
                assert found is not None
            self._paths[path] = found
        return found.id

    def close_subagent(self, path: tuple[str, ...], step_id: str, error: dict[str, str] | None = None) -> None:
        """Close a subagent; nothing happens if it is not open.

        Args:
            path: The path of its parent.
            step_id: The id of its step.
            error: The message and the code if it failed.
        """
        for found in self._subagents.get(path, ()):
            if found.step_id == step_id and found.is_open:
                found.is_open = False
                if error is None:
                    self._add("SUBAGENT_FINISHED", found.id)
                else:
                    self._add("SUBAGENT_ERROR", found.id, **error)

    # the end

    def close_all(self, suspended: list[str] | None = None) -> None:
        """Close all that is open, the innermost first.

        Args:
            suspended: The ids of the interrupts if the run goes on after an answer.
        """
        for text in list(self._texts.values()):
            self.close_text(text)
        for call in list(self._calls.values()):
            self.close_call(call)
        for step_id in list(self._spans):
            self.close_span(step_id)
        for step_id in reversed(list(self._steps)):
            self.close_step(step_id)
        outcome: dict[str, Any] = {}
        if suspended is not None:
            outcome["outcome"] = {"type": "suspended", **({"interruptIds": suspended} if suspended else {})}
        for path in sorted(self._subagents, key=len, reverse=True):
            for found in self._subagents[path]:
                if found.is_open:
                    found.is_open = False
                    self._add("SUBAGENT_FINISHED", found.id, **outcome)
