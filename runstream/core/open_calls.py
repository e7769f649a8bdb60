"""The calls of a run that were seen in one place only: an immutable collection whose versions share one log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from runstream.core.call_names import base_of

__all__ = ["NO_OPEN_CALLS", "OpenCall", "OpenCalls"]

_MIN_LOG: Final = 64  # changes that are kept though none of their calls is open any more


class OpenCall(Struct, frozen=True, gc=False, array_like=True):
    """A call that was seen in one place only: in a step, or in a request.

    Attributes:
        name: Its name in keys.
        step_id: The id of its step; "" if it was seen in a request.
        signature: The signature of a call that is complete; "" while its step is open.
    """

    name: str
    step_id: str
    signature: str


_Change: TypeAlias = tuple[str, OpenCall | None]  # the name of a call, and the call; ``None`` if it was removed
_Names: TypeAlias = dict[str, None]


class _Log:
    """The changes from the beginning, and what is open after the last one.

    Attributes:
        changes: The changes; only appended to, so that older versions may read them at any time.
        calls: The open calls by name.
        places: The place of each in the order.
        requested: The names of the calls of requests, in order.
        requested_of_id: The same by encoded id.
        requested_equal: The same by encoded id and signature.
        steps: The names of the calls of steps, by the id of the step.
        steps_of_id: The same by encoded id.
        ended: The names of the calls of steps that have ended.
    """

    __slots__ = (
        "calls",
        "changes",
        "ended",
        "places",
        "requested",
        "requested_equal",
        "requested_of_id",
        "steps",
        "steps_of_id",
    )

    def __init__(self, calls: Iterable[OpenCall]) -> None:
        self.changes: list[_Change] = []
        self.calls: dict[str, OpenCall] = {}
        self.places: dict[str, int] = {}
        self.requested: _Names = {}
        self.requested_of_id: dict[str, _Names] = {}
        self.requested_equal: dict[tuple[str, str], _Names] = {}
        self.steps: dict[str, _Names] = {}
        self.steps_of_id: dict[str, _Names] = {}
        self.ended: _Names = {}
        for call in calls:
            self.set(call)

    def set(self, call: OpenCall) -> None:
        """Add a call, or replace the one with its name, which is of the same place."""
        name, base = call.name, base_of(call.name)
        self.changes.append((name, call))
        self.calls[name] = call
        self.places.setdefault(name, len(self.changes))
        if not call.step_id:
            self.requested[name] = None
            self.requested_of_id.setdefault(base, {})[name] = None
            self.requested_equal.setdefault((base, call.signature), {})[name] = None
            return
        self.steps.setdefault(call.step_id, {})[name] = None
        self.steps_of_id.setdefault(base, {})[name] = None
        if call.signature:
            self.ended[name] = None

    def remove(self, name: str) -> None:
        """Remove a call."""
        call = self.calls.pop(name, None)
        if call is None:
            return
        self.changes.append((name, None))
        del self.places[name]
        base = base_of(name)
        if not call.step_id:
            del self.requested[name]
            _drop(self.requested_of_id, base, name)
            _drop(self.requested_equal, (base, call.signature), name)
            return
        _drop(self.steps, call.step_id, name)
        _drop(self.steps_of_id, base, name)
        self.ended.pop(name, None)


class OpenCalls:
    """Open calls: those of requests, then those of steps, each in the order in which they were seen.

    To add, to remove and to find a call of the newest version costs O(1). An older version stays what it was; its first
    change copies it.

    Args:
        calls: The calls, in order.
    """

    __slots__ = ("_log", "_size")

    def __init__(self, calls: Iterable[OpenCall] = ()) -> None:
        self._log = _Log(calls)
        self._size = len(self._log.changes)

    def add(self, *calls: OpenCall) -> OpenCalls:
        """A version with further calls; one with the name of another replaces it."""
        log = self._fork()
        for call in calls:
            log.set(call)
        return _version(log)

    def remove(self, calls: Iterable[OpenCall]) -> OpenCalls:
        """A version without some calls."""
        log = self._fork()
        for call in calls:
            log.remove(call.name)
        return _version(log)

    def find_requested(self, base: str, signature: str) -> OpenCall | None:
        """The requested call with an id: the first one with a signature, else the first one.

        Args:
            base: The encoded id.
            signature: The signature; "" for any.
        """
        log = self._newest()
        names = (log.requested_equal.get((base, signature)) if signature else None) or log.requested_of_id.get(base)
        return log.calls[next(iter(names))] if names else None

    def requested(self, count: int) -> list[OpenCall]:
        """The first calls of requests.

        Args:
            count: How many.
        """
        log = self._newest()
        return [log.calls[name] for name in islice(log.requested, count)]

    @property
    def requested_count(self) -> int:
        """The number of calls of requests."""
        return len(self._newest().requested)

    def of_step(self, step_id: str) -> list[OpenCall]:
        """The calls of a step, in order.

        Args:
            step_id: The id of the step.
        """
        log = self._newest()
        return [log.calls[name] for name in log.steps.get(step_id, ())]

    def of_id(self, base: str) -> list[OpenCall]:
        """The calls of steps with an id, in order.

        Args:
            base: The encoded id.
        """
        log = self._newest()
        return [log.calls[name] for name in log.steps_of_id.get(base, ())]

    def ended(self) -> list[OpenCall]:
        """The calls of steps that have ended, in order."""
        log = self._newest()
        return [log.calls[name] for name in sorted(log.ended, key=log.places.__getitem__)]

    def _newest(self) -> _Log:
        """The log, if this is its newest version; else a copy."""
        log = self._log
        return log if len(log.changes) == self._size else _Log(self._calls().values())

    def _fork(self) -> _Log:
        """The log that a change of this version is added to."""
        log = self._log
        if not self._size or len(log.changes) != self._size or self._size > 2 * len(log.calls) + _MIN_LOG:
            return _Log(self._calls().values())
        return log

    def _calls(self) -> dict[str, OpenCall]:
        calls: dict[str, OpenCall] = {}
        for name, call in self._log.changes[: self._size]:
            if call is None:
                del calls[name]
            else:
                calls[name] = call
        return calls

    def __iter__(self) -> Iterator[OpenCall]:
        calls = self._calls().values()
        yield from [call for call in calls if not call.step_id]
        yield from [call for call in calls if call.step_id]

    def __len__(self) -> int:
        return len(self._calls())

    def __bool__(self) -> bool:
        log = self._log
        return bool(log.calls if len(log.changes) == self._size else self._calls())

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, OpenCalls) and list(self) == list(other))

    def __hash__(self) -> int:
        return hash(self._size)

    def __repr__(self) -> str:
        return f"OpenCalls({list(self)!r})"


_Key = TypeVar("_Key")


def _drop(index: dict[_Key, _Names], key: _Key, name: str) -> None:
    """Remove a name from an index."""
    names = index[key]
    del names[name]
    if not names:
        del index[key]


def _version(log: _Log) -> OpenCalls:
    found = OpenCalls.__new__(OpenCalls)
    found._log, found._size = log, len(log.changes)
    return found


NO_OPEN_CALLS: Final = OpenCalls()
