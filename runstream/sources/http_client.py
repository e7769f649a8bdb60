"""HTTP requests of sources: one at a time, without redirects, without idle connections, and without URLs in the log.

The client library is optional (extra ``http``), so it is imported when the first client is made.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import ssl as ssl_module
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from runstream.sources.credentials import INVALID_URL, merge_headers, redact_url
from runstream.sources.http_errors import ConnectFailed, system_message
from runstream.sources.sent_values import SentValues

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

__all__ = ["HttpClient", "check_url", "client_library"]

_NOT_SENT: Final = (
    "the URL or a header can't be sent: it contains a line break, or another character that is not allowed there"
)
_INSTALL: Final = "http:// and https:// need an HTTP client: pip install 'runstream[http]'"


def check_url(url: str) -> None:
    """Check that a URL is an HTTP URL. Not left to the client: its message may repeat the URL.

    Raises:
        ConnectFailed: It is no HTTP URL.
    """
    shown = redact_url(url)
    if shown == INVALID_URL or urlsplit(url).scheme not in ("http", "https"):
        raise ConnectFailed(f"Not an HTTP URL: {shown}")


class HttpClient:
    """Sends requests and returns their streaming responses.

    Its own connections are made by the transport and not by httpx2's client, which writes every URL, with its
    secrets, to the log.

    Args:
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes; the log of its library
            is the caller's responsibility too.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: Longest time for the whole head of a response, and then without any data (seconds); ``None`` for
            any time.

    Raises:
        ImportError: There is no client library.
        TypeError: ``client`` is none of these.
    """

    def __init__(
        self,
        client: AsyncClient | None = None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        open_timeout: float = 10.0,
        read_timeout: float | None = None,
    ) -> None:
        self.http = client_library(client)
        self._client = client
        self._ssl = ssl
        self._proxy = proxy
        self._timeout = {"connect": open_timeout, "read": read_timeout, "write": open_timeout, "pool": open_timeout}
        self._head_timeout = read_timeout
        self._open_timeout = open_timeout
        self._transports: dict[str | None, Any] = {}

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, sent: SentValues
    ) -> Response:
        """Send a request and return the response as soon as its headers have arrived.

        Args:
            method: The method.
            url: The URL. No redirect is followed.
            headers: The headers.
            content: The body.
            sent: What this side sends. The URL, the proxies, and what a given client adds, are added to it.

        Raises:
            ConnectFailed: There is no response. Its ``reached`` is True if the server may have received the request.
        """
        check_url(url)
        proxies = self._proxies()
        sent.add_urls(url, *proxies.values())
        address, basic = _split_credentials(url)
        http = self.http
        head = _HeadTimeout(self._head_timeout, self._open_timeout, has_body=content is not None)
        try:
            # As UTF-8, as WHATWG defines for an event id; the client would accept ASCII alone.
            lines = [(name.encode(), value.encode()) for name, value in merge_headers(basic, headers).items()]
            if self._client is not None:
                timeout = http.Timeout(**self._timeout)
                request = self._client.build_request(
                    method, address, headers=lines, content=content, timeout=timeout, extensions={"trace": head.trace}
                )
                async with head:
                    response: Response = await self._client.send(request, stream=True, follow_redirects=False)
                _add_own(sent, response)
                return response
            extensions = {"timeout": self._timeout, "trace": head.trace}
            request = http.Request(method, address, headers=lines, content=content, extensions=extensions)
            async with head:
                response = await self._transport(address, proxies).handle_async_request(request)
                response.request = request
            return response
        except TimeoutError:
            shown = redact_url(url)
            raise ConnectFailed(f"{shown} did not answer: it took too long", retry=True, reached=True) from None
        except http.TransportError as error:
            raise self._connect_failed(url, error) from None
        except (http.InvalidURL, UnicodeError):  # its message repeats the URL, or a header
            raise ConnectFailed(f"Could not connect to {redact_url(url)}: {_NOT_SENT}") from None
        except (ValueError, TypeError, ImportError) as error:
            # Options that don't fit: an invalid proxy, a SOCKS proxy without its package. The cause has the details.
            raise ConnectFailed(
                f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options"
            ) from error

    def _proxies(self) -> dict[str, str]:
        """The proxies by the schemes of URLs. Those of the system are read for each request: they may change."""
        if self._client is not None or self._proxy is None:
            return {}
        return getproxies() if self._proxy is True else {"all": self._proxy}

    async def close(self) -> None:
        """Close the connections that it opened."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    def _transport(self, url: str, proxies: Mapping[str, str]) -> Any:
        parts = urlsplit(url)
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        # The standard library's rule, as for WebSockets: NO_PROXY, and the platform's settings.
        if proxy is not None and self._proxy is True and proxy_bypass(parts.hostname or ""):
            proxy = None
        if proxy not in self._transports:
            http = self.http
            self._transports[proxy] = http.AsyncHTTPTransport(
                verify=self._ssl or _default_ssl(http),
                proxy=proxy,
                # An idle connection may be gone, and a request would be lost with it; a source has one at a time.
                limits=http.Limits(max_keepalive_connections=0),
            )
        return self._transports[proxy]

    def _connect_failed(self, url: str, error: Exception) -> ConnectFailed:
        http = self.http
        unsent = isinstance(
            error,
            (http.ConnectError, http.ConnectTimeout, http.PoolTimeout, http.ProxyError, http.UnsupportedProtocol),
        )
        shown = redact_url(url)
        if isinstance(error, http.LocalProtocolError):
            return ConnectFailed(f"Could not connect to {shown}: {_NOT_SENT}")
        if unsent:
            final = any(isinstance(cause, ssl_module.SSLCertVerificationError) for cause in _causes(error))
            reason = f"Could not connect to {shown}: {_error_kind(error, http)}"
            return ConnectFailed(reason, retry=not final and not isinstance(error, http.UnsupportedProtocol))
        return ConnectFailed(f"{shown} did not answer: {_error_kind(error, http)}", retry=True, reached=True)


