"""Runs as servers stream them, less well-behaved than those of `runstream.testing`: snapshots may be missing, a run may
end from any status or in the middle of anything, deltas may come before their objects, statuses may be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from runstream.model.raw import RawEvent
from tests.support.wire import (
    Json,
    dumps,
    function_call,
    function_call_delta,
    message_creation,
    message_delta,
    message_object,
    required_action,
    run_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
    usage,
)

__all__ = ["Line", "interleavings", "is_run", "lines", "raws", "tales"]

Line = tuple[str, Json]
"""One event: its name and its data."""

ENDINGS = ["completed", "failed", "cancelled", "expired", "incomplete"]
PIECES = st.lists(st.text("ab \U0001f642", max_size=3), max_size=4)


class _Run:
    """A run while it is told."""

    def __init__(self, draw: DrawFn, id: str) -> None:
        self.draw = draw
        self.id = id
        self.lines: list[Line] = []
        self.now = 1_790_000_000
        self.run = run_object(id, created_at=self.now, thread_id=f"thread_{id}", tools=[{"type": "code_interpreter"}])
        self.count = 0

    def tell(self, name: str, data: Json) -> None:
        """One event."""
        self.lines.append((f"thread.{name}", data))

    def change(self, status: str, name: str = "", **fields: Any) -> None:
        """The run enters a status."""
        self.now += self.draw(st.integers(1, 3))
        self.run = {**self.run, "status": status, **fields}
        self.tell(f"run.{name or status}", self.run)

    def start(self) -> None:
        """The run is picked up: `started_at` grows."""
        self.now += 1
        self.change("in_progress", started_at=self.now)

    def number(self) -> int:
        """The next number of an object of the run."""
        self.count += 1
        return self.count

    def maybe(self) -> bool:
        """Yes or no, rather yes."""
        return self.draw(st.sampled_from([True, True, True, False]))

    def messages(self) -> None:
        """One or two messages, open at once, each told as far as it comes."""
        tracks = [self.message(f"msg_{self.id}_{self.number()}") for _ in range(self.draw(st.integers(1, 2)))]
        for track in self.draw(interleavings(tracks)):
            self.tell(*track)

    def message(self, id: str) -> list[Line]:
        """The events of one message."""
        step = step_object(f"step_{id}", self.run, message_creation(id))
        body = message_object(id, self.run)
        told: list[Line] = []
        if self.maybe():
            told.append(("run.step.created", step))
        if self.maybe() or not told:
            told += [("message.created", body), ("message.in_progress", body)]
        texts = []
        for part in range(self.draw(st.integers(0, 2))):
            pieces = self.draw(PIECES)
            texts.append("".join(pieces))
            told += [("message.delta", message_delta(id, piece, index=part)) for piece in pieces]
        if self.maybe():
            if self.draw(st.sampled_from([False, False, True])):
                texts = [*texts[:-1], self.draw(st.text("abc", max_size=6))]  # pieces were lost
            status = self.draw(st.sampled_from(["completed", "completed", "incomplete"]))
            content = [text_part(text) for text in texts]
            told.append((f"message.{status}", message_object(id, self.run, status=status, content=content)))
            told.append(("run.step.completed", {**step, "status": "completed"}))
        return told

    def calls(self) -> list[Json]:
        """A step of parallel function calls; the calls as far as they were told."""
        number = self.number()
        step = step_object(f"step_{self.id}_{number}", self.run, tool_calls())
        if self.maybe():
            self.tell("run.step.created", step)
        tracks, made = [], []
        for index in range(self.draw(st.integers(1, 3))):
            id = f"call_{self.id}_{number}_{index}"
            pieces = self.draw(PIECES)
            track = [function_call_delta(index, id=id, name="look_up")]
            track += [function_call_delta(index, piece) for piece in pieces]
            tracks.append([("run.step.delta", step_delta(step["id"], delta)) for delta in track])
            made.append(function_call(id, "look_up", "".join(pieces)))
        if self.lines[-1][0] == "thread.run.step.created":
            for line in self.draw(interleavings(tracks)):
                self.tell(*line)
        self.step = {**step, "step_details": tool_calls(*made)}
        return made

    def work(self) -> None:
        """What happens between two changes of status."""
        for _ in range(self.draw(st.integers(0, 2))):
            self.draw(st.sampled_from([self.messages, self.messages, self.whole_calls]))()
            if self.draw(st.integers(0, 7)) == 0:
                self.change("generating", "in_progress")
                self.change("in_progress")

    def whole_calls(self) -> None:
        """A step of calls that nobody waits for."""
        self.calls()
        status = self.draw(st.sampled_from(["completed", "failed", "cancelled", "expired"]))
        self.tell(f"run.step.{status}", {**self.step, "status": status})

    def end(self, status: str) -> None:
        """The run ends, from whatever status it is in."""
        if status == "cancelled" and self.maybe():
            self.change("cancelling")
        ending: Json = {"required_action": None, "expires_at": None}
        if status in ("completed", "failed", "cancelled"):
            ending[f"{status}_at"] = self.now
        if self.maybe():
            ending["usage"] = usage(3, 4)
        self.change(status, **ending)
        if self.draw(st.integers(0, 5)) == 0:
            self.tell(f"run.{status}", {**self.run, "usage": usage(3, 4)})


@st.composite
def tales(draw: DrawFn, id: str = "run_1") -> list[Line]:
    """The events of one run, in order."""
    told = _Run(draw, id)
    if told.maybe():
        told.tell("run.created", told.run)
    if told.maybe() or not told.lines:
        told.tell("run.queued", told.run)
    rounds = draw(st.integers(0, 3))
    left_in = draw(st.sampled_from(["", "", "", "queued", "requires_action", "in_progress"]))
    ending = draw(st.sampled_from(ENDINGS))
    for number in range(rounds + 1):
        last = number == rounds
        if last and left_in == "queued":
            if draw(st.booleans()):
                told.end(draw(st.sampled_from(["failed", "cancelled", "expired"])))
            return told.lines
        told.start()
        told.work()
        if last and left_in != "requires_action":
            break
        calls = told.calls()
        told.change("requires_action", required_action=required_action(*calls))
        if last:
            if draw(st.booleans()):
                told.end(draw(st.sampled_from(["failed", "cancelled", "expired"])))
            return told.lines
        if told.maybe():
            told.tell("run.step.completed", {**told.step, "status": "completed"})
        told.change("queued", required_action=None)
    if left_in != "in_progress":
        told.end(ending)
    return told.lines


def interleavings(tracks: Sequence[Sequence[Any]]) -> SearchStrategy[list[Any]]:
    """The items of all tracks, those of each in their order."""
    turns = [number for number, track in enumerate(tracks) for _ in track]

    def deal(order: Sequence[int]) -> list[Any]:
        iterators = [iter(track) for track in tracks]
        return [next(iterators[number]) for number in order]

    return st.permutations(turns).map(deal) if len(turns) < 40 else st.randoms().map(lambda r: deal(_mixed(r, turns)))


def _mixed(random: Any, turns: list[int]) -> list[int]:
    order = list(turns)
    random.shuffle(order)
    return order


@st.composite
def lines(draw: DrawFn, *, max_runs: int = 3) -> list[Line]:
    """The events of several runs in one stream."""
    count = draw(st.integers(1, max_runs))
    return draw(interleavings([draw(tales(f"run_{number}")) for number in range(1, count + 1)]))


def raws(told: Sequence[Line], *, ids: bool = False) -> list[RawEvent]:
    """The events as SSE blocks deliver them, each at its own second."""
    return [
        RawEvent(name, dumps(data).encode(), f"id_{number}" if ids else None, at=float(number))
        for number, (name, data) in enumerate(told)
    ]


def is_run(raw: RawEvent) -> bool:
    """Whether it is a snapshot of a run."""
    return raw.event is not None and raw.event.startswith("thread.run.") and ".step." not in raw.event
