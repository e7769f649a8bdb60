"""Random faults against the sources of the Responses API: resumption by number, polls, and the WebSocket mode.

No wrong success, no hang, no key twice; and where the server has all that is asked for, the run is whole.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection, serve

from runstream import IncompleteStream, Reconnect, ResponsesSource, ResponsesWebSocket, RunStream
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.ports import free_port
from tests.support.responses import ResponseScript

BOUND = 30.0
"""Seconds after which a case hangs."""

FAST = Reconnect(initial=0.001, maximum=0.005, max_attempts=8, max_retry_after=0.01)
STATUSES = (408, 429, 500, 503)


def make_script(rng: random.Random, id: str) -> ResponseScript:
    """A response with texts, reasoning and maybe a call; numbered mostly."""
    script = ResponseScript(id, numbered=rng.random() < 0.85).begin()
    for number in range(rng.randint(1, 3)):
        words = [f"{rng.randrange(1000)} " for _ in range(rng.randint(1, 6))]
        kind = rng.choice(("say", "say", "think"))
        script = script.say(*words, "höö") if kind == "say" else script.think(*words)
        if rng.random() < 0.2:
            script.call(f"call_{id}_{number}", "look", '{"at":', f"{number}}}")
        if rng.random() < 0.2:
            script.send("keepalive")
    return script.end(rng.choice(("completed", "completed", "completed", "failed", "incomplete")))


def text_of(script: ResponseScript) -> str:
    return "".join(event["text"] for event in script.events if event["type"] == "response.output_text.done")


def status_of(script: ResponseScript) -> str:
    end = script.events[-1]["type"].removeprefix("response.")
    calls = any(event.get("item", {}).get("type") == "function_call" for event in script.events)
    return "requires_action" if end == "completed" and calls else end


class FaultyServer:
    """A server of one response that breaks its first answers, each in another way."""

    def __init__(self, script: ResponseScript, rng: random.Random) -> None:
        self.script = script
        self.rng = rng
        self.faults = rng.randint(0, 4)
        self.forgets = rng.random() < 0.25  # it streams the response only once
        self.streams = 0
        self.posts = 0

    async def __call__(self, exchange: Exchange, number: int) -> None:
        request, rng = exchange.request, self.rng
        query = parse_qs(urlsplit(request.path).query)
        is_faulty = self.faults > 0
        self.faults -= is_faulty
        if is_faulty and rng.random() < 0.3:
            status = rng.choice((429, 408) if request.method == "POST" else STATUSES)
            await exchange.answer(status, {}, b"{}")
            return
        self.posts += request.method == "POST"
        if "stream" not in query and request.method == "GET":
            if is_faulty and rng.random() < 0.3:
                exchange.abort()
                return
            value = self.script.response if is_faulty else self.script.events[-1]["response"]
            await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
            return
        if request.method == "GET" and self.forgets:
            await exchange.answer(400, {}, b'{"error": {"message": "too old"}}')
            return
        self.streams += 1
        first = int(query["starting_after"][0]) + 1 if "starting_after" in query else 0
        first = max(0, first - rng.choice((0, 0, 1, 3))) if is_faulty else first
        raws = self.script.raws()[first:]
        if is_faulty and rng.random() < 0.3:
            raws = [raw for raw in raws for _ in range(rng.choice((1, 1, 2)))] if self.script._numbered else raws
        body = "".join(block(raw.data.decode(), event=raw.event) for raw in raws).encode()
        cut = rng.randrange(len(body) + 1) if is_faulty and body else len(body)
        at = 0
        while at < cut:
            size = rng.choice((1, 50, 700, 5_000))
            await exchange.send(body[at : min(cut, at + size)])
            at += size
        if is_faulty and rng.random() < 0.7:
            await asyncio.sleep(0.01)
            exchange.abort()


async def observe(stream: RunStream) -> list[Any]:
    """Read to the end, and return the signals."""
    signals: list[Any] = []
    stream.signals.subscribe(signals.append)
    async with asyncio.timeout(BOUND), stream:
        with suppress(IncompleteStream):
            await stream.results()
    return signals


def check(script: ResponseScript, stream: RunStream, signals: list[Any], *, whole: bool) -> None:
    """Check the run of a response.

    Args:
        script: What the server has.
        stream: The stream after its end.
        signals: All signals.
        whole: True if all of it was available.
    """
    mine = [signal for signal in signals if getattr(signal, "run_id", None) == script.id]
    keys = [signal.key for signal in mine]
    assert len(keys) == len(set(keys)), "a key twice"
    state = stream.latest.get(script.id)
    types = {signal.type for signal in mine}
    if state is not None and state.status in ("completed", "failed", "incomplete", "requires_action"):
        assert state.status == status_of(script), "a wrong status"
        assert state.text == text_of(script), "a wrong text"
    elif state is not None:
        assert "run.interrupted" in types, "an end without a word"
    if state is None or state.status != "completed":
        assert "run.completed" not in types, "a wrong success"
    if whole:
        assert state is not None
        assert state.status == status_of(script), "less than was available"


@pytest.mark.parametrize("part", range(4))
async def test_resumption_and_polls(part: int) -> None:
    for seed in range(part * 25, part * 25 + 25):
        rng = random.Random(f"responses/{seed}")
        script, poll = make_script(rng, f"resp_{seed}"), rng.random() < 0.5
        server = FaultyServer(script, rng)
        joins = rng.random() < 0.3 and script._numbered
        with capture_logs():
            async with http_serving(server) as peer:
                options: dict[str, Any] = {"response_id": script.id} if joins else {"body": {"input": "x"}}
                source = ResponsesSource(
                    f"{peer.url}/v1", poll=poll, poll_interval=0.002, proxy=None, reconnect=FAST, grace=0.05, **options
                )
                stream = RunStream(source)
                signals = await observe(stream)
        try:
            check(script, stream, signals, whole=poll and source.response_id is not None)
            assert server.posts <= 1, "a POST twice"
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("part", range(4))
async def test_the_websocket_mode(part: int) -> None:
    for seed in range(part * 15, part * 15 + 15):
        rng = random.Random(f"responses/websocket/{seed}")
        scripts = {f"resp_{seed}_{number}": make_script(rng, f"resp_{seed}_{number}") for number in range(5)}
        lanes, names = rng.choice((1, 1, 2, 3)), rng.random() < 0.8
        cut = {id: rng.randrange(1, 20) for id in scripts if rng.random() < 0.3}
        sent_whole: set[str] = set()
        tasks: set[asyncio.Task[None]] = set()

        async def play(
            socket: ServerConnection,
            message: dict[str, Any],
            lock: asyncio.Lock,
            scripts: dict[str, ResponseScript] = scripts,
            rng: random.Random = rng,
            names: bool = names,
            cut: dict[str, int] = cut,
            sent_whole: set[str] = sent_whole,
        ) -> None:
            id = message["input"]
            lane = {"stream_id": message["stream_id"]} if names and "stream_id" in message else {}
            async with lock if not names else asyncio.Lock():
                for number, event in enumerate(scripts[id].events):
                    if number == cut.get(id):
                        rng.choice((socket.transport.abort, socket.transport.close))()
                        return
                    await socket.send(json.dumps({**event, **lane}))
                    await asyncio.sleep(0)
            sent_whole.add(id)

        async def connected(socket: ServerConnection, play: Any = play, tasks: set[asyncio.Task[None]] = tasks) -> None:
            lock = asyncio.Lock()
            async for text in socket:
                task = asyncio.ensure_future(play(socket, json.loads(text), lock))
                tasks.add(task)

        port = free_port()
        with capture_logs():
            async with (
                serve(connected, "127.0.0.1", port),
                ResponsesWebSocket(
                    f"http://127.0.0.1:{port}/v1",
                    lanes=lanes,
                    max_age=rng.choice((0.005, 10.0)),
                    proxy=None,
                    reconnect=FAST,
                    grace=0.05,
                ) as socket,
            ):
                stream = RunStream(*(socket.response({"input": id}) for id in scripts))
                signals = await observe(stream)
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            for id, script in scripts.items():
                # One lost socket takes the other responses on it along.
                check(script, stream, signals, whole=id in sent_whole and not cut)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
