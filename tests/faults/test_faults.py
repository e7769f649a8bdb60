"""Every kind of fault against every source that can have it: a seeded part of what ``python -m tests.faults`` runs."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.faults.cases import FAULTS, PAIRS, generate, has_fault
from tests.faults.oracle import judge
from tests.faults.process import Server, Slots
from tests.faults.runner import Leaks, run_all

pytestmark = pytest.mark.slow

CASES = 4
"""For each kind of fault, source and protocol; some of them with two further faults."""


@pytest.mark.parametrize(
    ("source", "fault"), [(source, fault) for fault, sources in FAULTS.items() for source in sources]
)
async def test_fault(source: str, fault: str, served: tuple[list[int], Slots]) -> None:
    """States and signals are those of the clean stream, or the difference is reported: no hang, no wrong success.

    The cases of all protocols run at the same time, since most of them wait for each other's side.
    """
    protocols = [protocol for known, protocol in PAIRS if known == source and has_fault(fault, protocol)]
    assert protocols
    cases = [case for protocol in protocols for case in generate(source, CASES, 1, [fault], protocol)]
    leaks = Leaks([], [])
    failed = []
    judged = 0
    with capture_logs():
        async for case, observed in run_all(cases, Server(*served), leaks):
            judged += 1
            if problems := judge(case, observed).problems:
                failed.append("\n  ".join([f"python -m tests.faults --only '{case}'", *problems]))
    assert not failed, "\n".join(failed)
    assert judged == CASES * len(protocols)
    assert leaks == Leaks([], [])
