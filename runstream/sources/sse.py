"""The source of server-sent events over HTTP: a URL in, raw events out, over as many requests as necessary.

The rules are those of WHATWG HTML 9.2, "Server-sent events", except that a response that ends while no run is live
is the end of the source: a run's stream has an end.
"""

from __future__ import annotations

import re
import ssl as ssl_module
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec
from msgspec.structs import replace

from runstream.model.validation import check_counts, check_seconds
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect, ResumeHook, ResumeInfo, call_hook, run_connections
from runstream.sources.content_coding import ACCEPTED
from runstream.sources.credentials import Credentials, merge_headers, redact_url, resolve_headers
from runstream.sources.grace import GRACE
from runstream.sources.http_client import HttpClient, client_library
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect, check_reconnect
from runstream.sources.request_items import request_item, response_item
from runstream.sources.sent_values import NOTHING_SENT, SentValues
from runstream.sources.sse_connection import NO_CONTENT, open_stream, read_stream
from runstream.sources.sse_parser import MAX_EVENT_BYTES, SSEParser

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

__all__ = ["POST_ONCE", "POST_UNKNOWN", "SseSession", "SseSource"]

_HEADERS: Final = {
    "Accept": "text/event-stream",
    "Accept-Encoding": ACCEPTED,
    "Cache-Control": "no-store",
    "User-Agent": "runstream",
}
# By these statuses a server reports that it did not process the request (RFC 9110, section 15.5.9; RFC 6585, section 4;
# RFC 8470, section 5.2), or did not accept it at all. Any other response to a POST may be that of a gateway, whose
# server continued.
_NOT_PROCESSED: Final = frozenset({401, 408, 425, 429})
# The event ids that an HTTP header can contain (RFC 9110, section 5.5).
_HEADER_VALUE: Final = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
POST_UNKNOWN: Final = "the POST may have been carried out"
POST_ONCE: Final = "the POST may have been carried out and is not sent again"
_SENT_ONCE: Final = f"{POST_ONCE} (resume= says how to go on)"


class SseSource:
    """Reads server-sent events over HTTP; needs the extra ``http``.

    ::

        source = SseSource("https://gateway.example/runs/run_1/events", auth=token)
        source = SseSource("https://gateway.example/runs", method="POST", json={"assistant_id": "a", "stream": True})

    A response that ends while no run is live is the end of the source, and so is a 204. A response that is lost, falls
    silent, or ends while a run is live is requested again after ``reconnect``, with the last event id received as
    ``Last-Event-ID``. A first connection that can't be made is an error at once, unless the server reports that it is
    busy.

    **A POST is sent once.** It may start a run, so it is repeated only if it can't have reached the server, or if the
    server reports that it did nothing yet (408, 425, 429). After a loss, ``resume`` decides how to continue, usually
    with a GET; without it the source has failed. ``[DONE]`` with no run live ends it at once.

    Redirects are followed within the origin only: headers are meant for this server alone.

    Args:
        url: The URL. Its credentials and query values appear in no message and no log.
        method: ``"GET"`` or ``"POST"``.
        json: The body of a POST, which is encoded as JSON.
        content: The body of a POST as bytes or text; its ``Content-Type`` belongs to ``headers``.
        name: The source's name; the URL without secrets by default.
        headers: Headers of the request.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each request.
            A function is called once more after a 401 that follows earlier success.
        last_event_id: The id after which to continue, for a source that continues the work of an earlier process.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes; ``ssl`` and ``proxy``
            are then its own. Its library logs the URLs of requests; without ``client`` they are not logged.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        resume: Returns (sync or async) how to connect again; ``None`` from it means as before.
        reconnect: When to try again; ``None``: never. The server's ``retry:`` replaces its ``initial``, within
            ``max_retry_after``.
        max_message_bytes: Size of one event (bytes). A larger one is rejected and not kept in memory; later events are
            read.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: Longest time for the whole head of a response, and then without any data, event or comment
            (seconds); ``None`` for any time.
            Time in which a subscriber blocks the source does not count.
        grace: After this time without an event (seconds) an :class:`~runstream.Idle` is delivered, if the dialect
            waits for it; ``None``: never.

    Raises:
        ImportError: The extra is not installed and no ``client`` given.
        ValueError: A method other than these, a body of a GET, two bodies, or a value outside its range.
        TypeError: ``json`` can't be encoded, or ``client`` is no client.
    """

    _sent_once: str = _SENT_ONCE
    """Why a request that may have been carried out is not sent again, and what to do; part of the reason."""
    ends_with_response: ClassVar[bool] = False
    """True for a protocol whose runs end with the response: its end is the end of the source, also while a run is open.
    """
    sends_last_id: ClassVar[bool] = True
    """False for a protocol whose place is sent in the URL."""

    def __init__(
        self,
        url: str,
        *,
        method: Literal["GET", "POST"] = "GET",
        json: Any = None,
        content: bytes | str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        last_event_id: str | None = None,
        client: AsyncClient | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        resume: ResumeHook | None = None,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = MAX_EVENT_BYTES,
        open_timeout: float = 10.0,
        read_timeout: float | None = 300.0,
        grace: float | None = GRACE,
    ) -> None:
        if method not in ("GET", "POST"):
            raise ValueError("method must be 'GET' or 'POST'")
        if method == "GET" and not (json is None and content is None):
            raise ValueError("a GET has no body: give method='POST'")
        if json is not None and content is not None:
            raise ValueError("give json or content, not both")
        check_reconnect(reconnect)
        check_seconds(open_timeout=open_timeout, read_timeout=read_timeout, grace=grace)
        check_counts(max_message_bytes=max_message_bytes)
        client_library(client)
        self.name = name or redact_url(url)
        self.sent = NOTHING_SENT
        self._url = url
        self._method = method
        body = msgspec.json.encode(json) if json is not None else content
        self._content = body.encode() if isinstance(body, str) else body
        content_type = {"Content-Type": "application/json"} if json is not None else None
        self._headers = merge_headers(_HEADERS, content_type, headers)
        self._auth = auth
        self._last_id = last_event_id
        self._resume = resume
        self._reconnect = reconnect
        self._max_bytes = max_message_bytes
        self._read_timeout = read_timeout
        self._grace = grace
        self._options: dict[str, Any] = {
            "client": client,
            "ssl": ssl,
            "proxy": proxy,
            "open_timeout": open_timeout,
            "read_timeout": read_timeout,
        }

    @property
    def session_type(self) -> type[SseSession]:
        """The class of one run of the source."""
        return SseSession

    def __repr__(self) -> str:
        return f"SseSource({self.name!r})"

    @property
    def _can_resume(self) -> bool:
        """True if ``resume`` may know how to continue before anything was received."""
        return self._resume is not None

    async def run(self, receiver: Receiver) -> None:
        """Read until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source failed for good.
        """
        client = HttpClient(**self._options)
        session = self.session_type(self, receiver, client)
        try:
            await run_connections(
                receiver,
                self._reconnect,
                open=session.open,
                read=session.read,
                close=session.close,
                renewable=callable(self._auth),
                resumes=self._method == "GET" or self._resume is not None,
                begins=self._method == "POST",
            )
        finally:
            await client.close()


