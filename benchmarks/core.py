"""What the core costs: the whole pipeline against bare typed decoding of the same messages, and one more fragment of
text against the length of the message and the number of messages in the run.

Run: python benchmarks/core.py [rounds]. Prints a Markdown table; each contender's result is checked first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Union
from zlib import crc32

import msgspec
import reactivex as rx
from msgspec import structs
from pairing import Ratio, Row, paired, ratio_of, table
from reactivex.subject import Subject
from streams import in_turns, messages

from runstream import Engine, RawEvent, RunState, fold, pipeline
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.base import decode_hook
from runstream.testing import script

__all__ = ["bare", "growth_rows", "pipeline_rows"]

RUNS = 30

# Bare typed decoding: one call a message, into the events that the pipeline works on; nothing is kept.
bare_decode = msgspec.json.Decoder(
    Union[tuple(EVENT_TYPES.values())],  # noqa: UP007 - built at run time
    dec_hook=decode_hook,
).decode


def bare() -> None:
    """The floor of everything that reads these messages with types."""
    for raw in messages(RUNS):
        bare_decode(raw.data)


def core(raws: Iterable[RawEvent] = ()) -> Engine:
    """An engine, all of whose signals are taken."""
    engine = Engine()
    engine.on_signal = lambda signal: None
    engine.intake("bench").feed_all(raws or messages(RUNS))
    return engine


def core_in_turns() -> Engine:
    """The same of runs that take turns, so that no fragment is of the text of the one before it."""
    return core(in_turns(RUNS))


def with_ids(prefix: str) -> list[RawEvent]:
    """The same messages, each with an event id, as a server of event streams sends them."""
    ids = (f"{prefix}{number}" for number in count(1))
    return [structs.replace(raw, id=id, last_id=id) for raw, id in zip(messages(RUNS), ids, strict=False)]


def core_all() -> Engine:
    """An engine, all of whose events, states and signals are taken."""
    engine = Engine()
    engine.on_event = engine.on_state = engine.on_signal = lambda item: None
    engine.intake("bench").feed_all(messages(RUNS))
    return engine


def through_rx() -> list[Any]:
    """A cold Observable, one subscriber to the signals."""
    last: list[Any] = [None]

    def take(signal: Any) -> None:
        last[0] = signal

    rx.from_iterable(messages(RUNS)).pipe(pipeline()).subscribe(take)
    return last


def bare_through_rx() -> None:
    """The floor of any pipeline that a `from_iterable` feeds: bare decoding in the subscriber."""

    def take(raw: RawEvent) -> None:
        bare_decode(raw.data)

    rx.from_iterable(messages(RUNS)).subscribe(take)


def pushed_through_rx() -> None:
    """A Subject that is pushed into, one subscriber to the signals."""
    subject: Subject[Any] = Subject()
    subject.pipe(pipeline()).subscribe(lambda signal: None)
    push = subject.on_next
    for raw in messages(RUNS):
        push(raw)


def pipeline_rows(rounds: int) -> list[Row]:
    """The doors against bare decoding."""
    stream = messages(RUNS)
    assert all(state.is_terminal and len(state.text) == 1000 for state in fold(stream).runs)
    for engine in (core(), core_all(), core_in_turns()):
        assert all(state.is_terminal and len(state.text) == 1000 for state in engine.states())
    assert through_rx()[0].type == "source.ended"
    each = len(stream) // RUNS
    strings, numbers = with_ids("evt-"), with_ids("")
    others = [structs.replace(raw, id=f"{raw.id}.{crc32(raw.data):08x}-x") for raw in strings]  # no sequence
    for raws in (strings, numbers, others):
        assert all(len(state.text) == 1000 for state in core(raws).states())
    return [
        Row(f"core fold, {each} events a run, against bare typed decode", "≤ 2.5", paired(core, bare, rounds)),
        Row("the same, events, states and signals all taken", "", paired(core_all, bare, rounds)),
        Row(f"the same, {RUNS} runs that take turns with each event", "≤ 3.2", paired(core_in_turns, bare, rounds)),
        *id_rows("a string that counts", strings, rounds, "≤ 4.0", "≤ 1.6"),
        *id_rows("a number", numbers, rounds, "≤ 4.0", "≤ 1.6"),
        *id_rows("a string that does not count", others, rounds),
        Row(
            "one Rx subscriber to the signals (`from_iterable`), against bare decode",
            "≤ 3.3",
            paired(through_rx, bare, rounds),
        ),
        Row("its floor: bare decode in a subscriber to `from_iterable`", "", paired(bare_through_rx, bare, rounds)),
        Row(
            "pushed through a Subject, one Rx subscriber, against the same", "", paired(pushed_through_rx, bare, rounds)
        ),
    ]


def id_rows(kind: str, raws: list[RawEvent], rounds: int, bare_aim: str = "", core_aim: str = "") -> list[Row]:
    """The fold with an id on each event, against bare decoding and against the fold without."""
    return [
        Row(
            f"the same with an event id on each, {kind}, against bare decode",
            bare_aim,
            paired(lambda: core(raws), bare, rounds),
        ),
        Row(f"{kind} as id, against the fold without ids", core_aim, paired(lambda: core(raws), core, rounds)),
    ]


class Growing:
    """A run with some finished messages and one that grows, ready for `append`."""

    def __init__(self, finished: int) -> None:
        messages = script("run_g").start()
        for _ in range(finished):
            messages.say("done", pieces=["done"])
        self.engine = Engine()
        self.engine.on_signal = lambda signal: None
        self.intake = self.engine.intake("bench")
        self.intake.feed_all(messages.raw_events())
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


def growth(long: Callable[[], float], short: Callable[[], float], rounds: int) -> Ratio:
    """Like `paired`, for calls that measure themselves."""
    return ratio_of([long() / short() for _ in range(rounds)])


def growth_rows(rounds: int) -> list[Row]:
    """One more fragment against the length of the message, and against the number of messages."""

    def short(read_every: int = 0) -> float:
        return statistics.median(Growing(0).grow(1000, read_every=read_every) for _ in range(30))

    check = Growing(0)
    check.grow(1000, read_every=100)
    assert check.state.text == "word " * 1001
    return [
        Row(
            "a fragment at 100,000 against 1,000 in one message, unread",
            "≤ 1.1",
            growth(lambda: Growing(0).grow(100_000), short, rounds),
        ),
        Row(
            "the same, read every 100",
            "≤ 1.2",
            growth(lambda: Growing(0).grow(100_000, read_every=100), lambda: short(100), rounds),
        ),
        Row(
            "a fragment with 100 messages in the run against 1",
            "≤ 1.2",
            growth(lambda: Growing(99).grow(20_000), lambda: Growing(0).grow(20_000), rounds),
        ),
    ]


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"Python {sys.version.split()[0]}, msgspec {msgspec.__version__}, {rounds} rounds\n")
    print(table([*pipeline_rows(rounds), *growth_rows(max(5, rounds // 2))]))


if __name__ == "__main__":
    main()
