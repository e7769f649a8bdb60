"""Events: decoded messages of the wire. Each kind is a Struct, for ``isinstance`` and ``match``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import msgspec
from msgspec import Struct, field, structs

from runstream.model.common import ErrorObject
from runstream.model.deltas import MessageDelta, RunStepDelta
from runstream.model.fragments import MESSAGE_TARGETS, Target, make_delta, read_fragment
from runstream.model.frozen import freeze, unfreeze
from runstream.model.lenient import Issue
from runstream.model.message import Message, Thread
from runstream.model.raw import RawEvent
from runstream.model.run import Run
from runstream.model.step import RunStep

__all__ = [
    "ActivityEvent",
    "CustomEvent",
    "DocumentPatch",
    "DocumentSnapshot",
    "DoneEvent",
    "EmptyEvent",
    "ErrorEvent",
    "Event",
    "MessageDeltaEvent",
    "MessageEvent",
    "Origin",
    "Reject",
    "RunDetached",
    "RunEvent",
    "StepDeltaEvent",
    "StepEvent",
    "Target",
    "TextAppend",
    "ThreadEvent",
    "UnknownEvent",
]


class Origin(Struct, frozen=True, gc=False):
    """The origin of an event, as far as the core needs it.

    Attributes:
        payload: The JSON text of the frame or block; it distinguishes an absent field from a null one.
        enveloped: True if the object is the value of ``data`` in that text.
        connection: Number of the source's connection, from 0; each reconnect increments it.
        issues: Values of an unexpected type, kept as received.
    """

    payload: bytes = b""
    enveloped: bool = False
    connection: int = 0
    issues: tuple[Issue, ...] = ()

    def absent(self, name: str) -> bool:
        """True if the object lacks this key: absent is not null (wire reference, "Order and life cycle").

        Args:
            name: A key of the model: its decoder is created once and kept.
        """
        try:
            found: Any = _key_finder(name, self.enveloped)(self.payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return True
        return (found.data if self.enveloped else found).value is msgspec.UNSET


if TYPE_CHECKING:
    _NoOrigin = Origin
    _NoText = str
    _NoBool = bool
    _NoPath = tuple[str, ...]
    _NoValue = Any
else:

    class _NoOrigin:
        """A type that no decoder builds: a value on the wire under such a name never enters an event."""

    _NoText = _NoBool = _NoPath = _NoValue = _NoOrigin


@cache
def _key_finder(name: str, enveloped: bool) -> Callable[[bytes], Any]:
    """A decoder of one key that skips all others, which is three times as fast as reading all keys."""
    one = msgspec.defstruct(
        "_Key", [("value", msgspec.Raw | msgspec.UnsetType, field(default=msgspec.UNSET, name=name))]
    )
    return msgspec.json.Decoder(msgspec.defstruct("_Envelope", [("data", one)]) if enveloped else one).decode


class EventBase(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events.

    Attributes:
        data: The object, or its fragment.
        id: The identity of the raw event, if it has one.
        origin: The origin, for values that are absent or of another type than expected.
        run_id: The id of the run, if the dialect knows it. It has precedence over every other link to a run.
        created: True if the event announces that its object was created.
        name: The name of the event on the wire, for events that a dialect translates.
        path: The names of the subagents or subgraphs that lead to the event's origin within the run, the outermost
            first; empty for the run itself.
    """

    data: Any = None
    id: str | int | None = None
    origin: _NoOrigin | None = field(default=None, name="$runstream.origin")
    run_id: _NoText | None = field(default=None, name="$runstream.run_id")
    created: _NoBool = field(default=False, name="$runstream.created")
    name: _NoText = field(default="", name="$runstream.name")
    path: _NoPath = field(default=(), name="$runstream.path")

    @property
    def event(self) -> str:
        """The name of the event on the wire."""
        return self.name or str(self.__struct_config__.tag)

    def __repr__(self) -> str:
        kind = next(each for each in type(self).__mro__ if each.__module__ == __name__)
        return f"{kind.__name__}({self.event!r}, id={getattr(self.data, 'id', None)!r})"


EventBase.__annotations__.update(get_annotations(EventBase, eval_str=True))  # as of WireStruct


class ThreadEvent(EventBase, frozen=True, gc=False):
    """A thread was created."""

    data: Thread


class RunEvent(EventBase, frozen=True, gc=False):
    """A snapshot of a run. Its ``status`` is authoritative, not the name of the event.

    Attributes:
        piece: The wire's id of the part of the run that sends the snapshot (a response, say); ``None`` for a wire whose
            runs have one part. A new piece is newer than all before; an earlier one changes no status.
    """

    data: Run
    piece: _NoText | None = field(default=None, name="$runstream.piece")


