"""Objects whose methods say what they handle, and subscriptions of some runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream import (
    ActionRequired,
    MessageCompleted,
    RawEvent,
    RunCompleted,
    RunFailed,
    RunSignal,
    RunStream,
    TextDelta,
    handles,
)
from runstream.testing import Conversation, script
from tests.support.receiver import eventually


class Base:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @property
    def trap(self) -> None:
        raise AssertionError("nobody asks for this")

    @handles(RunCompleted, RunFailed)
    def ended(self, signal: RunCompleted | RunFailed) -> None:
        self.told.append(f"{type(self).__name__}.ended {signal.run_id}")

    @handles("message.completed")
    async def said(self, signal: MessageCompleted) -> None:
        await asyncio.sleep(0)
        self.told.append(f"said {signal.message.text}")

    def unmarked(self, signal: object) -> None:
        raise AssertionError("nobody calls this")


class Agent(Base):
    """Answers, too."""

    def __init__(self, answered: list[RawEvent]) -> None:
        super().__init__()
        self.answered = answered

    @handles(ActionRequired)
    async def answer(self, signal: ActionRequired) -> AsyncIterator[RawEvent]:
        self.told.append(f"answer {signal.calls[0].name}")
        return self.source()

    async def source(self) -> AsyncIterator[RawEvent]:
        for raw in self.answered:
            yield raw

    def ended(self, signal: RunCompleted | RunFailed) -> None:
        """Overridden without a mark: it still handles what its base's does."""
        super().ended(signal)

    @staticmethod
    @handles(TextDelta)  # type: ignore[arg-type] # a type checker takes it for a method
    def grow(signal: TextDelta) -> None:
        raise ValueError("secret words")


def two_streams() -> tuple[list[RawEvent], list[RawEvent]]:
    told = script("run_1").call(weather={"city": "Oslo"}).answer("sunny").say("It is sunny.", pieces=["It is sunny."])
    first, second = Conversation([told.end()]).streams()["run_1"]
    return first, second


async def test_an_objects_methods_are_subscribed_together() -> None:
    """Functions, coroutines, static methods, overrides; what one raises is logged under its own name."""
    first, second = two_streams()
    agent = Agent(second)
    with capture_logs() as logs:
        async with RunStream(first) as stream:
            stream.on(agent)
            async with asyncio.timeout(20):
                assert (await stream.result()).is_complete
    assert agent.told == ["answer weather", "Agent.ended run_1", "said It is sunny."]
    failed = [entry for entry in logs if entry["event"] == "subscriber_failed"]
    assert [(entry["subscriber"], entry["run_id"]) for entry in failed] == [
        ("tests.stream.test_handlers.Agent.grow", "run_1")
    ]


async def test_one_disposable_ends_them_all() -> None:
    """At once, also from within."""
    base = Base()
    async with RunStream(script("run_1").say("a").say("b").end().raw_events()) as stream:
        together = stream.on(base)
        stream.on(MessageCompleted, lambda _: together.dispose())
        async with asyncio.timeout(20):
            await stream.result()
    assert base.told == []


async def test_a_mark_can_be_taken_away_and_has_its_policy() -> None:
    """`None` in a subclass; a policy for a plain method is refused, and then nothing is subscribed."""

    class Quiet(Base):
        said = None  # type: ignore[assignment]

    class Wrong(Base):
        @handles(RunSignal, policy="wait")
        def plain(self, signal: RunSignal) -> None: ...

    quiet = Quiet()
    async with RunStream(script("run_1").say("a").end().raw_events()) as stream:
        stream.on(quiet)
        with pytest.raises(TypeError, match="policy is for coroutine"):
            stream.on(Wrong())
        assert len(stream._channels.signals) == 1
        async with asyncio.timeout(20):
            await stream.result()
    assert quiet.told == ["Quiet.ended run_1"]


async def test_what_has_no_handlers_is_refused() -> None:
    """With a message that says what to give."""
    given: Any
    async with RunStream() as stream:
        for given, what in ((object(), "object"), (Agent, "the class Agent: give an object"), (RunCompleted, "class")):
            with pytest.raises(TypeError, match=what):
                stream.on(given)
        with pytest.raises(TypeError, match="policy="):
            stream.on(Base(), None, policy="wait")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="names no signal"):
        handles(int)
    with pytest.raises(TypeError, match="names no signal"):
        handles()
    with pytest.raises(TypeError, match="marks methods"):
        handles(RunCompleted)(property(lambda self: None))  # type: ignore[arg-type]


async def test_handlers_of_some_runs() -> None:
    """By id, scope, thread, assistant and metadata; of an object all its methods."""
    raws = Conversation(
        [
            script("run_1", thread_id="t1", assistant_id="a", metadata={"customer": "1"}).say("one").end(),
            script("run_2", thread_id="t2", assistant_id="a", metadata={"customer": "2"}).say("two").end("failed"),
            script("run_3", thread_id="t2", assistant_id="b", metadata={"customer": "1"}).say("three").end(),
        ]
    ).raw_events(interleaved=True)
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"/run_1", "/run_2", "/run_3", "x/run_1", "x/run_2", "x/run_3"}),
        ({"run_id": "run_1"}, {"/run_1", "x/run_1"}),
        ({"run_id": "run_1", "scope": "x"}, {"x/run_1"}),
        ({"scope": "x"}, {"x/run_1", "x/run_2", "x/run_3"}),
        ({"thread_id": "t2"}, {"/run_2", "/run_3", "x/run_2", "x/run_3"}),
        ({"assistant_id": "a", "scope": ""}, {"/run_1", "/run_2"}),
        ({"metadata": {"customer": "1"}}, {"/run_1", "/run_3", "x/run_1", "x/run_3"}),
        ({"run_id": "run_2", "metadata": {"customer": "1"}}, set()),
    ]
    got: list[list[Any]] = [[] for _ in cases]
    every: list[Any] = []
    base = Base()
    async with RunStream() as stream:
        stream.attach(raws)
        stream.attach(raws, scope="x")
        stream.on(RunSignal, every.append)
        for (filters, _), told in zip(cases, got, strict=True):
            stream.on(RunSignal, told.append, **filters)
        stream.on(base, assistant_id="b", scope="x")
        with pytest.raises(TypeError, match="unknown filters"):
            stream.on(RunSignal, print, thread="t1")  # type: ignore[call-overload]
        async with asyncio.timeout(20):
            await stream.results()
        await eventually(lambda: len(base.told) == 2, within=20)
    for (_, expected), told in zip(cases, got, strict=True):
        wanted = [signal for signal in every if f"{signal.scope}/{signal.run_id}" in expected]
        assert told == wanted
    assert sorted(base.told) == ["Base.ended run_3", "said three"]
