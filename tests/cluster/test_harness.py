"""A small part of the harness: kills, a stop beyond the pin, a restart of the broker, duplicated packs."""

from __future__ import annotations

import pytest

from tests.cluster.harness import Harness, Plan


@pytest.mark.slow
async def test_nothing_is_lost_or_repeated(program: str) -> None:
    """Each fact's key stands once, every state equals the fold, and no run is lost."""
    plan = Plan(
        runs=80,
        partitions=4,
        workers=3,
        ingests=2,
        pin_timeout=1.5,
        seconds=200.0,
        kills=3,
        stops=1,
        restarts=1,
        duplicates=10,
        at_once=20,
        delay=0.04,
    )
    outcome = await Harness(plan).run()
    print(outcome.report())
    assert outcome.clean, outcome.report()
    assert outcome.facts > 80
    assert sum(outcome.kills.values()) >= 3, outcome.report()  # the runs may end before the last fault
