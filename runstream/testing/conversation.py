"""Several scripted runs as one conversation: its raw events in any framing, and what must come out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from runstream.model.raw import RawEvent
from runstream.testing.script import Script
from runstream.testing.wire import Json, Told

__all__ = ["Conversation", "events_of"]


class Conversation:
    """Runs that are told together.

    Args:
        scripts: The runs; their ids must differ.
    """

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = tuple(scripts)

    def __repr__(self) -> str:
        told = ", ".join(f"{script.run_id}: {script.run['status']}" for script in self.scripts)
        return f"Conversation({told}; {sum(len(script.events) for script in self.scripts)} events)"

    @property
    def expected_runs(self) -> dict[str, Json]:
        """The ``to_dict()`` of each run's final state, by the run's id."""
        return {script.run_id: script.expected for script in self.scripts}

    def told(self, *, interleaved: bool = False, seed: int = 0) -> list[Told]:
        """All events.

        Args:
            interleaved: Whether the runs are told all at once instead of one after the other. The events of each
                keep their order.
            seed: Decides how they are interleaved.
        """
        tracks = [script.events for script in self.scripts]
        if not interleaved:
            return [event for track in tracks for event in track]
        turns = [number for number, track in enumerate(tracks) for _ in track]
        random.Random(seed).shuffle(turns)
        iterators = [iter(track) for track in tracks]
        return [next(iterators[number]) for number in turns]

    def raw_events(
        self, *, interleaved: bool = False, seed: int = 0, ids: bool = False, enveloped: bool = False
    ) -> list[RawEvent]:
        """All events as a transport would deliver them.

        Args:
            interleaved: See :meth:`told`.
            seed: See :meth:`told`.
            ids: Whether each has its id.
            enveloped: Whether the name stands in the JSON (WebSocket, JSONL) instead of beside it (SSE).
        """
        told = self.told(interleaved=interleaved, seed=seed)
        return [event.raw(ids=ids, enveloped=enveloped) for event in told]

    def streams(self, *, ids: bool = False, enveloped: bool = False) -> dict[str, list[list[RawEvent]]]:
        """The streams of each run, by its id: a new one begins when tool outputs are submitted."""
        return {
            script.run_id: [
                [event.raw(ids=ids, enveloped=enveloped) for event in stream] for stream in script.streams if stream
            ]
            for script in self.scripts
        }

    def sse(self, *, interleaved: bool = False, seed: int = 0, ids: bool = False) -> bytes:
        """All events as one event stream."""
        return b"".join(event.sse(ids=ids) for event in self.told(interleaved=interleaved, seed=seed))

    def jsonl(self, *, interleaved: bool = False, seed: int = 0, ids: bool = False) -> bytes:
        """All events as JSON lines."""
        raws = self.raw_events(interleaved=interleaved, seed=seed, ids=ids, enveloped=True)
        return b"".join(raw.data + b"\n" for raw in raws)


def events_of(
    text: str | None = None,
    *,
    calls: Json | None = None,
    outputs: Iterable[str] = (),
    ends: str | None = "completed",
    run_id: str = "run_1",
    ids: bool = False,
) -> list[RawEvent]:
    """The raw events of one run, in a line::

        events_of("Hello there.")
        events_of("It is sunny.", calls={"weather": {"city": "Oslo"}}, outputs=["sunny"])
        events_of(calls={"weather": {"city": "Oslo"}})  # still waits
        events_of("I'm afraid", ends="failed")

    Args:
        text: What it says at last.
        calls: Functions that it calls before, with their arguments.
        outputs: What they are answered; without any, the run still waits, and neither speaks nor ends.
        ends: How it ends; ``None`` leaves it open.
        run_id: The run's id.
        ids: Whether each event has its id.
    """
    script = Script(run_id)
    answers = list(outputs)
    if calls is not None:
        script.call(**calls)
        if not answers:
            return script.raw_events(ids=ids)
        script.answer(*answers)
    if text is not None:
        script.say(text)
    if ends is not None:
        script.end(ends)
    return script.raw_events(ids=ids)
