"""What is fed: realistic runs, as WebSocket messages and as server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from runstream import RawEvent
from runstream.testing import Script, script

__all__ = ["RECORDINGS", "fragment", "in_turns", "life_cycle", "messages", "open_runs", "sse_body"]

# Real streams, where they stand beside the project.
RECORDINGS = Path(__file__).parents[2] / "shared" / "recordings"


def _script(run_id: str, words: int) -> Script:
    made = script(
        run_id,
        instructions="You are a helpful assistant that answers in a friendly and concise way. " * 11,
        tools=[{"type": "code_interpreter"}, {"type": "file_search"}],
    )
    return made.start().say("word " * words, pieces=["word "] * words).end()


def life_cycle(run_id: str, words: int = 200) -> list[RawEvent]:
    """A run of ten snapshots and so many fragments, as WebSocket messages of 1.5 kB (run events) and 0.2 kB."""
    raws = _script(run_id, words).raw_events(enveloped=True)
    return [RawEvent(data=raw.data, at=raw.at) for raw in raws if b'"done"' not in raw.data]


@cache
def messages(runs: int, words: int = 200) -> tuple[RawEvent, ...]:
    """Several such runs, one after the other."""
    return tuple(raw for number in range(runs) for raw in life_cycle(f"run_{number:05d}", words))


@cache
def in_turns(runs: int, words: int = 200) -> tuple[RawEvent, ...]:
    """The same runs on one connection, which take turns with each event."""
    streams = (life_cycle(f"run_{number:05d}", words) for number in range(runs))
    return tuple(raw for turn in zip(*streams, strict=True) for raw in turn)


@cache
def sse_body(words: int) -> bytes:
    """One such run as the body of a response."""
    return _script("run_00000", words).done().sse()


def fragment(number: int) -> RawEvent:
    """A fragment of the message of one of many runs."""
    part = b'{"index":0,"type":"text","text":{"value":"word "}}'
    return RawEvent(
        data=b'{"event":"thread.message.delta","data":{"id":"msg_%06d","delta":{"content":[%b]}}}' % (number, part),
        at=1.0,
    )


def open_runs(count: int) -> Iterator[RawEvent]:
    """What opens so many runs, each in the middle of its message."""
    for number in range(count):
        run = b"run_%06d" % number
        yield RawEvent(
            data=b'{"event":"thread.run.in_progress","data":{"id":"%b","status":"in_progress"}}' % run, at=1.0
        )
        created = b'{"event":"thread.message.created","data":{"id":"msg_%06d","run_id":"%b","content":[]}}'
        yield RawEvent(data=created % (number, run), at=1.0)
        yield fragment(number)
