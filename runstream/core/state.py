"""The latest state of a run: the run itself, its steps and messages, and the text so far.

States are frozen: a state never changes, whatever events follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from runstream.core.action_requests import awaited_names
from runstream.core.activities import NO_ACTIVITIES, Activities, ActivityState
from runstream.core.call_names import NO_NAMES
from runstream.core.calls import NO_CALLS, Calls
from runstream.core.documents import NO_DOCUMENTS, Documents
from runstream.core.merge import to_builtins
from runstream.core.object_list import NO_OBJECTS, Objects, ObjectState
from runstream.core.pieces import NO_PIECES, Pieces
from runstream.core.step_calls import add_step, step_calls
from runstream.core.text import Text, TextBuffer
from runstream.model.common import Usage
from runstream.model.fragments import Target
from runstream.model.frozen import thaw
from runstream.model.lenient import read
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.step import RunStep
from runstream.model.tool_calls import ToolCall

__all__ = ["GrowingText", "RunHead", "RunState", "Timings", "call_names", "is_whole_call", "stepless_calls"]


class Timings(Struct, frozen=True, kw_only=True):
    """Durations of a run in seconds, as observed by this process; ``None`` for a phase that has not happened.

    Attributes:
        queued: Seconds from the first event to the first status after ``queued``.
        running: Seconds in ``in_progress``, all rounds together, up to the last change of status.
        waiting: Seconds in ``requires_action``, all rounds together, up to the last change of status.
        first_text: Seconds from the first event to the first text.
        total: Seconds from the first event to the end.
    """

    queued: float | None = None
    running: float | None = None
    waiting: float | None = None
    first_text: float | None = None
    total: float | None = None


class GrowingText(Struct, frozen=True, gc=False, eq=False):
    """The text that grows now. It is kept apart, so that an append changes nothing else.

    Attributes:
        position: The position of its object in the run.
        object_id: The id of its object.
        is_message: True for a text of a message, False for a text of a step.
        index: The index of the part or the tool call.
        part: The index of the part of a message or of a reasoning; -1 for calls.
        path: The keys that lead to the text in the parts of the object.
        call_id: The id of the tool call; "" for parts.
        call_key: The key of the tool call; "" for parts.
        event: The name of the event with its fragments.
        buffer: The buffer of the text.
        prior: The text before a reset.
        run_id: The id of the run. The next two fields are its thread and its scope; the signals need all three.
        target: The kind of the text.
        signal: Makes the signal of a fragment: from run id, thread id, scope, time; then object id, part, offset and
            fragment of a part, or call id, offset, fragment and call key of a call.
    """

    position: int
    object_id: str
    is_message: bool
    index: int
    part: int
    path: tuple[Any, ...]
    call_id: str
    call_key: str
    event: str
    buffer: TextBuffer
    prior: Text | None
    run_id: str
    thread_id: str | None
    scope: str
    target: Target
    signal: Callable[..., Any]


class RunHead(Struct, frozen=True, gc=False, eq=False):
    """The part of a state that few events change beside snapshots of the run.

    Attributes:
        run: The run, merged from its snapshots.
        scope: The scope of its source.
        calls: Its tool calls and requests for action.
        statuses: The statuses seen in this round.
        first_seen: The time of its first event (Unix seconds, as observed).
        status_since: The time of the last change of its status (Unix seconds, as observed).
        queued: See :class:`Timings`, as the next three.
        pieces: Its pieces.
        custom: The number of custom events so far, for their keys.
        documents: Its documents.
        activities: Its activities.
    """

    run: Run
    scope: str
    calls: Calls = NO_CALLS
    statuses: tuple[RunStatus, ...] = ()
    first_seen: float = 0.0
    status_since: float = 0.0
    queued: float | None = None
    running: float | None = None
    waiting: float | None = None
    first_text: float | None = None
    pieces: Pieces = NO_PIECES
    custom: int = 0
    documents: Documents = NO_DOCUMENTS
    activities: Activities = NO_ACTIVITIES

    def with_first_text(self, at: float) -> RunHead:
        """A head with the time of the first text.

        Args:
            at: The time of its arrival (Unix seconds).
        """
        return RunHead(
            self.run,
            self.scope,
            self.calls,
            self.statuses,
            self.first_seen,
            self.status_since,
            self.queued,
            self.running,
            self.waiting,
            at - self.first_seen,
            self.pieces,
            self.custom,
            self.documents,
            self.activities,
        )


class RunState(Struct, frozen=True, gc=False, eq=False):
    """The latest state of one run. States are compared by value; an event without news gives the same object."""

    _head: RunHead
    _objects: Objects = NO_OBJECTS
    _growing: GrowingText | None = None
    _length: int = 0
    # The last change: -2 for the growing text, -1 for the run, -3 for a document, -4 for an activity, else the position
    # of an object; and its event.
    _touched: int = -2
    _event: str = ""
    _cached_objects: Objects | None = None
    # The content parts or calls that the last change of an object concerns, by their indices: none if a full message
    # repeats the text that grew; `None` for all.
    _indices: tuple[int, ...] | None = None

    @property
    def changed_by(self) -> str:
        """The name of the event that changed the state last."""
        return self._growing.event if self._touched == -2 and self._growing is not None else self._event

    @property
    def run(self) -> Run:
        """The run, merged from its snapshots."""
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
        """The id of the run's thread; ``None`` if it is unknown."""
        return self._head.run.thread_id

    @property
    def status(self) -> RunStatus:
        """The run's status."""
        return self._head.run.status

    @property
    def is_terminal(self) -> bool:
        """True if the run has ended."""
        return self._head.run.status.is_terminal

    @property
    def first_seen(self) -> float:
        """The time of the run's first event (Unix seconds, as observed)."""
        return self._head.first_seen

    @property
    def round(self) -> int:
        """The number of rounds: how often the run has required an action anew."""
        return self._head.calls.round

    @property
    def pieces(self) -> tuple[str, ...]:
        """The ids of the parts of the run (of its responses, say), in order of first appearance; empty for a wire
        whose runs have one part. A part that is new to the run is newer than all before.
        """
        return tuple(self._head.pieces.ids.keys())

    @property
    def usage(self) -> Usage | None:
        """Token counts; ``None`` until the server sends them."""
        return self._head.run.usage

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages, in order of creation, each as far as it is known."""
        return tuple(get_view(item) for item in self._all_objects() if item.is_message)

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The steps, in order of creation, each as far as it is known."""
        return tuple(get_view(item) for item in self._all_objects() if not item.is_message)

    @property
    def text(self) -> str:
        """What the agent said so far: the text of its messages, joined in order, without those of subagents and
        subgraphs. Messages of users, the system, developers and tools are in :attr:`messages` alone.
        """
        return self.text_at(())

    @property
    def reasoning(self) -> str:
        """The reasoning of the steps so far, joined in order, without those of subagents and subgraphs; of a step
        without reasoning its summary.
        """
        return "".join(
            [get_view(item).reasoning for item in self._all_objects() if not item.is_message and not item.path]
        )

    def text_at(self, path: Sequence[str]) -> str:
        """What a subagent or subgraph said so far: the text of its messages, joined in order, as :attr:`text`.

        Args:
            path: Its path; empty for the run itself.
        """
        path = tuple(path)
        return "".join([item.text() for item in self._all_objects() if item.is_of_agent and item.path == path])

    def path_of(self, id: str) -> tuple[str, ...]:
        """The path of a message or step, or of an activity: the names of the subagents or subgraphs that lead to it,
        the outermost first. It is empty for the run itself, and for an unknown id.
        """
        position = self._objects.find(id)
        if position >= 0:
            return self._objects[position].path
        activity = self._head.activities.find(id)
        return activity.path if activity is not None else ()

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The paths of its subagents and subgraphs, in order of first appearance: of messages and steps, then of
        documents, then of activities.
        """
        found = [item.path for item in self._objects]
        found += self._head.documents.values
        found += [activity.path for activity in self._head.activities]
        return tuple([path for path in dict.fromkeys(found) if path])

    @property
    def document(self) -> Any:
        """The document of the run, as read-only JSON: the state that its agent shares with the application.

        ``None`` if there is none so far, or if it is a null; ``document_version`` is 0 only if there is none. A later
        version shares the parts that did not change.
        """
        return self._head.documents.get(())

    @property
    def document_version(self) -> int:
        """The number of changes of the documents so far: the version of the last one."""
        return self._head.documents.version

    @property
    def document_partial(self) -> bool:
        """True if the document of the run misses a change, because a patch or snapshot could not be applied. The next
        snapshot heals it.
        """
        return () in self._head.documents.partial

    @property
    def documents(self) -> Mapping[tuple[str, ...], Any]:
        """All documents by path, as read-only JSON; that of the run has the empty path."""
        documents = self._head.documents
        return {path: documents.get(path) for path in documents.values}

    @property
    def activities(self) -> tuple[ActivityState, ...]:
        """The activities, in order of first appearance: what an application shows beside messages, such as a plan."""
        return tuple(self._head.activities)

    def activity(self, id: str) -> ActivityState | None:
        """The activity with this id; ``None`` if there is none."""
        return self._head.activities.find(id)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of all steps so far, with their growing arguments; then the awaited calls of no step."""
        return (*[call for step in self.steps for call in step.tool_calls], *[call for call, _ in stepless_calls(self)])

    @property
    def image_file_ids(self) -> tuple[str, ...]:
        """The ids of image files: first the files in messages, then the files that code has made."""
        shown = [id for message in self.messages for id in message.image_file_ids]
        made = [id for call in self.tool_calls for id in getattr(call, "image_file_ids", ())]
        return tuple(dict.fromkeys([*shown, *made]))

    @property
    def partial(self) -> frozenset[str]:
        """The ids of messages and steps that may miss text, until a full object heals them."""
        return frozenset(item.id for item in self._objects if item.partial)

    @property
    def timings(self) -> Timings:
        """How long the run was queued, running and waiting, and the time to its first text (seconds)."""
        head = self._head
        total = head.status_since - head.first_seen if self.is_terminal else None
        return Timings(
            queued=head.queued, running=head.running, waiting=head.waiting, first_text=head.first_text, total=total
        )

    def message(self, id: str) -> Message | None:
        """The message with this id; ``None`` if there is none."""
        found = self._find(id)
        return get_view(found) if found is not None and found.is_message else None

    def step(self, id: str) -> RunStep | None:
        """The step with this id; ``None`` if there is none."""
        found = self._find(id)
        return get_view(found) if found is not None and not found.is_message else None

    def to_dict(self) -> dict[str, Any]:
        """A dict ``{"run": ..., "steps": [...], "messages": [...]}``, with each object as on the wire.

        A run with a document has it as ``"document"``, with activities ``"activities": [...]``, with messages or steps
        of subagents or subgraphs their paths as ``"paths": {id: [...]}``.
        """
        out: dict[str, Any] = {
            "run": self.run.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "messages": [message.to_dict() for message in self.messages],
        }
        head = self._head
        if () in head.documents.values:
            out["document"] = thaw(self.document)
        if head.activities.count:
            out["activities"] = [activity.to_dict() for activity in head.activities]
        if paths := {item.id: [*item.path] for item in self._objects if item.path}:
            out["paths"] = paths
        return out

    def _paths(self) -> dict[str, tuple[str, ...]]:
        return {item.id: item.path for item in self._objects if item.path}

    def _find(self, id: str) -> ObjectState | None:
        objects = self._all_objects()
        position = objects.find(id)
        return None if position < 0 else objects[position]

    def _all_objects(self) -> Objects:
        """:func:`build_objects`, computed once."""
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
            and self._head.calls.round == other._head.calls.round
            and self._head.calls.request == other._head.calls.request
            and self._head.pieces.ids == other._head.pieces.ids
            and self.steps == other.steps
            and self.messages == other.messages
            and self._paths() == other._paths()
            and self._head.documents.equals(other._head.documents)
            and self.activities == other.activities
        )

    def __hash__(self) -> int:
        return hash((self.scope, self.run))

    def __repr__(self) -> str:
        return f"RunState({self.run_id!r}, status={self.status.value!r}, objects={len(self._objects)})"


