"""The requests of a client that are answered by one JSON object: sent, retried, and read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from runstream.errors import RequestFailed
from runstream.sources.content_coding import ACCEPTED
from runstream.sources.credentials import Credentials, merge_headers, resolve_headers
from runstream.sources.fetch import MAX_OBJECT, request_object
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect
from runstream.sources.sent_values import SentValues
from runstream.sources.urls import join_url

__all__ = ["Api", "read_json"]

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": ACCEPTED, "User-Agent": "runstream"}
_NOT_PROCESSED: Final = frozenset({408, 425, 429})
_NOT_FOUND: Final = 404


def read_json(body: bytes) -> Any:
    """The JSON builtins in a body; ``None`` if it is not JSON."""
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        return msgspec.json.decode(body)
    return None


class Api:
    """Sends requests to one server.

    Args:
        base_url: The URL before the paths; it may have a query, which each request gets.
        headers: Headers of each request.
        auth: The credentials: see :class:`~runstream.SseSource`.
        retry: When to send a request again that the server did not process, and a GET after any loss; ``None``: never.
        options: Arguments of the HTTP client.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None,
        auth: Credentials | None,
        retry: Reconnect | None,
        options: Mapping[str, Any],
    ) -> None:
        self.base_url = base_url
        self.headers = dict(headers or {})
        self.auth = auth
        self._retry = retry
        self._options = options
        self._client: HttpClient | None = None

    async def get(self, *path: str, missing: str = "object", retry: bool = True, **query: Any) -> bytes:
        """The body that answers a GET.

        Args:
            path: The segments of the path after the base.
            missing: The name of the object, for the error where the server does not have it (404).
            retry: False if it is sent once, since the caller retries.
            query: Parameters; those that are ``None`` are left out.

        Raises:
            RequestFailed: The server refused the request, or it could not be sent.
        """
        values = {name: str(value) for name, value in query.items() if value is not None}
        return await self._request("GET", join_url(self.base_url, *path, **values), None, missing, retry)

    async def post(self, *path: str, body: Any = None, missing: str = "object") -> bytes:
        """The body that answers a POST.

        Args:
            path: The segments of the path after the base.
            body: The body of the request, which is encoded as JSON; ``None`` for an empty object.
            missing: See :meth:`get`.

        Raises:
            RequestFailed: See :meth:`get`.
        """
        return await self._request("POST", join_url(self.base_url, *path), {} if body is None else body, missing)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _request(self, method: str, url: str, body: Any, missing: str, retry: bool = True) -> bytes:
        policy = self._retry if retry else None
        content = None if body is None else msgspec.json.encode(body)
        attempt = 0
        while True:
            try:
                return await self._send(method, url, content)
            except ConnectFailed as error:
                if error.status == _NOT_FOUND:
                    raise RequestFailed(f"the server has no {missing}", status=_NOT_FOUND, reached=True) from None
                attempt += 1
                may_repeat = error.retry and (method == "GET" or not error.reached or error.status in _NOT_PROCESSED)
                if not may_repeat or policy is None or policy.is_exhausted(attempt):
                    raise RequestFailed(
                        error.reason,
                        status=error.status,
                        server_message=error.server_message,
                        reached=error.reached,
                        message=error.message,
                        retry_after=error.wait,
                    ) from error.__cause__
                wait = policy.delay(attempt, asked=error.wait)
            await asyncio.sleep(wait)

    async def _send(self, method: str, url: str, content: bytes | None) -> bytes:
        if self._client is None:
            self._client = HttpClient(**self._options)
        client, secret = self._client, await resolve_headers(self.auth)
        kind = {"Content-Type": "application/json"} if content is not None else None
        headers = merge_headers(_HEADERS, kind, self.headers, secret)
        sent = SentValues(urls=[url], headers={**self.headers, **secret}, content=content)
        return (await request_object(client, method, url, headers, content, sent, max_bytes=MAX_OBJECT)).content
