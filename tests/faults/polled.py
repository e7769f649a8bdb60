"""What a server that is polled tells: the whole run, at some moments of its life, as a list of objects."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from runstream.core.state import RunState
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from tests.faults.tellings import interleaved

__all__ = ["body", "raws", "snapshots"]

_EVERY: Final = 9  # events between two moments, beside those at which the run itself changes


@lru_cache(maxsize=2048)
def snapshots(tellings: tuple[str, ...]) -> tuple[tuple[dict[str, Any], ...], ...]:
    """The objects at each moment, in order: the run, its steps, its messages."""
    engine, latest = Engine(clock=lambda: 1.0), list[RunState]()
    engine.on_state = latest.append
    intake = engine.intake("polled")
    found: list[tuple[dict[str, Any], ...]] = []
    told = interleaved(tellings, None)
    run: dict[str, Any] = {}
    for number, item in enumerate(told):
        runs = len(latest)
        intake.feed(RawEvent(item.name, item.data))
        changed = len(latest) > runs and item.name.startswith("thread.run.") and ".step." not in item.name
        if changed:
            run = msgspec.json.decode(item.data)  # as the server says it, nulls too
        if latest and (number % _EVERY == 0 or changed or number == len(told) - 1):
            moment = ({**run, "object": "thread.run"}, *_objects(latest[-1]))
            if not found or moment != found[-1]:
                found.append(moment)
    return tuple(found)


def _objects(state: RunState) -> tuple[dict[str, Any], ...]:
    told = state.to_dict()
    steps = [{"object": "thread.run.step", "run_id": state.run_id, **step} for step in told["steps"]]
    messages = [{"object": "thread.message", "run_id": state.run_id, **message} for message in told["messages"]]
    return (*steps, *messages)


def body(tellings: tuple[str, ...], moment: int) -> bytes:
    """The answer to a poll."""
    known = snapshots(tellings)
    return msgspec.json.encode(known[min(moment, len(known) - 1)])


def raws(tellings: tuple[str, ...]) -> list[list[RawEvent]]:
    """All answers as the pipeline gets them."""
    return [[RawEvent(_name(item), msgspec.json.encode(item)) for item in moment] for moment in snapshots(tellings)]


def _name(item: dict[str, Any]) -> str:
    name = f"{item['object']}.{item.get('status')}"
    return name if name in EVENT_TYPES else str(item["object"])
