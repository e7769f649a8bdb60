"""The same bytes through others: the event handlers of the `openai` and `azure-ai-agents` packages, a loop written by
hand on msgspec, and a pipeline of stock RxPY operators.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, get_type_hints

import msgspec
import openai
import reactivex as rx
from azure.ai.agents.models import AgentEventHandler
from core import RUNS, bare, bare_decode, core
from pairing import Row, paired
from reactivex import operators as ops
from streams import messages, sse_body

from runstream import Engine, RawEvent, TextDelta
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.base import WireStruct, decoder
from runstream.sources.sse_parser import SSEParser

__all__ = ["chunks", "offline_api", "peer_rows"]

CHUNK = 65_536
# A short answer costs its ten snapshots above all.
AIMS = {
    ("openai, sync", 200): "≥ 50",
    ("azure-ai-agents", 200): "≥ 40",
    ("openai, sync", 1000): "≥ 50",
    ("azure-ai-agents", 1000): "≥ 50",
}
# What reads the payload of each event with types.
payloads: dict[str, Callable[[bytes], Any]] = {
    name: decoder(hints["data"]).decode
    for name, kind in EVENT_TYPES.items()
    if isinstance((hints := get_type_hints(kind)).get("data"), type) and issubclass(hints["data"], WireStruct)
}


class Outcome(NamedTuple):
    """What a contender made of a stream: it must be the same for all."""

    status: str
    text: str
    pieces: int


def chunks(body: bytes) -> Iterator[bytes]:
    """A body as a socket gives it."""
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]


def runstream_sse(body: bytes) -> Outcome:
    """The parser and the engine: full state, every signal taken."""
    pieces = [0]

    def take(signal: Any) -> None:
        if type(signal) is TextDelta:
            pieces[0] += 1

    engine = Engine()
    engine.on_signal = take
    intake, parser = engine.intake("bench"), SSEParser()
    for chunk in chunks(body):
        parser.at = time.time()  # as the source does
        intake.feed_all(parser.feed(chunk))
    intake.feed_all(parser.close())
    (state,) = engine.states()
    return Outcome(state.status.value, state.text, pieces[0])


def parsed_and_decoded(body: bytes) -> int:
    """The floor: the parser, and one typed decoding for each block; nothing is kept."""
    parser, count = SSEParser(), 0
    for chunk in chunks(body):
        for raw in parser.feed(chunk):
            if isinstance(raw, RawEvent) and raw.event in payloads:
                payloads[raw.event](raw.data)
                count += 1
    return count


def _http() -> Any:
    """The HTTP client that the openai package brings."""
    kinds = openai.DefaultHttpxClient.__mro__
    return importlib.import_module(next(kind.__module__.split(".")[0] for kind in kinds if "httpx" in kind.__module__))


def offline_api(body: bytes) -> openai.OpenAI:
    """The package's client, whose transport answers each request with this event stream."""
    http = _http()
    headers = {"content-type": "text/event-stream"}
    transport = http.MockTransport(lambda request: http.Response(200, headers=headers, content=body))
    client = openai.DefaultHttpxClient(transport=transport)
    return openai.OpenAI(api_key="none", base_url="http://offline.invalid/v1", http_client=client)


class _Handler(openai.AssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0
        self.text = ""

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.pieces += 1

    def on_text_done(self, text: Any) -> None:
        self.text += text.value


class _AsyncHandler(openai.AsyncAssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0
        self.text = ""

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.pieces += 1

    async def on_text_done(self, text: Any) -> None:
        self.text += text.value


def openai_sync(body: bytes) -> Outcome:
    """The package's own handler, as its documentation has it. No network: the transport answers by itself."""
    handler = _Handler()
    with (
        offline_api(body) as api,
        api.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=handler) as stream,
    ):
        stream.until_done()
    assert handler.current_run is not None
    return Outcome(handler.current_run.status, handler.text, handler.pieces)


def openai_async(body: bytes) -> Outcome:
    """The same, asynchronous."""

    async def run() -> Outcome:
        http = _http()

        async def answer(request: object) -> Any:
            return http.Response(200, headers={"content-type": "text/event-stream"}, content=body)

        client = openai.DefaultAsyncHttpxClient(transport=http.MockTransport(answer))
        handler = _AsyncHandler()
        async with (
            openai.AsyncOpenAI(api_key="none", base_url="http://offline.invalid/v1", http_client=client) as api,
            api.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=handler) as stream,
        ):
            await stream.until_done()
        assert handler.current_run is not None
        return Outcome(handler.current_run.status, handler.text, handler.pieces)

    return asyncio.run(run())


