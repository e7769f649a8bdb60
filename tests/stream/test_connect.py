"""`connect`: the options of the source and of the stream in one call, and nothing done before it is read."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from websockets.asyncio.server import serve

import runstream
from runstream import demo
from runstream.recordings.reader import read_recording
from runstream.recordings.server import serve_recording
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.websocket import WebSocketSource
from runstream.stream.connect import ConnectOptions, connect
from runstream.stream.run_stream import RunStream
from tests.support.http_peer import Exchange, http_serving


def options_of(kind: type, *, but: set[str]) -> set[str]:
    """The names of what a class takes."""
    return set(inspect.signature(kind).parameters) - but


async def test_a_url_becomes_a_run() -> None:
    """The shortest way."""
    async with (
        asyncio.timeout(25),
        serve_recording(read_recording(demo.load("text.sse")), speed=0) as server,
        connect(server.url, proxy=None) as stream,
    ):
        run = await stream.result()
    assert run.id == "run_demo_text_0001"
    assert run.status == "completed"


def test_it_is_among_the_public_names() -> None:
    """As the documentation has it."""
    assert runstream.connect is connect


@pytest.mark.parametrize("url", ["gateway.example/runs", "", "file:///tmp/a", "wss:", "https://"])
def test_other_urls_are_refused_at_once(url: str) -> None:
    """What is no live stream's URL is a mistake of the caller, said without waiting for a connection."""
    with pytest.raises(ValueError, match="https:// URL"):
        connect(url)


@pytest.mark.parametrize("url", ["ws://al:s3cret@ex\u2100mple/", "ws://[s3cret", "ftp://al:s3cret@gateway.example"])
def test_a_refused_url_is_not_repeated(url: str) -> None:
    """Not even where the standard library would."""
    with pytest.raises(ValueError, match="URL") as caught:
        connect(url)
    told: BaseException | None = caught.value
    assert "s3cret" not in str(told)
    assert told is not None
    assert told.__cause__ is None or "s3cret" not in str(told.__cause__)
    assert told.__suppress_context__ or told.__context__ is None


@pytest.mark.parametrize("url", ["WS://gateway.example", "wss://gateway.example"])
async def test_a_scheme_in_capitals_is_one(url: str) -> None:
    """Schemes know no case (RFC 3986, section 3.1)."""
    async with connect(url) as stream:
        assert isinstance(stream, RunStream)


def test_an_unknown_option_is_refused() -> None:
    """A misspelt option is not ignored."""
    with pytest.raises(TypeError, match="max_mesage_bytes"):
        connect("ws://gateway.example", max_mesage_bytes=1)  # type: ignore[call-arg]


def test_the_options_are_typed_as_in_their_classes() -> None:
    """Each keyword argument of the sources and the stream is an option, with the same annotation."""
    expected: dict[str, str] = {}
    for kind in (WebSocketSource, SseSource, RunStream):
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                assert expected.setdefault(name, parameter.annotation) == parameter.annotation, name
    typed = {name: one.__forward_arg__ for name, one in ConnectOptions.__annotations__.items()}
    assert typed == expected


async def test_an_http_url_is_read_as_server_sent_events() -> None:
    """As bytes of an event stream, to the run."""
    body = demo.load("text.sse")

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(body)

    async with asyncio.timeout(25), http_serving(respond) as peer, connect(peer.url, proxy=None) as stream:
        run = await stream.result()
    assert (run.id, run.status) == ("run_demo_text_0001", "completed")


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (WebSocketSource, "ws://gateway.example"),
        (SseSource, "http://gateway.example"),
        (SseSource, "https://g.example"),
    ],
)
async def test_every_option_reaches_its_class(kind: type, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the source or the stream takes can be given; where both know a name, it is the stream's."""
    got: dict[str, dict[str, Any]] = {}

    def spy(kind: type) -> Any:
        def made(*args: Any, **options: Any) -> Any:
            got[kind.__name__] = options
            return args

        return made

    source = options_of(kind, but={"url"})
    stream = options_of(RunStream, but={"sources"})
    monkeypatch.setattr(inspect.getmodule(kind), kind.__name__, spy(kind))  # loaded when the URL asks for it
    monkeypatch.setattr(inspect.getmodule(connect), "RunStream", spy(RunStream))
    connect(url, **dict.fromkeys(source | stream))
    assert set(got["RunStream"]) == stream
    assert set(got[kind.__name__]) == source - stream


async def test_nothing_is_done_before_reading_starts() -> None:
    """Neither in the call nor on entering the context."""
    met: list[str] = []

    async def handler(connection: Any) -> None:
        met.append("a client")

    async with asyncio.timeout(25), serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with connect(url, proxy=None, name="gateway", reconnect=Reconnect(max_attempts=1)) as stream:
            await asyncio.sleep(0.05)
            assert met == []
            ended = await stream.when("source.ended")
            assert ended.source == "gateway"
        assert met == ["a client"]
