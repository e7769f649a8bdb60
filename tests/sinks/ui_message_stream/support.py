"""Streams of raw events in, chunks of a UI message out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runstream.core.state_snapshot import StateSnapshot
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder

__all__ = ["encode", "encoded", "joined", "kinds", "only"]


def encode(folded: Folded, *, states: bool = True, **options: Any) -> list[dict[str, Any]]:
    """All chunks of a fold.

    Args:
        folded: The fold.
        states: Whether the encoder receives the states too.
        options: Options of the encoder.
    """
    encoder = UiMessageEncoder(**options)
    latest = {state.run_id: state for state in folded.runs} if states else {}
    chunks = [
        chunk
        for signal in folded.signals
        for chunk in encoder.encode(signal, latest.get(getattr(signal, "run_id", "")))
    ]
    return chunks + encoder.finish(latest.values())


def encoded(raws: Iterable[Any], **options: Any) -> list[dict[str, Any]]:
    """All chunks of raw events."""
    return encode(fold(raws), **options)


def joined(raws: list[Any], place: int, **options: Any) -> tuple[list[dict[str, Any]], Folded]:
    """The chunks for a browser that joins after some raw events; and the fold of all of them.

    Args:
        raws: The raw events.
        place: The number of those before it joins.
        options: Options of the encoder.
    """
    engine = Engine()
    intake = engine.intake("stream")
    intake.feed_all(raws[:place])
    encoder = UiMessageEncoder(**options)
    chunks = encoder.start()
    for state in engine.states():
        chunks += encoder.encode(StateSnapshot(state, (), 0.0))
    signals: list[Any] = []
    engine.on_signal = signals.append
    intake.feed_all(raws[place:])
    intake.end()
    for signal in signals:
        run_id = getattr(signal, "run_id", None)
        chunks += encoder.encode(signal, engine.state(run_id, "") if run_id is not None else None)
    return chunks + encoder.finish(engine.states()), fold(raws)


def kinds(chunks: Iterable[dict[str, Any]]) -> list[str]:
    """The types of chunks, without metadata."""
    return [chunk["type"] for chunk in chunks if chunk["type"] != "message-metadata"]


def only(chunks: Iterable[dict[str, Any]], *types: str) -> list[dict[str, Any]]:
    """The chunks of some types, or of types that begin so."""
    return [chunk for chunk in chunks if chunk["type"].startswith(types)]
