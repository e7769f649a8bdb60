"""Calling what blocks without blocking the loop, and what exceptions are worth."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

from runstream.errors import RequestFailed, SourceFailed
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.user_calls import UserCallback, classify_error

BOUND = 25.0


async def test_a_plain_function_runs_in_a_thread_with_the_context() -> None:
    """The loop goes on meanwhile, and context variables are there."""
    tag = contextvars.ContextVar("tag", default="")
    tag.set("here")
    go = threading.Event()

    def slow(argument: int) -> tuple[int, str, bool, bool]:
        go.wait(BOUND)
        thread = threading.current_thread()
        return argument, tag.get(), thread.daemon, thread is threading.main_thread()

    call = asyncio.ensure_future(UserCallback(slow, "test")(7, within=BOUND))
    await asyncio.sleep(0)  # the loop is free to say so
    go.set()
    assert await call == (7, "here", True, False)


async def test_async_functions_and_awaitables_run_in_the_loop() -> None:
    """Of either kind: declared so, an object that is called so, or a plain function that gives an awaitable."""

    async def retrieve() -> str:
        return threading.current_thread().name

    class Callable:
        async def __call__(self) -> str:
            return threading.current_thread().name

    main = threading.current_thread().name

    def gives_an_awaitable() -> Any:
        return retrieve()

    for fn in (retrieve, Callable(), gives_an_awaitable):
        assert await UserCallback(fn, "test")(within=BOUND) == main


async def test_a_call_left_behind_is_waited_for_and_not_doubled() -> None:
    """A thread can't be stopped: the next call takes up what the last one left."""
    calls = []
    go = threading.Event()

    def slow() -> int:
        calls.append(1)
        go.wait(BOUND)
        return len(calls)

    caller = UserCallback(slow, "test")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await caller(within=0.01)
    go.set()
    assert await caller(within=BOUND) == 1
    assert await caller(within=BOUND) == 2


async def test_an_async_call_that_takes_too_long_is_cancelled() -> None:
    """Nothing of it is left."""
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await UserCallback(slow, "test")(within=0.01)
    assert cancelled.is_set()
    call = asyncio.ensure_future(UserCallback(slow, "test")())
    cancelled.clear()
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled.is_set()


async def test_a_cancelled_caller_leaves_its_thread_in_peace() -> None:
    """What the thread then gives, nobody hears; its exception neither."""
    go = threading.Event()
    ended = threading.Event()

    def slow() -> None:
        go.wait(BOUND)
        ended.set()
        raise ValueError("nobody asked")

    call = asyncio.ensure_future(UserCallback(slow, "test")())
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()
    assert await asyncio.to_thread(ended.wait, BOUND)
    await asyncio.sleep(0.01)


def test_a_stuck_thread_does_not_hold_the_loop_s_end() -> None:
    """Leaving `asyncio.run` does not wait for a function that never returns."""
    go = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await UserCallback(go.wait, "test")(within=0.01)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 60
    go.set()


@pytest.mark.parametrize("error", [SystemExit(), StopIteration(), KeyboardInterrupt()])
async def test_what_would_end_the_loop_ends_only_the_call(error: BaseException) -> None:
    """These mean the thread, not the program."""

    def stop() -> None:
        raise error

    with pytest.raises(RuntimeError):
        await UserCallback(stop, "test")(within=BOUND)


async def test_a_call_cancelled_by_others_is_an_error_not_a_cancellation() -> None:
    """The source must not die of it."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionError):
        await UserCallback(cancelled, "test")(within=BOUND)


class Failure(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("hush")
        for name, value in attributes.items():
            setattr(self, name, value)


class Answered:
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("error", "status", "retry", "wait"),
    [
        (Failure(status_code=429), 429, True, None),
        (Failure(status=503), 503, True, None),
        (Failure(code=500, headers={"Retry-After": "2"}), 500, True, 2.0),
        (Failure(response=Answered(status_code=529, headers={"retry-after": "9"})), 529, True, 9.0),
        (Failure(status_code=429, response=Answered(headers={"retry-after-ms": "1500"})), 429, True, 1.5),
        (Failure(status_code=408), 408, True, None),
        (Failure(status_code=401), 401, False, None),
        (Failure(status_code=403), 403, False, None),
        (Failure(status_code=404), 404, False, None),
        (Failure(status_code=None, code="rate_limit"), None, True, None),
        (Failure(status_code=True), None, True, None),
        (Failure(), None, True, None),
        (TimeoutError("hush"), None, True, None),
        (ConnectionResetError("hush"), None, True, None),
        (OSError("hush"), None, True, None),
        (ValueError("hush"), None, True, None),
        (TypeError("hush"), None, False, None),
        (KeyError("hush"), None, False, None),
        (NameError("hush"), None, False, None),
        (ConnectFailed("hush", status=502, wait=4), 502, True, 4),
        (ConnectFailed("hush", status=404), 404, False, None),
    ],
    ids=repr,
)
def test_what_an_exception_is_worth(error: Exception, status: int | None, retry: bool, wait: float | None) -> None:
    """By the status that it names, else the network's; its own words are never told."""
    found = classify_error("poll", error)
    assert (found.status, found.retry, found.wait) == (status, retry, wait)
    assert "hush" not in found.reason
    assert found.reason.startswith("poll: ")


@pytest.mark.parametrize(("status", "retry"), [(None, True), (503, True), (429, True), (404, False)])
def test_a_request_of_a_client_has_its_own_words(status: int | None, retry: bool) -> None:
    """They are those of the library; the server's wait is kept."""
    found = classify_error("poll", RequestFailed("no such run", status=status, server_message="gone", retry_after=3.0))
    assert (found.reason, found.status, found.retry, found.wait) == ("poll: no such run", status, retry, 3.0)
    assert found.server_message == "gone"


def test_the_application_may_end_it() -> None:
    """Whoever raises SourceFailed chose the words."""
    found = classify_error("poll", SourceFailed("the run was deleted"))
    assert (found.reason, found.retry) == ("the run was deleted", False)
