"""Three interleaved runs, and the text and facts of a subscriber that receives everything, with joined texts or not."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable

from runstream.model.raw import RawEvent
from runstream.model.signals import ArgumentsDelta, Signal, SourceSignal, TextDelta
from runstream.testing import Conversation, script

__all__ = ["TEXT", "conversation", "one_by_one", "shown"]

TEXT = "Slow is smooth, and smooth is fast. " * 6


def conversation() -> Conversation:
    """Three runs for interleaving."""
    scripts = []
    for number in range(3):
        one = script(f"run_{number}").start().say(TEXT, pieces=list(TEXT))
        one.call(weather={"city": "Oslo"}).answer("sunny").say("Done.")
        scripts.append(one.end("completed" if number else "failed"))
    return Conversation(scripts)


def one_by_one(raws: Iterable[RawEvent], seed: int) -> AsyncIterator[RawEvent]:
    """A source that yields to the event loop at random."""
    chance = random.Random(seed)

    async def items() -> AsyncIterator[RawEvent]:
        for raw in raws:
            yield raw
            if chance.random() < 0.2:
                await asyncio.sleep(0)

    return items()


def shown(signals: Iterable[Signal]) -> tuple[list[str], dict[tuple[str, int], str]]:
    """The keys of the signals other than progress, in order, and the texts that result from appending all deltas."""
    keys: list[str] = []
    text: dict[tuple[str, int], str] = defaultdict(str)
    for signal in signals:
        if isinstance(signal, TextDelta):
            assert signal.offset == len(text[signal.message_id, signal.part])
            text[signal.message_id, signal.part] += signal.delta
        elif isinstance(signal, ArgumentsDelta):
            assert signal.offset == len(text[signal.call_id, -1])
            text[signal.call_id, -1] += signal.delta
        elif not isinstance(signal, SourceSignal):
            keys.append(signal.key)
    return keys, dict(text)
