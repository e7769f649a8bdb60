"""Fragments that are appended to a text in one step, against the same fragments one by one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from runstream import Limits, RawEvent
from runstream.cluster.packs import FRAGMENTS, Pack, Section
from runstream.cluster.partition import Partition
from runstream.core.state import RunState
from runstream.testing import script
from tests.cluster.simulation import make_source

WORDS = [f"word{number} " for number in range(40)]


def _sections(ids: list[str] | None) -> list[Section]:
    """A run whose text comes in one entry, and its end."""
    items = script("run_1").start().say("".join(WORDS), pieces=WORDS).end().raw_events()
    names = iter(ids or ())
    source, found = make_source("s", dialect="assistants"), []
    source.connected()
    for item in items:
        is_fragment = item.event == "thread.message.delta"
        source.feed(RawEvent(event=item.event, data=item.data, id=next(names, None) if is_fragment else None))
        if item.event in ("thread.message.in_progress", "thread.message.delta") and (part := source.take_section()):
            found.append(part)
    source.end("the stream ended")
    found.append(source.take_section())  # type: ignore[arg-type]
    return found


def _joined(sections: list[Section]) -> list[Section]:
    """The fragments of all sections in one entry."""
    out: list[Section] = []
    for section in sections:
        last = out[-1].entries[-1] if out else None
        (entry, *rest) = section.entries
        if last is not None and entry[0] == FRAGMENTS == last[0]:
            both = [None if one is None else one + other for one, other in zip(last[6:], entry[6:], strict=True)]
            entries = [*out[-1].entries[:-1], [*last[:6], *both], *rest]
            out[-1] = structs.replace(out[-1], entries=entries, cursor=section.cursor)
        else:
            out.append(section)
    return out


def _feed(sections: list[Section], limits: Limits) -> tuple[RunState, Any, int, Any]:
    partition = Partition(limits=limits, clock=lambda: 1e9)
    for number, section in enumerate(sections, 1):
        pack = Pack(1, [section])
        needs = partition.needs([pack])
        while needs:
            needs = partition.load([(key, None) for key in needs.lanes], [(key, None) for key in needs.runs])
        for _ in partition.feed(number, pack):
            partition.take_commit()
    (lane,) = partition.lanes.values()
    facts = [signal.key for of_lane in partition._facts.values() for found in of_lane.values() for signal in found]
    (state,) = partition.engine.states()
    return state, (facts, partition.take_progress()), partition.events, lane.dump()


@pytest.mark.parametrize(
    "ids",
    [
        None,
        [f"e-{number}" for number in range(40)],
        [f"e-{number + 5 * (number > 20)}" for number in range(40)],
        [f"e-{number}" if number % 7 else f"other-{number}" for number in range(40)],
    ],
    ids=["none", "consecutive", "with a gap", "mixed"],
)
@pytest.mark.parametrize("size", [10_000, 100])
def test_fragments_in_one_step_are_as_one_by_one(ids: list[str] | None, size: int) -> None:
    """State, facts, progress, counts, and the sequence of ids are the same; so is a run beyond its bound."""
    single = _sections(ids)
    joined = _joined(single)
    assert len(joined) < len(single) - 30
    limits = Limits(max_run_size=size)
    assert _feed(joined, limits) == _feed(single, limits)
