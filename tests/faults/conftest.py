"""The server's process, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.process import Slots, serving_faults


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[list[int], Slots]]:
    """The ports and the memory of the server."""
    with serving_faults() as found:
        yield found
