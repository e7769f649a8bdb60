"""What is fed: realistic runs, as WebSocket messages and as server-sent events."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from runstream import RawEvent
from runstream.testing import Script, script

__all__ = ["RECORDINGS", "life_cycle", "messages", "open_runs", "sse_body"]

# Real streams, where somebody has put them beside the project.
RECORDINGS = Path(__file__).parents[2] / "shared" / "recordings"


def _told(run_id: str, words: int) -> Script:
    told = script(
        run_id,
        instructions="You are a helpful assistant that answers in a friendly and concise way. " * 11,
        tools=[{"type": "code_interpreter"}, {"type": "file_search"}],
    )
    return told.start().say("word " * words, pieces=["word "] * words).end()


def life_cycle(run_id: str, words: int = 200) -> list[RawEvent]:
    """A run of ten snapshots and so many fragments, as WebSocket messages of 1.5 kB (run events) and 0.2 kB."""
    raws = _told(run_id, words).raw_events(enveloped=True)
    return [RawEvent(data=raw.data, at=raw.at) for raw in raws if b'"done"' not in raw.data]


@cache
def messages(runs: int, words: int = 200) -> tuple[RawEvent, ...]:
    """Several such runs, one after the other."""
    return tuple(raw for number in range(runs) for raw in life_cycle(f"run_{number:05d}", words))


@cache
def sse_body(words: int) -> bytes:
    """One such run as the body of a response."""
    return _told("run_00000", words).done().sse()


def open_runs(count: int) -> tuple[list[RawEvent], list[RawEvent]]:
    """So many runs, each in the middle of its message: what opens them, and for each a fragment to come."""
    opening, fragments = [], []
    for number in range(count):
        run, message = f"run_{number:06d}", f"msg_{number:06d}"
        part = '{"index":0,"type":"text","text":{"value":"word "}}'
        delta = (
            f'{{"event":"thread.message.delta","data":{{"id":"{message}","delta":{{"content":[{part}]}}}}}}'.encode()
        )
        opening += [
            f'{{"event":"thread.run.in_progress","data":{{"id":"{run}","status":"in_progress"}}}}'.encode(),
            f'{{"event":"thread.message.created","data":{{"id":"{message}","run_id":"{run}","content":[]}}}}'.encode(),
            delta,
        ]
        fragments.append(delta)
    return [RawEvent(data=data, at=1.0) for data in opening], [RawEvent(data=data, at=2.0) for data in fragments]
