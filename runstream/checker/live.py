"""`check_url`: a live stream in, a report out; HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from runstream.checker.findings import clip_name
from runstream.checker.report import CheckReport
from runstream.checker.session import CheckSession
from runstream.dialects.base import Dialect
from runstream.dialects.registry import DialectLike, make_dialect
from runstream.errors import SourceFailed
from runstream.model.raw import ConnectionEvent, RawItem
from runstream.model.validation import check_seconds
from runstream.sources.base import Source
from runstream.sources.content_coding import ACCEPTED, BrokenCoding
from runstream.sources.credentials import merge_headers, redact_url
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.sent_values import SentValues
from runstream.sources.sse_connection import iterate_body
from runstream.sources.sse_parser import SSEParser

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["check_url"]

_HEADERS: Final = {
    "Accept": "text/event-stream",
    "Accept-Encoding": ACCEPTED,
    "Cache-Control": "no-store",
}
_MEDIA_TYPE: Final = "text/event-stream"


async def check_url(
    url: str,
    *,
    dialect: DialectLike | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    content: bytes | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - the end of the check, and no error
    client: AsyncClient | None = None,
) -> CheckReport:
    """Check a live stream against the rules of its protocol: one request, no reconnect.

    ::

        report = await runstream.check_url(
            "http://127.0.0.1:8000/run",
            method="POST",
            headers={"Content-Type": "application/json"},
            content=b'{"stream": true}',
        )
        assert report.ok, report.errors

    Args:
        url: ``https://`` or ``http://`` for server-sent events (extra ``http``), ``wss://`` or ``ws://`` for a
            WebSocket.
        dialect: The dialect whose rules are checked, by name or factory; ``"auto"`` by default.
        headers: Headers of the request.
        method: The method of an HTTP request.
        content: The body of an HTTP request; its ``Content-Type`` belongs to ``headers``.
        timeout: The check stops after this time (seconds); ``None``: when the server ends the stream.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``) for HTTP, which the caller closes.

    Raises:
        SourceFailed: The server can't be reached. A response with an error status is a finding.
        ImportError: The extra is not installed.
        ValueError: The dialect is not registered, the time is not positive, or a WebSocket has a method or body.
        TypeError: The factory can't be called as a factory is.
    """
    check_seconds(timeout=timeout)
    is_socket = url.startswith(("ws://", "wss://"))
    if is_socket and (method != "GET" or content is not None):
        raise ValueError("a WebSocket has no method and no body: give an http:// or https:// URL")
    session = CheckSession(redact_url(url), dialect, "messages" if is_socket else "sse")
    stopped = False
    try:
        async with asyncio.timeout(timeout):
            if is_socket:
                from runstream.sources.websocket import WebSocketSource  # its library is loaded when it is used

                await _read_socket(session, WebSocketSource(url, headers=headers, reconnect=None), dialect)
            else:
                await _read_response(session, HttpClient(client), method, url, headers, content)
    except TimeoutError:
        stopped = True
    return session.end(stopped=stopped)


async def _read_response(
    session: CheckSession,
    client: HttpClient,
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    content: bytes | None,
) -> None:
    try:
        try:
            response = await client.send(method, url, merge_headers(_HEADERS, headers), content, SentValues())
        except ConnectFailed as error:
            raise SourceFailed(error.reason) from None
        try:
            if not 200 <= response.status_code < 300:
                session.violate("http_status", f"status {response.status_code}")
                return
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != _MEDIA_TYPE:
                session.violate("content_type", clip_name(kind) or "none")
            parser = SSEParser()
            async with aclosing(iterate_body(response)) as chunks:
                async for chunk in chunks:
                    session.feed_bytes(chunk)
                    for item in parser.feed(chunk):
                        session.feed(item)
            for item in parser.close():
                session.feed(item)
        except client.http.TransportError:
            session.violate("connection", "it broke off")
        except BrokenCoding:
            session.violate("connection", "the content coding is broken")
        finally:
            await response.aclose()
    finally:
        await client.close()


async def _read_socket(session: CheckSession, source: Source, dialect: DialectLike | None) -> None:
    receiver = _Receiver(session, dialect)
    try:
        await source.run(receiver)
    except SourceFailed:
        if not receiver.was_connected:
            raise
        session.violate("connection", "it broke off")


class _Receiver:
    """Passes the items of a source to a session."""

    live = False
    expects_idle = False
    continues: str | None = None
    last_id: str | None = None
    progress = 0

    def __init__(self, session: CheckSession, dialect: DialectLike | None) -> None:
        self.was_connected = False
        self._session = session
        self._dialect = dialect

    def feed(self, item: RawItem) -> None:
        """Check one item."""
        self._session.feed(item)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Check several items."""
        for item in items:
            self._session.feed(item)

    async def ready(self) -> None:
        """Return at once."""

    def connected(self, attempt: int = 0) -> None:
        """Note that the source is connected."""
        self.was_connected = True
        self._session.feed(ConnectionEvent(connected=True, attempt=attempt))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Note that the connection was lost."""

    def decoder(self) -> Dialect:
        """A new decoder."""
        return make_dialect(self._dialect)

    def cursor(self, run_id: str | None = None) -> str | None:
        """No place: nothing is resumed."""
        return None
