"""With a store, `result` and `when` without an id refer to what the sources of this stream have sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream import (
    ActionRequired,
    IncompleteStream,
    MemoryStore,
    RawEvent,
    ResponsesSource,
    Run,
    RunCompleted,
    RunCreated,
    RunStream,
    SeveralRuns,
)
from runstream.sources.base import Receiver
from runstream.testing import Conversation, script
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.responses import ResponseScript


def raws(run_id: str, *, ids: bool = False, waits: bool = False) -> list[RawEvent]:
    one = script(run_id).start()
    one = one.call(weather={"city": "Oslo"}) if waits else one.say("Hello.").end()
    events = Conversation([one]).raw_events()
    return [RawEvent(item.event, item.data, str(number) if ids else None) for number, item in enumerate(events)]


class Server:
    """A source of one name over all processes.

    Args:
        items: What it sends.
        resumes: True to ask for the last id, and to send what is behind it.
        stays: True to stay open.
    """

    name = "server"

    def __init__(self, items: list[RawEvent], *, resumes: bool = False, stays: bool = False) -> None:
        self.items = items
        self.resumes = resumes
        self.stays = stays

    async def run(self, receiver: Receiver) -> None:
        await asyncio.sleep(0.01)
        last = receiver.last_id if self.resumes else None
        receiver.connected()
        for item in self.items[0 if last is None else int(last) + 1 :]:
            receiver.feed(item)
            await receiver.ready()
        if self.stays:
            await asyncio.Event().wait()


async def first_process(items: list[RawEvent]) -> MemoryStore:
    store = MemoryStore()
    async with asyncio.timeout(20), RunStream(Server(items), store=store) as stream:
        try:
            await stream.results()
        except IncompleteStream:
            assert stream.restore() or stream.latest
    return store


async def result_of(store: MemoryStore, source: Server) -> Run:
    async with asyncio.timeout(20), RunStream(source, store=store) as stream:
        return await stream.result()


@pytest.mark.parametrize("ids", [False, True])
async def test_a_new_run_is_not_answered_by_an_old_one(ids: bool) -> None:
    """The new run, if it ends; an error, if it is cut off; whether or not the old one had a place."""
    store = await first_process(raws("run_1", ids=ids))
    assert (await result_of(store, Server(raws("run_2")))).id == "run_2"
    store = await first_process(raws("run_1", ids=ids))
    with pytest.raises(IncompleteStream) as raised:
        await result_of(store, Server(raws("run_2")[:3]))
    assert [state.run_id for state in raised.value.states] == ["run_2"]
    store = await first_process(raws("run_1", ids=ids))
    with pytest.raises(IncompleteStream, match="no run was seen"):
        await result_of(store, Server([]))


async def test_a_source_that_resumes_has_sent_what_is_stored() -> None:
    """Nothing new comes: the stored run is the answer, at once."""
    items = raws("run_1", ids=True)
    store = await first_process(items)
    assert (await result_of(store, Server(items, resumes=True, stays=True))).id == "run_1"
    longer = [*items, *(RawEvent(i.event, i.data, str(n)) for n, i in enumerate(raws("run_2"), len(items)))]
    async with asyncio.timeout(20), RunStream(Server(longer, resumes=True), store=store) as stream:
        await stream.when(RunCompleted, run_id="run_2")
        with pytest.raises(SeveralRuns):
            await stream.result()


async def test_a_source_that_sends_all_again_has_sent_it() -> None:
    """Without ids, and with no signal of it, because all are delivered already; the stream stays open."""
    store = await first_process(raws("run_1"))
    assert (await result_of(store, Server(raws("run_1"), stays=True))).id == "run_1"


async def test_the_rest_of_an_open_run_is_its_end() -> None:
    """A run of the earlier process that this source goes on with is the stream's run."""
    items = raws("run_1")
    store = await first_process(items[:4])
    assert (await result_of(store, Server(items[4:]))).id == "run_1"


