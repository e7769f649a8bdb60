"""A server's words reach the exceptions of a stream, in a field of their own, and no log."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream import IncompleteStream, RunStream, SourceFailed
from runstream.sinks.log import log_signals
from runstream.testing import Script

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
    """Where no source failed, the last error that the server sent says what it said."""
    raws = Script().start().error("first").error(SAID, "rate_limit_exceeded").raw_events()
    async with RunStream(raws) as stream:
        with pytest.raises(IncompleteStream) as caught:
            await stream.result()
    assert caught.value.server_message == SAID
    assert SAID not in str(caught.value)
