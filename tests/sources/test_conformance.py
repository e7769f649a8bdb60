"""What holds of every source, whatever it reads; a further kind joins in `tests.sources.conformance`."""

from __future__ import annotations

import asyncio

import pytest

from runstream.engine.fold import fold
from runstream.errors import IncompleteStream, SourceFailed
from runstream.model.raw import RawEvent, RawItem, Request, ResponseHead
from runstream.model.signals import RunInterrupted, Signal, SourceDisconnected, SourceResumed
from runstream.sources.base import Source
from runstream.stream.run_stream import RunStream
from tests.sources.conformance import RIGS, SECRET, STORY, Rig, Script
from tests.sources.reading import in_background
from tests.support.receiver import FakeReceiver, eventually

LIVE = STORY[: len(STORY) // 2]
"""A run that has not ended."""
WITHIN = 20.0


def those(**wanted: bool) -> list[object]:
    """The rigs of which all this is so."""
    return [
        pytest.param(rig, id=name)
        for name, rig in RIGS.items()
        if all(getattr(rig, what) is value for what, value in wanted.items())
    ]


def keys(signals: list[Signal]) -> list[str]:
    """What was told of runs."""
    return [signal.key for signal in signals if not signal.type.startswith("source.")]


async def told(source: Source) -> tuple[list[Signal], Exception | None]:
    """All signals of a stream of the source, and what became of it."""
    signals: list[Signal] = []
    error: Exception | None = None
    async with asyncio.timeout(WITHIN), RunStream(source) as stream:
        stream.signals.subscribe(signals.append)
        try:
            await stream.results()
        except IncompleteStream as failed:
            error = failed
    return signals, error


def same(item: RawEvent, sent: RawEvent) -> bool:
    """Whether it is what was sent: by itself, or in an envelope."""
    if item.event is not None:
        return (item.event, item.data) == (sent.event, sent.data)
    return f'"event": "{sent.event}"'.encode() in item.data and sent.data in item.data


@pytest.mark.parametrize("rig", those(events=True))
async def test_it_tells_what_it_was_told_in_order_and_once(rig: Rig) -> None:
    async with rig.serve(Script()) as served:
        signals, error = await told(served.make())
    assert error is None
    assert keys(signals) == keys(list(fold(STORY).signals))


@pytest.mark.parametrize("rig", those(events=False))
async def test_it_tells_how_things_are_to_the_end(rig: Rig) -> None:
    async with rig.serve(Script()) as served:
        signals, error = await told(served.make())
    assert error is None
    assert set(keys(signals)) <= set(keys(list(fold(STORY).signals)))
    assert signals[-2].type == "run.completed"


@pytest.mark.parametrize("rig", those())
async def test_it_ends_when_there_is_no_more(rig: Rig) -> None:
    receiver = FakeReceiver()
    async with asyncio.timeout(WITHIN), rig.serve(Script()) as served:
        await served.make().run(receiver)
        await eventually(lambda: not served.open, within=WITHIN)
    assert receiver.log == [("connected", 0)]
    assert receiver.items


@pytest.mark.parametrize("rig", those(holds=True))
async def test_cancelling_lets_go_of_what_it_holds(rig: Rig) -> None:
    receiver = FakeReceiver(live=True)
    async with rig.serve(Script(hold=True)) as served:
        async with in_background(served.make(), receiver, within=WITHIN) as task:
            await eventually(
                lambda: bool(receiver.items) and served.sent == len(STORY) and served.open == 1, within=WITHIN
            )
            assert not task.done()
            task.cancel()
            await asyncio.wait({task}, timeout=WITHIN)
            assert task.cancelled()
        await eventually(lambda: not served.open, within=WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize("rig", those(pulls=True))
async def test_it_takes_no_more_than_the_pipeline_wants(rig: Rig) -> None:
    receiver = FakeReceiver(live=True)
    async with rig.serve(Script(flood=True)) as served:
        async with in_background(served.make(), receiver, within=WITHIN):
            await receiver.until(100, within=WITHIN)
            receiver.gate.clear()
            held = -1
            async with asyncio.timeout(WITHIN):
                while held != served.sent:
                    held = served.sent
                    await asyncio.sleep(0.3)
            fed = len(receiver.items)
            await asyncio.sleep(0.1)
            assert (served.sent, len(receiver.items)) == (held, fed)
            receiver.gate.set()
            await receiver.until(held, within=WITHIN)  # whatever was on its way is there, and in order
        await eventually(lambda: not served.open, within=WITHIN)
    for number, item in enumerate(item for item in receiver.items if not isinstance(item, Request | ResponseHead)):
        assert isinstance(item, RawEvent)
        assert same(item, STORY[number % len(STORY)])


@pytest.mark.parametrize("rig", those())
async def test_what_a_subscriber_raises_comes_through_and_lets_go(rig: Rig) -> None:
    class TheirOwn(BaseException):
        pass

    def raises(item: RawItem) -> None:
        raise TheirOwn

    async with asyncio.timeout(WITHIN), rig.serve(Script()) as served:
        with pytest.raises(TheirOwn):
            await served.make().run(FakeReceiver(on_feed=raises))
        await eventually(lambda: not served.open, within=WITHIN)


@pytest.mark.parametrize("rig", those())
async def test_what_is_raised_on_connecting_comes_through_and_lets_go(rig: Rig) -> None:
    class TheirOwn(BaseException):
        pass

    class Refusing(FakeReceiver):
        def connected(self, attempt: int = 0) -> None:
            raise TheirOwn

    async with asyncio.timeout(WITHIN), rig.serve(Script(hold=rig.holds)) as served:
        source = served.make()
        with pytest.raises(TheirOwn):
            await source.run(Refusing())
        await eventually(lambda: not served.open, within=WITHIN)


@pytest.mark.parametrize("rig", those(events=True))
async def test_an_end_while_a_run_is_live_is_no_success(rig: Rig) -> None:
    async with rig.serve(Script(items=LIVE)) as served:
        signals, error = await told(served.make(reconnect=None) if rig.network else served.make())
    assert error is not None
    assert keys(signals)[:-1] == keys(list(fold(LIVE).signals))[:-1]
    assert [type(signal) for signal in signals].count(RunInterrupted) == 1
    assert signals[-1].type == "source.ended"


@pytest.mark.parametrize("rig", those(network=True))
@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_refusal_fails_it_with_the_status_and_no_secret(rig: Rig, status: int) -> None:
    async with asyncio.timeout(WITHIN), rig.serve(Script(refuse=status)) as served:
        source = served.make()
        with pytest.raises(SourceFailed) as failed:
            await source.run(FakeReceiver())
    assert str(status) in failed.value.reason
    assert failed.value.status == status
    assert SECRET not in f"{failed.value!r} {source!r} {source.name}"


@pytest.mark.parametrize("rig", those(network=True))
async def test_a_cut_is_mended_without_loss_or_repetition(rig: Rig) -> None:
    async with rig.serve(Script(cut=len(STORY) // 2)) as served:
        signals, error = await told(served.make())
    assert error is None
    if rig.events:
        assert keys(signals) == keys(list(fold(STORY).signals))
        kinds = [type(signal) for signal in signals]
        assert (kinds.count(SourceDisconnected), kinds.count(SourceResumed)) == (1, 1)
    assert len(set(keys(signals))) == len(keys(signals))
    assert "run.completed" in [signal.type for signal in signals]


@pytest.mark.parametrize("rig", those(network=True, events=True))
async def test_a_server_that_never_gets_further_is_given_up(rig: Rig) -> None:
    """The same half of a run, again and again."""
    async with rig.serve(Script(items=LIVE)) as served:
        signals, error = await told(served.make())
    assert error is not None
    assert isinstance(error.__cause__, SourceFailed)
    assert keys(signals)[:-1] == keys(list(fold(LIVE).signals))[:-1]
    assert len(set(keys(signals))) == len(keys(signals))


@pytest.mark.parametrize("rig", those())
async def test_it_has_a_name_that_tells_no_secret(rig: Rig) -> None:
    async with rig.serve(Script()) as served:
        source = served.make()
        assert isinstance(source, Source)
        assert source.name
        assert SECRET not in source.name + repr(source)
        if not rig.network:  # what was handed over is to be let go of
            await source.run(FakeReceiver())
