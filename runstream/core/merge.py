"""Merges deltas into the nodes built so far.

The rules, which clients tend to get wrong (wire reference, "Accumulation rules"): items by index, content appended,
identity set once, numbers replaced, nulls ignored. Nodes are dicts that are never changed: a merge copies the path
that it changes.
"""

from __future__ import annotations

from typing import Any

from runstream.core.text import Text, TextBuffer, append_text
from runstream.model.jsontext import dump_json, parse_index
from runstream.model.message import text_content, text_part

__all__ = [
    "IndexOutOfBounds",
    "UnreadableIndex",
    "index_of",
    "is_indexed",
    "make_node",
    "merge",
    "normalize_field",
    "to_builtins",
]

# Strings that grow. Everything else is set once or replaced.
_APPENDED = frozenset({"value", "arguments", "input", "logs", "refusal", "output"})
_SET_ONCE = frozenset({"id", "type", "name", "role", "index", "object"})
# JSON text, for which some servers send the value that it would contain.
_JSON_TEXTS = frozenset({"arguments", "output"})
# Lists whose items are identified by their index. A list of any other name replaces the one before.
_INDEXED = frozenset({"content", "summary", "tool_calls", "annotations", "outputs"})
# The place of the parts of a reasoning, whose `text` grows. (The text of an annotation is replaced.)
_REASONING = "reasoning"


class IndexOutOfBounds(Exception):
    """A delta names an index that is negative or too large."""

    def __init__(self, index: int, limit: int) -> None:
        super().__init__(f"Index {index} is not within 0 and {limit} (max_index)")


class UnreadableIndex(Exception):
    """A delta names an index that is no number: a wrong place would be worse than none."""


def merge(node: dict[Any, Any] | None, delta: dict[str, Any], limit: int, place: str = "") -> dict[Any, Any]:
    """Merge a delta into a node.

    Args:
        node: The node so far; it is not changed. ``None`` for an empty one.
        delta: The delta, as JSON builtins.
        limit: The largest index.
        place: The place of the node: the key of the object or list that it is in.

    Returns:
        The merged node; ``node`` itself if nothing changed.

    Raises:
        IndexOutOfBounds: An index in the delta is negative or above ``limit``.
        UnreadableIndex: An index in the delta is no number.
    """
    current = node if node is not None else {}
    changes: dict[Any, Any] = {}
    for key, value in delta.items():
        if value is None:
            continue
        old = current.get(key)
        new = _merge_value(key, old, value, limit, place)
        if new is not old:
            changes[key] = new
    if not changes and node is not None:
        return node
    return {**current, **changes}


def _merge_value(key: str, old: Any, value: Any, limit: int, place: str) -> Any:
    if key in _JSON_TEXTS and not isinstance(value, str):
        return _set_json_text(old, dump_json(value))
    if isinstance(value, str) and _grows(key, place):
        text = old if isinstance(old, Text) else None
        return append_text(text, value) if value or text is None else old
    if isinstance(old, Text):
        return old  # a growing text stays a text
    items = is_indexed(old)
    if key in _INDEXED and isinstance(value, list):
        return _merge_items(key, old if items or old == {} else None, value, limit, _place_in(place, key))
    if isinstance(old, dict) and (items or not isinstance(value, dict)):
        return old  # likewise a node with parts keeps them
    if old is not None and key in _SET_ONCE:
        return old
    if isinstance(value, dict):
        return merge(old if isinstance(old, dict) else None, value, limit, key)
    return old if old == value else value


def _set_json_text(old: Any, whole: str) -> Text:
    """A value in place of JSON text is whole: it replaces the text before."""
    if not isinstance(old, Text) or not old.length:
        return append_text(old if isinstance(old, Text) else None, whole)
    if str(old) == whole:
        return old
    return Text(TextBuffer(whole), len(whole), max(old.emitted, len(whole)), old)


def _grows(key: str, place: str) -> bool:
    """True if the string under a key is appended to the one before."""
    return key in _APPENDED or (key == "text" and place == _REASONING)


def _place_in(place: str, key: str) -> str:
    """The place of the items of a list."""
    return _REASONING if place == "step_details" and key in ("content", "summary") else key


