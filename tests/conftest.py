"""What every test gets: a bound on its time, and programs that take the signals that they are sent."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from runstream.dialects import registry
from tests.support.dialects import WordsDialect
from tests.support.guards import bounded, heeding_signals
from tests.support.ports import free_port

# No example of a property is timed: a machine that does other things at the same time would fail it.
settings.register_profile("runstream", deadline=None)
settings.load_profile("runstream")

BOUND = 120.0
"""Seconds for one phase of a test; the slowest take a tenth of it on a machine that does nothing else."""
SLOW_BOUND = 300.0
"""The same for tests that are marked ``slow``."""


def _bound(item: pytest.Item) -> float:
    return SLOW_BOUND if item.get_closest_marker("slow") else BOUND


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with bounded(_bound(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with bounded(_bound(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    with bounded(_bound(item)):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _signals() -> Iterator[None]:
    """Programs that tests start do not ignore what this process was told to ignore (as a script's background job)."""
    with heeding_signals():
        yield


@pytest.fixture(scope="session", autouse=True)
def _bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where no bytecode may be written beside the code, the programs that tests start share a place for it.

    Otherwise each of the hundreds compiles the library again.
    """
    if not sys.dont_write_bytecode or sys.pycache_prefix:
        yield
        return
    base = tmp_path_factory.getbasetemp()
    directory: Path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bytecode"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(directory))
        yield


@pytest.fixture(scope="session", autouse=True)
def _heap() -> Iterator[None]:
    """What is loaded before the first test is left alone by the collector, which else goes through it in many tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _heap_of_modules(_heap: None) -> None:
    """The same for what the modules before have loaded and cached: recordings, expected results, reports."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def words_dialect(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which `WordsDialect` is registered for one test; what the test registers itself ends with it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry.register_dialect("words", WordsDialect)
    return "words"


@pytest.fixture
def unused_tcp_port() -> int:
    """In place of the plugin's own, which other processes may be given meanwhile."""
    return free_port()
