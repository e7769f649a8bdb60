"""Bring your own Observable: the whole pipeline is one operator, and what comes out is composed as usual."""

from __future__ import annotations

import reactivex as rx
from reactivex import operators as ops

from runstream import RunCompleted, RunFailed, TextDelta, demo, only, pipeline, read_recording

NOTHING: dict[str, int] = {}


def count(sizes: dict[str, int], signal: TextDelta) -> dict[str, int]:
    return {**sizes, signal.run_id: signal.offset + len(signal.delta)}


def describe(signal: RunCompleted | RunFailed) -> str:
    tokens = signal.run.usage.total_tokens if signal.run.usage else 0
    return f"{signal.run_id} {signal.run.status}, {tokens} tokens"


def main() -> None:
    # Any Observable of raw events will do: a Subject that your broker's client feeds, or a list.
    tracks = [list(read_recording(demo.load(name))) for name in ("text.sse", "failed.sse")]
    raw_events = rx.from_iterable(demo.interleave(tracks))

    # Cold, as Rx has it: each subscription has a pipeline of its own. `publish` makes it one for both.
    signals = raw_events.pipe(pipeline(), ops.publish())
    signals.pipe(only(RunCompleted, RunFailed), ops.map(describe)).subscribe(print)
    signals.pipe(only(TextDelta), ops.reduce(count, NOTHING)).subscribe(print)
    signals.connect()


if __name__ == "__main__":
    main()
