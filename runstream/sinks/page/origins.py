"""Checks origins: a page of another site must not read the socket of this page. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

__all__ = ["OriginPolicy", "is_loopback"]


class OriginPolicy:
    """Accepts or refuses a request by its headers ``Host`` and ``Origin``.

    A browser allows any site to open a WebSocket to any address, and names the site in ``Origin`` (RFC 6455, section
    10.2): it must be the page's own, or be listed. A client without ``Origin`` is no browser, and could send any
    value. The ``Host`` is checked too, because a site can make its own name point to this machine and so be "the same
    host" (DNS rebinding): it must be an address, ``localhost``, or a name that is listed.

    Args:
        origins: Other origins that may connect: ``https://host`` or ``https://host:port``.
        hosts: Names under which the page is reached, besides those of ``origins``; ``None`` accepts any, for
            applications that check the host themselves.

    Raises:
        ValueError: An origin is not valid.
    """

    def __init__(self, origins: Iterable[str] = (), hosts: Iterable[str] | None = ()) -> None:
        if isinstance(origins, str):
            raise ValueError("origins is a list of origins, such as ['https://dashboard.example']")
        self._origins = {_origin(origin) for origin in origins}
        named = {urlsplit(origin).hostname or "" for origin in self._origins}
        self._hosts = None if hosts is None else {host.lower() for host in hosts} | named

    def refusal(self, host: str | None, origin: str | None) -> str | None:
        """The reason why a request is refused, as text for its sender; ``None`` if it is accepted.

        Args:
            host: The header ``Host``.
            origin: The header ``Origin``.
        """
        name = _hostname(host)
        if not name:
            return "The request names no host."
        if self._hosts is not None and not (_is_address(name) or _is_local(name) or name in self._hosts):
            return "This page does not answer to this host name. Its operator can list it in `origins`."
        if origin is None or origin.lower() in self._origins:
            return None
        scheme, _, rest = origin.lower().partition("://")
        if scheme in {"http", "https"} and host is not None and rest == host.lower():
            return None
        return "This page does not answer to pages of other sites. Its operator can list them in `origins`."


def is_loopback(host: str) -> bool:
    """True if only this machine can reach a server that listens on this host."""
    if _is_local(host.lower()):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(text: str) -> str:
    parts = urlsplit(text.lower())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("an origin is written https://host or https://host:port")
    return f"{parts.scheme}://{parts.netloc}"


def _hostname(host: str | None) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")  # RFC 6761, section 6.3


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