async def test_when_without_an_id_waits_for_what_is_sent() -> None:
    store = await first_process(raws("run_1", waits=True))
    async with asyncio.timeout(20), RunStream(Server(raws("run_1", waits=True), stays=True), store=store) as stream:
        signal = await stream.when(ActionRequired, run_id="run_1")
        assert signal.run_id == "run_1"
        waiting: Any = asyncio.ensure_future(stream.when(ActionRequired))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert (await waiting).key == signal.key
    store = await first_process(raws("run_1", waits=True))
    async with asyncio.timeout(20), RunStream(Server(raws("run_2")), store=store) as stream:
        assert (await stream.when(RunCreated)).run_id == "run_2"
        with pytest.raises(TimeoutError):
            await stream.when(ActionRequired, timeout=0)


async def test_stored_runs_are_reached_by_id_restore_and_latest() -> None:
    store = await first_process(raws("run_1"))
    await result_of(store, Server(raws("run_2")))
    async with asyncio.timeout(20), RunStream(store=store) as stream:
        with stream.keep_open():
            first: Any = asyncio.ensure_future(stream.result())
            named: Any = asyncio.ensure_future(stream.result("run_1"))
            await asyncio.sleep(0)
            assert [state.run_id for state in stream.restore("run_2")] == ["run_2"]
            assert (await named).id == "run_1"
            assert set(stream.latest) == {"run_1", "run_2"}
            assert (await stream.run("run_2").result()).id == "run_2"
            assert not first.done()
            stream.attach(Server(raws("run_3")))
            assert (await first).id == "run_3"


async def test_results_leave_out_runs_that_ended_earlier() -> None:
    store = await first_process(raws("run_1"))
    async with asyncio.timeout(20), RunStream(Server(raws("run_2")), store=store) as stream:
        assert [run.id for run in await stream.results()] == ["run_2"]


async def test_an_open_run_of_an_earlier_process_is_no_success() -> None:
    """Its source ended without it: `results` names it."""
    store = await first_process(raws("run_1")[:3])
    async with asyncio.timeout(20), RunStream(Server(raws("run_2")), store=store) as stream:
        with pytest.raises(IncompleteStream) as raised:
            await stream.results()
    assert [state.run_id for state in raised.value.states] == ["run_1"]


def response_blocks(id: str) -> list[str]:
    """The blocks of one response, whose last event is its end."""
    return [block(item.data.decode()) for item in ResponseScript(id).begin().say("Hello.").end().raws()]


@pytest.mark.parametrize("status", [200, 500], ids=["cut off", "refused"])
async def test_a_second_response_is_not_answered_by_the_first(status: int) -> None:
    """A POST begins something new, also where its source could continue the stored one by a number."""
    store = MemoryStore()

    async def respond(exchange: Exchange, number: int) -> None:
        if exchange.request.method == "POST" and number and status == 500:
            await exchange.start(500, content_type="text/plain")
        elif exchange.request.method == "POST":
            for text in response_blocks(f"resp_{number}")[: None if number == 0 else 2]:
                await exchange.send(text)
        else:
            await exchange.start(404, content_type="text/plain")

    async with http_serving(respond) as peer:
        for number in range(2):
            source = ResponsesSource(peer.url, {"model": "m", "input": "x"}, name="server", reconnect=None, proxy=None)
            async with asyncio.timeout(20), RunStream(source, store=store) as stream:
                if number == 0:
                    assert (await stream.result()).id == "resp_0"
                    continue
                with pytest.raises(IncompleteStream):
                    await stream.result()
                with pytest.raises(IncompleteStream):
                    await stream.when(RunCompleted)
                assert (await stream.result("resp_0")).is_terminal


async def test_a_joined_response_that_the_store_has_whole() -> None:
    """The server has nothing behind the last number, and that is no failure."""
    store = MemoryStore()

    async def respond(exchange: Exchange, number: int) -> None:
        for text in response_blocks("resp_1") if number == 0 else []:
            await exchange.send(text)

    async with http_serving(respond) as peer:
        for _ in range(2):
            source = ResponsesSource(peer.url, response_id="resp_1", name="server", reconnect=None, proxy=None)
            async with asyncio.timeout(20), RunStream(source, store=store) as stream:
                assert [run.id for run in await stream.results()] == ["resp_1"]
    assert "starting_after" in peer.requests[1].path
