"""The source of one AG-UI run: the input of the run in, raw events out."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from uuid import uuid4

from runstream.model.frozen import thaw
from runstream.sources.credentials import Credentials
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import POST_ONCE, SseSource
from runstream.sources.sse_parser import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["AgUiSource", "make_run_input"]

PROTOCOL_VERSION: Final = "1.0"


def make_run_input(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The input of a run (RunAgentInput), with the fields that servers of any release require.

    ``protocolVersion`` is always present: some servers send the cancelled outcome, and the calls that wait, only to a
    client that declares it. A thread and a run without an id get one.

    Args:
        values: Fields of the input, in camelCase; they are not changed. Values of a state, such as its document, are
            read too.
    """
    values = thaw(values or {})
    defaults: dict[str, Any] = {
        "threadId": values.get("threadId") or f"thread_{uuid4().hex}",
        "runId": values.get("runId") or f"run_{uuid4().hex}",
        "protocolVersion": PROTOCOL_VERSION,
        "messages": [],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    }
    return defaults | {name: value for name, value in values.items() if value is not None}


class AgUiSource(SseSource):
    """Reads one run of an AG-UI server: a POST of the run's input, whose answer is an event stream. Needs the extra
    ``http``.

    ::

        messages = [{"id": "u1", "role": "user", "content": "When is the ferry?"}]
        source = AgUiSource("https://agent.example/agent", {"threadId": "t1", "messages": messages}, auth=token)

    The protocol has no resumption, so the request is sent once, and a stream that is cut has failed: its run is
    interrupted. It is sent again only if it can't have reached the server, or if the server reports that it did nothing
    yet (408, 425, 429). The end of the body is the end of the source. A run that it leaves open is interrupted too.

    A run that waits is continued by a further source, whose input has the answer; a handler of
    :class:`~runstream.ActionRequired` may return it.

    Args:
        url: The URL. Its credentials and query values appear in no message and no log.
        input: Fields of the run's input (RunAgentInput), in camelCase, such as ``messages``, ``tools``, ``state``
            and ``resume``; see :func:`make_run_input` for those that are added.
        name: The source's name; the URL without secrets by default.
        headers: Headers of the request.
        auth: A bearer token or headers, or a function (sync or async) that returns them.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        reconnect: When to try again to connect; ``None``: never.
        max_message_bytes: Size of one event (bytes). A larger one is rejected and not kept in memory; later events are
            read.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: Longest time without any data: response, event or comment (seconds), ``None`` for any time.

    Attributes:
        dialect: The dialect of its events.
        input: The input as it is sent.

    Raises:
        ImportError: The extra is not installed and no ``client`` given.
        ValueError: A value is outside its range.
        TypeError: The input can't be encoded as JSON, or ``client`` is no client.
    """

    dialect: ClassVar[str] = "ag-ui"
    _sent_once = POST_ONCE
    ends_with_response: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        input: Mapping[str, Any] | None = None,
        *,
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
    ) -> None:
        self.input = make_run_input(input)
        super().__init__(
            url,
            method="POST",
            json=self.input,
            name=name,
            headers=headers,
            auth=auth,
            client=client,
            ssl=ssl,
            proxy=proxy,
            reconnect=reconnect,
            max_message_bytes=max_message_bytes,
            open_timeout=open_timeout,
            read_timeout=read_timeout,
        )

    def __repr__(self) -> str:
        return f"AgUiSource({self.name!r})"
