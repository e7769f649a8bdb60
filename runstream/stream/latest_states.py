"""The states held now, as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from runstream.core.state import RunState
from runstream.engine.engine import Engine

__all__ = ["LatestStates"]

RunKey: TypeAlias = str | tuple[str, str]


class LatestStates(Mapping[RunKey, RunState]):
    """A live view of an engine's states.

    The key is the run id, or (scope, run id) for a run in a scope other than "".
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, key: RunKey) -> RunState:
        scope, run_id = key if isinstance(key, tuple) else ("", key)
        state = self._engine.state(run_id, scope)
        if state is None:
            raise KeyError(key)
        return state

    def __iter__(self) -> Iterator[RunKey]:
        for state in self._engine.states():
            yield (state.scope, state.run_id) if state.scope else state.run_id

    def __len__(self) -> int:
        return len(self._engine.states())

    def __repr__(self) -> str:
        return f"Latest({dict(self)!r})"
