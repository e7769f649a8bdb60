"""Credentials: a value, or a function that is asked again for each connection; in the end, headers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from runstream.model.escaping import escaped

__all__ = [
    "INVALID_URL",
    "Credentials",
    "Secret",
    "ask_for_headers",
    "merge_headers",
    "redact_text",
    "redact_url",
    "settled",
    "url_secrets",
]

INVALID_URL = "(invalid URL)"
"""What is shown of a URL that is none, or has no host."""

_MASK = "***"
_SHORTEST = 4  # shorter values are no secrets, and masking them would garble every message

# A bearer token, or headers.
Secret: TypeAlias = str | Mapping[str, str]
# The secret itself, or what gives it: sync or async, asked anew for each connection.
Credentials: TypeAlias = Secret | Callable[[], Secret | Awaitable[Secret | None] | None]


async def ask_for_headers(auth: Credentials | None) -> dict[str, str]:
    """The headers that carry the credentials; a string is a bearer token (RFC 6750, section 2.1)."""
    secret = await settled(auth()) if callable(auth) else auth
    if secret is None:
        return {}
    return {"Authorization": f"Bearer {secret}"} if isinstance(secret, str) else dict(secret)


def merge_headers(*several: Mapping[str, str] | None) -> dict[str, str]:
    """Headers in one mapping, in which later ones replace earlier ones whatever the case of their names."""
    merged: dict[str, tuple[str, str]] = {}
    for headers in several:
        for name, value in (headers or {}).items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


async def settled(given: Any) -> Any:
    """What a function gave that may be sync or async."""
    return await given if inspect.isawaitable(given) else given


def redact_url(url: str) -> str:
    """``url`` without user information, fragment and query values: what may stand in logs and messages.

    What has no host is not shown at all: ``user:password@host`` reads as a scheme and a path.
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
    query = "&".join(_shown(piece) for piece in parts.query.split("&")) if parts.query else ""
    return escaped(urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, query, "")))


def _shown(piece: str) -> str:
    name, equals, _ = piece.partition("=")
    # A bare word may itself be the token.
    return f"{name}={_MASK}" if equals else _MASK


def url_secrets(url: str) -> tuple[str, ...]:
    """What in ``url`` must not be shown, as written and as decoded, for :func:`redact_text`."""
    try:
        parts = urlsplit(url)
        user, _, _ = parts.netloc.rpartition("@")
    except ValueError:
        return (url,)
    found = {user, *user.split(":", 1), parts.fragment}
    for piece in parts.query.split("&"):
        name, equals, value = piece.partition("=")
        found.add(value if equals else name)
    found |= {unquote(value) for value in found} | {unquote_plus(value) for value in found}
    return tuple(value for value in found if value)


def redact_text(text: str, secrets: Iterable[str] = (), limit: int = 200) -> str:
    """What somebody else wrote, on one line: secrets masked, control characters escaped, cut to a length.

    Args:
        text: The words.
        secrets: What must not be shown; values of fewer than 4 characters are taken for none.
        limit: The longest result, in characters.
    """
    # The longest first: one secret may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _MASK)
    text = escaped(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