class StepEvent(EventBase, frozen=True, gc=False):
    """A snapshot of a run step.

    Attributes:
        partial: True if a part of the step that precedes its first event may be missing, or, once it has ended, any
            part of it.
        corrects: True if its details replace those of a step that has ended, which else keeps what is known. The calls
            of a step only gain the names and arguments that they lack, unless the step is partial.
    """

    data: RunStep
    partial: _NoBool = field(default=False, name="$runstream.partial")
    corrects: _NoBool = field(default=False, name="$runstream.corrects")


class StepDeltaEvent(EventBase, frozen=True, gc=False):
    """A fragment of a run step."""

    data: RunStepDelta


class MessageEvent(EventBase, frozen=True, gc=False):
    """A snapshot of a message.

    Attributes:
        partial: True if a part of the message that precedes its first event may be missing, or, once it has ended, any
            part of it.
        corrects: True if its content replaces that of a message that has ended, which else keeps what is known.
    """

    data: Message
    partial: _NoBool = field(default=False, name="$runstream.partial")
    corrects: _NoBool = field(default=False, name="$runstream.corrects")


class MessageDeltaEvent(EventBase, frozen=True, gc=False):
    """A fragment of a message."""

    data: MessageDelta


class ErrorEvent(EventBase, frozen=True, gc=False):
    """An error reported by the server. It does not end a run or the stream."""

    data: ErrorObject


class DoneEvent(EventBase, frozen=True, gc=False):
    """The server sends nothing more on this connection. The event does not end a run or the stream."""


class EmptyEvent(EventBase, frozen=True, gc=False):
    """An event with nothing new: a sign of life, or a repetition of what other events contain.

    Its ``id`` is noted like that of each other event, so that the next id proves that nothing is missing.
    """


class CustomEvent(EventBase, frozen=True, gc=False):
    """A value that the server's application sends, or an event that only some servers of a protocol send.

    Attributes:
        data: The value, read-only JSON.
        name: The name that its sender gave it.
    """

    data: Any = None


class DocumentSnapshot(EventBase, frozen=True, gc=False):
    """The whole document of a run: the state that its agent shares with the application.

    Attributes:
        data: The document: any JSON value, ``None`` for a null. It is read-only from then on: the sender must not
            change it.
        path: The path of the subagent or subgraph whose document it is; empty for the document of the run.
    """

    data: Any = None

    def __post_init__(self) -> None:
        structs.force_setattr(self, "data", freeze(self.data))

    @property
    def value(self) -> Any:
        """The document (read-only)."""
        return self.data


class DocumentPatch(EventBase, frozen=True, gc=False):
    """A change of the document of a run: operations of a JSON Patch (RFC 6902). All of them are done, or none.

    The first patch of a run without a document changes the empty object ``{}``.

    Attributes:
        data: The operations, as decoded from JSON (read-only from then on). Operations that are malformed, or that
            can't be done, are no exception: the event becomes a reject.
        path: The path of the subagent or subgraph whose document it is; empty for the document of the run.
    """

    data: Any = ()

    def __post_init__(self) -> None:
        structs.force_setattr(self, "data", freeze(self.data))

    @property
    def operations(self) -> Any:
        """The operations (read-only)."""
        return self.data


class ActivityEvent(EventBase, frozen=True, gc=False):
    """The content of an activity of a run, or a change of it: what an application shows beside messages (a plan, a
    search, the progress of a tool), under an id of its own.

    Attributes:
        data: The content: any JSON value. With ``operations`` it is not used.
        activity_id: The id of the activity, unique in its run.
        kind: The kind of its content, such as ``"PLAN"``; "" keeps the known one.
        operations: The operations of a JSON Patch (RFC 6902) that change the known content; ``None`` if the event has
            the whole content.
        replace: False to keep the content of an activity that is known; the event then only creates one.
    """

    data: Any = None
    activity_id: _NoText = field(default="", name="$runstream.activity_id")
    kind: _NoText = field(default="", name="$runstream.kind")
    operations: _NoValue | None = field(default=None, name="$runstream.operations")
    replace: _NoBool = field(default=True, name="$runstream.replace")

    def __post_init__(self) -> None:
        structs.force_setattr(self, "data", freeze(self.data))
        if self.operations is not None:
            structs.force_setattr(self, "operations", freeze(self.operations))

    @property
    def value(self) -> Any:
        """The content (read-only)."""
        return self.data


class RunDetached(EventBase, frozen=True, gc=False):
    """This source has no further event of the run ``run_id``, and goes on: the run is paused or interrupted.

    Attributes:
        data: The reason, in words of the library.
    """

    data: str = ""


