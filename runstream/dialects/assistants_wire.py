"""The Assistants wire: the names of its events, and decoders for its commonest messages.

The commonest messages are fragments of text and of function arguments. The slim decoders here read only these, and
refuse a message with any other content, so that an accepted message has exactly the meaning that the full decoder
reads. They cost three quarters of the full decoder, and most checks after it are not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct

from runstream.model.events import (
    DoneEvent,
    ErrorEvent,
    EventBase,
    MessageDeltaEvent,
    MessageEvent,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    ThreadEvent,
)

__all__ = ["EVENT_TYPES", "FRAGMENTS", "FRAGMENT_LEVELS", "ArgumentsFragment", "TextFragment", "name_object"]

_RUN: Final = "created queued in_progress requires_action completed incomplete failed cancelling cancelled expired"
_STEP: Final = "created in_progress completed failed cancelled expired"
_MESSAGE: Final = "created in_progress completed incomplete"

_NAMES: Final[Mapping[str, type[EventBase]]] = {
    "thread.created": ThreadEvent,
    # Bare objects, as a poll returns them: named by their `object`.
    "thread": ThreadEvent,
    "thread.run": RunEvent,
    "thread.run.step": StepEvent,
    "thread.message": MessageEvent,
    **{f"thread.run.{name}": RunEvent for name in _RUN.split()},
    **{f"thread.run.step.{name}": StepEvent for name in _STEP.split()},
    "thread.run.step.delta": StepDeltaEvent,
    **{f"thread.message.{name}": MessageEvent for name in _MESSAGE.split()},
    "thread.message.delta": MessageDeltaEvent,
    "error": ErrorEvent,
    "done": DoneEvent,
}


def _make_event_type(name: str, base: type[EventBase]) -> type[EventBase]:
    # One class for each name, so that one decode through a tagged union builds the finished event.
    title = "_" + "".join(part.capitalize() for part in name.replace("_", ".").split("."))
    make: Any = type(Struct)
    created: dict[str, Any] = {}
    if name.endswith(".created"):
        created = {
            "__annotations__": {"created": EventBase.__annotations__["created"]},
            "created": msgspec.field(default=True, name="$runstream.created"),
        }
    return cast(
        type[EventBase],
        make(
            title,
            (base,),
            {"__module__": __name__, "event": name, **created},
            frozen=True,
            gc=False,
            tag=name,
        ),
    )


EVENT_TYPES: Final[Mapping[str, type[EventBase]]] = {
    name: _make_event_type(name, base) for name, base in _NAMES.items()
}
"""The class of each event by its name on the wire; ``EVENT_TYPES["thread.run.queued"](run)`` makes an event."""

globals().update({kind.__name__: kind for kind in EVENT_TYPES.values()})  # picklable by their module

# An empty fragment changes nothing; the full decoder counts it.
_Appended = Annotated[str, Meta(min_length=1)]


class _Slim(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The base of the slim types: an unknown field is refused."""


class _Text(_Slim, frozen=True, gc=False):
    value: _Appended
    annotations: tuple[()] = ()


class _Part(_Slim, frozen=True, gc=False):
    index: int
    type: Literal["text"]
    text: _Text


class _Content(_Slim, frozen=True, gc=False):
    content: tuple[_Part]


class TextFragment(_Slim, frozen=True, gc=False):
    """A delta of a message that appends to one text and does nothing else."""

    id: str
    delta: _Content
    object: Literal["thread.message.delta"] = "thread.message.delta"


class _Arguments(_Slim, frozen=True, gc=False):
    arguments: _Appended


class _Call(_Slim, frozen=True, gc=False):
    index: int
    type: Literal["function"]
    function: _Arguments


class _Calls(_Slim, frozen=True, gc=False):
    type: Literal["tool_calls"]
    tool_calls: tuple[_Call]


class _Details(_Slim, frozen=True, gc=False):
    step_details: _Calls


class ArgumentsFragment(_Slim, frozen=True, gc=False):
    """A delta of a step that appends to the arguments of one function call and does nothing else."""

    id: str
    delta: _Details
    object: Literal["thread.run.step.delta"] = "thread.run.step.delta"


class _EnvelopedText(_Slim, frozen=True, gc=False, tag_field="event", tag="thread.message.delta"):
    data: TextFragment
    id: str | int | None = None


class _EnvelopedArguments(_Slim, frozen=True, gc=False, tag_field="event", tag="thread.run.step.delta"):
    data: ArgumentsFragment
    id: str | int | None = None


FRAGMENT_LEVELS: Final = 7
"""Levels of nesting of a fragment in an envelope."""

FRAGMENTS: Final[Mapping[str | None, Callable[[bytes], Any]]] = {
    None: msgspec.json.Decoder(_EnvelopedText | _EnvelopedArguments).decode,
    "thread.message.delta": msgspec.json.Decoder(TextFragment).decode,
    "thread.run.step.delta": msgspec.json.Decoder(ArgumentsFragment).decode,
}
"""Decoders of the data of a raw event, by the event's name beside it. ``None``: the name stands in an envelope, and the
result has the fragment as its ``data``."""


class _Header(Struct):
    """The fields of a bare object that name its event."""

    object: Any = None
    status: Any = None


_decode_header: Final = msgspec.json.Decoder(_Header).decode


def name_object(data: bytes) -> str | None:
    """The name of the event that announces an object as it is: by its kind and its status, else by its kind alone.

    Args:
        data: The object (bytes of JSON). One without a kind is a run.

    Returns:
        The name; ``None`` if the object is of no known kind, or no object at all.
    """
    try:
        header = _decode_header(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    kind = header.object if isinstance(header.object, str) else "thread.run"
    name = f"{kind}.{header.status}" if isinstance(header.status, str) else kind
    return name if name in EVENT_TYPES else kind if kind in EVENT_TYPES else None