class SseSession:
    """One run of a source, with the state that it keeps from one request to the next."""

    def __init__(self, source: SseSource, receiver: Receiver, client: HttpClient) -> None:
        self._source = source
        self._receiver = receiver
        self._client = client
        self._is_post = source._method == "POST"
        # The last id of an earlier process. A POST begins something new.
        self._restored_id = None if self._is_post else receiver.last_id
        self._last_id = self._restored_id or source._last_id or ""
        self._was_posted = False  # whether the POST may have reached its server
        self._content: bytes | None = None  # of the last request

    async def open(self, info: ResumeInfo) -> Response:
        """Send the first request, or the request that continues after the last event.

        Raises:
            ConnectFailed: There is no event stream.
        """
        source, resume = self._source, None
        if (info.attempt or self._restored_id) and (self._was_posted or not self._is_post):
            info = replace(info, last_id=self._last_id or info.last_id)
            resume = await call_hook("resume", source._resume, info)
        if resume is None and self._is_post and self._was_posted:
            raise ConnectFailed(f"{info.reason}; {source._sent_once}")
        method, url = (
            (resume.method, resume.url or source._url) if resume is not None else (source._method, source._url)
        )
        secret = await call_hook("auth", resolve_headers, source._auth, retry=True)
        # A dialect may have another place than the transport's id, such as the id in the envelopes of a relay.
        place = (self._last_id or info.last_id or "") if source.sends_last_id else ""
        last_id = {"Last-Event-ID": place} if _HEADER_VALUE.fullmatch(place.encode()) else None
        headers = merge_headers(source._headers, last_id, resume.headers if resume is not None else None, secret)
        if method == "GET":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        own_headers = {name: value for name, value in headers.items() if _HEADERS.get(name) != value}
        content = self._content = source._content if method == "POST" else None
        # A server may also repeat the body of an earlier request.
        source.sent = SentValues(urls=[source._url, url], headers=own_headers, content=source._content)
        try:
            response = await open_stream(self._client, method, url, headers, content, source.sent)
        except ConnectFailed as error:
            if method == "GET":
                # A GET without a response proves no more of the server than a connection that was not made.
                error.reached = error.status is not None
            elif error.retry and error.reached and error.status not in _NOT_PROCESSED:
                self._was_posted = True
                if not source._can_resume:
                    error.retry = error.retry_if_opened = False
                    error.reason = f"{error.reason}; {source._sent_once}"
            raise
        self._was_posted = self._was_posted or method == "POST"
        return response

    async def close(self, response: Response) -> None:
        """Close a response that was not read."""
        await response.aclose()

    async def read(self, response: Response, age: float | None) -> Disconnect:
        """Read a response to its end."""
        source = self._source
        once = self._is_post and source._resume is None
        if response.status_code == NO_CONTENT:
            # WHATWG HTML 9.2.3: with this status a server ends the stream, and no client should reconnect.
            return Disconnect(
                reason="the server has nothing more to send (HTTP 204)", normal=True, final=True, status=204
            )
        if self._content is not None:
            self._receiver.feed(request_item(self._content, self._receiver.continues, source.sent.credentials()))
        if (head := response_item(response.status_code, response.headers)) is not None:
            self._receiver.feed(head)
        parser = SSEParser(max_event_bytes=source._max_bytes)
        parser.last_id = self._last_id
        try:
            end = await read_stream(
                response,
                self._receiver,
                parser,
                http=self._client.http,
                age=None if once else age,  # a POST that is sent once can't be replaced
                read_timeout=source._read_timeout,
                ends_with_done=self._is_post,
                sent=source.sent,
                grace=source._grace,
            )
        finally:
            self._last_id = parser.last_id
        if once and end.normal and source.ends_with_response:
            return replace(end, complete=True)
        if once:
            return replace(end, final=True, reason=f"{end.reason}; {source._sent_once}")
        return end