def _merge_items(key: str, items: dict[int, Any] | None, deltas: list[Any], limit: int, place: str) -> dict[int, Any]:
    current = items if items is not None else {}
    changes: dict[int, Any] = {}
    for position, delta in enumerate(deltas):
        index = index_of(delta, position)
        if current and isinstance(delta, dict) and delta.get("index") is None:
            if key == "annotations":
                index = _find_whole(current, changes, delta, position)
            elif key == "outputs" and len(deltas) == 1:
                index = _find_output(current, delta)
        if not 0 <= index <= limit:
            raise IndexOutOfBounds(index, limit)
        old = changes.get(index, current.get(index))
        new = old if isinstance(old, dict) else delta
        if isinstance(delta, dict):
            fields = {key: value for key, value in delta.items() if key != "index"}
            new = merge(old if isinstance(old, dict) else None, fields, limit, place)
        if new is not old:
            changes[index] = new
    if not changes and items is not None:
        return items
    return {**current, **changes}


def _find_whole(items: dict[int, Any], changes: dict[int, Any], whole: dict[str, Any], position: int) -> int:
    """The key of an annotation without an index. It is sent at once, so it is an equal one or a new one."""
    last = max(items)
    for index in (position, last):
        if items.get(index) == whole:
            return index
    return max(changes, default=last) + 1 if max(changes, default=-1) > last else last + 1


def _find_output(items: dict[int, Any], output: dict[str, Any]) -> int:
    """The key of an output of code without an index: logs go on, any other output is a new one."""
    last = max(items)
    same = isinstance(items[last], dict) and items[last].get("type") == output.get("type") == "logs"
    return last if same else last + 1


def index_of(delta: Any, position: int) -> int:
    """The index of an item of a list in a delta: its own, else its position.

    Raises:
        UnreadableIndex: Its index is no number.
    """
    given = delta.get("index") if isinstance(delta, dict) else None
    if given is None:
        return position
    index = parse_index(given)
    if index is None:
        raise UnreadableIndex
    return index


def is_indexed(node: Any) -> bool:
    """True if a node stands for a list: its keys are indices. (In JSON all keys are strings.)"""
    return isinstance(node, dict) and bool(node) and type(next(iter(node))) is int


def normalize_field(name: str, value: Any) -> Any:
    """A message's ``content`` as a list, a step's ``step_details`` as a mapping; ``None`` if it is of another type.

    A text stands for a text part, a part for a list of one, a text in a part for the object that would contain it.
    """
    if name == "content":
        if isinstance(value, dict | str):
            value = [value]  # one part, or a text, instead of a list of parts (Alibaba)
        return [_normalize_part(part) for part in value] if isinstance(value, list) else None
    if not isinstance(value, dict):
        return None
    if isinstance(calls := value.get("tool_calls"), dict):
        return {**value, "tool_calls": [calls]}
    return value


def _normalize_part(part: Any) -> Any:
    if isinstance(part, str):
        return text_part(part)
    if isinstance(part, dict) and isinstance(text := part.get("text"), str) and part.get("type") in ("text", None):
        return {**part, "type": "text", "text": text_content(text)}
    return part


def make_node(value: Any, key: str = "", place: str = "") -> Any:
    """Convert a value of a full object into a node that deltas can extend.

    Args:
        value: The value.
        key: Its key.
        place: The place of the node that it is in, as for :func:`merge`.
    """
    if key in _JSON_TEXTS and isinstance(value, dict | list):
        value = dump_json(value)
    if isinstance(value, dict):
        return {name: make_node(item, name, key) for name, item in value.items()}
    if isinstance(value, list) and key in _INDEXED:
        inner = _place_in(place, key)
        return {
            index: {name: make_node(field, name, inner) for name, field in item.items() if name != "index"}
            if isinstance(item, dict)
            else item
            for index, item in enumerate(value)
        }
    if isinstance(value, str) and _grows(key, place):
        return append_text(None, value)
    return value


def to_builtins(value: Any, key: str = "") -> Any:
    """Convert a node into JSON builtins: lists in the order of their indices, texts as strings."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, dict):
        if key in _INDEXED and (not value or is_indexed(value)):
            return [to_builtins(item) for _, item in sorted(value.items())]
        return {name: to_builtins(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [to_builtins(item) for item in value]
    return value
