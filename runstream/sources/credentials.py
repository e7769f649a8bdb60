"""Credentials: a value, or a function that is asked again for each connection; in the end, headers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Credentials", "Secret", "ask_for_headers", "merge_headers", "settled"]

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
