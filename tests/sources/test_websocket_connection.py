"""Opening a connection: what can't be one is refused in our words, and the exception carries no secret along."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from runstream.sources.http_errors import ConnectFailed
from runstream.sources.websocket_connection import _HAS_PROXY_OPTION, open_socket

SECRET = "s3cretpw"


async def refusal(url: str, headers: dict[str, str] | None = None, **options: Any) -> ConnectFailed:
    """How opening is refused."""
    with pytest.raises(ConnectFailed) as caught:
        await open_socket(url, headers or {}, {"open_timeout": 2, "proxy": None, **options}, ())
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        f"ws://al:{SECRET}@ex\u2100mple/",
        f"ws://al:{SECRET}@[::1/",
        f"ws://al:{SECRET}@127.0.0.1:99999/",
        f"ws://al:{SECRET}@127.0.0.1:port/",
        f"http://al:{SECRET}@127.0.0.1/",
        f"ws://127.0.0.1/#{SECRET}",
        f"ws:al:{SECRET}@127.0.0.1",
        f"ws://al:{SECRET}@",
        f"ws://al:{SECRET}@127.0.0.1:1/",
        f"ws://al:{SECRET}@{'a' * 70}.example/",
        f"ws://al:{SECRET}@127.0.0.1:1/\x00\r\n",
        f"ws://{SECRET}@127.0.0.1:1/",
    ],
)
async def test_a_bad_url_is_refused_without_a_secret_anywhere(url: str) -> None:
    """Neither in the words nor in what a logged traceback would show."""
    refused = await refusal(url)
    assert refused.status is None
    assert SECRET not in refused.reason
    told: traceback.TracebackException | None = traceback.TracebackException.from_exception(refused)
    shown: list[str] = []
    while told is not None:
        shown += list(told.format_exception_only())
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)
    assert SECRET not in "".join(shown)


@pytest.mark.skipif(not _HAS_PROXY_OPTION, reason="websockets 14 takes no proxy")
@pytest.mark.parametrize("proxy", ["nonsense", f"ftp://al:{SECRET}@proxy.example"])
async def test_an_invalid_proxy(proxy: str) -> None:
    """A mistake in the options: not the server's doing, no use in trying again, and not shown."""
    refused = await refusal("ws://127.0.0.1:1/", proxy=proxy)
    assert not refused.retry
    assert refused.reason == "Could not connect to ws://127.0.0.1:1/: InvalidProxy in the options"
    assert refused.__cause__ is None
    assert refused.__suppress_context__
