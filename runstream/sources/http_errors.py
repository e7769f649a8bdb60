"""A server's refusal: from an HTTP status, its headers and its body to a reason, and whether to try again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from runstream.sources.credentials import redact_text, redact_url

__all__ = ["RETRIED", "ConnectFailed", "http_refusal", "retry_after", "server_message"]

RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later (RFC 9110, section 15; 429: RFC 6585; 425: RFC 8470)."""

_MAX_BODY: Final = 16 * 1024  # bytes of a body that are looked at


class ConnectFailed(Exception):
    """A connection that was not established.

    Attributes:
        reason: Why, without credentials.
        status: The HTTP status, if there was an answer.
        retry: Whether trying again may help.
        wait: How long the server asks to wait first (seconds).
        reached: Whether there is a server that took the request, at least in part; an answer says so.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        retry: bool = False,
        wait: float | None = None,
        reached: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry = retry
        self.wait = wait
        self.reached = reached or status is not None


def http_refusal(
    url: str,
    status: int,
    *,
    phrase: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    secrets: Iterable[str] = (),
    now: float,
) -> ConnectFailed:
    """The refusal that an HTTP answer says.

    Args:
        url: What was asked for.
        status: The status.
        phrase: The reason phrase.
        headers: The answer's headers, of which the names are looked up as written here and in lower case.
        body: The answer's body.
        secrets: What must not be shown, though the server may repeat it.
        now: Unix seconds, for a ``Retry-After`` that is a date.
    """
    headers = headers or {}
    secrets = tuple(secrets)
    reason = f"{redact_url(url)} refused the connection with HTTP {status}"
    if said := redact_text(phrase, secrets, 60):
        reason += f" {said}"
    if 300 <= status < 400 and (target := _get(headers, "Location")):
        reason += f": it redirects to {redact_text(redact_url(target), secrets)}, which is not followed"
    elif said := redact_text(server_message(body, _get(headers, "Content-Type")), secrets):
        reason += f": {said}"
    wait = retry_after(_get(headers, "Retry-After"), now)
    return ConnectFailed(reason, status=status, retry=status in RETRIED, wait=wait)


def _get(headers: Mapping[str, str], name: str) -> str:
    try:
        return headers.get(name) or headers.get(name.lower()) or ""
    except LookupError:  # several values: none is as good as another
        return ""


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` asks for (RFC 9110, section 10.2.3: a number or a date); ``None`` for none."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    # Hardly any server gives a date, and the e-mail package is not small.
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def server_message(body: bytes, content_type: str) -> str:
    """The short message in the body of an error: of the usual JSON shapes, or plain text; "" for pages and the rest."""
    body = bytes(body[: _MAX_BODY + 1])
    if "html" in content_type.lower() or body.lstrip()[:1] in (b"<", b"") or len(body) > _MAX_BODY:
        return ""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return _message_in(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return ""
    return body.decode(errors="replace") if content_type.lower().startswith("text/") or not content_type else ""


def _message_in(found: Any) -> str:
    for _ in range(3):  # {"error": {"message": ...}} and the like
        if isinstance(found, str):
            return found
        if not isinstance(found, dict):
            return ""
        found = next((found[name] for name in ("error", "message", "detail", "title") if found.get(name)), None)
    return found if isinstance(found, str) else ""
