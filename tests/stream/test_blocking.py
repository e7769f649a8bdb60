"""`BlockingStream`: plain ``for`` and plain calls, in the calling thread, through Ctrl-C too."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import runstream
from runstream import (
    ActionRequired,
    BlockingStream,
    IncompleteStream,
    RawEvent,
    RunCompleted,
    RunStream,
    SeveralRuns,
    Signal,
    TextDelta,
    fold,
)
from runstream.testing import Conversation, script
from tests.support.serving import serving_process


def told(*run_ids: str) -> list[RawEvent]:
    runs = [script(run_id).say(f"I am {run_id}.").end() for run_id in run_ids]
    return Conversation(runs).raw_events(interleaved=True)


@pytest.fixture(autouse=True)
def _no_thread() -> Iterator[None]:
    """Each test runs in one thread, and leaves no loop behind."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_every_signal_then_the_result() -> None:
    """As `async for` gives them; the run as `await result()` does."""
    with BlockingStream(RunStream(told("run_1"))) as blocking:
        keys = [one.key for one in blocking if not isinstance(one, TextDelta)]
        run = blocking.result()
        assert list(blocking) == []
    assert run.is_complete
    expected = fold(told("run_1")).signals
    assert [key for key in keys if "/" in key and key.startswith(("run", "msg", "step"))] == [
        one.key for one in expected if not isinstance(one, TextDelta) and hasattr(one, "run_id")
    ]


def test_over_a_socket_of_another_process() -> None:
    """A real server; what it says waits while the program does something else."""
    with (
        serving_process("text.sse") as (url, _),
        BlockingStream(runstream.connect(url, reconnect=None)) as blocking,
    ):
        texts = []
        for one in blocking:
            time.sleep(0.001)
            if isinstance(one, TextDelta):
                texts.append(one.delta)
        state = blocking.stream.latest[blocking.result().id]
    assert "".join(texts) == state.text


def test_results_when_and_what_they_raise() -> None:
    """Time-outs, several runs, streams that were cut off: as where one awaits."""
    with BlockingStream(RunStream(told("run_1", "run_2"))) as blocking:
        assert blocking.when(RunCompleted, run_id="run_2", timeout=20).run_id == "run_2"
        assert [run.id for run in blocking.results()] == ["run_1", "run_2"]
        with pytest.raises(SeveralRuns):
            blocking.result()
    with BlockingStream(RunStream(told("run_1")[:4])) as blocking, blocking.stream.keep_open():
        with pytest.raises(TimeoutError):
            blocking.when(RunCompleted, timeout=0.01)
        assert blocking.wait(asyncio.sleep(0, "any coroutine")) == "any coroutine"
    with BlockingStream(RunStream(told("run_1")[:4])) as blocking, pytest.raises(IncompleteStream):
        blocking.result()


def test_handlers_run_in_this_thread_and_may_bring_a_source() -> None:
    """Functions and coroutine functions; a tool call is answered, and the run goes on."""
    first, second = Conversation(
        [script("run_1").call(weather={"city": "Oslo"}).answer("sunny").say("Sunny.").end()]
    ).streams()["run_1"]
    threads = set()

    async def answer(signal: ActionRequired) -> list[RawEvent] | AsyncIterator[RawEvent]:
        threads.add(threading.current_thread())
        await asyncio.sleep(0)

        async def gives() -> AsyncIterator[RawEvent]:
            for raw in second:
                yield raw

        return gives()

    with BlockingStream(RunStream(first)) as blocking:
        blocking.stream.on(ActionRequired, answer)
        blocking.stream.on(Signal, lambda _: threads.add(threading.current_thread()))
        assert blocking.result().is_complete
    assert threads == {threading.current_thread()}


def test_leaving_a_loop_ends_its_subscription() -> None:
    """`break`, also of a loop over one run, or over states."""
    with BlockingStream(RunStream(told("run_1", "run_2"))) as blocking:
        stream = blocking.stream
        named = stream.iter()  # its name keeps it alive
        for _ in blocking.each(named):
            break
        assert len(stream._channels.signals) == 0
        for one in blocking:
            assert one.type
            break
        for state in blocking.each(stream.run("run_2").iter("states")):
            assert state.run_id == "run_2"
            break
        assert len(stream._channels.signals) == len(stream._channels.runs) == 0
        whole = [state.run_id for state in blocking.each(stream.iter("runs")) if state.is_terminal]
        assert whole == ["run_1", "run_2"]
        unread = blocking.each(stream)
    unread.close()  # one that nobody stepped through, after the end


