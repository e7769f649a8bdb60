"""One response that is an event stream: asked for, read into a receiver until it ends, and closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from runstream.model.raw import RawEvent
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect
from runstream.sources.credentials import redact_text, redact_url
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed, http_refusal, server_message
from runstream.sources.sse_parser import ParsedItem, SSEParser

if TYPE_CHECKING:
    from httpx2 import Response

__all__ = ["NO_CONTENT", "open_stream", "read_stream"]

NO_CONTENT: Final = 204
_MEDIA_TYPE: Final = "text/event-stream"
_MAX_REDIRECTS: Final = 5
_MAX_ERROR: Final = 16 * 1024  # bytes of an error's body that are read
_ERROR_TIMEOUT: Final = 5.0  # seconds in which they have to come
_DONE: Final = b"[DONE]"


async def open_stream(
    client: HttpClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None,
    secrets: Iterable[str],
) -> Response:
    """Ask for an event stream, and follow redirects within the origin: headers are meant for this one alone.

    Args:
        client: Sends the request.
        method: Of the request.
        url: Where.
        headers: Of the request.
        content: Its body.
        secrets: What must not be shown, though the server may repeat it.

    Returns:
        A response that is an event stream, or has the status 204.

    Raises:
        Refused: There is no such response.
    """
    for followed in range(_MAX_REDIRECTS + 1):
        response = await client.send(method, url, headers, content)
        status = response.status_code
        target = _redirect(url, status, method, response.headers.get("Location"))
        if target is None or followed == _MAX_REDIRECTS:
            break
        await response.aclose()
        url = target
        if status == 303:  # the answer to what was posted stands elsewhere (RFC 9110, section 15.4.4)
            method, content = "GET", None
    if status == NO_CONTENT:
        await response.aclose()
        return response
    kind = response.headers.get("Content-Type", "")
    if 200 <= status < 300 and kind.partition(";")[0].strip().lower() == _MEDIA_TYPE:
        return response
    body = await _body(response)
    if not 200 <= status < 300:
        phrase = response.reason_phrase
        raise http_refusal(
            url, status, phrase=phrase, headers=response.headers, body=body, secrets=secrets, now=time.time()
        )
    reason = f"{redact_url(url)} answered with {redact_text(kind, secrets, 60) or 'no content type'}"
    reason += f" where {_MEDIA_TYPE} is needed"
    if said := redact_text(server_message(body, kind), secrets):
        reason += f": {said}"
    raise ConnectFailed(reason, status=status)


def _redirect(url: str, status: int, method: str, location: str | None) -> str | None:
    """Where to ask instead, if that may be done."""
    if not location or status not in ((301, 302, 303, 307, 308) if method == "GET" else (303, 307, 308)):
        return None
    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
        same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
    except ValueError:
        return None
    if not same:
        return None
    if "@" in here.netloc and "@" not in there.netloc:
        user = here.netloc.rpartition("@")[0]
        target = there._replace(netloc=f"{user}@{there.netloc}").geturl()
    return target


async def _body(response: Response) -> bytes:
    """The beginning of an error's body, if it comes soon. The response is closed."""
    body = bytearray()
    with suppress(Exception):  # without it there is still the status to tell
        async with asyncio.timeout(_ERROR_TIMEOUT), aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR:
                    break
    await response.aclose()
    return bytes(body)


async def read_stream(
    response: Response,
    receiver: Receiver,
    parser: SSEParser,
    *,
    http: ModuleType,
    age: float | None,
    read_timeout: float | None,
    ends_with_done: bool,
) -> Disconnect:
    """Give every event to the receiver until the response ends, then say why it did. The response is closed.

    Args:
        response: What :func:`open_stream` gave.
        receiver: Where events go.
        parser: A new one.
        http: The library of the response.
        age: When to close it (seconds).
        read_timeout: What was set for the request (seconds).
        ends_with_done: Whether ``[DONE]`` with no run live is the end, though the server may say no more of it.
    """
    last: ParsedItem | None = None
    received = 0

    def loss(reason: str, **more: Any) -> Disconnect:
        key = hash((last.event, getattr(last, "data", b""))) if last is not None else None
        base = parser.retry / 1000 if parser.retry is not None else None
        return Disconnect(reason=reason, received=received, last=key, base=base, **more)

    deadline = None if age is None else asyncio.get_running_loop().time() + age
    async with aclosing(response.aiter_bytes()) as chunks:
        try:
            while True:
                try:
                    chunk = await _next(chunks, deadline)
                except TimeoutError:
                    return loss("the connection reached its age limit", planned=True)
                except http.ReadTimeout:
                    # Where no run is live there may be nothing to tell: a quiet stream is not given up for it.
                    return loss(f"nothing came for {read_timeout:g} seconds", planned=not receiver.live)
                except http.DecodingError:
                    return loss("the server broke its compression")
                except http.TransportError:
                    return loss("the connection broke off")
                if chunk is None:
                    break
                parser.at = time.time()
                items = parser.feed(chunk)
                if items:
                    received += len(items)
                    last = items[-1]
                    await receiver.feed_all(items)
                    if ends_with_done and _is_done(last) and not receiver.live:
                        return loss("the server said that it is done", normal=True)
        finally:
            await response.aclose()
    await receiver.feed_all(parser.close())
    # Only a body that says where it ends can be told from one that was cut off; half an event says it too.
    if parser.discarded and not ({"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}):
        return loss("the connection broke off within an event")
    return loss("the server ended the response", normal=True)


def _is_done(item: ParsedItem) -> bool:
    return type(item) is RawEvent and item.data == _DONE


async def _next(chunks: AsyncIterator[bytes], deadline: float | None) -> bytes | None:
    """The next piece, ``None`` at the end.

    Raises:
        TimeoutError: The deadline is over.
    """
    if deadline is None:
        return await anext(chunks, None)
    async with asyncio.timeout_at(deadline):
        return await anext(chunks, None)
