"""Several scripted runs as one conversation: their raw events in any framing, and the expected final states."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from runstream.model.raw import RawEvent
from runstream.testing.script import Script
from runstream.testing.wire import Json, WireEvent

__all__ = ["Conversation", "events_of"]


class Conversation:
    """Several runs in one stream.

    Args:
        scripts: The runs; their ids must differ.
    """

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = tuple(scripts)

    def __repr__(self) -> str:
        runs = ", ".join(f"{script.run_id}: {script.run['status']}" for script in self.scripts)
        return f"Conversation({runs}; {sum(len(script.events) for script in self.scripts)} events)"

    @property
    def expected_runs(self) -> dict[str, Json]:
        """The ``to_dict()`` of each run's final state, by run id."""
        return {script.run_id: script.expected for script in self.scripts}

    def events(self, *, interleaved: bool = False, seed: int = 0) -> list[WireEvent]:
        """All events.

        Args:
            interleaved: True if the events of the runs are mixed, instead of one run after the other. The events of
                each run keep their order.
            seed: The seed of the order of the mixed events: equal seeds give equal orders.
        """
        tracks = [script.events for script in self.scripts]
        if not interleaved:
            return [event for track in tracks for event in track]
        order = [number for number, track in enumerate(tracks) for _ in track]
        random.Random(seed).shuffle(order)
        iterators = [iter(track) for track in tracks]
        return [next(iterators[number]) for number in order]

    def raw_events(
        self, *, interleaved: bool = False, seed: int = 0, ids: bool = False, enveloped: bool = False
    ) -> list[RawEvent]:
        """All events as a transport would deliver them.

        Args:
            interleaved: See :meth:`events`.
            seed: The seed of the order of the mixed events.
            ids: True if each event has its id.
            enveloped: True if the name is in the JSON (WebSocket, JSONL) instead of beside it (SSE).
        """
        events = self.events(interleaved=interleaved, seed=seed)
        return [event.raw(ids=ids, enveloped=enveloped) for event in events]

    def streams(self, *, ids: bool = False, enveloped: bool = False) -> dict[str, list[list[RawEvent]]]:
        """The streams of each run, by run id: a new stream begins when tool outputs are submitted."""
        return {
            script.run_id: [
                [event.raw(ids=ids, enveloped=enveloped) for event in stream] for stream in script.streams if stream
            ]
            for script in self.scripts
        }

    def sse(self, *, interleaved: bool = False, seed: int = 0, ids: bool = False) -> bytes:
        """All events as one event stream.

        Args:
            interleaved: See :meth:`events`.
            seed: The seed of the order of the mixed events.
            ids: True if each event has its id.
        """
        return b"".join(event.sse(ids=ids) for event in self.events(interleaved=interleaved, seed=seed))

    def jsonl(self, *, interleaved: bool = False, seed: int = 0, ids: bool = False) -> bytes:
        """All events as JSON lines.

        Args:
            interleaved: See :meth:`events`.
            seed: The seed of the order of the mixed events.
            ids: True if each event has its id.
        """
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
    """The raw events of one run, in one call::

        events_of("Hello there.")
        events_of("It is sunny.", calls={"weather": {"city": "Oslo"}}, outputs=["sunny"])
        events_of(calls={"weather": {"city": "Oslo"}})  # still waits for outputs
        events_of("I'm afraid", ends="failed")

    Args:
        text: The text of its last message.
        calls: The functions that it calls before, with their arguments.
        outputs: The outputs of the calls; without any, the run still waits, and has neither a message nor an end.
        ends: Its final status; ``None`` leaves it open.
        run_id: The id of the run.
        ids: True if each event has its id.
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
