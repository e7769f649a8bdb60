"""Clients under faults: refused and lost requests, cut streams, tools that fail, killed processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.run import RunStatus
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import serve_script
from runstream.testing.turns import ScriptedCall, ScriptedRequest, Turn
from tests.support.processes import server_process

QUICK = Reconnect(initial=0.005, maximum=0.01, max_attempts=4)
ROUNDS = 3
BODIES: dict[type[BaseClient], dict[str, Any]] = {
    AssistantsClient: {"assistant_id": "asst_1"},
    ResponsesClient: {"model": "m", "input": "Hello", "background": True},
}


class Fault(NamedTuple):
    """What happens to one request."""

    refuse: int | None = None
    lose: bool = False
    cut_after: int | None = None


FAULTS = st.one_of(
    st.just(Fault()),
    st.sampled_from([429, 500, 502, 503]).map(lambda status: Fault(refuse=status)),
    st.just(Fault(lose=True)),
    st.integers(0, 12).map(lambda number: Fault(cut_after=number)),
)


def turn(number: int, fault: Fault) -> Turn:
    """The turn of a round: two calls, or the end."""
    calls = [ScriptedCall("work", {"key": f"{number}{one}"}) for one in "ab"] if number < ROUNDS else []
    return Turn(text=f"Round {number}.", calls=calls, **fault._asdict())


def must_complete(faults: list[Fault]) -> bool:
    """True if the id of the run arrived, and no request failed too often in a row."""
    failed = "".join("x" if fault.lose or fault.refuse else "." for fault in faults)
    is_known = not faults or faults[0].cut_after != 0
    return is_known and not failed.startswith("x") and "xxxx" not in failed


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, max_size=8))
def test_requests_and_streams_that_fail(kind: type[BaseClient], faults: list[Fault]) -> None:
    """Whatever happens to the requests of a run: each call is executed once at most, accepted answers are right, and
    the stream ends, with the completed run or with a reason."""
    executed: Counter[str] = Counter()
    plan = iter(faults)

    def model(request: ScriptedRequest) -> Turn:
        return turn(request.turn, next(plan, Fault()))

    async def work(key: str) -> str:
        executed[key] += 1
        await asyncio.sleep(0)
        return f"done {key}"

    async def run() -> None:
        async with serve_script(model) as server:
            client: Any = kind
            made = client(server.url, tools=[work], reconnect=QUICK, poll_interval=0.01)
            found: Any = None
            async with asyncio.timeout(20), made, made.run(BODIES[kind]) as stream:
                with suppress(IncompleteStream):
                    found = await stream.result()
            assert all(count == 1 for count in executed.values()), executed
            for answers in server.outputs.values():
                assert len(set(answers)) == 1
                assert kind is ResponsesClient or len(answers) == 1
            if found is None:
                assert not must_complete(faults)
                return
            assert found.status == RunStatus.COMPLETED
            assert len(executed) == 2 * ROUNDS
            text = "".join(f"Round {number}." for number in range(ROUNDS + 1))
            assert stream.latest[found.id].text == text

    asyncio.run(run())


@pytest.fixture
def served() -> Iterator[str]:
    """The URL of a scripted server in another process: a call that hangs for a killed process, then an end."""
    with server_process("tests.clients.killed_program", "serve") as (url, _):
        yield url


def stored_outputs(path: Path) -> list[str]:
    """The outputs in the file of a store."""
    with closing(sqlite3.connect(path)) as db:
        return [output for (output,) in db.execute("SELECT output FROM outputs ORDER BY output")]


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["assistants", "responses", "langgraph", "blocking assistants", "blocking langgraph"])
def test_a_process_that_is_killed_in_a_tool(kind: str, served: str, tmp_path: Path) -> None:
    """Only the call in flight is executed again, with an equal key, and the run completes in the next process."""
    log, store, is_graph = tmp_path / "log", tmp_path / "runs.db", kind.endswith("langgraph")
    url = served.replace("/v1", "/langgraph") if is_graph else served
    stored = [] if is_graph else ["1"]  # that of the quick tool
    command = [sys.executable, "-m", "tests.clients.killed_program", kind, url, str(store), str(log)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert first.stdout is not None
    try:
        run_id = first.stdout.readline().decode().strip()
        assert run_id, "the program has not started"
        wait_until(
            lambda: log.exists() and "slow" in log.read_text(encoding="utf-8") and stored_outputs(store) == stored
        )
        os.kill(first.pid, signal.SIGKILL)
    finally:
        first.kill()
        first.wait(10)
        first.stdout.close()
    second = subprocess.run([*command, run_id], capture_output=True, text=True, timeout=60, check=False)
    assert second.stdout.split() == ["completed"], second.stderr
    noted = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    quick = {} if is_graph else {"quick": 1}
    assert Counter(word for word, _ in noted) == {**quick, "slow": 2, "returned": 1}
    assert len({key for word, key in noted if word != "quick"}) == 1
    assert stored_outputs(store) == []
