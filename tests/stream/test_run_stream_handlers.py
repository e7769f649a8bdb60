"""`RunStream.on`: handlers, what they return, and slow ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.errors import SlowConsumer
from runstream.model.signals import (
    RunCompleted,
    RunCreated,
    RunSignal,
    TextDelta,
)
from runstream.stream.handler_methods import handles
from runstream.stream.run_stream import RunStream
from tests.stream.runs import ScriptedSource, completed, kinds, two_streams

pytestmark = pytest.mark.usefixtures("_leaves_nothing_behind")


# on


async def test_on_selects_by_class_base_tuple_union_string_and_run() -> None:
    first, second = two_streams()
    selectors: dict[str, Any] = {
        "class": RunCompleted,
        "base": RunSignal,
        "tuple": (RunCreated, "run.completed"),
        "union": RunCreated | RunCompleted,
        "string": "run.completed",
    }
    seen: dict[str, list[str]] = {name: [] for name in selectors}
    async with RunStream(ScriptedSource([*first, *second])) as stream:
        for name, selector in selectors.items():

            def note(signal: Any, name: str = name) -> None:
                seen[name].append(signal.type)

            stream.on(selector, note)
        other: list[Any] = []
        stream.on(RunSignal, other.append, run_id="run_other")
        await stream.result()
    assert seen["class"] == seen["string"] == ["run.completed"]
    assert seen["tuple"] == seen["union"] == ["run.created", "run.completed"]
    assert {"run.action_required", "message.text", "tool_call.completed"} <= set(seen["base"])
    assert "source.ended" not in seen["base"]
    assert other == []


async def test_on_refuses_what_it_can_not_do() -> None:
    stream = RunStream()

    async def handler(_: Any) -> None: ...

    with pytest.raises(ValueError, match=r"run\.completed"):
        stream.on("run.complete", handler)
    with pytest.raises(TypeError, match="no signal"):
        stream.on(int, handler)
    with pytest.raises(TypeError, match="no signal"):
        stream.on(object, handler)
    with pytest.raises(TypeError, match="function"):
        stream.on(RunCompleted, None)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="policy"):
        stream.on(RunCompleted, lambda _: None, policy="wait")
    with pytest.raises(ValueError, match="latest"):
        stream.on(RunCompleted, handler, policy="latest")
    with pytest.raises(ValueError, match="policy"):
        stream.on(RunCompleted, handler, policy="never")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="runs"):
        stream.iter("states")  # type: ignore[call-overload]


async def test_on_refuses_a_function_that_can_not_take_the_signal() -> None:
    """At the call of `on`, for plain and coroutine functions, methods of objects, `on_failed` and the stream's hook."""
    stream = RunStream()

    async def wide(signal: Any, other: Any) -> None: ...

    class Agent:
        @handles(RunCompleted)
        def note(self) -> None: ...

    expected = "^a handler is called with the signal, and nothing else: "
    with pytest.raises(TypeError, match=f"{expected}missing a required argument: 'other'"):
        stream.on(RunCompleted, wide)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"{expected}too many positional arguments"):
        stream.on(RunCompleted, lambda: None)  # type: ignore[arg-type,misc]
    with pytest.raises(TypeError, match=expected):
        stream.on(Agent())
    with pytest.raises(TypeError, match=r"^on_failed is called with the failure, and nothing else: "):
        stream.on(RunCompleted, print, on_failed=lambda: None)  # type: ignore[arg-type,misc]
    with pytest.raises(TypeError, match=r"^on_subscriber_error is called with the failure, and nothing else: "):
        RunStream(on_subscriber_error=lambda: None)  # type: ignore[arg-type,misc]


async def test_a_disposed_handler_gets_nothing_more() -> None:
    async with RunStream(ScriptedSource(completed())) as stream:
        seen: list[str] = []
        called: list[str] = []

        async def later(signal: Any) -> None:
            called.append(signal.type)

        def once(signal: RunSignal) -> None:
            seen.append(signal.type)
            one.dispose()

        one = stream.on(RunSignal, once)
        two = stream.on(RunSignal, later)
        two.dispose()
        await stream.result()
    assert seen == ["run.created"]
    assert called == []


async def test_a_slow_coroutine_delays_nobody_and_gets_everything_in_order() -> None:
    async with RunStream(ScriptedSource(completed())) as stream:
        slow: list[str] = []

        async def handler(signal: Any) -> None:
            await asyncio.sleep(0.005)
            slow.append(signal.type)

        quick: list[str] = []
        stream.on((RunSignal,), handler)
        stream.on(RunSignal, lambda s: quick.append(s.type))
        await stream.result()
        assert len(quick) > 5
        assert len(slow) < len(quick)
    assert [k for k in slow if k != "message.text"] == [k for k in quick if k != "message.text"]


