"""The items that describe an HTTP request and its response, without credentials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.raw import Request, ResponseHead

__all__ = ["KEPT_HEADERS", "request_item", "response_item"]

KEPT_HEADERS: Final = ("content-location", "location", "openai-poll-after-ms", "x-request-id")
"""The names of the headers of a response that protocols need, in lower case."""

_URLS: Final = frozenset({"content-location", "location"})
# The keys of credentials in the bodies of requests, such as those of a server of tools, in lower case.
_CREDENTIALS: Final = frozenset(
    {
        *("authorization", "proxy_authorization", "api_key", "apikey", "x_api_key", "access_token", "refresh_token"),
        *("auth_token", "bearer_token", "token", "secret", "client_secret", "password", "passwd", "cookie"),
    }
)
_MIN_SECRET: Final = 4  # characters, as in the messages about a request
_GROUPS: Final = frozenset({"headers", "cookies"})


def request_item(body: bytes | None, continues: str | None, secrets: Iterable[str]) -> Request:
    """The item of a request.

    Args:
        body: Its body as sent. It is left out if it is not JSON. Secrets in it are masked; texts under keys of
            credentials, and headers, are left out.
        continues: The id of the run that it continues.
        secrets: The credentials of the request.
    """
    return Request(body=_without_credentials(body or b"", secrets), continues=continues, at=time.time())


def response_item(status: int, headers: Mapping[str, str]) -> ResponseHead | None:
    """The item of the head of a response; ``None`` if no protocol needs it.

    Args:
        status: The HTTP status.
        headers: All its headers. Of a URL only the path is kept.
    """
    found = [(name, headers.get(name)) for name in KEPT_HEADERS]
    kept = tuple((name, _path(value) if name in _URLS else value) for name, value in found if value)
    return ResponseHead(status=status, headers=kept, at=time.time()) if kept else None


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _without_credentials(body: bytes, secrets: Iterable[str]) -> bytes:
    if not body or nesting_depth(body, MAX_NESTING) > MAX_NESTING:
        return b""
    for secret in secrets:
        if len(secret) >= _MIN_SECRET:
            body = body.replace(secret.encode(errors="replace"), b"***")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b""
    stripped = _strip(value)
    return body if stripped is value else msgspec.json.encode(stripped)


def _strip(value: Any) -> Any:
    """The value without credentials; the same object if it has none."""
    if isinstance(value, dict):
        kept = {key: _strip(item) for key, item in value.items() if not _is_credential(key, item)}
        return value if len(kept) == len(value) and all(kept[key] is value[key] for key in kept) else kept
    if isinstance(value, list):
        items = [_strip(item) for item in value]
        return value if all(item is old for item, old in zip(items, value, strict=True)) else items
    return value


def _is_credential(key: str, value: Any) -> bool:
    name = key.lower().replace("-", "_")
    return name in _GROUPS or (name in _CREDENTIALS and isinstance(value, str))