def call_names(state: RunState, step_id: str) -> list[str]:
    """The names in keys of the calls of a step, in order."""
    item = state._find(step_id)
    return [] if item is None or item.is_message else [call.name for call in step_calls(item)]


def is_whole_call(state: RunState, key: str) -> bool:
    """True if the arguments of the call with this key are complete."""
    return key.rpartition("/call/")[2] in state._head.calls.whole


def stepless_calls(state: RunState) -> tuple[tuple[ToolCall, str], ...]:
    """The calls that a run waits for and that are in no step so far, with their names in keys."""
    pending = state.run.pending_tool_calls
    if not pending:
        return ()
    in_steps = {name for item in state._objects for name in item.calls}
    names = awaited_names(state._head.calls, state.run)
    return tuple([(call, name) for call, name in zip(pending, names, strict=True) if name not in in_steps])


def build_objects(state: RunState) -> Objects:
    """The objects of a state, with the growing text inserted at its place."""
    growing, objects = state._growing, state._objects
    if growing is None:
        return objects
    current = objects[growing.position]
    item = insert_text(current, growing, state._length)
    return objects if item is current else objects.set(growing.position, item)


def update_head(head: RunHead, item: ObjectState, at: float, indices: tuple[int, ...] | None = None) -> RunHead:
    """Compute the head after a change of an object: the time of the first text, the calls with complete arguments, and
    the calls with a complete output.

    Args:
        head: The head before.
        item: The object after the change.
        at: The time (Unix seconds).
        indices: The indices of the content parts or calls that a delta changed; ``None`` after a full object.
    """
    if item.is_message:
        full: Any = item.full
        empty = item.parts is None and not full.content
        changed = item if indices is None else item.select(indices)
        if head.first_text is None and not empty and changed.text():
            return head.with_first_text(at)
    elif indices is None and item.calls is not NO_NAMES and isinstance(item.full, RunStep):
        calls = add_step(head.calls, item, head.run.status)
        if calls is not head.calls:
            return structs.replace(head, calls=calls)
    return head


def insert_text(item: ObjectState, growing: GrowingText, length: int) -> ObjectState:
    """An object with its growing text at ``length`` (characters)."""
    current = _get_node(item.parts, growing.path)
    if current.length == length and current.buffer is growing.buffer:
        return item
    text = Text(growing.buffer, length, length, growing.prior)
    return item.change(item.full, _set_node(item.parts, growing.path, text), partial=item.partial)


def _get_node(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def _set_node(node: Any, path: tuple[Any, ...], value: Any) -> dict[Any, Any]:
    out = dict(node)
    out[path[0]] = value if len(path) == 1 else _set_node(node[path[0]], path[1:], value)
    return out


def get_view(item: ObjectState) -> Any:
    """The message or step as readers see it: the full object with the parts that deltas built since."""
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
