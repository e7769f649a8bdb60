"""The place of each item of a delta: servers number items twice, as text, or not at all.

A call is known by its id. A second id at one index is another call; a fragment without an id belongs to the call that
this index had last, and one without an index to the call that grew last.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from msgspec import Struct

from runstream.core.merge import index_of

__all__ = ["NO_PLACES", "Placed", "Places", "place_calls", "place_parts"]

# For an index on the wire, the key of its last item in the node, where the two differ; -1 stands for no index.
Places: TypeAlias = tuple[tuple[int, int], ...]

NO_PLACES: Final[Places] = ()
_NO_INDEX: Final = -1
_BODIES: Final = ("text", "refusal", "image_file", "image_url")  # the field that has the name of its part's type


class Placed(Struct, frozen=True):
    """The items of a delta with their places.

    Attributes:
        items: The items, each with the key of its place as its ``index``.
        index: The index on the wire of the last item; the key of its place if it has none.
        key: The key of the place of the last item in the node.
        places: The places of the object after the delta.
    """

    items: list[Any]
    index: int
    key: int
    places: Places


def place_parts(node: dict[int, Any], items: list[Any], places: Places) -> Placed:
    """Place the content parts of a delta of a message.

    Args:
        node: The parts so far, by their keys.
        items: The parts of the delta.
        places: The places of the message so far.

    Raises:
        UnreadableIndex: The index of a part is no number.
    """
    placed, index = [], 0
    for position, item in enumerate(items):
        index = position
        if isinstance(item, dict):
            if item.get("index") is None and len(items) == 1 and node:
                index = _last_of_type(node, item.get("type") or next((name for name in _BODIES if name in item), None))
            else:
                index = index_of(item, position)
            item = {**item, "index": index}  # noqa: PLW2901
        placed.append(item)
    return Placed(placed, index, index, places)


def place_calls(node: dict[int, Any], items: list[Any], places: Places, grown: int | None) -> Placed:
    """Place the tool calls of a delta of a step.

    Args:
        node: The calls so far, by their keys.
        items: The calls of the delta.
        places: The places of the step so far.
        grown: The key of the call whose text grew last; ``None`` if it is unknown.

    Raises:
        UnreadableIndex: The index of a call is no number.
    """
    placed: list[Any] = []
    known: dict[str, int] | None = None  # the ids of the calls; built only where an index is not enough
    taken: dict[int, str] = {}  # the ids of calls that begin in this delta
    moved = dict(places)
    wire = key = 0
    for position, item in enumerate(items):
        id = _id_of(item)
        has_index = isinstance(item, dict) and item.get("index") is not None
        wire = index_of(item, position) if has_index else _NO_INDEX
        if has_index:
            key = moved.get(wire, wire)
        elif len(items) > 1 and not id:
            key = position
        else:
            key = moved.get(_NO_INDEX, grown if grown is not None else max(node, default=position))
        before = taken.get(key) or _id_of(node.get(key))
        if id and before != id and (before or not has_index):
            if known is None:
                known = {found: at for at, call in node.items() if (found := _id_of(call))}
            if id in known:
                key = known[id]
            elif before or key in node or key in taken:
                key = max(max(node, default=-1), max(taken, default=-1)) + 1
        if id:
            taken[key] = id
            if known is not None:
                known[id] = key
        if moved.get(wire, wire) != key:
            moved[wire] = key
        placed.append({**item, "index": key} if isinstance(item, dict) else item)
    changed = tuple(moved.items()) if moved != dict(places) else places
    return Placed(placed, wire if wire >= 0 else key, key, changed)


def _id_of(call: Any) -> str:
    id = call.get("id") if isinstance(call, dict) else None
    return id if isinstance(id, str) else ""


def _last_of_type(node: dict[int, Any], kind: Any) -> int:
    last = max(node)
    if kind is None:
        return last
    same = [key for key, part in node.items() if isinstance(part, dict) and part.get("type", kind) == kind]
    return max(same, default=last + 1)
