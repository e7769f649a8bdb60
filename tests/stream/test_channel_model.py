"""Whatever its observers do, a channel gives what the plainest fan-out would: one queue, one loop over who listens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops
from structlog.testing import capture_logs

from runstream.model.run import RunKey
from runstream.stream.channel import Channel
from runstream.stream.subscriber_set import Subscriber

RUNS: tuple[RunKey, ...] = (("", "a"), ("x", "a"), ("", "b"))
LIMIT = 60  # values in all, so that callbacks that push come to an end


class Value(NamedTuple):
    """A value of a run."""

    number: int
    scope: str
    run_id: str


class Plan(NamedTuple):
    """An observer: of which run, subscribed how, and what it does at each value that it gets."""

    run: RunKey | None
    door: str
    actions: tuple[tuple[str, int], ...]


class Plain:
    """The fan-out in its plainest form."""

    def __init__(self) -> None:
        self.observers: list[tuple[Any, Plan]] = []
        self.queue: deque[tuple[str, Any]] = deque()
        self.busy = self.closing = self.ended = False

    def push(self, value: Value) -> None:
        self.put("value", value)

    def complete(self) -> None:
        self.put("end", None)
        self.closing = True

    def complete_run(self, run: RunKey) -> None:
        if any(plan.run is not None and plan.run[1] == run[1] for _, plan in self.observers):
            self.put("run", run)

    def connect(self, observer: Any, plan: Plan) -> Callable[[], None]:
        entry = (observer, plan)
        if self.ended:
            observer.on_completed()
        else:
            self.observers.append(entry)
        return lambda: self.remove(entry)

    def remove(self, entry: tuple[Any, Plan]) -> None:
        self.observers = [one for one in self.observers if one is not entry]

    def put(self, kind: str, what: Any) -> None:
        if self.closing:
            return
        self.queue.append((kind, what))
        if self.busy:
            return
        self.busy = True
        while self.queue:
            kind, what = self.queue.popleft()
            if kind == "value":
                self.give(what)
            else:
                self.end(what)
        self.busy = False

    def give(self, value: Value) -> None:
        everybody = [entry for entry in self.observers if entry[1].run is None]
        some = [entry for entry in self.observers if entry[1].run == (value.scope, value.run_id)]
        for entry in everybody + some:
            if any(one is entry for one in self.observers):
                try:
                    entry[0].on_next(value)
                except ValueError:
                    entry[0].world.failures += 1

    def end(self, run: RunKey | None) -> None:
        self.ended = run is None
        gone = [entry for entry in self.observers if run is None or entry[1].run == run]
        self.observers = [one for one in self.observers if not any(one is entry for entry in gone)]
        for entry in gone:
            if not entry[0].left:
                entry[0].on_completed()


class Real:
    """A channel, by the same names."""

    def __init__(self) -> None:
        self.channel: Channel[Value] = Channel("values")
        self.pushes = [self.channel.push]
        self.complete = self.channel.complete
        self.complete_run = self.channel.complete_run

    def push(self, value: Value) -> None:
        # Now by the newest, now by one that was kept since long.
        if self.channel.push is not self.pushes[-1]:
            self.pushes.append(self.channel.push)
        self.pushes[-1 - value.number % 3 % len(self.pushes)](value)

    def connect(self, observer: Any, plan: Plan) -> Callable[[], None]:
        scope, run_id = plan.run or (None, None)
        if plan.door == "direct":
            subscriber = Subscriber(observer.on_next, observer.on_completed, run_id=run_id, scope=scope)
            return self.channel.subscribe(subscriber).dispose
        values = self.channel.observable if plan.run is None else self.channel.of_run(plan.run)
        if plan.door == "operator":
            values = values.pipe(ops.map(lambda value: value))
        if plan.door == "observer":
            return values.subscribe(observer).dispose
        return values.subscribe(observer.on_next, observer.on_error, observer.on_completed).dispose


class Observer:
    """Takes down what it is told, and does what it is to do."""

    def __init__(self, world: World, number: int, plan: Plan) -> None:
        self.world = world
        self.number = number
        self.actions = deque(plan.actions)
        self.left = False

    def on_next(self, value: Value) -> None:
        self.world.log.append((self.number, value.number))
        if self.actions:
            self.world.act(*self.actions.popleft())
        self.world.log.append((self.number, "done"))

    def on_error(self, error: Exception) -> None:
        raise AssertionError("nobody ends with an error here")

    def on_completed(self) -> None:
        self.world.log.append((self.number, "end"))


class World:
    """One fan-out and its observers."""

    def __init__(self, fan_out: Plain | Real, plans: Iterable[Plan]) -> None:
        self.fan_out = fan_out
        self.plans = deque(plans)
        self.log: list[tuple[int, int | str]] = []
        self.failures = 0
        self._observers: list[Observer] = []
        self._leave: list[Callable[[], None]] = []
        self._pushed = 0

    def act(self, what: str, which: int) -> None:
        if what == "push" and self._pushed < LIMIT:
            self._pushed += 1
            self.fan_out.push(Value(self._pushed, *RUNS[which % len(RUNS)]))
        elif what == "join" and self.plans:
            plan = self.plans.popleft()
            observer = Observer(self, len(self._observers), plan)
            self._observers.append(observer)
            self._leave.append(self.fan_out.connect(observer, plan))
        elif what == "leave" and self._leave and which < len(self._leave):
            self._observers[which].left = True
            self._leave[which]()
        elif what == "raise":
            raise ValueError("an observer's own")
        elif what == "end run":
            self.fan_out.complete_run(RUNS[which % len(RUNS)])
        elif what == "end":
            self.fan_out.complete()


def in_order(log: list[tuple[int, int | str]]) -> list[list[tuple[int, int | str]]]:
    """The log; of those who end together it is not promised who is told first."""
    together = groupby(log, key=lambda entry: entry[1] == "end")
    return [sorted(entries) if ends else list(entries) for ends, entries in together]


Action: TypeAlias = tuple[str, int]
NUMBERS = st.integers(0, 5)
OFTEN = st.tuples(st.sampled_from(["push", "push", "push", "join", "leave", "end run"]), NUMBERS)
INSIDE = st.one_of(OFTEN, OFTEN, st.tuples(st.sampled_from(["raise", "nothing", "end"]), NUMBERS))
PLANS = st.builds(
    Plan,
    st.one_of(st.none(), st.none(), st.sampled_from(RUNS)),
    st.sampled_from(["functions", "functions", "direct", "operator", "observer"]),
    st.lists(INSIDE, max_size=4).map(tuple),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(PLANS, max_size=6), st.integers(0, 3), st.lists(OFTEN, max_size=25), st.booleans())
def test_it_gives_what_the_plainest_fan_out_gives(
    plans: list[Plan], at_first: int, actions: list[Action], ends: bool
) -> None:
    """To any mix of observers, of which some leave, join, raise, push, or end a run or the whole from inside."""
    told = []
    for fan_out in (Plain(), Real()):
        world = World(fan_out, plans)
        with capture_logs() as logs:
            for action in [("join", 0)] * at_first + actions + [("end", 0)] * ends + [("push", 0), ("join", 0)]:
                world.act(*action)
        if isinstance(fan_out, Real):
            world.failures = fan_out.channel.reports.count
            assert len(logs) == world.failures
        told.append((in_order(world.log), world.failures))
    assert told[0] == told[1]
