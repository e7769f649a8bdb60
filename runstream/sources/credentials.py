"""Credentials of a source, as HTTP headers; and their redaction in URLs and in a server's texts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from runstream.model.escaping import escape_unprintable

__all__ = [
    "INVALID_URL",
    "Credentials",
    "Secret",
    "await_result",
    "merge_headers",
    "redact_text",
    "redact_url",
    "resolve_headers",
    "url_secrets",
]

INVALID_URL = "(invalid URL)"
"""Shown in place of a URL that is invalid or has no host."""

_MASK = "***"
_MIN_SECRET = 4  # characters; shorter values are no secrets, and masking them would garble every message

# A bearer token, or headers.
Secret: TypeAlias = str | Mapping[str, str]
# The secret itself, or a function that returns it: sync or async, called again for each connection.
Credentials: TypeAlias = Secret | Callable[[], Secret | Awaitable[Secret | None] | None]


async def resolve_headers(auth: Credentials | None) -> dict[str, str]:
    """Return the headers that carry the credentials; a string is a bearer token (RFC 6750, section 2.1)."""
    secret = await await_result(auth()) if callable(auth) else auth
    if secret is None:
        return {}
    return {"Authorization": f"Bearer {secret}"} if isinstance(secret, str) else dict(secret)


def merge_headers(*several: Mapping[str, str] | None) -> dict[str, str]:
    """Merge headers into one mapping; later ones replace earlier ones. The case of names is ignored."""
    merged: dict[str, tuple[str, str]] = {}
    for headers in several:
        for name, value in (headers or {}).items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


async def await_result(value: Any) -> Any:
    """Return the result of a function that may be sync or async."""
    return await value if inspect.isawaitable(value) else value


def redact_url(url: str) -> str:
    """Return ``url`` without user information, fragment and query values, fit for logs and messages.

    A URL without a host is not shown at all: ``user:password@host`` parses as a scheme and a path.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return INVALID_URL
    if not host:
        return INVALID_URL
    if ":" in host:
        host = f"[{host}]"
    user = f"{_MASK}@" if "@" in parts.netloc else ""
    query = "&".join(_redact_parameter(part) for part in parts.query.split("&")) if parts.query else ""
    return escape_unprintable(urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, query, "")))


def _redact_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    # A parameter without a value may itself be the token.
    return f"{name}={_MASK}" if equals else _MASK


def url_secrets(url: str) -> tuple[str, ...]:
    """Return the parts of ``url`` that must not be shown, as written and as decoded, for :func:`redact_text`."""
    try:
        parts = urlsplit(url)
        user, _, _ = parts.netloc.rpartition("@")
    except ValueError:
        return (url,)
    found = {user, *user.split(":", 1), parts.fragment}
    for parameter in parts.query.split("&"):
        name, equals, value = parameter.partition("=")
        found.add(value if equals else name)
    found |= {unquote(value) for value in found} | {unquote_plus(value) for value in found}
    return tuple(value for value in found if value)


def redact_text(text: str, secrets: Iterable[str] = (), limit: int = 200) -> str:
    """Return foreign text on one line: secrets masked, control characters escaped, cut to a length.

    Args:
        text: The text.
        secrets: Values that must not be shown; values of fewer than 4 characters are not masked.
        limit: The longest result, in characters.
    """
    # The longest first: one secret may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, _MASK)
    text = escape_unprintable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
