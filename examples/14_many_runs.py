"""Five hundred runs at once on one stream: each with its own task that waits for it alone, and one screen for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from reactivex.scheduler.eventloop import AsyncIOScheduler

from runstream import Limits, RawEvent, RunCompleted, RunState, RunStream, TextDelta, conflate, where
from runstream.testing import Conversation, script

RUNS = 500
ENDINGS = ("completed", "completed", "completed", "failed", "cancelled")


async def gateway() -> AsyncIterator[RawEvent]:
    """Offline: made-up runs, sent all at once, as a gateway with many users would send them."""
    runs = []
    for number in range(RUNS):
        customer = {"customer": str(number % 7)}
        run = script(f"run_{number:03}", assistant_id=f"asst_{number % 3}", metadata=customer)
        runs.append(run.say(f"Here is answer number {number}.").end(ENDINGS[number % len(ENDINGS)]))
    for raw in Conversation(runs).raw_events(interleaved=True):
        yield raw


async def user(stream: RunStream, run_id: str) -> int:
    """What a request handler does: it follows its run, and does not see the others. That costs one look-up."""
    shown = 0
    run = stream.run(run_id)
    async for signal in run:
        if isinstance(signal, TextDelta):
            shown += len(signal.delta)
    ended = await run.result()
    assert run.state is not None
    assert shown == len(run.state.text), ended
    return shown


async def main() -> None:
    drawn: Counter[str] = Counter()
    billed: Counter[str] = Counter()

    def draw(state: RunState) -> None:
        drawn[state.run_id] += 1

    def bill(signal: RunCompleted) -> None:
        billed[signal.run.metadata["customer"]] += 1

    async with RunStream(gateway(), limits=Limits(max_finished_runs=RUNS)) as stream:
        # At most twenty states a second of each run, whatever the server sends; the last one always.
        ticks = AsyncIOScheduler(asyncio.get_running_loop())
        stream.runs.pipe(where(assistant_id="asst_1"), conflate(0.05, ticks)).subscribe(draw)
        stream.on(RunCompleted, bill, metadata={"customer": "3"})

        users = [asyncio.create_task(user(stream, f"run_{number:03}")) for number in range(RUNS)]
        shown = await asyncio.gather(*users)
        runs = await stream.results()

    print(
        f"{len(runs)} runs: {', '.join(f'{n} {status}' for status, n in Counter(r.status.value for r in runs).items())}"
    )
    print(f"each user read all of the own run, {sum(shown)} characters together")
    print(f"{len(drawn)} runs of one assistant drawn, {sum(drawn.values()) / len(drawn):.1f} times each")
    print(f"customer 3 is billed for {billed['3']} completed runs")
    print(f"{stream.stats.events} events, {stream.stats.signals} signals, {stream.stats.failures} failures")


if __name__ == "__main__":
    asyncio.run(main())
