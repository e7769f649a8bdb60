"""Real recordings, where they stand beside the project: against bare JSON decoding of the same blocks."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from pairing import Row, paired
from streams import RECORDINGS

from runstream import Engine, RawEvent
from runstream.recordings.reader import read_recording

__all__ = ["recorded_rows"]


def recorded_rows(rounds: int) -> list[Row]:
    """All server-sent recordings together; none where there are none."""
    bodies = [path.read_bytes() for path in sorted(RECORDINGS.glob("*.sse"))] if RECORDINGS.is_dir() else []
    raws = [raw for body in bodies for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent)]
    raws = [raw for raw in raws if raw.data.startswith(b"{")]
    if not raws:
        return []

    def engine() -> int:
        engine = Engine()
        engine.on_signal = lambda signal: None
        engine.intake("bench").feed_all(raws)
        return engine.stats().events

    decode = msgspec.json.Decoder().decode

    def builtins() -> None:
        for raw in raws:
            with suppress(msgspec.DecodeError):
                decode(raw.data)

    assert engine() > 0.9 * len(raws)
    what = f"the {len(bodies)} recordings ({len(raws):,} events), full state, against decoding into builtins"
    return [Row(what, "", paired(engine, builtins, rounds))]
