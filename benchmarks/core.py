"""What the core costs, as ratios in one run: the whole pipeline against bare typed decoding of the same messages,
and one more fragment of text against the length of the message and the number of messages in the run.

Run: python benchmarks/core.py [rounds]. Prints a Markdown table; each contender's result is checked first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Union

import msgspec
import reactivex as rx
from reactivex.subject import Subject

from runstream import Engine, RawEvent, RunState, fold, pipeline
from runstream.events import EVENT_TYPES
from runstream.model.base import decode_hook
from runstream.testing import script

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15
RUNS = 30

# Bare typed decoding: one call a message, into the events that the pipeline works on; nothing is kept.
bare_decode = msgspec.json.Decoder(
    Union[tuple(EVENT_TYPES.values())],  # noqa: UP007 - built at run time
    dec_hook=decode_hook,
).decode


def life_cycle(run_id: str, words: int = 200) -> list[RawEvent]:
    """A realistic run of about 210 events, as WebSocket messages: snapshots of 1.5 kB, fragments of 0.2 kB."""
    told = script(
        run_id,
        instructions="You are a helpful assistant that answers in a friendly and concise way. " * 8,
        tools=[{"type": "code_interpreter"}, {"type": "file_search"}],
    )
    told.start().say("word " * words, pieces=["word "] * words).end()
    return [RawEvent(data=raw.data, at=raw.at) for raw in told.raw_events(enveloped=True) if b'"done"' not in raw.data]


def paired(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float, float]:
    """Median, smallest and largest ratio of the CPU times of two calls, taken in turn."""
    ratios = []
    for _ in range(ROUNDS):
        start = time.process_time()
        one()
        middle = time.process_time()
        other()
        ratios.append((middle - start) / (time.process_time() - middle))
    return statistics.median(ratios), min(ratios), max(ratios)


def pipeline_rows() -> list[tuple[str, str, tuple[float, float, float]]]:
    """The doors against bare decoding."""
    runs = [life_cycle(f"run_{number:05d}") for number in range(RUNS)]
    stream = [raw for run in runs for raw in run]
    assert all(state.is_terminal and len(state.text) == 1000 for state in fold(stream).runs)

    def bare() -> None:
        for raw in stream:
            bare_decode(raw.data)

    def core() -> None:
        engine = Engine()
        engine.on_signal = lambda signal: None
        engine.intake("bench").feed_all(stream)

    def through_rx() -> None:
        rx.from_iterable(stream).pipe(pipeline()).subscribe(lambda signal: None)

    def pushed_through_rx() -> None:
        subject: Subject[Any] = Subject()
        subject.pipe(pipeline()).subscribe(lambda signal: None)
        push = subject.on_next
        for raw in stream:
            push(raw)

    for call in (bare, core, through_rx, pushed_through_rx):
        call()
    return [
        (f"core fold, {len(stream) // RUNS} events a run, against bare typed decode", "2.5", paired(core, bare)),
        ("one Rx subscriber to the signals (`from_iterable`), against the same", "3.0", paired(through_rx, bare)),
        ("pushed through a Subject, one Rx subscriber, against the same", "", paired(pushed_through_rx, bare)),
    ]


class Growing:
    """A run with some finished messages and one that grows, ready for `append`."""

    def __init__(self, finished: int) -> None:
        told = script("run_g").start()
        for _ in range(finished):
            told.say("done", pieces=["done"])
        self.engine = Engine()
        self.engine.on_signal = lambda signal: None
        self.intake = self.engine.intake("bench")
        self.intake.feed_all(told.raw_events())
        self.intake.feed(RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_g","content":[]}'))
        part = b'{"index":0,"type":"text","text":{"value":"word "}}'
        self.delta = RawEvent("thread.message.delta", b'{"id":"msg_g","delta":{"content":[' + part + b"]}}", at=1.0)
        self.intake.feed(self.delta)

    @property
    def state(self) -> RunState:
        return self.engine.states()[0]

    def grow(self, count: int, *, read_every: int = 0) -> float:
        """Seconds for one fragment, over `count` of them."""
        feed, delta = self.intake.feed, self.delta
        start = time.process_time()
        if read_every:
            for number in range(count):
                feed(delta)
                if number % read_every == 0:
                    len(self.state.text)
        else:
            for _ in range(count):
                feed(delta)
        return (time.process_time() - start) / count


def growth(long: Callable[[], float], short: Callable[[], float]) -> tuple[float, float, float]:
    """Like `paired`, for calls that measure themselves."""
    ratios = [long() / short() for _ in range(max(5, ROUNDS // 2))]
    return statistics.median(ratios), min(ratios), max(ratios)


def growth_rows() -> list[tuple[str, str, tuple[float, float, float]]]:
    """One more fragment against the length of the message, and against the number of messages."""

    def short(read_every: int = 0) -> float:
        return statistics.median(Growing(0).grow(1000, read_every=read_every) for _ in range(30))

    check = Growing(0)
    check.grow(1000, read_every=100)
    assert check.state.text == "word " * 1001
    return [
        (
            "a fragment at 100,000 against 1,000 in one message, unread",
            "1.15",
            growth(lambda: Growing(0).grow(100_000), short),
        ),
        (
            "the same, read every 100",
            "1.25",
            growth(lambda: Growing(0).grow(100_000, read_every=100), lambda: short(100)),
        ),
        (
            "a fragment with 100 messages in the run against 1",
            "1.2",
            growth(lambda: Growing(99).grow(20_000), lambda: Growing(0).grow(20_000)),
        ),
    ]


def main() -> None:
    """Print the table."""
    print(f"Python {sys.version.split()[0]}, msgspec {msgspec.__version__}, {ROUNDS} rounds")
    print("\n| what | target | measured (median) | spread |\n|---|---|---|---|")
    for what, target, (median, low, high) in [*pipeline_rows(), *growth_rows()]:
        print(f"| {what} | {f'≤ {target}' if target else ''} | {median:.2f} | {low:.2f}-{high:.2f} |")


if __name__ == "__main__":
    main()