async def test_a_lambda_that_returns_a_coroutine_has_it_awaited() -> None:
    seen: list[str] = []

    async def handler(signal: Any) -> None:
        await asyncio.sleep(0)
        seen.append(signal.type)

    async with RunStream(ScriptedSource(completed())) as stream:
        stream.on(RunCreated | RunCompleted, lambda signal: handler(signal))  # noqa: PLW0108 - the point
        await stream.result()
    assert seen == ["run.created", "run.completed"]


# slow consumers


async def test_wait_holds_the_source_and_drops_nothing() -> None:
    source = ScriptedSource(completed(text="one two three four five six seven"))
    async with RunStream(source, buffer=1) as stream:
        seen: list[Any] = []

        async def handler(signal: Any) -> None:
            await asyncio.sleep(0.002)
            seen.append(signal)
            assert source.fed <= len(source.items)

        stream.on(RunSignal, handler)
        stream.start()
        await asyncio.sleep(0.003)
        assert source.fed < len(source.items) / 2
        await stream.results()
    assert seen[-1].type == "run.completed"
    assert "".join(s.delta for s in seen if s.type == "message.text") == "one two three four five six seven"
    assert stream.stats.failures == 0


async def test_who_holds_the_source_for_too_long_is_ended_alone() -> None:
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed()), buffer=2, wait_timeout=0.03, close_timeout=0.1) as stream:
            stuck: list[Any] = []
            fine: list[Any] = []

            async def never(signal: Any) -> None:
                stuck.append(signal)
                await asyncio.sleep(10)

            async def quick(signal: Any) -> None:
                fine.append(signal)

            stream.on(RunSignal, never)
            stream.on(RunSignal, quick)
            run = await asyncio.wait_for(stream.result(), 25)
            assert run.is_complete
    assert len(stuck) == 1
    assert fine[-1].type == "run.completed"
    assert [log["event"] for log in logs] == ["slow_consumer"]
    assert "never" in logs[0]["subscriber"]
    assert stream.stats.failures == 1


async def test_an_iterator_that_is_not_read_is_ended_with_slow_consumer() -> None:
    with capture_logs() as logs:
        async with RunStream(ScriptedSource(completed()), buffer=2, wait_timeout=0.03) as stream:
            idle = stream.iter()
            await asyncio.wait_for(stream.result(), 25)
            got = [await anext(idle), await anext(idle)]
            with pytest.raises(SlowConsumer):
                [signal async for signal in idle]
            assert kinds(got)[:2] == ["source.connected", "run.created"]
    assert [log["event"] for log in logs] == ["slow_consumer"]


async def test_policy_error_ends_the_subscriber_at_overflow() -> None:
    source = ScriptedSource(completed())
    with capture_logs() as logs:
        async with RunStream(source, buffer=2, wait_timeout=3600) as stream:
            idle = stream.iter("events", policy="error")
            await asyncio.wait_for(stream.result(), 25)
            with pytest.raises(SlowConsumer):
                [event async for event in idle]
    assert [(log["event"], log["channel"]) for log in logs] == [("slow_consumer", "events")]


async def test_latest_conflates_states_and_counts() -> None:
    async with RunStream(ScriptedSource(completed("a")), ScriptedSource(completed("b"))) as stream:
        states = stream.iter("runs")
        await stream.results()
        got = [state async for state in states]
        assert [(s.run_id, s.is_terminal) for s in got] == [("run_a_0001", True), ("run_b_0001", True)]
        assert stream.stats.conflated > 10


async def test_text_that_waits_is_joined_and_loses_no_character() -> None:
    async with RunStream(ScriptedSource(completed(text="The whole text, in many pieces."))) as stream:
        signals = stream.iter()
        await stream.results()
        deltas = [s async for s in signals if isinstance(s, TextDelta)]
        assert [(d.offset, d.delta) for d in deltas] == [(0, "The whole text, in many pieces.")]
        assert stream.stats.conflated > 3
        states = stream.latest["run_a_0001"]
        assert states.text == "The whole text, in many pieces."


async def test_breaking_out_of_iteration_frees_the_source() -> None:
    async with RunStream(ScriptedSource(completed()), buffer=1, wait_timeout=3600) as stream:
        async for _ in stream:
            break
        assert (await asyncio.wait_for(stream.result(), 25)).is_complete
