"""The server's process, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.process import Slots, run_server


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[list[int], Slots]]:
    """The ports of the server and the records of its cases."""
    with run_server() as found:
        yield found
