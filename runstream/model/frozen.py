"""Read-only views of decoded JSON: neither a mapping or list nor the values nested in it can be changed.

Wrapping costs O(1): nested values are wrapped when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar, cast, overload

__all__ = ["ABSENT_LIST", "ABSENT_MAP", "FrozenList", "FrozenMap", "StringMap", "freeze", "thaw", "unfreeze"]

T = TypeVar("T")

_SCALARS = frozenset({str, int, float, bool, type(None)})


def freeze(value: Any) -> Any:
    """A read-only view of a JSON value (O(1)); scalars and frozen values are returned as they are."""
    kind = type(value)
    if kind is dict:
        return FrozenMap(value)
    if kind is list:
        return FrozenList(value)
    if kind is str or kind is int or isinstance(value, _Frozen):
        return value
    # A decoder never returns the types below, but a caller's value may contain them.
    if isinstance(value, list | tuple):
        return value if value is ABSENT_LIST else FrozenList(value)
    return FrozenMap(value) if isinstance(value, Mapping) else value


def thaw(value: Any) -> Any:
    """A new, mutable JSON value equal to ``value``: the inverse of :func:`freeze`, at every depth."""
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


def unfreeze(value: Any) -> Any:
    """The mapping or list behind a read-only view (O(1)), not to be changed: an ``enc_hook`` of msgspec.

    Raises:
        TypeError: The value is no such view.
    """
    if isinstance(value, _Frozen):
        return value._data
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _hashable(value: Any) -> Any:
    """A hashable form of ``value``: equal values have equal forms, a list and a tuple too."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict or isinstance(value, Mapping):
        return frozenset([(key, _hashable(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return tuple([_hashable(item) for item in value])
    return value


class _Frozen:
    """Base of both views: one slot that can't be set again."""

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


# That of the slot itself: the one of `object` would look its name up each time.
_set_data: Final[Callable[[Any, Any], None]] = _Frozen.__dict__["_data"].__set__


class FrozenMap(_Frozen, Mapping[str, Any]):
    """A read-only JSON object; equal to any mapping with equal items, hashable, nested values read-only too.

    Args:
        data: The mapping to view. It is not copied: the caller must not change it afterwards.
    """

    __slots__ = ()

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        # Of decoded input it is a dict; `isinstance` of an abstract class takes longer than all the rest.
        _set_data(self, data if type(data) is dict else data._data if isinstance(data, FrozenMap) else data or {})

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

    def __hash__(self) -> int:
        try:
            return hash(frozenset(self._data.items()))
        except TypeError:  # a list or an object in it
            return super().__hash__()


class StringMap(FrozenMap):
    """A read-only mapping of strings to strings: ``metadata``."""

    __slots__ = ()

    def __getitem__(self, key: str) -> str:
        return cast(str, freeze(self._data[key]))


class FrozenList(_Frozen, Sequence[Any]):
    """A read-only JSON array; equal to any list or tuple with equal items, hashable, nested values read-only too.

    Args:
        data: The sequence to view. A list is not copied: the caller must not change it afterwards.
    """

    __slots__ = ()

    def __init__(self, data: Sequence[Any] = ()) -> None:
        if type(data) is not list:
            data = data._data if isinstance(data, FrozenList) else list(data)
        _set_data(self, data)

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
    """The type of ``ABSENT_LIST``, an empty tuple that differs by identity from a received empty list."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "ABSENT_LIST"


class _AbsentMap(StringMap):
    """The type of ``ABSENT_MAP``, an empty mapping that differs by identity from a received empty object."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "ABSENT_MAP"


# Defaults of list and mapping fields. They read as empty. Identity distinguishes "absent" from "sent empty", so that
# the written object has the keys of the received one.
ABSENT_LIST: tuple[Any, ...] = _AbsentList()
ABSENT_MAP: StringMap = _AbsentMap()
