"""HTTP requests for sources: one at a time, followed nowhere, kept by nobody, and logged without their URLs.

The client library is optional (extra ``http``), so it is imported when the first client is made.
"""

from __future__ import annotations

import base64
import importlib
import ssl as ssl_module
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from runstream.sources.credentials import INVALID_URL, merge_headers, redact_text, redact_url
from runstream.sources.http_errors import ConnectFailed

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

__all__ = ["HttpClient", "check_url", "library"]

_INSTALL: Final = "http:// and https:// need an HTTP client: pip install 'runstream[http]'"


def check_url(url: str) -> None:
    """Refuse what is no HTTP URL. Not left to the client: its words for it may repeat the URL.

    Raises:
        Refused: It is none.
    """
    shown = redact_url(url)
    if shown == INVALID_URL or urlsplit(url).scheme not in ("http", "https"):
        raise ConnectFailed(f"Not an HTTP URL: {shown}")


class HttpClient:
    """Sends requests and gives their streaming responses.

    Its own connections are made by the transport and not by httpx2's client, which writes every URL, with its
    secrets, to the log.

    Args:
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which stays the caller's to close; what its
            library logs is the caller's business too.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: How long nothing may come (seconds), ``None`` for any time.

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
        self.http = library(client)
        self._client = client
        self._ssl = ssl
        self._proxy = proxy
        self._timeout = {"connect": open_timeout, "read": read_timeout, "write": open_timeout, "pool": open_timeout}
        self._transports: dict[str | None, Any] = {}

    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Response:
        """Send a request and return the response as soon as its head has come.

        Raises:
            Refused: There is no response. Its ``reached`` says whether the server may have got the request.
        """
        check_url(url)
        address, basic = _without_credentials(url)
        http = self.http
        try:
            # As UTF-8, which is what WHATWG has of an event id; the client would take ASCII alone.
            sent = [(name.encode(), value.encode()) for name, value in merge_headers(basic, headers).items()]
            if self._client is not None:
                timeout = http.Timeout(**self._timeout)
                request = self._client.build_request(method, address, headers=sent, content=content, timeout=timeout)
                return await self._client.send(request, stream=True, follow_redirects=False)
            extensions = {"timeout": self._timeout}
            request = http.Request(method, address, headers=sent, content=content, extensions=extensions)
            response: Response = await self._transport(address).handle_async_request(request)
            return response
        except http.TransportError as error:
            raise self._refusal(url, error) from None
        except (http.InvalidURL, UnicodeError):  # whose words repeat the URL, or a header
            raise ConnectFailed(f"Could not connect to {redact_url(url)}: the URL or a header can't be sent") from None
        except (ValueError, TypeError, ImportError) as error:
            # Options that don't fit: an invalid proxy, a SOCKS proxy without its package. The cause says more.
            raise ConnectFailed(
                f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options"
            ) from error

    async def close(self) -> None:
        """Close what it opened."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    def _transport(self, url: str) -> Any:
        proxy = _system_proxy(url) if self._proxy is True else self._proxy
        if proxy not in self._transports:
            http = self.http
            self._transports[proxy] = http.AsyncHTTPTransport(
                verify=self._ssl or _default_ssl(http),
                proxy=proxy,
                # A connection that was idle may be gone, and a request lost with it; a source has one at a time.
                limits=http.Limits(max_keepalive_connections=0),
            )
        return self._transports[proxy]

    def _refusal(self, url: str, error: Exception) -> ConnectFailed:
        http = self.http
        unsent = isinstance(
            error,
            (http.ConnectError, http.ConnectTimeout, http.PoolTimeout, http.ProxyError, http.UnsupportedProtocol),
        )
        shown = redact_url(url)
        if isinstance(error, http.LocalProtocolError):
            return ConnectFailed(f"Could not connect to {shown}: the URL or a header can't be sent")
        if unsent:
            final = any(isinstance(each, ssl_module.SSLCertVerificationError) for each in _chain(error))
            reason = f"Could not connect to {shown}: {_kind_of(error, http)}"
            return ConnectFailed(reason, retry=not final and not isinstance(error, http.UnsupportedProtocol))
        return ConnectFailed(f"{shown} did not answer: {_kind_of(error, http)}", retry=True, reached=True)


def _kind_of(error: Exception, http: ModuleType) -> str:
    """Of what went wrong only the kind: the words of an exception may quote a URL, a proxy or a header."""
    if isinstance(error, http.TimeoutException):
        return "it took too long"
    for each in _chain(error):
        if isinstance(each, OSError) and each.strerror:
            return redact_text(each.strerror, limit=120)
    return type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came from, with the members of groups."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop(0)
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                left += each.exceptions


def library(client: object = None) -> ModuleType:
    """The client library: that of a ready client, or the one of the extra.

    Raises:
        ImportError: It is not installed; the message says what to install.
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
    # Reading the trust store takes milliseconds and memory, which two thousand sources need not spend each.
    context: ssl_module.SSLContext = http.create_ssl_context()
    return context


def _system_proxy(url: str) -> str | None:
    parts = urlsplit(url)
    proxies = getproxies()
    # The standard library's rule, as for WebSockets: NO_PROXY, and what the platform has.
    return None if proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme) or proxies.get("all")


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A URL without user information and fragment, and the header that says the former (RFC 7617)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    address = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    if not at:
        return address, {}
    name, _, password = user.partition(":")
    token = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return address, {"Authorization": f"Basic {token}"}
