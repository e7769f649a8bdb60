"""The source of one response of the Responses API: created by a POST, or joined by its id; resumed, and polled."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

import msgspec

from runstream.errors import SourceFailed
from runstream.model.raw import Answer, RawEvent, RawItem
from runstream.model.validation import check_seconds
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.credentials import Credentials, merge_headers, resolve_headers
from runstream.sources.fetch import Fetched, fetch_object
from runstream.sources.grace import GRACE
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sent_values import SentValues
from runstream.sources.sse import SseSource
from runstream.sources.sse_parser import MAX_EVENT_BYTES
from runstream.sources.urls import join_url

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["ResponsesSource"]

_NOT_STORED: Final = "the response is not stored, so that the server can't continue its stream"
_EMPTY: Final = "the stream of the response ended before its first event"
_UNKNOWN: Final = "the id of the response is not known, and the POST may have been carried out: it is not sent again"
_NO_NUMBERS: Final = "the server numbers no events, so that its stream can't be continued"
_GONE: Final = frozenset({404, 410})


class _Snapshot(msgspec.Struct):
    """The fields of a response that decide how its stream is continued."""

    id: Any = None
    store: Any = None
    background: Any = None


class _Event(msgspec.Struct):
    response: _Snapshot | None = None


_decode_event: Final = msgspec.json.Decoder(_Event).decode


class ResponsesSource(SseSource):
    """Reads one response of a server of the Responses API over HTTP; needs the extra ``http``.

    ::

        source = ResponsesSource("https://api.example/v1", {"model": "m", "input": "Hello"}, auth=key)
        source = ResponsesSource("https://api.example/v1", response_id="resp_1", starting_after=41, auth=key)

    With a body the response is created by ``POST {base_url}/responses``, with ``stream`` set to true; this request is
    sent once. With an id the source joins a background response by ``GET``.

    After a loss the stream is continued behind the last number (``starting_after``), if the response is stored and the
    server numbers its events. Otherwise its run is interrupted, with the reason. A server streams a background response
    for some minutes only, and then refuses to continue; with ``poll`` the source then polls the response until it has
    ended or waits, and each polled object is an :class:`~runstream.Answer`.

    A request that is refused changes no run: the source fails, with the status and the words of the server. A response
    that does not exist any more interrupts its run.

    Args:
        base_url: The URL before ``/responses``, such as ``https://api.openai.com/v1``; its query is sent with each
            request. Its credentials and query values appear in no message and no log.
        body: The body of the request that creates the response, as the API defines it.
        response_id: The id of a response to join, in place of a body.
        starting_after: The number of the last event that is known of it; ``None``: from its beginning.
        poll: True to poll a response whose stream the server does not continue.
        poll_interval: Shortest time between polls (seconds); it grows to ten times while nothing changes.
        name: The source's name; the URL without secrets by default.
        headers: Headers of each request.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each request.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: Size of one event or polled object (bytes). A larger event is rejected and not kept in
            memory; a larger object is an error.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: Longest time for the head of a response, and then without any data (seconds); ``None`` for any
            time.
        grace: After this time without an event (seconds) an :class:`~runstream.Idle` is delivered, if the dialect
            waits for it; ``None``: never.

    Attributes:
        dialect: The dialect of its events.
        response_id: The id of the response; ``None`` until it is known.

    Raises:
        ImportError: The extra is not installed and no ``client`` given.
        ValueError: Neither or both of body and id, a number without an id, or a value outside its range.
        TypeError: The body can't be encoded as JSON, or ``client`` is no client.
    """

    dialect: ClassVar[str] = "responses"
    sends_last_id: ClassVar[bool] = False
    _sent_once = _UNKNOWN

    def __init__(
        self,
        base_url: str,
        body: Mapping[str, Any] | None = None,
        *,
        response_id: str | None = None,
        starting_after: int | None = None,
        poll: bool = False,
        poll_interval: float = 1.0,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        client: AsyncClient | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = MAX_EVENT_BYTES,
        open_timeout: float = 10.0,
        read_timeout: float | None = 300.0,
        grace: float | None = GRACE,
    ) -> None:
        if (body is None) == (response_id is None):
            raise ValueError("give the body of a request, or the response_id of a response to join")
        if starting_after is not None and response_id is None:
            raise ValueError("starting_after needs a response_id")
        check_seconds(poll_interval=poll_interval)
        self.response_id = response_id
        self._base_url = base_url
        self._body = None if body is None else {**body, "stream": True}
        self._stored = body is None or body.get("store") is not False
        self._number = starting_after
        self._poll = poll
        self._receiver: Receiver | None = None
        self._was_seen = False  # a snapshot of the response
        self._poll_interval = poll_interval
        super().__init__(
            join_url(base_url, "responses") if body is not None else self._stream_url(starting_after),
            method="GET" if body is None else "POST",
            json=self._body,
            name=name,
            headers=headers,
            auth=auth,
            client=client,
            ssl=ssl,
            proxy=proxy,
            resume=self._continue,
            reconnect=reconnect,
            max_message_bytes=max_message_bytes,
            open_timeout=open_timeout,
            read_timeout=read_timeout,
            grace=grace,
        )

    def __repr__(self) -> str:
        return f"ResponsesSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Read until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source failed for good.
        """
        self._receiver = receiver
        self._was_seen = False
        try:
            watch = _Watch(receiver, self._note)
            await super().run(cast(Receiver, watch))
            if self._body is None and self._number is None and not watch.has_items and receiver.last_id is None:
                raise SourceFailed(_EMPTY)  # all of a response that exists was asked for
        except SourceFailed as failure:
            if not self._can_poll(failure):
                raise
            if not self._poll:
                raise _with_advice(failure) from failure.__cause__
            if self._was_seen:
                receiver.disconnected(failure.summary, 1, failure.server_message)
            await self._run_polls(receiver, failure)

    # the stream

    @property
    def _can_resume(self) -> bool:
        return self.response_id is not None

    def _note(self, snapshot: _Snapshot) -> None:
        """Note the first snapshot of the response."""
        self._was_seen = True
        if self.response_id is None and isinstance(snapshot.id, str):
            self.response_id = snapshot.id
        if isinstance(snapshot.store, bool):
            self._stored = snapshot.store or snapshot.background is True

    def _continue(self, info: ResumeInfo) -> Resume:
        """How the stream is continued after its last event.

        Raises:
            ConnectFailed: It can't be.
        """
        place = (self._receiver.cursor() if self._receiver is not None else None) or info.last_id or ""
        id = self.response_id
        known, _, number = place.rpartition("/")
        prefix = f"{info.reason}; " if info.reason else ""
        if id is None:
            raise ConnectFailed(prefix + self._sent_once)
        if not self._stored:
            raise ConnectFailed(prefix + _NOT_STORED)
        after = int(number) if known == id and number.isdecimal() else self._number
        if after is None and self._body is not None:
            raise ConnectFailed(prefix + _NO_NUMBERS)
        return Resume(url=self._stream_url(after))

    def _stream_url(self, after: int | None) -> str:
        values = {"stream": "true"} | ({"starting_after": str(after)} if after is not None else {})
        return join_url(self._base_url, "responses", self.response_id or "", **values)

    # polling

    def _can_poll(self, failure: SourceFailed) -> bool:
        """True if the stream can't be continued, and the server may still have the response."""
        if self.response_id is None or not self._stored:
            return False
        if self._was_seen and self._receiver is not None and not self._receiver.live:
            return False
        status = failure.status
        # A 2xx: a server without such streams answers with the object.
        return status is None or status < 300 or (400 <= status < 500 and status not in (401, 403, *_GONE))

    async def _run_polls(self, receiver: Receiver, failure: SourceFailed) -> None:
        client = HttpClient(**self._options)

        async def retrieve() -> Fetched:
            try:
                return await self._fetch(client)
            except ConnectFailed as error:
                if error.status in _GONE:
                    receiver.feed(Answer(status=error.status or 404))
                raise

        poll = PollSource(
            retrieve,
            interval=self._poll_interval,
            max_interval=self._poll_interval * 10,
            call_timeout=None,
            stop_on_action=True,  # the answers to a response are sent in another request
            reconnect=self._reconnect,
            name=self.name,
        )
        try:
            await poll.run(receiver)
        except SourceFailed as error:
            raise error from failure
        finally:
            await client.close()

    async def _fetch(self, client: HttpClient) -> Fetched:
        url = join_url(self._base_url, "responses", self.response_id or "")
        secret = await resolve_headers(self._auth)
        headers = merge_headers(self._headers, {"Accept": "application/json"}, secret)
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        sent = SentValues(urls=[url], headers=headers, content=self._content)
        return await fetch_object(client, url, headers, sent, max_bytes=self._max_bytes)


def _with_advice(failure: SourceFailed) -> SourceFailed:
    """The failure of a stream that the server does not continue, with the other way to the end of its response."""
    return SourceFailed(
        f"{failure.summary} (poll=True polls a response whose stream can't be continued)",
        message=failure.reason.removeprefix(failure.summary).removeprefix(": "),
        attempts=failure.attempts,
        status=failure.status,
        server_message=failure.server_message,
    )


class _Watch:
    """A receiver that notes the first snapshot among the events of a response.

    Attributes:
        has_items: True if the stream had an event, or anything else.
    """

    def __init__(self, receiver: Receiver, note: Callable[[_Snapshot], None]) -> None:
        self._receiver = receiver
        self._note = note
        self.has_items = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Feed items; once a snapshot was found, the receiver is called directly."""
        items = tuple(items)
        self.has_items = self.has_items or bool(items)
        for item in items:
            if isinstance(item, RawEvent) and self._find(item):
                self.feed_all = self._receiver.feed_all  # type: ignore[method-assign]
                break
        await self._receiver.feed_all(items)

    def _find(self, item: RawEvent) -> bool:
        try:
            found = _decode_event(item.data).response
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        if found is None or not isinstance(found.id, str):
            return False
        self._note(found)
        return True
