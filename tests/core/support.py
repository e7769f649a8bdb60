"""Short ways to decoded events, states and signal keys, for the tests of the core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runstream.core.derive import derive
from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent
from runstream.model.run import RunStatus
from runstream.model.signals import Signal, SourceSignal
from tests.support.wire import Json, dumps, function_call, required_action, run_object

__all__ = ["RUN", "asking", "at", "decoded", "ev", "keys", "signals_of", "state_of"]

RUN: Json = run_object("run_1", created_at=100)


def ev(name: str, data: Any, id: str | None = None) -> RawEvent:
    """A raw event as an SSE block delivers it; ``run.queued`` stands for ``thread.run.queued``."""
    full = name if name in ("error", "done") else f"thread.{name}"
    return RawEvent(full, dumps(data).encode(), id)


def at(status: str, started_at: int | None = None, **fields: Any) -> RawEvent:
    """The snapshot event of `RUN` in a status."""
    data = {**RUN, "status": status, "started_at": started_at, **fields}
    return ev(f"run.{status if RunStatus(status).is_known else 'in_progress'}", data)


def asking(*ids: str, started_at: int | None = 110, arguments: str = "{}", **fields: Any) -> RawEvent:
    """The snapshot event of `RUN` waiting for the outputs of these calls."""
    action = required_action(*[function_call(id, "look_up", arguments) for id in ids])
    return at("requires_action", started_at, required_action=action, **fields)


def decoded(raw: RawEvent, *, connection: int = 0) -> Event:
    """The event that a raw event stands for."""
    dialect = AssistantsDialect()
    dialect.connection = connection
    event = dialect.decode(raw)
    assert not isinstance(event, Reject), event
    return event


def state_of(raws: Iterable[RawEvent], state: RunState | None = None) -> RunState:
    """The state after these events of one run."""
    for raw in raws:
        state = reduce(state, decoded(raw), at=1.0)
    assert state is not None
    return state


def signals_of(raws: Iterable[RawEvent], before: RunState | None = None) -> list[Signal]:
    """The signals of these events of one run."""
    found: list[Signal] = []
    for raw in raws:
        after = reduce(before, decoded(raw), at=1.0)
        if after is not None:
            found += derive(before, after, 1.0)
        before = after
    return found


def keys(signals: Iterable[Signal]) -> list[str]:
    """The keys of all signals but those of sources."""
    return [signal.key for signal in signals if not isinstance(signal, SourceSignal)]
