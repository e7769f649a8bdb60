"""One HTTP response that is an event stream: requested, read into a receiver until it ends, and closed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from runstream.model.raw import Malformed, RawEvent
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect
from runstream.sources.content_coding import ACCEPTED, BrokenCoding, ContentDecoder, content_codings, unknown_codings
from runstream.sources.credentials import redact_url
from runstream.sources.grace import GraceTimer
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import MAX_BODY, ConnectFailed, http_error, read_error
from runstream.sources.sent_values import SentValues
from runstream.sources.sse_parser import ParsedItem, SSEParser
from runstream.sources.stray_text import no_stream_reason

if TYPE_CHECKING:
    from httpx2 import Response

__all__ = ["NO_CONTENT", "iterate_body", "open_stream", "read_body", "read_stream"]

NO_CONTENT: Final = 204
_MEDIA_TYPE: Final = "text/event-stream"
_IS_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+_-]{1,40}/[a-z0-9.+_-]{1,60}")
_CODINGS: Final = re.compile(r"[\w.-]+(?:, [\w.-]+)*", re.ASCII)
_MAX_REDIRECTS: Final = 5
_BODY_TIMEOUT: Final = 5.0  # seconds for the body of an error
_DONE: Final = b"[DONE]"


async def open_stream(
    client: HttpClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None,
    sent: SentValues,
) -> Response:
    """Request an event stream, and follow redirects within the origin: headers are meant for this origin alone.

    Args:
        client: Sends the request.
        method: The method of the request.
        url: The URL.
        headers: The headers of the request.
        content: The body of the request.
        sent: What this side sends; the server may repeat it. See :meth:`HttpClient.send`.

    Returns:
        A response that is an event stream in a known content coding, or has the status 204.

    Raises:
        ConnectFailed: There is no such response.
    """
    for followed in range(_MAX_REDIRECTS + 1):
        response = await client.send(method, url, headers, content, sent)
        status = response.status_code
        target = _redirect_target(url, status, method, response.headers.get("Location"))
        if target is None or followed == _MAX_REDIRECTS:
            break
        await response.aclose()
        url = target
        if status == 303:  # the response to the POST is at another URL (RFC 9110, section 15.4.4)
            method, content = "GET", None
    if status == NO_CONTENT:
        await response.aclose()
        return response
    kind = response.headers.get("Content-Type", "")
    coding = response.headers.get("Content-Encoding", "")
    is_stream = kind.partition(";")[0].strip().lower() == _MEDIA_TYPE
    if 200 <= status < 300 and is_stream and not unknown_codings(content_codings(coding)):
        return response
    body = await read_body(response)
    if not 200 <= status < 300:
        phrase = response.reason_phrase
        raise http_error(url, status, phrase=phrase, headers=response.headers, body=body, sent=sent, now=time.time())
    if is_stream:
        names = ", ".join(unknown_codings(content_codings(coding)))
        shown = sent.redact(names, 60) if _CODINGS.fullmatch(names) else "with an invalid name"
        raise ConnectFailed(
            f"{redact_url(url)} answered in the content coding {shown}, which was not asked for "
            f"({ACCEPTED} can be read)",
            status=status,
        )
    media_type = kind.partition(";")[0].strip().lower()
    is_name = _IS_MEDIA_TYPE.fullmatch(media_type) and sent.redact(media_type) == media_type
    shown = media_type if is_name else "another content type" if kind else "no content type"
    reason = f"{redact_url(url)} answered with {shown} where {_MEDIA_TYPE} is needed"
    error = read_error(body, kind)
    if code := error.code_for(sent):
        reason += f" ({code})"
    raise ConnectFailed(reason, message=error.message_for(sent), server_message=sent.redact(error.text), status=status)


def _redirect_target(url: str, status: int, method: str, location: str | None) -> str | None:
    """Return the URL of a redirect, ``None`` if there is none or it is not followed."""
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


async def read_body(response: Response) -> bytes:
    """Return the beginning of an error's body, as far as it arrives soon. The response is closed."""
    body = bytearray()
    with suppress(Exception):  # without the body, the status is reported alone
        async with asyncio.timeout(_BODY_TIMEOUT), aclosing(iterate_body(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > MAX_BODY:
                    break
    await response.aclose()
    return bytes(body)


async def iterate_body(response: Response) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a body, its content coding undone; nothing of a body in an unknown one.

    Not left to the client: it skips codings that it does not know, and reads only the first member of gzip.

    Raises:
        BrokenCoding: The body is not in the declared coding.
    """
    if response.is_stream_consumed:  # of an application's own transport: the client has read and decoded it
        async for chunk in response.aiter_bytes():
            yield chunk
        return
    codings = content_codings(response.headers.get("Content-Encoding", ""))
    if unknown_codings(codings):
        return
    decoder = ContentDecoder(codings)
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            for piece in decoder.decode(chunk):
                yield piece


async def read_stream(
    response: Response,
    receiver: Receiver,
    parser: SSEParser,
    *,
    http: ModuleType,
    age: float | None,
    read_timeout: float | None,
    ends_with_done: bool,
    sent: SentValues,
    grace: float | None = None,
) -> Disconnect:
    """Feed every event to the receiver until the response ends, and return why it ended. The response is closed.

    Args:
        response: The response, from :func:`open_stream`.
        receiver: Receives the events.
        parser: A new parser.
        http: The library of the response.
        age: The time after which to close it (seconds); ``None``: never.
        read_timeout: The read timeout of the request (seconds).
        ends_with_done: True if ``[DONE]`` with no run live is the end, even if the server does not close the response.
        sent: What this side has sent; the server may repeat it.
        grace: The grace time (seconds).
    """
    last: ParsedItem | None = None
    received = events = 0

    def disconnect(reason: str, **more: Any) -> Disconnect:
        base = parser.retry / 1000 if parser.retry is not None else None
        return Disconnect(reason=reason, received=received, base=base, **more)

    deadline = None if age is None else asyncio.get_running_loop().time() + age
    async with aclosing(iterate_body(response)) as chunks:
        try:
            with GraceTimer(receiver, grace) as timer:
                while True:
                    try:
                        chunk = await _next_chunk(chunks, deadline)
                    except TimeoutError:
                        return disconnect("the connection reached its age limit", planned=True)
                    except http.ReadTimeout:
                        # Where no run is live there may be nothing to send: silence does not count as an attempt.
                        return disconnect(f"nothing came for {read_timeout:g} seconds", planned=not receiver.live)
                    except (http.DecodingError, BrokenCoding):
                        return disconnect("the server broke its compression")
                    except http.TransportError:
                        return disconnect("the connection broke off")
                    if chunk is None:
                        break
                    parser.at = time.time()
                    items = parser.feed(chunk)
                    if items:
                        timer.stop()
                        received += len(items)
                        events += sum(not (type(item) is Malformed or _is_done(item)) for item in items)
                        last = _last(items, last)
                        await receiver.feed_all(items)
                        if ends_with_done and _is_done(items[-1]) and not receiver.live:
                            if isinstance(last, Malformed) and not events:
                                break
                            return disconnect("the server said that it is done", normal=True)
                        timer.start()
        finally:
            await response.aclose()
    items = parser.close()
    await receiver.feed_all(items)
    last = _last(items, last)
    if isinstance(last, Malformed) and (receiver.live or not events):
        error = read_error(last.data)
        code = error.code_for(sent)
        return disconnect(
            no_stream_reason(last) + (f" ({code})" if code else ""),
            message=error.message_for(sent),
            server_message=sent.redact(error.text),
            final=not receiver.live,
        )
    # Without a length or chunks, a complete body looks like one that was cut off, unless it ends within an event.
    if parser.discarded and not ({"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}):
        return disconnect("the connection broke off within an event")
    return disconnect("the server ended the response", normal=True)


def _last(items: Sequence[ParsedItem], known: ParsedItem | None) -> ParsedItem | None:
    """The last item; ``[DONE]`` says nothing of what came before it."""
    return next((item for item in reversed(items) if not _is_done(item)), known)


def _is_done(item: ParsedItem) -> bool:
    return type(item) is RawEvent and item.data == _DONE


async def _next_chunk(chunks: AsyncIterator[bytes], deadline: float | None) -> bytes | None:
    """Return the next chunk, ``None`` at the end.

    Raises:
        TimeoutError: The deadline has passed.
    """
    if deadline is None:
        return await anext(chunks, None)
    async with asyncio.timeout_at(deadline):
        return await anext(chunks, None)
