"""Promises 8 and 9 together: slow and failing subscribers of every kind at one stream; each gets what is promised."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.errors import SlowConsumer
from runstream.model.signals import RunSignal, Signal
from runstream.stream.run_stream import RunStream
from tests.support.interleaved_runs import TEXT, conversation, one_by_one, shown
from tests.support.receiver import eventually


async def doze(chance: random.Random) -> None:
    for _ in range(chance.choice((0, 0, 1, 5, 20))):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(8))
async def test_each_gets_what_its_policy_promises(seed: int) -> None:
    """One stream, a tiny buffer; subscribers that are slow, that raise, that leave. Nobody harms another."""
    raws = conversation().raw_events(interleaved=seed % 2 == 0)
    expected = shown(signal for signal in fold(raws).signals)
    chance = random.Random(seed)
    quick: list[Signal] = []
    slow: list[Signal] = []
    failing: list[Signal] = []
    iterated: list[Signal] = []
    hasty: list[Signal] = []
    by_rx: list[Signal] = []
    seen: list[RunState] = []
    states = 0
    raised = 0

    async def take_slowly(signal: Signal) -> None:
        await doze(chance)
        slow.append(signal)

    async def take_and_fail(signal: Signal) -> None:
        nonlocal raised
        await doze(chance)
        failing.append(signal)
        if chance.random() < 0.3:
            raised += 1
            raise ValueError("secret words")

    def raise_at_once(signal: Signal) -> None:
        nonlocal raised
        raised += 1
        raise LookupError("secret words")

    async def never_done(signal: Signal) -> None:
        hasty.append(signal)
        await asyncio.sleep(3600)

    def count(state: RunState) -> None:
        nonlocal states
        states += 1

    with capture_logs() as logs:
        async with RunStream(one_by_one(raws, seed), buffer=4, wait_timeout=60, close_timeout=0.05) as stream:
            stream.on(Signal, raise_at_once)
            stream.on(Signal, quick.append)
            stream.on(Signal, take_slowly, concurrency=1)
            stream.on(Signal, take_and_fail, concurrency=1)
            stream.on(RunSignal, never_done, policy="error", concurrency=1)
            stream.signals.subscribe(raise_at_once)
            stream.signals.subscribe(by_rx.append)
            stream.runs.subscribe(count)
            latest = stream.iter("runs")
            steps = stream.iter()

            async def iterate() -> None:
                async for signal in steps:
                    await doze(chance)
                    iterated.append(signal)

            async def render() -> None:
                async for state in latest:
                    await asyncio.sleep(0.003)
                    seen.append(state)

            async with asyncio.timeout(60):
                await asyncio.gather(iterate(), render())
                await eventually(lambda: shown(slow) == expected and shown(failing) == expected, within=30)
            stats = stream.stats

    for told in (quick, by_rx, slow, failing, iterated):
        assert shown(told) == expected  # nothing lost, nothing twice, in order
    assert [signal.key for signal in quick] == [signal.key for signal in by_rx]
    joined = [len(quick) - len(told) for told in (slow, failing, iterated)]
    final = {state.run_id: state for state in stream.latest.values()}
    assert {state.run_id: state.text for state in seen if state.is_terminal} == {
        run_id: state.text for run_id, state in final.items()
    }
    lengths: dict[str, int] = defaultdict(int)
    for state in seen:  # conflated, but never back
        assert len(state.text) >= lengths[state.run_id]
        lengths[state.run_id] = len(state.text)
    assert len(seen) < states
    assert len(hasty) == 1
    ended = [entry for entry in logs if entry["event"] == "slow_consumer"]
    assert [entry["subscriber"].rsplit(".", 1)[-1] for entry in ended] == ["never_done"]
    left = stats.conflated - sum(joined) - (states - len(seen))
    assert 0 <= left <= 4 * len(TEXT)  # what was joined for the one that was ended
    failed = [entry for entry in logs if entry["event"] == "subscriber_failed"]
    assert len(failed) == raised
    assert stats.failures == raised + len(ended)
    assert {entry["run_id"] for entry in failed} >= {"run_0", "run_1", "run_2"}
    assert "secret words" not in str(logs)
    assert TEXT[:20] not in str(logs)


async def test_an_iterator_with_policy_error_is_ended_alone() -> None:
    """It gets what fitted, in order, then `SlowConsumer`; the run's result is nobody's loss."""
    raws = conversation().raw_events(interleaved=True)
    async with RunStream(raws, buffer=4) as stream:
        everything: list[Signal] = []
        stream.on(Signal, everything.append)
        steps = stream.iter(policy="error")
        async with asyncio.timeout(30):
            assert (await stream.result("run_1")).is_complete
            got = []
            with pytest.raises(SlowConsumer, match="overflowed"):  # noqa: PT012 - what it gave before counts
                async for signal in steps:
                    got.append(signal)  # noqa: PERF401
    assert [signal.key for signal in got] == [signal.key for signal in everything[: len(got)]]
    assert len(got) == 4


@pytest.mark.parametrize("policy", ["wait", "error"])
async def test_states_may_be_had_one_and_all(policy: Any) -> None:
    """Who wants every state gets every state, as long as there is room or the source can wait."""
    raws = conversation().raw_events(interleaved=True)
    seen: list[RunState] = []
    every: list[RunState] = []
    async with RunStream(one_by_one(raws, 1), buffer=4 if policy == "wait" else 10_000) as stream:
        stream.runs.subscribe(every.append)
        async with asyncio.timeout(60):
            async for state in stream.iter("runs", policy=policy):
                await asyncio.sleep(0)
                seen.append(state)
    assert len(seen) == len(every)
    assert all(one is other for one, other in zip(seen, every, strict=True))
    assert stream.stats.conflated == 0