class _Agent(AgentEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.status = ""

    def on_message_delta(self, delta: Any) -> None:
        self.pieces.append(delta.text)

    def on_thread_run(self, run: Any) -> None:
        self.status = str(getattr(run.status, "value", run.status))


def azure(body: bytes) -> Outcome:
    """The package's own handler, given the bytes of a response."""
    handler = _Agent()
    handler.initialize(chunks(body), lambda run, handler, submit: None)
    handler.until_done()
    return Outcome(handler.status, "".join(handler.pieces), len(handler.pieces))


def by_hand() -> int:
    """What one would write for one's own server: decode, keep the run, append the text, call back. No dedupe, no
    rejects, no caps, no late joiners, no states that stay what they are.
    """
    texts: dict[str, list[str]] = {}
    runs: dict[str, Any] = {}
    count = 0

    def call(id: str, text: str) -> None:
        nonlocal count
        count += 1

    for raw in messages(RUNS):
        event: Any = bare_decode(raw.data)
        if event.event == "thread.message.delta":
            id = event.data.id
            for part in event.data.delta.content:
                texts.setdefault(id, []).append(part.text.value)
                call(id, part.text.value)
        elif event.event.startswith("thread.run.") and ".step." not in event.event:
            runs[event.data.id] = event.data
    return count


def naive_rx(stream: tuple[RawEvent, ...]) -> int:
    """What one would write first with stock operators: map, group_by, scan, distinct_until_changed, merged again."""
    calls = [0]

    def count(state: Any) -> None:
        calls[0] += 1

    def accumulate(state: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        data = event["data"]
        if event["event"] == "thread.message.delta":
            parts = "".join(part["text"]["value"] for part in data["delta"]["content"])
            return {**state, "text": state.get("text", "") + parts}
        if data.get("object") == "thread.run":
            return {**state, "run": data}
        return state

    rx.from_iterable(stream).pipe(
        ops.map(lambda raw: msgspec.json.decode(raw.data)),
        ops.group_by(lambda event: event["data"].get("run_id") or event["data"]["id"]),
        ops.flat_map(lambda group: group.pipe(ops.scan(accumulate, {}), ops.distinct_until_changed())),
    ).subscribe(count)
    return calls[0]


def peer_rows(rounds: int) -> list[Row]:
    """Against the packages that people use today, on the same bytes."""
    logging.getLogger("openai").setLevel(logging.ERROR)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packages deprecate their own interfaces
        for words in (200, 1000, 4000):
            body = sse_body(words)
            mine = runstream_sse(body)
            assert mine == ("completed", "word " * words, words), mine
            peers: dict[str, Callable[[bytes], Outcome]] = {"openai, sync": openai_sync, "azure-ai-agents": azure}
            if words == 200:
                peers["openai, async"] = openai_async
            for name, call in peers.items():
                theirs = call(body)
                assert theirs == mine, (name, theirs.status, theirs.pieces, mine.pieces)
                turns = rounds if words < 4000 else max(3, rounds // 3)
                ratio = paired(partial(call, body), partial(runstream_sse, body), turns, others=20)
                aim = AIMS.get((name, words), "")
                rows.append(Row(f"{name} handler: CPU time, times that of runstream; SSE, {words} deltas", aim, ratio))
    for words in (200, 1000):
        body = sse_body(words)
        assert parsed_and_decoded(body) > words
        for name, call in (("openai", openai_sync), ("azure-ai-agents", azure)):
            floor = paired(partial(call, body), partial(parsed_and_decoded, body), rounds, others=20)
            what = f"{name}'s floor: against parsing and bare typed decode alone, {words} deltas"
            rows.append(Row(what, "", floor))
        floor = paired(partial(runstream_sse, body), partial(parsed_and_decoded, body), rounds, others=1)
        rows.append(Row(f"runstream against the same floor, {words} deltas", "", floor))
    assert by_hand() == 200 * RUNS
    assert len(core().states()) == RUNS
    rows.append(
        Row(
            "a loop by hand on the same decoder (no guarantees), against bare decode", "", paired(by_hand, bare, rounds)
        )
    )
    few = messages(3)
    assert naive_rx(few) > 600
    naive = paired(lambda: naive_rx(few), lambda: [bare_decode(raw.data) for raw in few], rounds)
    rows.append(Row("stock RxPY operators (map, group_by, scan), against bare decode", "", naive))
    return rows


if __name__ == "__main__":
    from pairing import table

    print(table(peer_rows(5)))
