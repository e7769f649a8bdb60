"""Bring your own Observable: the whole pipeline is one operator, and what comes out is composed as usual."""

from __future__ import annotations

import reactivex as rx
from reactivex import operators as ops

from runstream import RunCompleted, RunFailed, TextDelta, demo, pipeline
from runstream.sources.recording_reader import read_recording


def main() -> None:
    # Any Observable of raw events will do: a Subject that your broker's client feeds, or a list.
    tracks = [list(read_recording(demo.load(name))) for name in ("text.sse", "failed.sse")]
    raw_events = rx.from_iterable(demo.interleave(tracks))

    # Cold, as Rx has it: each subscription has a pipeline of its own. `share` makes it one.
    signals = raw_events.pipe(pipeline(), ops.publish())

    signals.pipe(
        ops.filter(lambda signal: isinstance(signal, TextDelta)),
        ops.scan(lambda sizes, signal: {**sizes, signal.run_id: signal.offset + len(signal.delta)}, {}),
        ops.last(),
    ).subscribe(lambda sizes: print(f"characters: {sizes}"))

    signals.pipe(
        ops.filter(lambda signal: isinstance(signal, RunCompleted | RunFailed)),
        ops.map(lambda signal: f"{signal.run_id} {signal.run.status}, {signal.run.usage.total_tokens} tokens"),
    ).subscribe(print)

    signals.connect()


if __name__ == "__main__":
    main()
