"""Random faults against the sources of the Responses API: a seeded part of what ``python -m tests.faults`` runs."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.faults.api_cases import API_FAULTS, API_SOURCES, ApiCase, generate_api
from tests.faults.api_runner import run_api_case
from tests.faults.runner import Leaks, run_jobs

CASES = 100


@pytest.mark.parametrize("source", API_SOURCES)
async def test_a_source_with_requests_of_its_own(source: str) -> None:
    """Resumption by number, polls, and the WebSocket mode."""
    leaks, failed = Leaks([], []), []
    with capture_logs():
        async for case, verdict in run_jobs(generate_api(source, CASES, 1), run_api_case, leaks, 10):
            if verdict.problems:
                failed.append("\n  ".join([f"python -m tests.faults --only '{case}'", *verdict.problems]))
    assert not failed, "\n".join(failed)
    assert leaks == Leaks([], [])


@pytest.mark.parametrize("source", API_SOURCES)
def test_a_line_repeats_a_case_of_its_own(source: str) -> None:
    """Each kind of fault occurs, and a seed gives the same cases."""
    cases = generate_api(source, 100, 7)
    assert cases == generate_api(source, 100, 7) != generate_api(source, 100, 8)
    assert [ApiCase.parse(str(case)) for case in cases] == cases
    mine = {name for name, sources in API_FAULTS.items() if source in sources}
    assert {fault for case in cases for fault in case.faults} == mine
    assert any(not case.faults for case in cases)
