"""The execution of calls: once, bounded, with time-outs, and cancelled with their run."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runstream.clients.outputs import ToolFailed
from runstream.clients.tool_runner import ToolRunner
from runstream.clients.tools import LocalTool, ToolContext
from runstream.model.run import Run, RunKey, RunStatus
from runstream.model.signal_base import AwaitedCall
from runstream.model.tool_calls import FunctionCall, FunctionToolCall
from runstream.store.memory import MemoryStore

RUN: RunKey = ("", "run_1")


def call(name: str = "call_1", arguments: str = "{}", run: str = "run_1") -> AwaitedCall:
    """A call that waits."""
    made = FunctionToolCall(id=name, function=FunctionCall(name="tool", arguments=arguments))
    return AwaitedCall(name, "tool", arguments, None, None, made, f"{run}/call/{name}")


def context(waiting: AwaitedCall) -> ToolContext:
    """Its context."""
    run = Run(id="run_1", status=RunStatus.REQUIRES_ACTION)
    return ToolContext(call_key=waiting.key, call_id=waiting.id, run_id="run_1", thread_id=None, run=run)


async def execute(
    runner: ToolRunner, fn: Callable[..., Any], waiting: AwaitedCall | None = None, **options: Any
) -> str:
    """The output of one call."""
    waiting = waiting or call()
    return await runner.run(RUN, LocalTool(fn, name="tool", **options), waiting, context(waiting))


async def test_a_call_is_executed_once() -> None:
    """Requests at the same time, and later ones, get the output of the one execution."""
    seen: list[int] = []

    async def count() -> int:
        seen.append(len(seen))
        await asyncio.sleep(0)
        return len(seen)

    runner = ToolRunner()
    outputs = await asyncio.gather(*(execute(runner, count) for _ in range(5)))
    outputs.append(await execute(runner, count))
    assert outputs == ["1"] * 6
    assert await execute(runner, count, call("call_1~2")) == "2"


async def test_a_plain_function_runs_in_a_thread() -> None:
    """The event loop goes on meanwhile, and context variables are those of the caller."""
    name = contextvars.ContextVar("name", default="")
    name.set("caller")
    release = threading.Event()

    def block() -> str:
        assert release.wait(20)
        return f"{name.get()} {threading.current_thread().daemon}"

    task = asyncio.create_task(execute(ToolRunner(), block))
    await asyncio.sleep(0.01)
    assert not task.done()
    release.set()
    assert await task == "caller True"


async def test_a_plain_function_may_return_an_awaitable() -> None:
    """The result of the awaitable is the output."""

    async def inner() -> str:
        return "done"

    def outer() -> Coroutine[Any, Any, str]:
        return inner()

    assert await execute(ToolRunner(), outer) == "done"


async def test_the_number_of_executions_is_bounded() -> None:
    """Further calls wait for a place."""
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    runner = ToolRunner(concurrency=3)
    await asyncio.gather(*(execute(runner, work, call(f"call_{n}")) for n in range(20)))
    assert (most, runner.running) == (3, 0)


@pytest.mark.parametrize("sync", [True, False])
async def test_a_tool_that_hangs(sync: bool) -> None:
    """After its time-out the model gets an output that says so."""
    release = threading.Event()

    async def hang() -> None:
        await asyncio.Event().wait()

    fn = (lambda: release.wait(20)) if sync else hang
    output = await execute(ToolRunner(timeout=60), fn, timeout=0.01)
    release.set()
    assert "did not return in time" in output


async def test_a_tool_that_raises_a_time_out_of_its_own() -> None:
    """It is an exception of the tool, and not the bound of the runner."""
    failures: list[ToolFailed] = []

    async def fetch() -> None:
        raise TimeoutError("a peer was slow")

    def note(failure: ToolFailed) -> str:
        failures.append(failure)
        return "again"

    runner = ToolRunner(timeout=60, on_error=note)
    assert await execute(runner, fetch) == "again"
    assert [failure.kind for failure in failures] == ["exception"]


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), StopIteration(1), SystemExit(1), asyncio.CancelledError()],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("sync", [True, False])
async def test_whatever_a_tool_raises(error: BaseException, sync: bool) -> None:
    """An exception of a tool is an output; those that end a program do so from a coroutine only."""

    def fail() -> None:
        raise error

    async def fail_async() -> None:
        fail()

    if isinstance(error, SystemExit) and not sync:
        return  # asyncio passes it on to the program
    assert "error: the tool failed" in await execute(ToolRunner(), fail if sync else fail_async)


async def test_a_result_that_can_not_be_encoded() -> None:
    """It is an output too."""
    assert "can't be encoded" in await execute(ToolRunner(), object)


async def test_wrong_arguments_go_to_the_model(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    """The model learns what is wrong; the log has no argument."""

    def weather(city: int) -> None: ...

    waiting = call(arguments='{"city": "a secret"}')
    assert "$.city" in await execute(ToolRunner(), weather, waiting)
    printed = capsys.readouterr()
    assert "secret" not in caplog.text + printed.out + printed.err


async def test_a_policy_may_send_nothing() -> None:
    """Then the call has no output, and a further request executes it again."""
    attempts: list[int] = []

    def fail() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError
        return "at last"

    runner = ToolRunner(on_error=lambda failure: None)
    with pytest.raises(ToolFailed, match="exception: ValueError"):
        await execute(runner, fail)
    assert await execute(runner, fail) == "at last"


async def test_calls_end_with_their_run() -> None:
    """The calls of a run that has ended are cancelled; those of others go on."""
    cancelled: list[str] = []

    async def wait(key: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(key)
            raise

    runner = ToolRunner()
    waiting = call(arguments='{"key": "a"}')
    first = asyncio.create_task(execute(runner, wait, waiting))
    other = call(arguments='{"key": "b"}', run="run_2")
    second = asyncio.create_task(runner.run(("", "run_2"), LocalTool(wait, name="tool"), other, context(other)))
    await asyncio.sleep(0.01)
    runner.cancel(RUN)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (cancelled, second.done()) == (["a"], False)
    runner.close()
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_a_caller_that_is_cancelled_stops_no_execution() -> None:
    """Another request for the same call waits for it still."""
    release = asyncio.Event()

    async def wait() -> str:
        await release.wait()
        return "done"

    runner = ToolRunner()
    first = asyncio.create_task(execute(runner, wait))
    second = asyncio.create_task(execute(runner, wait))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    release.set()
    assert await second == "done"


async def test_a_restart_executes_no_call_again() -> None:
    """Outputs are stored until the run has ended; the call in flight at the end of the process is executed again."""
    store, seen = MemoryStore(), list[str]()

    async def work(key: str) -> str:
        seen.append(key)
        if key == "b" and seen.count("b") == 1:
            await asyncio.Event().wait()  # the process ends meanwhile
        return key

    runner = ToolRunner(store=store)
    calls = [call("call_a", '{"key": "a"}'), call("call_b", '{"key": "b"}')]
    await execute(runner, work, calls[0])
    task = asyncio.create_task(execute(runner, work, calls[1]))
    await asyncio.sleep(0.01)
    runner.close()
    await asyncio.gather(task, return_exceptions=True)
    again = ToolRunner(store=store)
    assert [await execute(again, work, one) for one in calls] == ["a", "b"]
    assert seen == ["a", "b", "b"]
    again.cancel(RUN)
    assert store.get_output("", "run_1", calls[0].key) is None
