"""Compares two versions of a message or step: which texts grew, and which were replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from runstream.core.object_list import ObjectState
from runstream.core.state import RunState
from runstream.core.text import Text, text_from
from runstream.model.message import Message, TextPart

__all__ = ["compare_texts", "count_replaced", "ends_unchanged", "get_path", "text_change", "text_growth"]


def compare_texts(
    old: ObjectState | None, new: ObjectState, parts: Iterable[int] | None = None
) -> Iterator[tuple[int, int, str]]:
    """The changes of the text parts of a message.

    Args:
        old: The message before; ``None`` if it was unknown.
        new: The message after.
        parts: The indices of the parts to compare; ``None`` for all.

    Yields:
        The index of a part and its :func:`text_change`.
    """
    texts: dict[int, Text | str] = {}
    if parts is not None:
        texts = {index: text for index in parts if (text := _text_at(new, index)) is not None}
    else:
        texts = dict(_text_parts(new))
        if old is not None and new.parts is None:
            texts = {**{index: "" for index, _ in _text_parts(old)}, **texts}
    for index, text in texts.items():
        change = text_change(_text_at(old, index), text)
        if change is not None:
            yield (index, *change)


def count_replaced(old: ObjectState, new: ObjectState, parts: Iterable[int] | None = None) -> int:
    """The number of text parts whose text was replaced, not continued; the arguments are those of
    :func:`compare_texts`.
    """
    return sum(offset < 0 for _, offset, _ in compare_texts(old, new, parts))


def text_change(old: Text | str | None, new: Text | str) -> tuple[int, str] | None:
    """Compare two versions of a text.

    Returns:
        The offset and the new text after it; -1 and the whole text if the emitted text was wrong; ``None`` without a
        change.
    """
    if isinstance(new, Text):
        emitted = old.emitted if isinstance(old, Text) else 0
        if isinstance(old, str):
            emitted = len(old)
        if new.emitted <= emitted:
            return None
        prior = new.prior
        if prior is not None and not str(new).startswith(str(prior)):
            return -1, str(new)
        return emitted, text_from(new, emitted)
    known = old or ""
    if isinstance(known, Text):
        prior = known.prior
        known = str(prior) if prior is not None and prior.length >= known.length else str(known)
    if new == known:
        return None
    return (len(known), new[len(known) :]) if new.startswith(known) else (-1, new)


def text_growth(old: Text | str | None, new: Text | str) -> tuple[int, str] | None:
    """Compare two versions of a text that no signal corrects before its end, such as arguments.

    Returns:
        The offset and the new text after it; ``None`` if there is none. If the emitted text was wrong, as after a gap,
        the new text is what follows at its place: the offsets continue.
    """
    change = text_change(old, new)
    if change is None or change[0] >= 0:
        return change
    if not isinstance(new, Text):
        return None
    emitted = old.emitted if isinstance(old, Text) else len(old or "")
    return emitted, text_from(new, emitted)


def ends_unchanged(before: RunState, position: int, new: ObjectState) -> bool:
    """True if a full message has one text that equals the growing text, as nearly each message ends.

    Args:
        before: The state before the message came.
        position: The position of the message in the run.
        new: The message.
    """
    growing = before._growing
    if (
        growing is None
        or growing.position != position
        or growing.target != "text"
        or growing.part
        or growing.prior is not None
        or new.parts is not None
    ):
        return False
    content = new.full.content  # type: ignore[union-attr]
    if len(content) != 1 or type(content[0]) is not TextPart or len(before._objects[position].parts["content"]) != 1:  # type: ignore[index]
        return False
    text = content[0].text.value
    return text is not None and growing.buffer.length == before._length and growing.buffer.equals(text)


def _text_parts(item: ObjectState) -> Iterator[tuple[int, Text | str]]:
    """The index and the text of each text part of a message."""
    if item.parts is not None and "content" in item.parts:
        for index, part in sorted(item.parts["content"].items()):
            text = get_path(part, "text", "value")
            if isinstance(text, Text):
                yield index, text
    elif isinstance(item.full, Message):
        for index, found in enumerate(item.full.content):
            if isinstance(found, TextPart):
                yield index, found.text.value or ""


def _text_at(item: ObjectState | None, index: int) -> Text | str | None:
    if item is None:
        return None
    if item.parts is not None and "content" in item.parts:
        text = get_path(item.parts["content"].get(index), "text", "value")
        return text if isinstance(text, Text) else None
    return next((text for at, text in _text_parts(item) if at == index), None)


def get_path(node: Any, *path: str) -> Any:
    """The value at a path of names in a node; ``None`` if there is none."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node
