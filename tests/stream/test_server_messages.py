"""A server's words reach the exceptions of a stream: structured ones masked, others in a field of their own; no log."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream import IncompleteStream, RunStream, ServerError, SourceFailed, SseSource, WebSocketSource, record
from runstream.sinks.log import log_signals
from runstream.testing import Script
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.peers import serving

SAID = "The key of alice is used up"


class Refused:
    """A source that delivers a run without its end, and is refused then."""

    name = "server"

    def __init__(self, raws: Any) -> None:
        self._raws = raws

    async def run(self, receiver: Any) -> None:
        receiver.connected()
        await receiver.feed_all(self._raws)
        receiver.disconnected("HTTP 503", 1, SAID)
        raise SourceFailed("HTTP 429", attempts=1, status=429, server_message=SAID)


async def test_a_failed_source() -> None:
    """The exception has the words beside its reason, and so has its cause; its message has none of them."""
    with capture_logs() as logs:
        async with RunStream(Refused(Script().start().raw_events())) as stream:
            log_signals(stream)
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
    error = caught.value
    assert error.server_message == SAID
    assert SAID not in str(error) + error.reason
    assert isinstance(error.__cause__, SourceFailed)
    assert error.__cause__.server_message == SAID
    assert any(entry["event"] == "source_failed" for entry in logs)
    assert SAID not in str(logs)


async def test_the_last_error_of_a_server() -> None:
    """Where no source failed, the exception and its cause have the code and message of the server's last error."""
    raws = Script().start().error("first").error(SAID, "rate_limit_exceeded").raw_events()
    async with RunStream(raws) as stream:
        with pytest.raises(IncompleteStream) as caught:
            await stream.result()
    assert caught.value.server_message == SAID
    assert f"the server sent an error: rate_limit_exceeded ({SAID})" in str(caught.value)
    assert isinstance(caught.value.__cause__, ServerError)
    assert (caught.value.__cause__.code, caught.value.__cause__.message) == ("rate_limit_exceeded", SAID)
    assert pickle.loads(pickle.dumps(caught.value.__cause__)).message == SAID


TOKEN = "tok-9f27c1d0e8a64b53"
ECHOED = [TOKEN, TOKEN[:12], base64.b64encode(TOKEN.encode()).decode(), "alice@example.org", "q-token-81723"]


@pytest.mark.parametrize("echo", ECHOED)
@pytest.mark.parametrize("recorded", [True, False])
async def test_what_an_event_quotes_is_masked_in_the_exception(echo: str, recorded: bool, tmp_path: Path) -> None:
    """Header, query and body of the request that the stream was the answer to; the field has the words as received."""
    error = {"error": {"message": f"no credit for {echo}, sorry", "code": "insufficient_quota"}}
    blocks = [block(raw.data.decode(), event=raw.event) for raw in Script().start().emit("error", error).raw_events()]

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send("".join(blocks))

    async with http_serving(respond) as peer, asyncio.timeout(20):
        source: Any = SseSource(
            f"{peer.url}/?key=q-token-81723",
            method="POST",
            json={"user": "alice@example.org"},
            auth=TOKEN,
            reconnect=None,
            proxy=None,
        )
        if recorded:
            source = record(source, tmp_path / "run.jsonl")
        async with RunStream(source) as stream:
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
    shown = [str(caught.value), str(caught.value.server_error), repr(caught.value.server_error)]
    assert not any(echo in text for text in shown)
    assert all("insufficient_quota" in text and "***" in text for text in shown)
    assert caught.value.server_error is not None
    assert echo in caught.value.server_error.error.message


async def test_a_socket_masks_its_first_messages() -> None:
    """They are credentials as a whole, and so is each of their values."""

    async def handler(connection: Any, number: int) -> None:
        await connection.recv()
        for raw in Script().start().error(f"{TOKEN} is unknown").raw_events():
            await connection.send(b'{"event": "%s", "data": %s}' % ((raw.event or "").encode(), raw.data))

    async with serving(handler) as peer, asyncio.timeout(20):
        source = WebSocketSource(peer.url, first_messages=[json.dumps({"token": TOKEN})], reconnect=None, proxy=None)
        async with RunStream(source) as stream:
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
    assert TOKEN not in str(caught.value)
    assert "*** is unknown" in str(caught.value)
