"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli.support import Result, body, call_cli
from tests.support.wire import Event


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Run the command line in this process."""
    return call_cli


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., str]:
    """Write streams into one file, as an event stream, and return its path."""

    def write(*streams: Sequence[Event], name: str = "run.sse") -> str:
        path = tmp_path / name
        path.write_bytes(body(*streams))
        return str(path)

    return write
