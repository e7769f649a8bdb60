"""The steps and messages of a run, in order of creation: an immutable sequence whose versions share their parts.

A change of one of n objects costs O(log n): a tree of tuples with 32 children a node, of which one path is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct, structs

from runstream.core.call_names import NO_NAMES, CallNames
from runstream.core.text import Text
from runstream.model.keys import escape_id
from runstream.model.message import Message
from runstream.model.step import RunStep

__all__ = ["NO_OBJECTS", "ObjectState", "Objects"]

_BITS = 5
_WIDTH = 1 << _BITS
_MASK = _WIDTH - 1
# Up to this number of objects a scan is faster, and needs much less memory, than an index.
_MAX_SCAN = 8
# The roles of messages that are not the agent's; one without a role, or of an unknown one, is.
_OTHER_ROLES: Final = frozenset({"user", "system", "developer", "tool"})
# The lists in the details of a step.
_LISTS: Final = ("tool_calls", "content", "summary")


class ObjectState(Struct, frozen=True, gc=False, eq=False):
    """A message or a step, as far as it is known.

    Attributes:
        id: Its id.
        is_message: True for a message, False for a step.
        full: The last full object that the server sent; ``None`` if it sent none.
        parts: The nodes (:mod:`runstream.core.merge`) that deltas built since: ``content`` of a message,
            ``step_details`` of a step. ``None`` if the full object is complete.
        partial: True if text may be missing.
        calls: The names of a step's calls in keys (:mod:`runstream.core.calls`), in the order in which they were seen.
        replaced: The number of times that a text of the message was replaced, from the beginning of the run.
        places: Where the indices on the wire are not the keys of the items (:mod:`runstream.core.placement`).
        path: The path of the subagent or subgraph that it belongs to.
        view: The object as readers see it, built when it is read and then kept; no part of the value.
    """

    id: str
    is_message: bool
    full: Message | RunStep | None = None
    parts: dict[Any, Any] | None = None
    partial: bool = False
    calls: CallNames = NO_NAMES
    replaced: int = 0
    places: tuple[tuple[int, int], ...] = ()
    path: tuple[str, ...] = ()
    view: Any = None

    def change(self, full: Message | RunStep | None, parts: dict[Any, Any] | None, *, partial: bool) -> ObjectState:
        """The object with other content."""
        return ObjectState(
            self.id, self.is_message, full, parts, partial, self.calls, self.replaced, self.places, self.path
        )

    @property
    def is_terminal(self) -> bool:
        """True if it has ended."""
        return self.full is not None and self.full.is_terminal

    @property
    def is_of_agent(self) -> bool:
        """True for a message of the agent: not one of a user, the system, a developer or a tool."""
        if not self.is_message:
            return False
        role = self.full.role if isinstance(self.full, Message) else None
        if role is None and self.parts is not None:
            role = self.parts.get("role")
        return not isinstance(role, str) or role not in _OTHER_ROLES

    def select(self, indices: Iterable[int]) -> ObjectState:
        """The object with no other content parts or calls than these, as far as deltas built them; to compare what
        changed.

        Args:
            indices: The indices of the parts or calls.
        """
        name = "content" if self.is_message else "step_details"
        built = self.parts.get(name) if self.parts is not None else None
        if not isinstance(built, dict):
            return self
        if self.is_message:
            selected: Any = _select(built, indices)
        else:
            lists = {key: _select(built[key], indices) for key in _LISTS if isinstance(built.get(key), dict)}
            selected = {**built, **lists}
            if not all(self._is_named(index, call) for index, call in (lists.get("tool_calls") or {}).items()):
                return self  # which of its calls has which name depends on all of them
        return structs.replace(self, parts={name: selected}, places=(), view=None)

    def _is_named(self, index: int, call: Any) -> bool:
        """True if a call has no id, or if its name is known without the other calls of its id."""
        id = call.get("id") if isinstance(call, dict) else None
        if not isinstance(id, str):
            return True
        base = escape_id(id)
        return self.calls.at(index, base) is not None or self.calls.count(base) <= 1

    def text(self) -> str:
        """The text so far, of all text parts of a message; empty for steps."""
        if not self.is_message:
            return ""
        if self.parts is None:
            return self.full.text if isinstance(self.full, Message) else ""
        parts = [part for _, part in sorted((self.parts.get("content") or {}).items()) if isinstance(part, dict)]
        texts = [text.get("value") for part in parts if isinstance(text := part.get("text"), dict)]
        return "".join([str(text) for text in texts if isinstance(text, Text)])


def _select(items: dict[Any, Any], indices: Iterable[int]) -> dict[Any, Any]:
    return {index: items[index] for index in indices if index in items}


class Objects:
    """An immutable sequence of :class:`ObjectState`; ``find`` is O(1), ``set`` and ``append`` O(log n)."""

    __slots__ = ("_depth", "_index", "_root", "count")

    def __init__(self, root: tuple[Any, ...], depth: int, count: int, index: dict[str, int] | None) -> None:
        self._root = root
        self._depth = depth
        self._index = index
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> ObjectState:
        node = self._root
        if not self._depth:
            return node[position]  # type: ignore[no-any-return]
        for level in range(self._depth, 0, -1):
            node = node[(position >> (_BITS * level)) & _MASK]
        return node[position & _MASK]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[ObjectState]:
        return _iterate(self._root, self._depth)

    def find(self, id: str) -> int:
        """The position of the object with this id, or -1."""
        if self._index is None:
            for position, item in enumerate(self._root):
                if item.id == id:
                    return position
            return -1
        position = self._index.get(id, -1)
        # Later versions share the index and add to it; their objects are not in this version.
        return position if position < self.count and (position < 0 or self[position].id == id) else -1

    def set(self, position: int, item: ObjectState) -> Objects:
        """A copy with ``item`` at ``position``."""
        root = self._root
        if self._depth:
            root = _replace(root, self._depth, position, item)
        else:
            copy = [*root]
            copy[position] = item
            root = tuple(copy)
        return Objects(root, self._depth, self.count, self._index)

    def append(self, item: ObjectState) -> Objects:
        """A copy with ``item`` at the end."""
        position = self.count
        root, depth = self._root, self._depth
        if position == _WIDTH << (_BITS * depth):
            root, depth = (root,), depth + 1
        root = _append(root, depth, position, item)
        index = self._index
        if index is None:
            if position >= _MAX_SCAN:
                index = {known.id: at for at, known in enumerate(self)}
        elif len(index) != position:
            # Another object was appended to this version before: fork.
            index = {known.id: at for at, known in enumerate(self)}
        if index is not None:
            index[item.id] = position
        return Objects(root, depth, position + 1, index)


def _iterate(node: tuple[Any, ...], depth: int) -> Iterator[ObjectState]:
    if depth == 0:
        yield from node
    else:
        for child in node:
            yield from _iterate(child, depth - 1)


def _replace(node: tuple[Any, ...], depth: int, position: int, item: ObjectState) -> tuple[Any, ...]:
    slot = (position >> (_BITS * depth)) & _MASK
    child = item if depth == 0 else _replace(node[slot], depth - 1, position, item)
    return (*node[:slot], child, *node[slot + 1 :])


def _append(node: tuple[Any, ...], depth: int, position: int, item: ObjectState) -> tuple[Any, ...]:
    if depth == 0:
        return (*node, item)
    slot = (position >> (_BITS * depth)) & _MASK
    if slot == len(node):
        return (*node, _append((), depth - 1, position, item))
    return (*node[:slot], _append(node[slot], depth - 1, position, item))


NO_OBJECTS = Objects((), 0, 0, None)
