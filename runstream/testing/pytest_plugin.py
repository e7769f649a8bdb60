"""The pytest plugin: fixtures for applications that use the library. Installed with it; nothing needs to be configured.

=====================  ==============================================================================================
``cassette``           records the sources of a test once, and replays them later (:class:`~runstream.testing.Cassette`)
``scripted_run``       makes scripted runs, each with an id of its own (:class:`~runstream.testing.Script`)
=====================  ==============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from runstream.testing import Cassette, Script

__all__ = ["cassette", "scripted_run"]

_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that says what is recorded."""
    parser.getgroup("runstream").addoption(
        "--runstream-cassettes",
        choices=("once", "none", "all"),
        default="once",
        help="record sources that have no cassette yet (once), nothing (none), or everything again (all)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers whether a test has failed: its cassettes are not kept then."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """Records the sources of a test once, in ``cassettes/`` beside it, and replays them later."""
    from runstream.testing import Cassette

    name = re.sub(r"[^\w.-]+", "_", f"{request.path.stem}.{request.node.name}").rstrip("_")
    found = Cassette(request.path.parent / "cassettes", name, request.config.getoption("--runstream-cassettes"))
    yield found
    found.finish(keep=not request.node.stash.get(_FAILED, False))


@pytest.fixture
def scripted_run() -> Callable[..., Script]:
    """Makes scripted runs, each with another id; arguments as of `script`."""
    from runstream.testing import script

    count = 0

    def make(run_id: str = "", **fields: Any) -> Script:
        nonlocal count
        count += 1
        return script(run_id or f"run_{count}", **fields)

    return make
