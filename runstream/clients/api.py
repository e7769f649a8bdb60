"""The requests of a client that are answered by one JSON object: sent, retried, and read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from runstream.errors import RequestFailed
from runstream.sources.credentials import Credentials, merge_headers, redact_url, resolve_headers
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed, http_error
from runstream.sources.reconnect import Reconnect
from runstream.sources.sent_values import SentValues

__all__ = ["Api", "ApiAnswer"]

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "runstream"}
_MAX_BODY: Final = 64 * 2**20  # bytes


class ApiAnswer(Struct, frozen=True):
    """The answer to a request.

    Attributes:
        status: The HTTP status: 2xx, or 404.
        body: The body as received.
    """

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON builtins; ``None`` if it is not JSON."""
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            return msgspec.json.decode(self.body)
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

    def url(self, path: str, **query: Any) -> str:
        """The URL of a path.

        Args:
            path: The path after the base, from ``/``, its variable parts encoded (:meth:`segment`).
            query: Further parameters; those that are ``None`` are left out.
        """
        parts = urlsplit(self.base_url)
        more = urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
        joined = "&".join(filter(None, (parts.query, more)))
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, joined, ""))

    @staticmethod
    def segment(value: str) -> str:
        """An id as one segment of a path."""
        return quote(value, safe="")

    async def get(self, path: str, **query: Any) -> ApiAnswer:
        """Send a GET; see :meth:`request`."""
        return await self.request("GET", self.url(path, **query))

    async def post(self, path: str, body: Any = None) -> ApiAnswer:
        """Send a POST with JSON; see :meth:`request`."""
        return await self.request("POST", self.url(path), {} if body is None else body)

    async def request(self, method: str, url: str, body: Any = None) -> ApiAnswer:
        """Send a request, and return its answer.

        Args:
            method: The method.
            url: The URL.
            body: The body, which is encoded as JSON; ``None`` for none.

        Raises:
            RequestFailed: The server refused it, or it could not be sent.
        """
        content = None if body is None else msgspec.json.encode(body)
        attempt = 0
        while True:
            try:
                return await self._send(method, url, content)
            except ConnectFailed as error:
                attempt += 1
                may_repeat = error.retry and (method == "GET" or not error.reached or error.status in (408, 425, 429))
                if not may_repeat or self._retry is None or self._retry.is_exhausted(attempt):
                    raise RequestFailed(
                        error.reason,
                        status=error.status,
                        server_message=error.server_message,
                        reached=error.reached,
                        message=error.message,
                    ) from error.__cause__
                wait = self._retry.delay(attempt, asked=error.wait)
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _send(self, method: str, url: str, content: bytes | None) -> ApiAnswer:
        if self._client is None:
            self._client = HttpClient(**self._options)
        secret = await resolve_headers(self.auth)
        kind = {"Content-Type": "application/json"} if content is not None else None
        headers = merge_headers(_HEADERS, kind, self.headers, secret)
        sent = SentValues(urls=[url, *self._client.proxy_urls()], headers={**self.headers, **secret}, content=content)
        response = await self._client.send(method, url, headers, content)
        status = response.status_code
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BODY:
                    raise ConnectFailed(f"{redact_url(url)} sent more than {_MAX_BODY} bytes", status=status)
        except (self._client.http.TransportError, self._client.http.DecodingError) as error:
            raise ConnectFailed(
                f"{redact_url(url)} broke off its answer ({type(error).__name__})", retry=True, reached=True
            ) from None
        finally:
            await response.aclose()
        if 200 <= status < 300 or status == 404:
            return ApiAnswer(status, bytes(body))
        raise http_error(
            url,
            status,
            phrase=response.reason_phrase,
            headers=response.headers,
            body=bytes(body),
            sent=sent,
            now=time.time(),
        )