class UnknownEvent(EventBase, frozen=True, gc=False, tag="$unknown"):
    """An event with a name unknown to this library, as received."""

    data: bytes = b""

    @property
    def event(self) -> str:
        """The name of the event on the wire."""
        return self.name

    @property
    def value(self) -> Any:
        """The data parsed as JSON (read-only), or the data as text if they are not JSON."""
        try:
            return freeze(msgspec.json.decode(self.data))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.data.decode(errors="replace")

    def __repr__(self) -> str:
        return f"UnknownEvent({self.name!r})"


class TextAppend(Struct, frozen=True, gc=False):
    """A fragment that is appended to one text of a message or step, and changes nothing else: nine events of ten.

    It stands for the full event that :meth:`widen` builds, at a fifth of its cost.

    Attributes:
        object_id: The id of the message or step.
        target: The kind of the text.
        index: The index of the content part, of the part of the reasoning or its summary, or of the tool call.
        text: The fragment; not empty.
        id: The identity of the raw event; ``None`` if it has none.
        run_id: The id of the run, if the dialect knows it. It has precedence over the owner of the object.
        name: The name of the event on the wire.
    """

    object_id: str
    target: Target
    index: int
    text: str
    id: str | int | None = None
    run_id: str | None = None
    name: str = ""

    created: ClassVar[bool] = False
    origin: ClassVar[None] = None

    @property
    def event(self) -> str:
        """The event's name on the wire."""
        return self.name

    @property
    def data(self) -> MessageDelta | RunStepDelta:
        """The fragment as the delta of its message or step."""
        return make_delta(self.object_id, self.target, self.index, self.text, self.name or None)

    def __repr__(self) -> str:
        return f"TextAppend({self.event!r}, id={self.object_id!r})"

    def widen(self, origin: Origin | None = None) -> MessageDeltaEvent | StepDeltaEvent:
        """The full event.

        Args:
            origin: Its origin, if it is to have one.
        """
        kind: Any = MessageDeltaEvent if self.target in MESSAGE_TARGETS else StepDeltaEvent
        return kind(self.data, self.id, origin, self.run_id, name=self.name)  # type: ignore[no-any-return]


def narrow(event: MessageDeltaEvent | StepDeltaEvent) -> TextAppend | None:
    """The fragment that an event appends to one text; ``None`` if the event does anything else.

    Args:
        event: The event.
    """
    found = read_fragment(event.data)
    if found is None:
        return None
    return TextAppend(event.data.id, *found, event.id, event.run_id, event.event)


# A union of types would be made for each event.
_DELTAS: Final = (MessageDeltaEvent, StepDeltaEvent)
_VALUES: Final = (DocumentSnapshot, DocumentPatch, ActivityEvent)


def content_of(event: Event | Reject) -> tuple[Any, ...]:
    """The content of an event, for comparison: equal for a :class:`TextAppend` and its full event.

    Args:
        event: The event.
    """
    if isinstance(event, _DELTAS):
        event = narrow(event) or event
    if isinstance(event, TextAppend):
        return event.object_id, event.target, event.index, event.text
    if isinstance(event, _VALUES):
        return type(event), _value_content(event)
    return type(event), event.raw if isinstance(event, Reject) else event.data


def _value_content(event: DocumentSnapshot | DocumentPatch | ActivityEvent) -> bytes | str:
    """The content as JSON text: that of a large value is made, and compared, much faster than the value itself."""
    content: tuple[Any, ...] = (event.data, event.path)
    if isinstance(event, ActivityEvent):
        content += (event.activity_id, event.kind, event.operations, event.replace)
    try:
        return msgspec.json.encode(content, enc_hook=unfreeze)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return repr(content)


Event: TypeAlias = (
    TextAppend
    | ThreadEvent
    | RunEvent
    | StepEvent
    | StepDeltaEvent
    | MessageEvent
    | MessageDeltaEvent
    | ErrorEvent
    | CustomEvent
    | DocumentSnapshot
    | DocumentPatch
    | ActivityEvent
    | RunDetached
    | DoneEvent
    | EmptyEvent
    | UnknownEvent
)
"""Any decoded event."""


class Reject(Struct, frozen=True, gc=False):
    """Input that could not be used; the stream continues.

    Attributes:
        raw: The raw event.
        reason: The error, as text.
        path: The place of the error in the JSON, as a JSON path.
        source: The name of the source (of the file).
        object_ids: The ids of the runs, messages and steps that the input concerns, as far as its dialect can read
            them; ``None`` if it may concern each open object of the source. Empty: it concerns none.
    """

    id: ClassVar[None] = None  # never a duplicate

    raw: RawEvent
    reason: str
    path: str = "$"
    source: str = ""
    object_ids: tuple[str, ...] | None = ()

    @property
    def where(self) -> str:
        """Source and line, as far as they are known."""
        place = f"{self.source or 'stream'}"
        return f"{place}:{self.raw.line}" if self.raw.line else place