def test_between_two_steps_nothing_is_read() -> None:
    """What the program does in between holds the source: its buffer never holds more than it may."""
    given = 0

    async def source() -> AsyncIterator[RawEvent]:
        nonlocal given
        for raw in told(*(f"run_{n}" for n in range(50))):
            given += 1
            yield raw

    with BlockingStream(RunStream(source(), buffer=4)) as blocking:
        steps = iter(blocking)
        for _ in range(5):
            next(steps)
            before = given
            time.sleep(0.005)
            assert given == before
        steps.close()
        assert given < 30


def test_an_exception_of_the_program_closes_the_stream() -> None:
    """It passes, handlers finish what they have, and nothing is left."""
    done: list[str] = []

    async def handler(one: RunCompleted) -> None:
        await asyncio.sleep(0.01)
        done.append(one.run_id)

    def program() -> None:
        with BlockingStream(RunStream(told("run_1"))) as blocking:
            blocking.stream.on(RunCompleted, handler)
            blocking.when(RunCompleted, timeout=20)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        program()
    assert done == ["run_1"]


def test_a_subscribers_exception_can_be_had() -> None:
    """`on_subscriber_error="raise"` raises it from what waits."""

    def fails(_: object) -> None:
        raise LookupError("no")

    with (  # noqa: PT012 - the exception may come at the latest when the context is left
        pytest.raises(LookupError, match="no"),
        BlockingStream(RunStream(told("run_1"), on_subscriber_error="raise")) as blocking,
    ):
        blocking.stream.on(RunCompleted, fails)
        blocking.results()


def test_it_is_used_inside_with() -> None:
    """Otherwise nobody would close the stream; the message says so, and no coroutine is left unawaited."""
    blocking = BlockingStream(RunStream(told("run_1")))
    with pytest.raises(RuntimeError, match="inside `with"):
        blocking.result()
    with blocking:
        pass
    with pytest.raises(RuntimeError, match="inside `with"):
        list(blocking)
    blocking.__exit__(None, None, None)  # a second time does nothing


async def test_in_a_running_loop_it_is_refused() -> None:
    """A handler, a notebook, an application that has a loop: there one awaits."""
    with pytest.raises(RuntimeError, match="await"), BlockingStream(RunStream()):
        pass


def test_a_handler_can_not_wait() -> None:
    """It would wait for itself."""
    said: list[Any] = []

    def handler(one: RunCompleted) -> None:
        with pytest.raises(RuntimeError, match="event loop runs in this thread"):
            blocking.result()
        said.append(one.run_id)

    with BlockingStream(RunStream(told("run_1"))) as blocking:
        blocking.stream.on(RunCompleted, handler)
        blocking.results()
    assert said == ["run_1"]


PROGRAM = """
import asyncio, sys, time
import runstream
from runstream import BlockingStream, RunCreated, RunStream
from runstream.testing import script

class Silent:
    name = "silent"
    async def run(self, receiver):
        for raw in script("run_1").start().raw_events():
            receiver.feed(raw)
        try:
            await asyncio.Event().wait()
        finally:
            print("source closed", flush=True)

async def handler(signal):
    try:
        await asyncio.sleep(3600)
    finally:
        print("handler cancelled", flush=True)

try:
    with BlockingStream(RunStream(Silent())) as blocking:
        blocking.stream.on(RunCreated, handler)
        for signal in blocking:
            if signal.type == "run.status_changed" and signal.after == "in_progress":
                print("ready", flush=True)
                if sys.argv[1] == "between":
                    time.sleep(3600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("when", ["waiting", "between"])
def test_ctrl_c(when: str) -> None:
    """It comes out of the loop as KeyboardInterrupt; handlers are cancelled, sources closed, and nobody complains."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", PROGRAM, when],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(60)
    assert err == ""
    assert sorted(out.split("\n")) == ["", "handler cancelled", "interrupted", "source closed"]
    assert process.returncode == 0
