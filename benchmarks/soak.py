"""Memory over a million runs, and memory and open files over ten thousand connections, in one process.

The runs come from memory, by one source for every hundred, each in a scope of its own; some are sent twice, cut off,
or mixed with what goes over each bound of `Limits`, which is small enough here to be met all the time. The connections
are WebSockets on loopback to another process, which drops each once in the middle of its run.

Run: python benchmarks/soak.py [--runs 1000000] [--connections 10000]. Prints Markdown tables, a line for each tenth,
and ends with an error if the last tenth uses more than the first half did.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog
from measuring import allow_open_files, memory, open_files, serving
from websockets.asyncio.server import ServerConnection, serve

from runstream import Limits, RawEvent, Reconnect, RunCompleted, RunStream, Stats, Watchdogs, WebSocketSource
from runstream.testing import script

LIMITS = Limits(
    max_message_bytes=20_000,
    max_nesting=32,
    max_index=64,
    max_open_runs=200,
    max_finished_runs=1_000,
    max_finished_age=60.0,
    max_orphans=500,
    dedupe_window=64,
    max_tombstones=2_000,
)
EVERY_BOUND = ("rejected", "orphans", "evicted_runs", "forgotten_ids", "forgotten_tombstones", "duplicates", "late")
AT_ONCE = 100  # runs a source, and connections at once
PATIENCE = 120.0
SLACK = 1.1  # of memory and of blocks

MARK = b"run_0000000"
TOOLS = [{"type": "code_interpreter"}, {"type": "file_search"}]
WHOLE = script(MARK.decode(), instructions="Be brief. " * 20, tools=TOOLS).start().say("Hi there.").end()
RAWS = [(raw.event, raw.data) for raw in WHOLE.raw_events()]
SHORT = [
    (event, data)
    for event, data in RAWS
    if event is not None and ".step." not in event and not event.endswith(("run.queued", "message.in_progress", "done"))
]
STRAY = [(event, data) for event, data in RAWS if event is not None and ".message." in event]
DEEP = b'{"id":"run_deep","status":"queued","metadata":' + b"[" * 40 + b"]" * 40 + b"}"
FAR = b'{"id":"msg_0000000","delta":{"content":[{"index":1000,"type":"text","text":{"value":"x"}}]}}'


def some_runs(first: int, count: int) -> Iterator[RawEvent]:
    """The raw events of so many runs; odd ones among them."""
    for number in range(first, first + count):
        id, at = b"run_%07d" % number, number / 10
        kind = number % 20
        with_ids = kind in (1, 2)
        for turn in range(2 if kind in (1, 3) else 1):  # sent twice, with ids and without
            for index, (event, data) in enumerate(SHORT if kind > 6 else RAWS):
                name = f"{number}-{index}" if with_ids else None
                yield RawEvent(event, data.replace(MARK, id), name, name, at)
                if kind == 4 and index == 5:
                    break  # cut off
            del turn
        if kind == 5:
            for event, data in STRAY:  # of a run that never comes
                yield RawEvent(event, data.replace(MARK, b"run_x%06d" % number), at=at)
        elif kind == 6:
            yield RawEvent("thread.run.queued", DEEP, at=at)
            yield RawEvent("thread.run.queued", b'{"id": "' + b"x" * 30_000, at=at)
            yield RawEvent("thread.message.delta", FAR.replace(b"msg_0000000", b"msg_%s" % id), at=at)
            yield RawEvent("thread.run.queued", b"{garbage", at=at)


def table(head: str) -> None:
    """The head of a table."""
    print(f"\n| {head} | memory | blocks | open files |\n|---|---|---|---|", flush=True)


def line(what: str) -> tuple[float, int, int]:
    """One line of a table: resident memory (MB), blocks that Python has allocated, open files."""
    gc.collect()
    found = (memory(), sys.getallocatedblocks(), open_files())
    print(f"| {what} | {found[0]:.1f} MB | {found[1]:,} | {found[2]} |", flush=True)
    return found


def assert_flat(found: list[tuple[float, int, int]]) -> None:
    """The last tenth uses no more than the first half did: every table is full by then, and emptied now and then."""
    for index, what in enumerate(("memory", "blocks", "open files")):
        then, now = max(line[index] for line in found[:5]), found[-1][index]
        assert now <= max(then * SLACK, then + 2), f"{what} grew from {then} to {now}"


async def tenths(total: int, head: str, work: Callable[[int, int], Awaitable[None]]) -> None:
    """Do the work in tenths (first, count), with a line for each; fails if it grows."""
    table(head)
    found = []
    for tenth in range(10):
        await work(tenth * total // 10, total // 10)
        found.append(line(f"{(tenth + 1) * total // 10:,}"))
    assert_flat(found)


async def soak_runs(total: int) -> Stats:
    """So many runs through one stream."""
    completed = 0

    def count(signal: RunCompleted) -> None:
        nonlocal completed
        completed += 1

    async with RunStream(limits=LIMITS, on_subscriber_error="raise", watchdogs=Watchdogs(idle=60, end=True)) as stream:
        stream.on(RunCompleted, count)
        stream.runs.subscribe(lambda state: None)
        with stream.keep_open():
            stream.start()

            async def work(first: int, runs: int) -> None:
                for begin in range(first, first + runs, AT_ONCE):
                    scope = f"tenant {begin % 10_000}"
                    handle = stream.attach(list(some_runs(begin, AT_ONCE)), scope=scope, name=scope)
                    while not handle.done:  # noqa: ASYNC110 - it takes a turn or two
                        await asyncio.sleep(0)

            await tenths(total, "runs", work)
        stats = stream.stats
    assert completed == total * 19 // 20, completed  # all but those that were cut off
    unmet = [name for name in EVERY_BOUND if not getattr(stats, name)]
    assert not unmet, f"not met: {unmet}"
    assert stats.open_runs <= LIMITS.max_open_runs
    assert stats.finished_runs <= LIMITS.max_finished_runs
    assert stats.orphans <= LIMITS.max_orphans
    return stats


async def serve_dropping() -> None:
    """Send half a run on the first connection and drop it; send the whole run on the second one."""
    seen: set[str] = set()

    async def handler(socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        made = script("run_" + path.rsplit("/", 1)[-1]).start().say("Hi there.").end()
        raws = made.raw_events(enveloped=True, ids=True)
        if path not in seen:
            seen.add(path)
            for raw in raws[:4]:
                await socket.send(raw.data.decode())
            socket.transport.abort()
            return
        seen.discard(path)
        for raw in raws:
            await socket.send(raw.data.decode())

    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=1024) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def soak_connections(total: int, port: str) -> None:
    """So many sources, each of which is connected, dropped, connected again, and ends."""
    limits = Limits(max_finished_runs=20, max_tombstones=100)
    async with RunStream(limits=limits, max_connections=AT_ONCE, on_subscriber_error="raise") as stream:
        completed = 0

        def count(signal: RunCompleted) -> None:
            nonlocal completed
            completed += 1

        stream.on(RunCompleted, count)
        again = Reconnect(initial=0.01, maximum=0.1)
        with stream.keep_open():
            stream.start()

            async def work(first: int, count: int) -> None:
                handles = [
                    stream.attach(
                        WebSocketSource(f"ws://127.0.0.1:{port}/{number}", name="dropped", proxy=None, reconnect=again)
                    )
                    for number in range(first, first + count)
                ]
                async with asyncio.timeout(PATIENCE):
                    while not all(handle.done for handle in handles):  # noqa: ASYNC110 - a thousand of them
                        await asyncio.sleep(0.02)
                assert not any(handle.error for handle in handles)

            await tenths(total, "connections, twice each", work)
    assert completed == total, completed


def main() -> None:
    """Soak, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve_dropping())
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    begin = time.perf_counter()
    if arguments.runs:
        stats = asyncio.run(soak_runs(arguments.runs))
        print(f"\n{stats}\n\n{arguments.runs / (time.perf_counter() - begin):,.0f} runs a second")
    if arguments.connections:
        allow_open_files(2 * AT_ONCE + 256)
        begin = time.perf_counter()
        with serving(__file__) as process:
            assert process.stdout is not None
            asyncio.run(soak_connections(arguments.connections, process.stdout.readline().strip()))
        print(f"\n{2 * arguments.connections / (time.perf_counter() - begin):,.0f} connections a second")


if __name__ == "__main__":
    main()
