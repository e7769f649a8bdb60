"""A consumer that is killed and started again, against a server in another process: nothing is lost, and at most what
was in delivery comes twice.

RUNSTREAM_KILLS=10 kills ten times as many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runstream.engine.fold import fold
from runstream.store.sqlite import SqliteStore
from tests.store.support import facts
from tests.support.resuming_server import events_of_server, resuming_process

ROUNDS = int(os.environ.get("RUNSTREAM_KILLS", "1"))
DOORS = ("function", "coroutine", "async for")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX")]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("server", ["resumes", "replays", "plain"])
@pytest.mark.parametrize("dialect", ["assistants", "responses"])
def test_killed_at_random(dialect: str, server: str, door: str, tmp_path: Path) -> None:
    """Through every door, against a server that resumes, one that sends all again, and one without ids."""
    kills = 0
    for number in range(ROUNDS):
        seed = number * 31 + len(server) * 3 + DOORS.index(door)
        raws = events_of_server(server, seed, dialect)
        path, log = tmp_path / f"{seed}.db", tmp_path / f"{seed}.log"
        with resuming_process(server, seed, dialect) as url:
            consumer = subprocess.run(
                [sys.executable, "-m", "tests.support.consuming", url, path, log, door, str(seed), "8", dialect],
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        assert consumer.returncode == 0, consumer.stderr
        killed = int(consumer.stdout)
        kills += killed
        clean = fold(raws, dialect=dialect)
        delivered = log.read_text().splitlines()
        missing = Counter(facts(clean.signals)) - Counter(delivered)
        assert not missing, f"seed {seed}"
        repeated = Counter(delivered) - Counter(facts(clean.signals))
        # A coroutine handler is called for several runs at once: each of these calls may be repeated.
        in_delivery = len(clean.runs) if door == "coroutine" else 1
        assert repeated.total() <= killed * in_delivery, f"seed {seed}: {repeated}"
        with SqliteStore(path) as store:
            for state in clean.runs:
                kept = store.get("", state.run_id)
                assert kept is not None
                assert kept.state == state
                assert kept.state is not None
                assert kept.state.to_dict() == state.to_dict()
                assert kept.delivered == ()
    assert kills >= 3 * ROUNDS
    print(f"{kills} kills")
