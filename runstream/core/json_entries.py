"""A persistent map of names: a change of one of n entries copies O(log n) small parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

__all__ = ["MISSING", "NO_ENTRIES", "Entries", "find_entry", "iterate_entries", "set_entry"]

MISSING: Final[Any] = object()
"""Stands for the value of a member that does not exist."""

Entries: TypeAlias = Any
"""A dict from names to entries, or a list of 32 of these, by bits of the hash of the name."""

NO_ENTRIES: Final[Entries] = {}

_BITS: Final = 5
_WIDTH: Final = 1 << _BITS
_MASK: Final = _WIDTH - 1
_MAX_LEAF: Final = 64
_HASH_BITS: Final = 60
_HASH: Final = (1 << _HASH_BITS) - 1


def find_entry(entries: Entries, name: str) -> Any:
    """The entry of a name; ``MISSING`` if there is none."""
    bits = hash(name) & _HASH
    while type(entries) is list:
        entries = entries[bits & _MASK]
        bits >>= _BITS
    return entries.get(name, MISSING)


def set_entry(entries: Entries, name: str, entry: Any) -> Entries:
    """A copy with an entry added or replaced."""
    return _set(entries, hash(name) & _HASH, name, entry, 0)


def _set(entries: Entries, bits: int, name: str, entry: Any, shift: int) -> Entries:
    copy = entries.copy()
    if type(copy) is list:
        slot = bits & _MASK
        copy[slot] = _set(copy[slot], bits >> _BITS, name, entry, shift + _BITS)
        return copy
    copy[name] = entry
    if len(copy) <= _MAX_LEAF or shift >= _HASH_BITS:
        return copy
    slots: list[dict[str, Any]] = [{} for _ in range(_WIDTH)]
    for key, value in copy.items():
        slots[(hash(key) & _HASH) >> shift & _MASK][key] = value
    return slots


def iterate_entries(entries: Entries) -> Iterator[tuple[str, Any]]:
    """The names and their entries, in no order."""
    if type(entries) is list:
        for slot in entries:
            yield from iterate_entries(slot)
    else:
        yield from entries.items()
