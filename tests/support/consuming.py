"""A consumer that is killed again and again.

``python -m tests.support.consuming URL STORE LOG DOOR SEED KILLS DIALECT``

Each life is a forked process that appends the key of every signal to LOG, and is killed (SIGKILL) at a moment that
the seed decides: in the middle of a delivery or of a write to the store, or by the clock. The last one reads to the
end. It prints how often it was killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal as signals
import sys
import time
import traceback
from collections.abc import Callable

import msgspec

from runstream.model.signals import ProgressSignal, RunSignal
from runstream.sources.reconnect import Reconnect
from runstream.sources.websocket import WebSocketSource
from runstream.store.sqlite import SqliteStore
from runstream.stream.run_stream import RunStream
from tests.store.support import KillingStore

__all__: list[str] = []


def _first(last_id: str | None) -> str:
    return msgspec.json.encode({"last_id": last_id}).decode()


async def _consume(url: str, path: str, log: str, door: str, dialect: str, tick: Callable[[], None]) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(signal: RunSignal) -> None:
        if isinstance(signal, ProgressSignal):
            return
        tick()
        os.write(out, signal.key.encode() + b"\n")
        os.fsync(out)
        tick()

    async def take_later(signal: RunSignal) -> None:
        await asyncio.sleep(0)
        take(signal)
        await asyncio.sleep(0)

    source = WebSocketSource(url, name="server", first_messages=_first, reconnect=Reconnect(initial=0.01, maximum=0.1))
    with SqliteStore(path) as store:
        async with asyncio.timeout(60), RunStream(source, dialect=dialect, store=KillingStore(store, tick)) as stream:
            if door == "async for":
                async for signal in stream:
                    if isinstance(signal, RunSignal):
                        await take_later(signal)
            else:
                stream.on(RunSignal, take_later if door == "coroutine" else take)
            await stream.results()


def _live(url: str, path: str, log: str, door: str, dialect: str, ticks: int) -> int:
    """One life in a process of its own, which kills itself at so many ticks; its process id."""
    pid = os.fork()
    if pid:
        return pid
    left = ticks

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signals.SIGKILL)

    try:
        asyncio.run(_consume(url, path, log, door, dialect, tick))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _main(url: str, path: str, log: str, door: str, seed: str, most: str, dialect: str) -> None:
    chance, kills = random.Random(int(seed)), 0
    while True:
        by_clock = chance.uniform(0.0, 0.08) if kills < int(most) and chance.random() < 0.25 else None
        ticks = chance.randint(1, 25) if kills < int(most) and by_clock is None else 0
        pid = _live(url, path, log, door, dialect, ticks)
        if by_clock is not None:
            time.sleep(by_clock)
            os.kill(pid, signals.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    print(kills)
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    _main(*sys.argv[1:])
