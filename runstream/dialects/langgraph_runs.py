"""One run of the LangGraph server: states and updates of nodes in, events out; and its end."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field, structs

from runstream.dialects.langgraph_messages import MessageLog
from runstream.dialects.langgraph_objects import Place
from runstream.dialects.langgraph_outcomes import Answers, Interrupts, Outcome
from runstream.dialects.langgraph_wire import (
    ATTEMPT,
    INTERRUPT,
    RUN_ID,
    Json,
    is_message,
    make_message_id,
    mapping_of,
    mappings_of,
    messages_in,
    text_of,
    time_of,
)
from runstream.model.actions import CallsAction
from runstream.model.common import LastError
from runstream.model.events import CustomEvent, DocumentSnapshot, Event, RunDetached, RunEvent, StepEvent
from runstream.model.frozen import freeze
from runstream.model.run import Run, RunStatus
from runstream.model.step import LabelDetails, RunStep, StepStatus, SubagentDetails

__all__ = ["Node", "ServerRun", "without_values"]

_MAX_OLD: Final = 20_000  # ids of messages that the thread had before the run
_MAX_NAMES: Final = 256
_MAX_VALUES: Final = 4096  # values that are recognised when the run is sent again
_NEAR: Final = 64  # as many of them may be left out in between
_ENDS: Final = {
    "completed": StepStatus.COMPLETED,
    "failed": StepStatus.FAILED,
    "cancelled": StepStatus.CANCELLED,
    "expired": StepStatus.EXPIRED,
}


class Node(Struct):
    """A node of the graph, or a subgraph, that works.

    Attributes:
        name: Its name.
        path: The path of the subgraph that contains it.
        is_subgraph: True if it is a subgraph.
    """

    name: str
    path: tuple[str, ...] = ()
    is_subgraph: bool = False


class ServerRun(Struct):
    """A run of the server: a piece of a run.

    Attributes:
        id: The server's id.
        run_id: The id of the run that it is a piece of.
        thread_id: The id of its thread.
        assistant_id: The id of the assistant.
        created_at: The time of its creation (Unix seconds).
        attempt: The number of the server's attempt.
        status: The status that was reported last; ``None`` before the first one.
        log: Its messages and calls.
        interrupts: What it asks.
        answers: What the server said when it was asked.
        error: An error that ended the stream, and whose meaning the server knows.
        names: The names of the tools of earlier calls of the thread, by the ids of the calls.
        nodes: The nodes and subgraphs that work, by the ids of their steps.
        last_seen: The id of the last message in each list of messages of the state.
        inputs: The paths whose first state was received.
        old: The ids of the messages that the thread had before.
        is_visible: True if the stream would show an interrupt.
        has_values: True if the stream has the state itself, and not only checkpoints of it.
        is_local: True for a graph in this process.
        document: The state that was received last.
        values: The digests of the states and custom values that were received, in order.
        known: Those of before the run was sent again, which are not emitted again.
    """

    id: str
    run_id: str
    thread_id: str | None = None
    assistant_id: str | None = None
    created_at: int | None = None
    attempt: int = 1
    status: str | None = None
    log: MessageLog = field(default_factory=MessageLog)
    interrupts: Interrupts = field(default_factory=Interrupts)
    answers: Answers = field(default_factory=Answers)
    error: dict[str, str | None] | None = None
    names: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    last_seen: dict[str, str] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=set)
    is_visible: bool = False
    has_values: bool = False
    is_local: bool = False
    document: Any = None
    values: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """True until its end."""
        return self.status not in _ENDS

    @property
    def waits(self) -> bool:
        """True if it was reported to wait."""
        return self.status == "requires_action"

    def for_memory(self) -> ServerRun:
        """The run as a later decoder needs it: without what is as long as the thread."""
        return structs.replace(self, old=set(), document=None, answers=Answers())

    # what is sent again

    def begin_again(self) -> None:
        """Note that the server sends the run from its beginning, as one does that can't resume."""
        self.log.begin_again()
        self.known = [*self.values, *self.known][:_MAX_VALUES]
        self.values = []

    def repeats_value(self, digest: int) -> bool:
        """Note a state or a custom value; True if it was received before, at this place. These have no identity."""
        if len(self.values) < _MAX_VALUES:
            self.values.append(digest)
        near = self.known[:_NEAR]
        if digest not in near:
            return False
        del self.known[: near.index(digest) + 1]
        return True

    # the run itself

    def show(self, status: str, place: Place, *, created: bool = False, error: LastError | None = None) -> RunEvent:
        """The event with the run as it is known."""
        self.status = status
        metadata = {RUN_ID: self.id}
        if self.attempt > 1:
            metadata[ATTEMPT] = str(self.attempt)
        action: CallsAction | None = self.interrupts.action() if status == "requires_action" else None
        run = Run(
            id=self.run_id,
            status=RunStatus(status),
            thread_id=self.thread_id,
            assistant_id=self.assistant_id,
            created_at=self.created_at,
            model=self.log.model,
            usage=self.log.usage(),
            required_action=action,
            last_error=error,
            metadata=freeze(metadata),
        )
        return RunEvent(run, place.id, run_id=self.run_id, created=created, name=place.name, piece=self.id)

    def retry(self, attempt: int, place: Place) -> list[Event]:
        """Begin a further attempt of the server: what is open stays as it is, and is ended."""
        self.attempt = attempt
        self.inputs.clear()
        self.interrupts = Interrupts()
        return [*self._close(place, StepStatus.CANCELLED), self.show("in_progress", place)]

    def end(self, outcome: Outcome, place: Place) -> list[Event]:
        """Report how the run ended, that it waits, or that this is unknown."""
        if not self.is_open or (self.waits and outcome.status is None):
            return []
        if outcome.status is None:
            return [RunDetached(outcome.reason, place.id, run_id=self.run_id, name=place.name)]
        if outcome.status in ("queued", "in_progress"):
            return [self.show(outcome.status, place)] if self.status in (None, "queued") else []
        ended = _ENDS.get(outcome.status)
        events = self._close(place, ended) if ended is not None else self.log.close_all(place, None)
        return [*events, self.show(outcome.status, place, error=outcome.error)]

    def _close(self, place: Place, status: StepStatus) -> list[Event]:
        events = self.log.close_all(place, status)
        for id in list(self.nodes):
            events += self.end_node(id, status, place)
        return events

    def note_answer(self) -> None:
        """Note the facts of the run that the server gave when it was asked."""
        run = mapping_of(self.answers.run)
        self.thread_id = text_of(run.get("thread_id")) or self.thread_id
        self.assistant_id = text_of(run.get("assistant_id")) or self.assistant_id
        if self.run_id == self.id:
            self.created_at = time_of(run.get("created_at")) or self.created_at

    def tool_names(self) -> dict[str, str | None]:
        """The names of the tools by the ids of their calls."""
        return {**self.names, **{id: call.name for id, call in self.log.calls.items()}}

    # nodes

    def node_id(self, name: str) -> str:
        """The id of the step of a node: the id of its task, which stands behind its name."""
        id = name.rpartition(":")[2]
        return name if id in self.log.calls else id  # a tool has its call there

    def begin_path(self, place: Place) -> list[Event]:
        """Begin the subgraphs of a path that are new."""
        events: list[Event] = []
        for depth in range(1, len(place.path) + 1):
            id = self.node_id(place.path[depth - 1])
            known = self.nodes.get(id)
            if known is None or not known.is_subgraph:
                node = Node(place.path[depth - 1].partition(":")[0], place.path[: depth - 1], True)
                self.nodes[id] = node
                events.append(_node_step(self, id, node, StepStatus.IN_PROGRESS, place, created=known is None))
        return events

    def begin_node(self, id: str, name: str, place: Place) -> list[Event]:
        """Begin a node, if it is new."""
        if id in self.nodes:
            return []
        node = self.nodes[id] = Node(name, place.path)
        return [_node_step(self, id, node, StepStatus.IN_PROGRESS, place, created=True)]

    def end_node(self, id: str, status: StepStatus, place: Place) -> list[Event]:
        """End a node."""
        node = self.nodes.pop(id, None)
        return [_node_step(self, id, node, status, place)] if node is not None else []

    def end_named(self, name: str, place: Place) -> list[Event]:
        """End the node of this name, if only one of this name works in the path."""
        found = [id for id, node in self.nodes.items() if node.name == name and node.path == place.path]
        return self.end_node(found[0], StepStatus.COMPLETED, place) if len(found) == 1 else []

    # states and updates

    def add_values(self, value: object, place: Place) -> list[Event]:
        """Decode a whole state: the document, and the messages that are new in it."""
        if isinstance(value, dict) and INTERRUPT in value:
            value = dict(value)
            self.interrupts.add(value.pop(INTERRUPT), self.tool_names())
            if not value:
                return []  # the interrupts came instead of the state
        events: list[Event] = []
        key = "|".join(place.path)
        is_first = key not in self.inputs
        self.inputs.add(key)
        for name, items in mapping_of(value).items():
            if isinstance(items, list) and items and is_message(items[-1]):
                events += self._add_list(f"{key}/{name}", items, place, is_first=is_first)
        if not place.path:
            self.document = value
            self.log.end_gap()  # the step is over, and with it all that it has sent
        return [*events, DocumentSnapshot(value, place.id, run_id=self.run_id, name=place.name, path=place.path)]

    def show_usage(self, place: Place) -> list[Event]:
        """The event with the tokens so far, after a message of the model."""
        return [self.show(self.status, place)] if self.status == "in_progress" else []

    def _add_list(self, key: str, items: list[Any], place: Place, *, is_first: bool) -> list[Event]:
        """Decode the messages of a state that are new. The first state of a run is its input: all in it is old."""
        last = self.last_seen.get(key)
        self.last_seen[key] = _id_of(items[-1])
        if is_first:
            self._note_old(items)
            new = [item for item in items if self.log.is_known(_id_of(item))]
        elif last is None:
            new = items
        else:
            start = next((at for at in range(len(items) - 1, -1, -1) if _id_of(items[at]) == last), -1)
            if start < 0:  # removed: what follows a message of this run is new
                known = (at for at in range(len(items) - 1, -1, -1) if self.log.is_known(_id_of(items[at])))
                start = next(known, len(items))
            new = items[start + 1 :]
        return self.add_messages(new, place)

    def _note_old(self, items: list[Any]) -> None:
        for item in items:
            if len(self.old) < _MAX_OLD:
                self.old.add(_id_of(item))
        for item in items[-_MAX_NAMES:]:
            for call in mappings_of(mapping_of(item).get("tool_calls")):
                if isinstance(id := call.get("id"), str) and isinstance(name := call.get("name"), str):
                    self.names[id] = name

    def add_messages(self, items: Any, place: Place) -> list[Event]:
        """Decode whole messages; those that the thread had before the run are none of the run's."""
        events: list[Event] = []
        for item in items:
            if is_message(item):
                id = _id_of(item)
                if id not in self.old or self.log.is_known(id):
                    events += self.log.add_message(item, place)
        return events

    def add_updates(self, value: object, place: Place) -> list[Event]:
        """Decode what nodes have written."""
        events: list[Event] = []
        for name, update in mapping_of(value).items():
            if name == INTERRUPT:
                self.interrupts.add(update, self.tool_names())
            elif name != "__metadata__":
                events += self.add_messages(messages_in(update), place)
                events += self.end_named(name, place)
        return events

    def add_task(self, value: Json, place: Place) -> list[Event]:
        """Decode the beginning or the result of a task: a node that works."""
        id, name = text_of(value.get("id")), text_of(value.get("name"))
        if id is None or name is None:
            return []
        if "result" not in value and "error" not in value and "interrupts" not in value:
            return self.begin_node(id, name, place)
        if interrupts := value.get("interrupts"):
            self.interrupts.add(interrupts, self.tool_names())
            return []
        status = StepStatus.COMPLETED if value.get("error") is None else StepStatus.FAILED
        return [*self.add_messages(messages_in(value.get("result")), place), *self.end_node(id, status, place)]

    def add_checkpoint(self, value: Json, place: Place) -> list[Event]:
        """Decode a checkpoint: its interrupts, and its state if the stream has no other."""
        for task in mappings_of(value.get("tasks")):
            if found := task.get("interrupts"):
                self.interrupts.add(found, self.tool_names())
        return [] if self.has_values or "values" not in value else self.add_values(value["values"], place)


def without_values(events: list[Event]) -> list[Event]:
    """The events without the state or the custom value among them, which was received before."""
    return [event for event in events if not isinstance(event, DocumentSnapshot | CustomEvent)]


def _id_of(item: Any) -> str:
    id = item.get("id") if isinstance(item, dict) else None
    return id if isinstance(id, str) and id else make_message_id(mapping_of(item))


def _node_step(
    run: ServerRun, id: str, node: Node, status: StepStatus, place: Place, *, created: bool = False
) -> StepEvent:
    details = SubagentDetails(name=node.name) if node.is_subgraph else LabelDetails(name=node.name)
    step = RunStep(id=id, run_id=run.run_id, type=details.type, status=status, step_details=details)
    return StepEvent(step, place.id, run_id=run.run_id, created=created, name=place.name, path=node.path)
