"""JSON values whose versions share their parts: a container and a change in, another container out.

Values are JSON builtins that do not change. A change of a container copies it, if it is small. One with many entries
is wrapped: its changes are kept beside it, so that no change copies all entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from runstream.core.json_entries import MISSING, NO_ENTRIES, Entries, find_entry, iterate_entries, set_entry
from runstream.core.json_pieces import Pieces
from runstream.model.frozen import FrozenList, FrozenMap, freeze, thaw, unfreeze
from runstream.model.jsontext import nesting_depth, to_builtins

__all__ = [
    "MISSING",
    "WideList",
    "WideMap",
    "depth_of",
    "encode",
    "find_member",
    "get_item",
    "insert_item",
    "is_equal",
    "length_of",
    "measure",
    "remove_item",
    "remove_member",
    "set_item",
    "set_member",
    "unwrap",
]

WIDE_MAP: Final = 256
"""The number of members above which an object is wrapped. To copy so many takes 2 µs."""

WIDE_LIST: Final = 2048
"""The number of items above which an array is wrapped."""

_MIN_REBASE: Final = 1024
_FAILURES: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_set: Final = object.__setattr__

# The place of a member and its value: the place in the order of added members, or one of two below.
_Entry: TypeAlias = tuple[int, Any]
_IN_BASE: Final = -1  # where the object without changes has it
_REMOVED: Final[_Entry] = (-2, MISSING)


class WideMap(FrozenMap):
    """An object with many members: the object as it was, and its changes.

    Args:
        data: The object. It must not change.
    """

    __slots__ = ("_base", "_changed", "_changes", "_count", "_flat", "_next")

    _base: dict[str, Any]
    _changes: Entries
    _changed: int
    _count: int
    _next: int
    _flat: dict[str, Any] | None

    def __init__(self, data: dict[str, Any]) -> None:
        self._fill(data, NO_ENTRIES, 0, len(data), 0)
        _set(self, "_flat", data)

    def _fill(self, base: dict[str, Any], changes: Entries, changed: int, count: int, following: int) -> None:
        _set(self, "_base", base)
        _set(self, "_changes", changes)
        _set(self, "_changed", changed)
        _set(self, "_count", count)
        _set(self, "_next", following)
        _set(self, "_flat", None)

    @property
    def _data(self) -> dict[str, Any]:
        """All members as one dict: built when the whole object is read, and then kept."""
        if self._flat is None:
            changes = dict(iterate_entries(self._changes))
            flat: dict[str, Any] = {}
            for name, value in self._base.items():
                place, changed = changes.get(name, (_IN_BASE, value))
                if place == _IN_BASE:
                    flat[name] = changed
            added = sorted([(place, name) for name, (place, _) in changes.items() if place >= 0])
            flat.update([(name, changes[name][1]) for _, name in added])
            _set(self, "_flat", flat)
        return self._flat  # type: ignore[return-value]

    def find(self, name: str) -> Any:
        """The value of a member, not wrapped; ``MISSING`` if there is none."""
        entry = find_entry(self._changes, name)
        return self._base.get(name, MISSING) if entry is MISSING else entry[1]

    def __getitem__(self, name: str) -> Any:
        found = self.find(name)
        if found is MISSING:
            raise KeyError(name)
        return freeze(found)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not MISSING

    def __len__(self) -> int:
        return self._count

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenMap, (thaw(self),)

    def with_member(self, name: str, value: Any) -> WideMap:
        """A copy with a member added or replaced."""
        entry = find_entry(self._changes, name)
        count, following = self._count, self._next
        if entry is MISSING and name in self._base:
            place = _IN_BASE
        elif entry is MISSING or entry[1] is MISSING:
            place, count, following = following, count + 1, following + 1
        else:
            place = entry[0]
        return self._with(name, (place, value), entry, count, following)

    def without_member(self, name: str) -> WideMap:
        """A copy without a member, which must exist."""
        return self._with(name, _REMOVED, find_entry(self._changes, name), self._count - 1, self._next)

    def _with(self, name: str, entry: _Entry, before: Any, count: int, following: int) -> WideMap:
        changed = self._changed + (before is MISSING)
        new = object.__new__(WideMap)
        new._fill(self._base, set_entry(self._changes, name, entry), changed, count, following)
        if changed > max(_MIN_REBASE, len(self._base)):
            return WideMap(new._data)  # else replaced values would stay in memory for ever
        return new


class WideList(FrozenList):
    """An array with many items.

    Args:
        data: The array. It must not change.
    """

    __slots__ = ("_flat", "_pieces")

    _pieces: Pieces
    _flat: list[Any] | None

    def __init__(self, data: list[Any]) -> None:
        _set(self, "_pieces", Pieces(data))
        _set(self, "_flat", data)

    @property
    def _data(self) -> list[Any]:
        """All items as one list: built when the whole array is read, and then kept."""
        if self._flat is None:
            _set(self, "_flat", [*self._pieces])
        return self._flat  # type: ignore[return-value]

    def find(self, index: int) -> Any:
        """The item at an index, not wrapped; the index must be within the array."""
        return self._pieces[index]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            count = self._pieces.count
            if not -count <= index < count:
                raise IndexError(index)
            return freeze(self._pieces[index % count])
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        return map(freeze, self._data)

    def __len__(self) -> int:
        return self._pieces.count

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (thaw(self),)

    def with_pieces(self, pieces: Pieces) -> WideList:
        """Another array."""
        new = object.__new__(WideList)
        _set(new, "_pieces", pieces)
        _set(new, "_flat", None)
        return new


def unwrap(value: Any) -> Any:
    """The JSON builtins of a read-only view; any other value, and a wrapped container, as it is."""
    if isinstance(value, WideMap | WideList):
        return value
    while isinstance(value, FrozenMap | FrozenList):
        value = value._data
    return value


def measure(value: Any) -> tuple[Any, int, int]:
    """A JSON value as a part of a document.

    Args:
        value: The value, as decoded from JSON; it must not change afterwards.

    Returns:
        The value, its size (bytes of JSON), and its depth (levels of nesting): at most so many.

    Raises:
        ValueError: A part of it has no JSON form.
    """
    value = unwrap(value)
    try:
        data = encode(value)
    except _FAILURES:
        try:
            value = to_builtins(value)  # which replaces lone surrogates
            data = encode(value)
        except _FAILURES:
            raise ValueError("a value has no JSON form") from None
    return value, len(data), nesting_depth(data)


def encode(value: Any) -> bytes:
    """A value as JSON text, with the members of its objects in order."""
    return msgspec.json.encode(value, enc_hook=unfreeze)


def depth_of(value: Any) -> int:
    """The levels of nesting in a value; 0 for a scalar."""
    levels, found = [value], 0
    while True:
        containers = [item for item in map(unwrap, levels) if isinstance(item, dict | list | WideMap | WideList)]
        if not containers:
            return found
        found += 1
        levels = []
        for item in containers:
            data = item._data if isinstance(item, WideMap | WideList) else item
            levels += data.values() if isinstance(data, dict) else data


def is_equal(one: Any, other: Any) -> bool:
    """True if two JSON values are equal: 1 and 1.0 are, 1 and true are not. It reads no more of one than of the other.

    Args:
        one: A value, a part of a document.
        other: Another one.
    """
    one, other = unwrap(one), unwrap(other)
    if one is other:
        return True
    if isinstance(one, dict | WideMap):
        if not isinstance(other, dict | WideMap) or len(one) != len(other):
            return False
        return all(is_equal(value, find_member(one, name)) for name, value in _data_of(other).items())
    if isinstance(one, list | WideList):
        if not isinstance(other, list | WideList) or len(one) != len(other):
            return False
        return all(map(is_equal, _data_of(one), _data_of(other)))
    if one is MISSING or isinstance(other, dict | list | WideMap | WideList):
        return False
    return (type(one) is bool) is (type(other) is bool) and bool(one == other)


def _data_of(container: Any) -> Any:
    return container._data if isinstance(container, WideMap | WideList) else container


def length_of(container: Any) -> int | None:
    """The number of items of an array; ``None`` if the value is none."""
    return len(container) if isinstance(container, list | WideList) else None


def find_member(container: Any, name: str) -> Any:
    """The value of a member of an object; ``MISSING`` if there is none, or if the container is no object."""
    if type(container) is dict:
        return unwrap(container.get(name, MISSING))
    return unwrap(container.find(name)) if isinstance(container, WideMap) else MISSING


def get_item(container: Any, index: int) -> Any:
    """The item of an array at an index, which must exist."""
    return unwrap(container[index] if type(container) is list else container.find(index))


def set_member(container: Any, name: str, value: Any) -> Any:
    """A copy of an object with a member added or replaced."""
    if type(container) is dict:
        if len(container) <= WIDE_MAP:
            return {**container, name: value}
        container = WideMap(container)
    return container.with_member(name, value)


def remove_member(container: Any, name: str) -> Any:
    """A copy of an object without a member, which must exist."""
    if type(container) is dict:
        if len(container) <= WIDE_MAP:
            copy = container.copy()
            del copy[name]
            return copy
        container = WideMap(container)
    return container.without_member(name)


def set_item(container: Any, index: int, value: Any) -> Any:
    """A copy of an array with the item at an index replaced, which must exist."""
    if type(container) is list and len(container) <= WIDE_LIST:
        copy = container.copy()
        copy[index] = value
        return copy
    wide = _widen(container)
    return wide.with_pieces(wide._pieces.replace(index, value))


def insert_item(container: Any, index: int, value: Any) -> Any:
    """A copy of an array with an item before an index; at the end if the index is the length."""
    if type(container) is list and len(container) <= WIDE_LIST:
        copy = container.copy()
        copy.insert(index, value)
        return copy
    wide = _widen(container)
    return wide.with_pieces(wide._pieces.insert(index, value))


def remove_item(container: Any, index: int) -> Any:
    """A copy of an array without the item at an index, which must exist."""
    if type(container) is list and len(container) <= WIDE_LIST:
        copy = container.copy()
        del copy[index]
        return copy
    wide = _widen(container)
    return wide.with_pieces(wide._pieces.remove(index))


def _widen(container: list[Any] | WideList) -> WideList:
    return container if isinstance(container, WideList) else WideList(container)
