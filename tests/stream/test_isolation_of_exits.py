"""``GeneratorExit`` and ``CancelledError`` of a subscriber, a hook or a store are its own; others lose nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream.errors import StoreError
from runstream.model.signals import RunCompleted, Signal
from runstream.sources.reconnect import Reconnect
from runstream.sources.websocket import WebSocketSource
from runstream.store.memory import MemoryStore
from runstream.stream.run_stream import RunStream
from runstream.testing import events_of
from tests.support.peers import serving

EXITS = [GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("door", ["on", "coroutine", "lambda", "rx", "events", "rejects", "predicate"])
async def test_an_exit_of_a_subscriber_is_its_own(door: str, kind: type[BaseException]) -> None:
    """Whatever door it came by; each signal arrives at the others."""
    others: list[Signal] = []

    def bad(value: object) -> Any:
        raise kind

    async def bad_coroutine(value: object) -> None:
        await asyncio.sleep(0)
        raise kind

    async with asyncio.timeout(10), RunStream([*events_of("Hello."), b"no event"]) as stream:
        if door == "on":
            stream.on(Signal, bad)
        elif door == "coroutine":
            stream.on(Signal, bad_coroutine)
        elif door == "lambda":
            stream.on(Signal, lambda signal: bad_coroutine([signal]))
        elif door == "rx":
            stream.signals.subscribe(bad)
        elif door == "predicate":
            stream.on(Signal, lambda signal: None, run_id=None)
            stream.runs.subscribe(bad)
        else:
            getattr(stream, door).subscribe(bad)
        stream.on(Signal, others.append)
        run = await stream.result()
    assert run.status == "completed"
    assert any(isinstance(signal, RunCompleted) for signal in others)


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("method", ["put", "deliver", "get", "runs", "get_source"])
async def test_an_exit_of_a_store_is_a_failure_of_the_store(method: str, kind: type[BaseException]) -> None:
    """The stream ends with a StoreError: the source is not taken for cancelled."""

    class Bad(MemoryStore):
        pass

    def fail(*args: Any, **options: Any) -> Any:
        raise kind

    setattr(Bad, method, fail)
    with pytest.raises(StoreError, match=kind.__name__):
        async with asyncio.timeout(10), RunStream(events_of("Hello."), store=Bad()) as stream:
            await stream.result()


async def test_a_hook_that_awaited_something_cancelled_has_failed() -> None:
    """The source is not cancelled: the hook is asked again, as after any exception."""
    calls = 0

    async def auth() -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        return "token"

    async def handler(connection: Any, number: int) -> None:
        for raw in events_of("Hello.")[: 3 if number == 0 else None]:
            await connection.send(b'{"event": "%s", "data": %s}' % ((raw.event or "").encode(), raw.data))

    policy = Reconnect(initial=0.001, maximum=0.01)
    async with (
        asyncio.timeout(10),
        serving(handler) as peer,
        RunStream(WebSocketSource(peer.url, auth=auth, reconnect=policy, proxy=None)) as stream,
    ):
        assert (await stream.result()).status == "completed"
    assert calls == 3
