"""One object of a server: a request in, the bytes of the JSON that answers it out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed, http_error
from runstream.sources.sent_values import SentValues
from runstream.sources.sse_connection import iterate_body, read_body

if TYPE_CHECKING:
    from httpx2 import Response

__all__ = ["MAX_OBJECT", "Fetched", "fetch_object", "request_object"]

MAX_OBJECT: Final = 64 * 2**20
"""The largest object that is read where no other limit is set (bytes)."""

_NO_BODY: Final = frozenset({204, 304})


class Fetched:
    """The answer to a request, in a form that :class:`~runstream.PollSource` reads.

    Attributes:
        status_code: The HTTP status, a 2xx.
        headers: The headers of the response.
        content: Its body (bytes of JSON), with its content coding undone.
    """

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content


async def fetch_object(
    client: HttpClient, url: str, headers: Mapping[str, str], sent: SentValues, *, max_bytes: int
) -> Fetched:
    """Fetch one object.

    Args:
        client: Sends the request.
        url: The URL. No redirect is followed.
        headers: The headers of the request.
        sent: What this side sends; the server may repeat it.
        max_bytes: A larger body is not read to its end (bytes).

    Raises:
        ConnectFailed: The server refused the request, its connection broke off, or its answer is too large.
    """
    return await request_object(client, "GET", url, headers, None, sent, max_bytes=max_bytes)


async def request_object(
    client: HttpClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None,
    sent: SentValues,
    *,
    max_bytes: int,
) -> Fetched:
    """Send a request that one object answers.

    Args:
        client: Sends the request.
        method: Its method.
        url: The URL. No redirect is followed.
        headers: The headers of the request.
        content: The body of the request.
        sent: What this side sends; the server may repeat it.
        max_bytes: A larger answer is not read to its end (bytes).

    Raises:
        ConnectFailed: The server refused the request, its connection broke off, or its answer is too large.
    """
    response = await client.send(method, url, headers, content, sent)
    status = response.status_code
    if not 200 <= status < 300:
        body = await read_body(response)
        phrase = response.reason_phrase
        raise http_error(url, status, phrase=phrase, headers=response.headers, body=body, sent=sent, now=time.time())
    try:
        return Fetched(status, response.headers, await _read(client, response, max_bytes))
    finally:
        await response.aclose()


async def _read(client: HttpClient, response: Response, max_bytes: int) -> bytes:
    http, body = client.http, bytearray()
    if response.status_code in _NO_BODY:
        return b""
    try:
        async with aclosing(iterate_body(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > max_bytes:
                    raise ConnectFailed(f"the answer is larger than max_message_bytes ({max_bytes})")
    except http.TransportError as error:
        raise ConnectFailed("the connection broke off within the answer", retry=True, reached=True) from error
    return bytes(body)
