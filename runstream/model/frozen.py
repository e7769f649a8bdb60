"""Read-only views of decoded JSON: mappings and lists that can be neither written to nor written through.

Wrapping costs O(1): nested values are wrapped when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, cast, overload

__all__ = ["ABSENT_LIST", "ABSENT_MAP", "FrozenList", "FrozenMap", "StringMap", "freeze", "thaw"]

T = TypeVar("T")

_SCALARS = frozenset({str, int, float, bool, type(None)})


def freeze(value: Any) -> Any:
    """A read-only view of a JSON value (O(1)); scalars and frozen values come back as they are."""
    kind = type(value)
    if kind is dict:
        return FrozenMap(value)
    if kind is list:
        return FrozenList(value)
    if kind is str or kind is int or isinstance(value, _Frozen):
        return value
    # Nothing below is ever decoded; values made by hand may hold it.
    if isinstance(value, list | tuple):
        return value if value is ABSENT_LIST else FrozenList(value)
    return FrozenMap(value) if isinstance(value, Mapping) else value


def thaw(value: Any) -> Any:
    """A fresh, writable JSON value equal to ``value``: the inverse of :func:`freeze`, all the way down."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, _Frozen):
        value = value._data
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    return value


def _hashable(value: Any) -> Any:
    """What hashes as ``value`` would: a list as the tuple that it is equal to."""
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    return value


class _Frozen:
    """What both views share: one slot, no way to set it again."""

    __slots__ = ("_data",)
    _data: Any

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __hash__(self) -> int:
        return hash(_hashable(self._data))

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return repr(self._data)

    def __copy__(self: T) -> T:
        return self

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (type(self), (self._data,))


class FrozenMap(_Frozen, Mapping[str, Any]):
    """A read-only JSON object; equal to any mapping with equal items, hashable, nested values read-only too.

    Args:
        data: The mapping to view. It is not copied: whoever hands it over must not write to it any more.
    """

    __slots__ = ()

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_data", data._data if isinstance(data, FrozenMap) else data or {})

    def __getitem__(self, key: str) -> Any:
        return freeze(self._data[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenMap):
            return bool(self._data == other._data)
        if isinstance(other, Mapping):
            return bool(self._data == thaw(other))
        return NotImplemented

    __hash__ = _Frozen.__hash__


class StringMap(FrozenMap):
    """A read-only mapping of strings to strings: ``metadata``."""

    __slots__ = ()

    def __getitem__(self, key: str) -> str:
        return cast(str, freeze(self._data[key]))


class FrozenList(_Frozen, Sequence[Any]):
    """A read-only JSON array; equal to any list or tuple with equal items, hashable, nested values read-only too.

    Args:
        data: The sequence to view. It is not copied: whoever hands it over must not write to it any more.
    """

    __slots__ = ()

    def __init__(self, data: Sequence[Any] = ()) -> None:
        if isinstance(data, FrozenList):
            data = data._data
        object.__setattr__(self, "_data", data if type(data) is list else list(data))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> FrozenList: ...
    def __getitem__(self, index: int | slice) -> Any:
        return freeze(self._data[index])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenList):
            return bool(self._data == other._data)
        if isinstance(other, list | tuple):
            return bool(self._data == thaw(other))
        return NotImplemented

    __hash__ = _Frozen.__hash__


class _AbsentList(tuple[Any, ...]):
    """Its one instance is an empty tuple that can be told from one that came over the wire."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "ABSENT_LIST"


class _AbsentMap(StringMap):
    """Its one instance is an empty mapping that can be told from one that came over the wire."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "ABSENT_MAP"


# Defaults of list and mapping fields: they read as empty, and identity tells "absent" from "sent empty",
# so that what is written out has the keys that came in.
ABSENT_LIST: tuple[Any, ...] = _AbsentList()
ABSENT_MAP: StringMap = _AbsentMap()