class _HeadTimeout:
    """The time-out of a response's head as a whole; the time-outs of the client are those of each read.

    Args:
        limit: The time for the head (seconds), ``None`` for any time.
        open_timeout: The time for what comes before it, of a client that reports no progress (seconds).
        has_body: True if the request has a body: it may take any time to send it.
    """

    def __init__(self, limit: float | None, open_timeout: float, *, has_body: bool) -> None:
        self._limit = limit
        # For a client whose transport calls no `trace`.
        self._timeout = asyncio.timeout(None if limit is None or has_body else limit + open_timeout)
        self._has_ended = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_ended = True
        await self._timeout.__aexit__(kind, error, traceback)

    async def trace(self, event: str, info: Any) -> None:
        """Note the progress of a request: the client calls it with the name of each step."""
        if self._has_ended or self._timeout.expired():  # the body is traced too, and the end of a cancelled request
            return
        if event.endswith("receive_response_headers.started"):
            if self._limit is not None:
                self._timeout.reschedule(asyncio.get_running_loop().time() + self._limit)
        else:
            self._timeout.reschedule(None)


def _error_kind(error: Exception, http: ModuleType) -> str:
    if isinstance(error, http.TimeoutException):
        return "it took too long"
    return system_message(_causes(error)) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes, with the members of exception groups."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        cause = queue.pop(0)
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            queue += [cause.__cause__, cause.__context__]
            if isinstance(cause, BaseExceptionGroup):
                queue += cause.exceptions


def client_library(client: object = None) -> ModuleType:
    """Return the client library: that of a ready client, or the one of the extra.

    Raises:
        ImportError: It is not installed; the message names the package to install.
        TypeError: ``client`` is no client.
    """
    if client is None:
        try:
            return importlib.import_module("httpx2")
        except ImportError as error:
            raise ImportError(_INSTALL, name=error.name) from error
    for kind in type(client).__mro__:
        root = kind.__module__.partition(".")[0]
        if kind.__name__ == "AsyncClient" and root in ("httpx", "httpx2"):
            return importlib.import_module(root)
    raise TypeError(f"client must be an httpx2.AsyncClient, not a {type(client).__name__}")


@cache
def _default_ssl(http: ModuleType) -> ssl_module.SSLContext:
    # Reading the trust store takes milliseconds and memory, which each of two thousand sources need not spend.
    context: ssl_module.SSLContext = http.create_ssl_context()
    return context


def _add_own(sent: SentValues, response: Response) -> None:
    """Add what a given client has sent of its own: its headers, cookies, credentials and parameters."""
    with suppress(RuntimeError):  # a transport of the application's own may make a response without a request
        request = response.request
        sent.add_urls(str(request.url))
        sent.add_headers(
            (name, value) for name, value in request.headers.items() if name.lower() not in ("host", "user-agent")
        )


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without user information and fragment, and the header with the user information (RFC 7617)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    address = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    if not at:
        return address, {}
    name, _, password = user.partition(":")
    token = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return address, {"Authorization": f"Basic {token}"}
