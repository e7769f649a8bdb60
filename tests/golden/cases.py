"""The cases by name: shared recordings, bundled demo recordings, generated conversations."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import runstream
from runstream import demo
from runstream.testing import WireEvent
from tests.golden import made, rough
from tests.golden.folds import CHANNELS, POLL, Case, Turn

__all__ = ["MADE", "RECORDINGS", "bundled", "generated", "recorded"]

RECORDINGS: Final = Path(__file__).parents[2].parent / "shared" / "recordings"
"""The folder of the shared recordings: beside the repository, and no part of it."""
MADE: Final = 306
"""The number of generated cases: seventeen of each kind."""
_CORNERS: Final = (348, 395, 565, 740)
"""Further numbers: what is rare among the first ones (a partial object that begins again; text that goes on after a
request for outputs)."""

_DEMO_PAIR: Final = ("function_call_1.sse", "function_call_2.sse")
_FIRST: Final = "_1_create_thread_and_run.sse"
_SECOND: Final = "_2_submit_tool_outputs.sse"
_BEFORE_SUBMIT: Final = ("simple_requires_action_before_submit.json", "simple_submit_tool_outputs_2024-05.sse")

_Made = Callable[[], Case]


# recordings


def _streams(name: str, *sources: tuple[str, Sequence[Any]], progress: bool = True) -> Case:
    turns = [
        turn for source, items in sources for turn in (Turn("feed", source, items=tuple(items)), Turn("end", source))
    ]
    return Case(name, tuple(turns), progress=progress, folded=True)


def _again(name: str, source: str, items: Sequence[Any]) -> Case:
    """The stream is cut at two thirds, and repeated from its start in the next connection."""
    cut = len(items) * 2 // 3
    connections = (
        runstream.ConnectionEvent(connected=True),
        *items[:cut],
        runstream.ConnectionEvent(connected=False, reason="cut"),
        runstream.ConnectionEvent(connected=True, attempt=1),
        *items,
    )
    return _streams(name, (source, connections))


def _sse(body: bytes) -> list[Any]:
    return list(runstream.read_recording(body, format="sse"))


def _polled(body: bytes) -> list[Any]:
    """The objects of a recorded list of exchanges, in order, those in lists included, each as a poll returns it."""
    found = json.loads(body)
    bodies = [exchange["body"] for exchange in found] if isinstance(found, list) else [found]
    objects = [item for body in bodies for item in (body["data"] if body.get("object") == "list" else [body])]
    return [runstream.RawEvent(data=json.dumps(item).encode()) for item in objects]


def _read(name: str, body: bytes) -> list[Any]:
    return _polled(body) if name.endswith(".json") else _sse(body)


def _of_files(group: str, bodies: dict[str, Callable[[], bytes]], pairs: Sequence[tuple[str, ...]]) -> dict[str, _Made]:
    def items(name: str) -> list[Any]:
        return _read(name, bodies[name]())

    def alone(title: str, name: str, progress: bool) -> Case:
        return _streams(title, (name, items(name)), progress=progress)

    def again(title: str, name: str) -> Case:
        return _again(title, name, items(name))

    def together(title: str, names: tuple[str, ...]) -> Case:
        return _streams(title, *((name, items(name)) for name in names))

    found: dict[str, _Made] = {}
    for name in bodies:
        title = f"{group}/{name}"
        found[title] = partial(alone, title, name, True)
        found[f"{title}/quiet"] = partial(alone, f"{title}/quiet", name, False)
        found[f"{title}/again"] = partial(again, f"{title}/again", name)
    for pair in pairs:
        title = f"{group}/{'+'.join(pair)}"
        found[title] = partial(together, title, pair)
    return found


def recorded() -> dict[str, _Made]:
    """The cases of the shared recordings; none where they are absent."""
    paths = sorted(path for path in RECORDINGS.glob("*") if path.suffix in (".sse", ".json"))
    names = {path.name: path.read_bytes for path in paths}
    pairs = [(name, name.replace(_FIRST, _SECOND)) for name in names if name.endswith(_FIRST)]
    known = [pair for pair in (*pairs, _BEFORE_SUBMIT) if all(name in names for name in pair)]
    return _of_files("recording", names, known)


def bundled() -> dict[str, _Made]:
    """The cases of the bundled demo recordings, and one of the whole show in one source."""
    cases = _of_files("demo", {name: partial(demo.load, name) for name in demo.recordings()}, [_DEMO_PAIR])

    def show() -> Case:
        acts = [[_sse(b"".join(map(demo.load, scene.files))) for scene in act] for act in demo.SCRIPT]
        return _streams("demo/show", ("show", [item for act in acts for item in demo.interleave(act)]))

    return {**cases, "demo/show": show}


# generated conversations


class _Plan:
    """What the kinds of generated cases share: chance, and the form of their input.

    Args:
        number: The number of the case; it decides everything.
    """

    def __init__(self, number: int) -> None:
        self.chance = random.Random(f"golden/{number}")
        self.ids = self.chance.choice(("none", "none", "all", "some", "count"))
        self.framing = self.chance.choice(("sse", "sse", "envelope", "envelope", "text", "mapping", "mixed"))
        self.timed = self.chance.random() < 0.5
        self.ends = self.chance.random() < 0.8
        self.limits: runstream.Limits | None = None
        self.stored = False

    def framed(self, events: Sequence[WireEvent]) -> list[Any]:
        """Events as input, with ids or without."""
        if self.ids == "count":
            events = made.numbered(events)
        return [self._framed(event) for event in events]

    def _framed(self, event: WireEvent) -> Any:
        framing = self.framing
        if framing == "mixed":
            framing = self.chance.choice(("sse", "envelope", "text", "mapping"))
        ids = self.ids in ("all", "count") or (self.ids == "some" and self.chance.random() < 0.7)
        item = made.frame(event, framing, ids=ids)
        if isinstance(item, runstream.RawEvent) and not self.timed:
            return runstream.RawEvent(item.event, item.data, item.id, item.last_id)
        return item

    def events(self, most_runs: int = 3) -> list[WireEvent]:
        """The events of a conversation, its runs one after the other or interleaved."""
        runs = made.conversation(self.chance, self.chance.randint(1, most_runs))
        return made.ordered(self.chance, runs, interleaved=self.chance.random() < 0.6)

    def roughened(self, items: list[Any]) -> list[Any]:
        """The items, with any damage or none."""
        change = self.chance.choice((None, None, rough.repeated, rough.shuffled, rough.dropped, rough.odd))
        return items if change is None or not items else change(self.chance, items)

    def turns(self, *tracks: tuple[str, str, Sequence[Any]]) -> list[Turn]:
        """Sources (name, scope, items) that deliver by turns, and end or not."""
        left = [(name, scope, list(items)) for name, scope, items in tracks]
        turns = []
        while left:
            name, scope, items = track = self.chance.choice(left)
            size = self.chance.choice((1, 3, 10, len(items))) if len(tracks) > 1 else self.chance.choice((7, 30, 10**6))
            turns.append(Turn("feed", name, scope, tuple(items[:size])))
            del items[:size]
            if not items:
                left.remove(track)
                if self.ends:
                    turns.append(Turn("end", name, scope))
        return turns


def _one(plan: _Plan, items: Sequence[Any]) -> list[Turn]:
    return plan.turns(("stream", plan.chance.choice(("", "", "tenant")), items))


def _calm(plan: _Plan) -> list[Turn]:
    if plan.chance.random() < 0.3:
        return _one(plan, made.line(plan.chance, ids=plan.ids != "none"))
    if plan.chance.random() < 0.3:
        runs, ids = made.conversation(plan.chance, 2), plan.ids != "none"
        if plan.framing == "envelope":
            return _one(plan, list(runstream.read_recording(runs.jsonl(ids=ids), format="jsonl")))
        return _one(plan, _sse(runs.sse(interleaved=True, ids=ids)))
    return _one(plan, plan.framed(plan.events(1)))


def _interleaved(plan: _Plan) -> list[Turn]:
    runs = made.conversation(plan.chance, plan.chance.randint(2, 4), most=2)
    return _one(plan, plan.framed(made.ordered(plan.chance, runs, interleaved=True)))


def _repeated(plan: _Plan) -> list[Turn]:
    events = plan.events()
    if plan.chance.random() < 0.4:
        events = rough.conflicting(plan.chance, events)
    return _one(plan, rough.repeated(plan.chance, plan.framed(events)))


def _shuffled(plan: _Plan) -> list[Turn]:
    return _one(plan, rough.shuffled(plan.chance, plan.framed(plan.events())))


def _dropped(plan: _Plan) -> list[Turn]:
    return _one(plan, rough.dropped(plan.chance, plan.framed(plan.events())))


def _replayed(plan: _Plan) -> list[Turn]:
    return _one(plan, rough.replayed(plan.chance, plan.framed(plan.events())))


def _replayed_roughly(plan: _Plan) -> list[Turn]:
    return _one(plan, rough.replayed(plan.chance, plan.roughened(plan.framed(plan.events(2)))))


def _reconnected(plan: _Plan) -> list[Turn]:
    """A run of several rounds over several connections, most or all of its events with ids."""
    plan.ids = plan.chance.choice(("all", "some", "count", "count"))
    items = plan.framed(made.script(plan.chance, most=5).events)
    if plan.chance.random() < 0.5:
        items = rough.dropped(plan.chance, items) or items
    return _one(plan, rough.replayed(plan.chance, items))


def _anew(plan: _Plan) -> list[Turn]:
    """A run of several rounds without ids, from its start in each connection."""
    plan.ids = "none"
    items = plan.framed(made.script(plan.chance, most=5).events)
    out: list[Any] = [runstream.ConnectionEvent(connected=True)]
    for attempt in (1, 2):
        out += items[: plan.chance.randint(len(items) // 4, len(items))]
        out.append(runstream.ConnectionEvent(connected=False, reason="loss"))
        out.append(runstream.ConnectionEvent(connected=True, attempt=attempt))
    return _one(plan, out + items)


def _odd(plan: _Plan) -> list[Turn]:
    return _one(plan, rough.odd(plan.chance, plan.framed(plan.events(2))))


def _damaged(plan: _Plan) -> list[Turn]:
    return _one(plan, plan.framed(rough.damaged(plan.chance, plan.events(2))))


def _late(plan: _Plan) -> list[Turn]:
    events = plan.events(2)
    items = rough.late(plan.chance, plan.framed(events))
    if plan.chance.random() < 0.5:  # the run is known in the end, after what belongs to it
        items += plan.framed([event for event in events if made.is_run(event)])
    return _one(plan, items)


def _snapshots(plan: _Plan) -> list[Turn]:
    """Bare objects, as a poll returns them: alone, beside a stream of the same run, or before it."""
    events = plan.events(2)
    objects = [event.data for event in events if isinstance(event.data, dict) and "id" in event.data]
    polled = [item for item in objects if "delta" not in item and plan.chance.random() < 0.5]
    if plan.chance.random() < 0.4:
        return _one(plan, polled)
    poll, stream = (POLL, "", polled), ("stream", "", plan.framed(events))
    if plan.chance.random() < 0.5:
        return [*plan.turns((POLL, "", polled[: plan.chance.randint(1, 9)])), *plan.turns(stream)]
    return plan.turns(stream, poll)


def _in_rounds(plan: _Plan) -> list[Turn]:
    """Each stream of a run is a source of its own; the next one begins after it, or before its end."""
    streams = made.streams_of(made.script(plan.chance, most=5))
    tracks = [(f"stream_{number}", "", plan.roughened(plan.framed(stream))) for number, stream in enumerate(streams, 1)]
    if plan.chance.random() < 0.3:
        return plan.turns(*tracks)
    return [turn for track in tracks for turn in plan.turns(track)]


def _together(plan: _Plan) -> list[Turn]:
    """Several sources deliver events of the same runs at once, each with losses of its own."""
    items = plan.framed(plan.events(2))
    count = plan.chance.randint(2, 3)
    tracks = [(f"source_{number}", "", rough.dropped(plan.chance, items)) for number in range(1, count + 1)]
    return plan.turns(*tracks)


def _scopes(plan: _Plan) -> list[Turn]:
    """Runs of the same ids in several scopes."""
    tracks = [(f"in_{scope}", scope, plan.roughened(plan.framed(plan.events(2)))) for scope in ("", "a", "b")]
    return plan.turns(*tracks)


def _limited(plan: _Plan) -> list[Turn]:
    """Many short runs within small bounds."""
    chance = plan.chance
    bounds: dict[str, Any] = {
        "max_open_runs": chance.choice((1, 2, 3)),
        "max_finished_runs": chance.choice((0, 1, 2)),
        "max_finished_age": chance.choice((0.0, 5.0, 50.0)),
        "max_orphans": chance.choice((0, 2, 5)),
        "dedupe_window": chance.choice((0, 4, 16)),
        "max_tombstones": chance.choice((0, 2, 8)),
        "max_message_bytes": chance.choice((300, 1200, 2000)),
        "max_index": chance.choice((0, 1)),
        "max_nesting": chance.choice((4, 6, 8)),
    }
    chosen = chance.sample(sorted(bounds), chance.randint(1, 4))
    plan.limits = runstream.Limits(**{name: bounds[name] for name in chosen})
    runs = made.conversation(chance, chance.randint(3, 6), most=1)
    items = plan.roughened(plan.framed(made.ordered(chance, runs, interleaved=chance.random() < 0.7)))
    if chance.random() < 0.5:
        return _one(plan, items)
    half = len(items) // 2
    return [*plan.turns(("first", "", items[:half])), *plan.turns(("second", "", items[half:] + items[:3]))]


def _restarted(plan: _Plan) -> list[Turn]:
    """The process ends and another one goes on with the same store."""
    plan.stored = True
    items = plan.framed(plan.events(2))
    turns: list[Turn] = []
    place = 0
    for _ in range(plan.chance.randint(1, 2)):
        cut = plan.chance.randint(place, len(items))
        turns.append(Turn("feed", items=tuple(items[place:cut])))
        if plan.chance.random() < 0.3:
            turns.append(Turn("end"))
        turns.append(Turn("restart"))
        place = plan.chance.choice((0, max(0, cut - 4), cut, cut))
    turns.append(Turn("feed", items=tuple(items[place:])))
    return [*turns, Turn("end")] if plan.ends else turns


_KINDS: Final[dict[str, Callable[[_Plan], list[Turn]]]] = {
    "calm": _calm,
    "interleaved": _interleaved,
    "repeated": _repeated,
    "shuffled": _shuffled,
    "dropped": _dropped,
    "replayed": _replayed,
    "replayed_roughly": _replayed_roughly,
    "reconnected": _reconnected,
    "anew": _anew,
    "odd": _odd,
    "damaged": _damaged,
    "late": _late,
    "snapshots": _snapshots,
    "rounds": _in_rounds,
    "together": _together,
    "scopes": _scopes,
    "limited": _limited,
    "restarted": _restarted,
}
_CHANNELS: Final = (
    CHANNELS,
    CHANNELS,
    CHANNELS,
    ("event", "signal"),
    ("state", "signal"),
    ("change", "signal"),
    ("state",),
    ("event", "state", "change"),
    ("event",),
)


def _generate(name: str, kind: str, number: int) -> Case:
    plan = _Plan(number)
    turns = tuple(_KINDS[kind](plan))
    progress = plan.chance.random() < 0.7
    return Case(name, turns, progress, plan.limits, plan.chance.choice(_CHANNELS), plan.stored)


def generated() -> dict[str, _Made]:
    """The generated cases; the same with every release of every package."""
    kinds = list(_KINDS)
    found: dict[str, _Made] = {}
    for number in (*range(MADE), *_CORNERS):
        kind = kinds[number % len(kinds)]
        name = f"made/{number:03}/{kind}"
        found[name] = partial(_generate, name, kind, number)
    return found
