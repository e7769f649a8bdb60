"""The latest state of a run: the Run, its steps and messages, and the text so far.

Frozen to its readers: a state that was kept never changes, whatever comes after it.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, structs

from runstream.core.merge import to_builtins
from runstream.core.object_list import NO_OBJECTS, Objects, ObjectState
from runstream.core.text import Text, TextBuffer
from runstream.model.common import Usage
from runstream.model.lenient import read
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.step import RunStep, StepStatus
from runstream.model.tool_calls import ToolCall

__all__ = ["NO_CALLS", "GrowingText", "RunHead", "RunState", "Timings"]

_COMPLETED = StepStatus.COMPLETED


# An empty set takes 216 bytes, and each call makes another one.
NO_CALLS: Final[frozenset[str]] = frozenset()


class Timings(Struct, frozen=True, kw_only=True):
    """How long a run took, in seconds as observed here; ``None`` where it did not happen (yet).

    Attributes:
        queued: From first sight to the first status after ``queued``.
        running: In ``in_progress``, all rounds together, up to the last change of status.
        waiting: In ``requires_action``, all rounds together, up to the last change of status.
        first_text: From first sight to the first text.
        total: From first sight to the end.
    """

    queued: float | None = None
    running: float | None = None
    waiting: float | None = None
    first_text: float | None = None
    total: float | None = None


class GrowingText(Struct, frozen=True, gc=False, eq=False):
    """The text that grows right now, kept apart so that appending to it touches nothing else.

    Attributes:
        position: Its object's position in the run.
        object_id: Its object's id.
        is_message: Whether it is a message's text; else a call's arguments or code.
        index: Index of the content part or the tool call.
        part: Index of the content part; -1 for calls.
        path: Keys that lead to the text in the object's parts.
        call_id: Id of the tool call; "" for messages.
        event: Name of the event that it grows by.
        buffer: The text's buffer.
        prior: What was shown before a restart.
        run_id: The run, its thread and its scope, at hand for the signals.
    """

    position: int
    object_id: str
    is_message: bool
    index: int
    part: int
    path: tuple[Any, ...]
    call_id: str
    event: str
    buffer: TextBuffer
    prior: Text | None
    run_id: str
    thread_id: str | None
    scope: str


class RunHead(Struct, frozen=True, gc=False, eq=False):
    """What only snapshots of the run change, or hardly anything else.

    Attributes:
        asked: The sets of calls that the run has asked for, in order, each as its sorted ids.
        statuses: The statuses seen in this round.
        calls_done: Ids of the tool calls whose arguments are whole.
        since: When the status last changed (Unix seconds of observation).
    """

    run: Run
    scope: str
    action_keys: tuple[tuple[str, ...], ...] = ()
    statuses: tuple[RunStatus, ...] = ()
    calls_done: frozenset[str] = NO_CALLS
    first_seen: float = 0.0
    status_since: float = 0.0
    queued: float | None = None
    running: float | None = None
    waiting: float | None = None
    first_text: float | None = None

    def with_first_text(self, at: float) -> RunHead:
        """The core once its first text has come."""
        return RunHead(
            self.run,
            self.scope,
            self.action_keys,
            self.statuses,
            self.calls_done,
            self.first_seen,
            self.status_since,
            self.queued,
            self.running,
            self.waiting,
            at - self.first_seen,
        )


class RunState(Struct, frozen=True, gc=False, eq=False):
    """The latest state of one run. Compared by value; an event that says nothing new gives the same object."""

    _head: RunHead
    _objects: Objects = NO_OBJECTS
    _growing: GrowingText | None = None
    _length: int = 0
    # What changed last: -2 the live text, -1 the run, else the position of an object; and the event that did it.
    _touched: int = -2
    _event: str = ""
    _cached_objects: Objects | None = None

    @property
    def changed_by(self) -> str:
        """Name of the event that changed it last."""
        return self._growing.event if self._touched == -2 and self._growing is not None else self._event

    @property
    def run(self) -> Run:
        """The run, as its latest snapshots have it."""
        return self._head.run

    @property
    def scope(self) -> str:
        """The scope of its source; "" by default."""
        return self._head.scope

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._head.run.id

    @property
    def thread_id(self) -> str | None:
        """The run's thread, where known."""
        return self._head.run.thread_id

    @property
    def status(self) -> RunStatus:
        """The run's status."""
        return self._head.run.status

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self._head.run.status.is_terminal

    @property
    def first_seen(self) -> float:
        """When it was seen first (Unix seconds of observation)."""
        return self._head.first_seen

    @property
    def round(self) -> int:
        """How many different sets of calls the run has asked for."""
        return len(self._head.action_keys)

    @property
    def usage(self) -> Usage | None:
        """Token counts, once the server has given them."""
        return self._head.run.usage

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages in order of creation, each as far as it is known."""
        return tuple(get_view(item) for item in self._all_objects() if item.is_message)

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The steps in order of creation, each as far as it is known."""
        return tuple(get_view(item) for item in self._all_objects() if not item.is_message)

    @property
    def text(self) -> str:
        """The text of all messages so far, one after the other."""
        return "".join([item.text() for item in self._all_objects() if item.is_message])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of all steps so far, with their arguments as they grow; then those that are awaited
        and stand in no step.
        """
        found = [call for step in self.steps for call in step.tool_calls]
        known = {call.id for call in found}
        return (*found, *(call for call in self.run.pending_tool_calls if call.id not in known))

    @property
    def image_file_ids(self) -> tuple[str, ...]:
        """The ids of the files that hold images: those that messages show, then those that code has made."""
        shown = [id for message in self.messages for id in message.image_file_ids]
        made = [id for call in self.tool_calls for id in getattr(call, "image_file_ids", ())]
        return tuple(dict.fromkeys([*shown, *made]))

    @property
    def partial(self) -> frozenset[str]:
        """The ids of messages and steps that may miss pieces until a full object heals them."""
        return frozenset(item.id for item in self._objects if item.partial)

    @property
    def timings(self) -> Timings:
        """How long the run was queued, running and waiting, and how long its first text took (seconds)."""
        head = self._head
        total = head.status_since - head.first_seen if self.is_terminal else None
        return Timings(
            queued=head.queued, running=head.running, waiting=head.waiting, first_text=head.first_text, total=total
        )

    def message(self, id: str) -> Message | None:
        """The message with this id."""
        found = self._find(id)
        return get_view(found) if found is not None and found.is_message else None

    def step(self, id: str) -> RunStep | None:
        """The step with this id."""
        found = self._find(id)
        return get_view(found) if found is not None and not found.is_message else None

    def to_dict(self) -> dict[str, Any]:
        """``{"run": ..., "steps": [...], "messages": [...]}``, each as on the wire."""
        return {
            "run": self.run.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "messages": [message.to_dict() for message in self.messages],
        }

    def _find(self, id: str) -> ObjectState | None:
        objects = self._all_objects()
        position = objects.find(id)
        return None if position < 0 else objects[position]

    def _all_objects(self) -> Objects:
        """The objects with the live text put back where it belongs; kept once it was asked for."""
        growing = self._growing
        if growing is None:
            return self._objects
        if self._cached_objects is None:
            structs.force_setattr(self, "_cached_objects", build_objects(self))
        return self._cached_objects  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunState):
            return NotImplemented
        return self is other or (
            self.scope == other.scope
            and self.run == other.run
            and self._head.action_keys == other._head.action_keys
            and self.steps == other.steps
            and self.messages == other.messages
        )

    def __hash__(self) -> int:
        return hash((self.scope, self.run))

    def __repr__(self) -> str:
        return f"RunState({self.run_id!r}, status={self.status.value!r}, objects={len(self._objects)})"


def build_objects(state: RunState) -> Objects:
    """The objects of a state, its live text put back."""
    growing, objects = state._growing, state._objects
    if growing is None:
        return objects
    current = objects[growing.position]
    item = insert_text(current, growing, state._length)
    return objects if item is current else objects.set(growing.position, item)


def update_head(head: RunHead, item: ObjectState, at: float) -> RunHead:
    """The core after ``item`` changed: the time of the first text, the calls whose arguments are whole."""
    if item.is_message:
        if head.first_text is None and item.text():
            return head.with_first_text(at)
    elif item.is_terminal and isinstance(item.full, RunStep) and item.full.status == _COMPLETED:
        calls = item.full.tool_calls
        if calls and (new := {call.id for call in calls if call.id} - head.calls_done):
            return structs.replace(head, calls_done=head.calls_done | new)
    return head


def insert_text(item: ObjectState, growing: GrowingText, length: int) -> ObjectState:
    """``item`` with its live text at ``length``."""
    current = _get_node(item.parts, growing.path)
    if current.length == length and current.buffer is growing.buffer:
        return item
    text = Text(growing.buffer, length, length, growing.prior)
    return ObjectState(item.id, item.is_message, item.full, _set_node(item.parts, growing.path, text), item.partial)


def _get_node(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def _set_node(node: Any, path: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    out = dict(node)
    out[path[0]] = value if len(path) == 1 else _set_node(node[path[0]], path[1:], value)
    return out


def get_view(item: ObjectState) -> Any:
    """The message or step as its readers see it: the full object, with what deltas built since."""
    if item.parts is None:
        return item.full
    if item.view is None:
        structs.force_setattr(item, "view", _build_view(item))
    return item.view


def _build_view(item: ObjectState) -> Message | RunStep:
    kind: type[Message] | type[RunStep] = Message if item.is_message else RunStep
    data: dict[str, Any] = {"id": item.id} if item.full is None else item.full.to_dict()
    for name, value in to_builtins(item.parts).items():
        current = data.get(name)
        if isinstance(current, dict) and isinstance(value, dict):
            data[name] = {**current, **value}
        elif name not in data or name == "content":
            data[name] = value
    return read(kind, data, []) or kind(id=item.id)
