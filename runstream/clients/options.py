"""The options that all clients have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

from runstream.clients.answers import ApproveFunction
from runstream.clients.outputs import ToolErrorPolicy
from runstream.clients.session import UnansweredFunction
from runstream.clients.tools import ToolLike
from runstream.clients.tracing import RunTracing
from runstream.engine.watchdogs import Watchdogs
from runstream.model.limits import Limits
from runstream.sources.credentials import Credentials
from runstream.sources.reconnect import Reconnect
from runstream.store.base import StateStore

if TYPE_CHECKING:
    import ssl as ssl_module

    from httpx2 import AsyncClient

    from runstream.errors import SubscriberFailed
    from runstream.stream.channel import OnSubscriberError

__all__ = ["ClientOptions"]


class ClientOptions(TypedDict, total=False):
    """The options that all clients have.

    The first are those of :class:`BaseClient`, then those of its requests (see :class:`~runstream.SseSource`), then
    those of its streams (see :class:`~runstream.RunStream`).
    """

    api_key: Credentials | None
    headers: Mapping[str, str] | None
    tools: Iterable[ToolLike]
    approve: ApproveFunction | None
    on_tool_error: ToolErrorPolicy
    on_unanswered: UnansweredFunction | None
    tool_timeout: float | None
    tool_concurrency: int
    store: StateStore | None
    reconnect: Reconnect | None
    tracer: RunTracing | None
    # of requests
    client: AsyncClient | None
    ssl: ssl_module.SSLContext | None
    proxy: str | Literal[True] | None
    open_timeout: float
    read_timeout: float | None
    # of streams
    limits: Limits | None
    watchdogs: Watchdogs | None
    clock: Callable[[], float]
    on_subscriber_error: OnSubscriberError | Callable[[SubscriberFailed], object]
    wait_timeout: float
    close_timeout: float
    buffer: int
    max_connections: int
