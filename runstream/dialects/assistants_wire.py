"""The commonest messages of the wire, read as briefly as can be: one fragment of text, or of a function's arguments.

All that such a message may hold is spelled out here, and anything else is refused, so that what passes says exactly
what the full reading would say; whatever is refused is read in full. It costs three quarters of the full reading,
and spares most of the checks after it. Where many of one text come in a row, what stands around that text is known
(:func:`framed`), and the text alone is read (:data:`read_text`): a fifth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from runstream.model.deltas import MessageDelta, MessageDeltaBody, TextContentDelta, TextPartDelta
from runstream.model.events import MessageDeltaEvent

__all__ = ["FRAGMENTS", "FRAGMENT_LEVELS", "ArgumentsFragment", "TextFragment", "framed", "read_text", "retold"]

# An empty one changes nothing, and is left to those who count such things.
_Appended = Annotated[str, Meta(min_length=1)]


class _Slim(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of what is read here."""


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
    """A delta of a message that appends to one of its texts, and does nothing else."""

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
    """A delta of a step that appends to the arguments of one function call, and does nothing else."""

    id: str
    delta: _Details
    object: Literal["thread.run.step.delta"] = "thread.run.step.delta"


class _EnvelopedText(_Slim, frozen=True, gc=False, tag_field="event", tag="thread.message.delta"):
    data: TextFragment


class _EnvelopedArguments(_Slim, frozen=True, gc=False, tag_field="event", tag="thread.run.step.delta"):
    data: ArgumentsFragment


# How deeply an enveloped one is nested.
FRAGMENT_LEVELS = 7
# What reads the data of a raw event, by the event's name beside it. `None`: the name stands in an envelope, and
# what is read has the fragment as its `data`.
FRAGMENTS: Mapping[str | None, Callable[[bytes], Any]] = {
    None: msgspec.json.Decoder(_EnvelopedText | _EnvelopedArguments).decode,
    "thread.message.delta": msgspec.json.Decoder(TextFragment).decode,
    "thread.run.step.delta": msgspec.json.Decoder(ArgumentsFragment).decode,
}

# What reads one JSON text by itself.
read_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_KEY = b'"value"'
# Without a way back, which would take a hundred bytes for each byte of the text.
_FIELD = re.compile(_KEY + rb'[ \t\n\r]*:[ \t\n\r]*("(?:[^"\\]++|\\.)*+")')


def framed(data: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of a message that was read as a :class:`TextFragment`: a message that
    is the same but for that text says the same but for that text. ``None`` if it is not plain to see.

    Args:
        data: The message.
    """
    # No text can hold the key: its quotes would be escaped. Where a key is written with escapes, or comes twice, the
    # last one counts; it is this one if no escape follows.
    found = _FIELD.match(data, max(data.rfind(_KEY), 0))
    if found is None or b"\\" in (tail := data[found.end(1) :]):
        return None
    return data[: found.start(1)], tail


def retold(event: MessageDeltaEvent) -> Callable[[str], MessageDeltaEvent]:
    """What makes the event of a message that is this one's but for its text.

    Args:
        event: The event of a message that can be read as a :class:`TextFragment`, without an id.
    """
    kind: Any = type(event)
    data = event.data
    id, object, body = data.id, data.object, data.delta
    part: Any = body.content[0]
    index, annotations = part.index, part.text.annotations

    def tell(text: str) -> MessageDeltaEvent:
        value = TextContentDelta(value=text, annotations=annotations)
        delta = MessageDeltaBody(content=(TextPartDelta(index=index, text=value),))
        return kind(MessageDelta(id=id, object=object, delta=delta))  # type: ignore[no-any-return]

    return tell
