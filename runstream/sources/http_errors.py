"""Failed connections: an HTTP status with its headers and body in, a reason and whether to try again out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from runstream.sources.credentials import redact_text, redact_url

__all__ = [
    "MAX_BODY",
    "RETRIED",
    "ConnectFailed",
    "header",
    "header_number",
    "http_error",
    "requested_wait",
    "retry_after",
    "server_message",
    "system_message",
]

RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later (RFC 9110, section 15; 429: RFC 6585; 425: RFC 8470)."""

MAX_BODY: Final = 16 * 1024
"""Largest body of an error, in bytes, in which a message is searched."""


class ConnectFailed(Exception):
    """A connection was not established.

    Attributes:
        reason: The reason, in words of this library, without credentials.
        status: The HTTP status, if there was a response.
        retry: True if trying again may help.
        wait: The wait that the server asks for before the next attempt (seconds).
        reached: True if a server received the request, at least in part; a response proves it.
        server_message: The server's words about it, without credentials; "" if there are none.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        retry: bool = False,
        wait: float | None = None,
        reached: bool = False,
        server_message: str = "",
    ) -> None:
        super().__init__(reason)
        self.server_message = server_message
        self.reason = reason
        self.status = status
        self.retry = retry
        self.wait = wait
        self.reached = reached or status is not None


def http_error(
    url: str,
    status: int,
    *,
    phrase: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    secrets: Iterable[str] = (),
    now: float,
) -> ConnectFailed:
    """Make the error of an HTTP response by which a server refuses a connection.

    Args:
        url: The URL of the request.
        status: The status.
        phrase: The reason phrase.
        headers: The response's headers; names are looked up as written here and in lower case.
        body: The response's body.
        secrets: Values that must not be shown, though the server may repeat them.
        now: Unix time in seconds, for a ``Retry-After`` that is a date.
    """
    headers = headers or {}
    secrets = tuple(secrets)
    reason = f"{redact_url(url)} refused the connection with HTTP {status}"
    standard = phrase == _standard_phrase(status)
    if standard:
        reason += f" {phrase}"
    said = redact_text(server_message(body, header(headers, "Content-Type")), secrets)
    if 300 <= status < 400 and (target := header(headers, "Location")):
        reason += ": it redirects, which is not followed"
        said = redact_text(redact_url(target), secrets)
    elif not said and not standard:
        said = redact_text(phrase, secrets, 60)
    wait = retry_after(header(headers, "Retry-After"), now)
    return ConnectFailed(reason, status=status, retry=status in RETRIED, wait=wait, server_message=said)


def _standard_phrase(status: int) -> str | None:
    """The reason phrase of a status in RFC 9110; ``None`` for an unknown status."""
    from http import HTTPStatus  # here: few programs have errors, and the package is not small

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return None


def header(headers: Any, name: str) -> str:
    """Return a header's value, "" for none; the name is looked up as written here and in lower case."""
    try:
        value: str = headers.get(name) or headers.get(name.lower()) or ""
    except LookupError:  # several values, of which none is preferred
        return ""
    return value


def header_number(headers: Any, name: str) -> float | None:
    """Return the whole number in a header, ``None`` for any other value."""
    value = str(header(headers, name)).strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def retry_after(value: str, now: float) -> float | None:
    """Return the wait in seconds of a ``Retry-After`` value (RFC 9110, section 10.2.3: a number or a date), ``None``
    for any other value.
    """
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    # Hardly any server sends a date, and the e-mail package is not small.
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def requested_wait(headers: Any) -> float | None:
    """Return the seconds for which a server asks not to be called: ``retry-after-ms``, or ``Retry-After``
    (RFC 9110, section 10.2.3).
    """
    milliseconds = header_number(headers, "Retry-After-Ms")
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after(str(header(headers, "Retry-After")), time.time())


def server_message(body: bytes, content_type: str) -> str:
    """Return the short message in the body of an error: of the usual JSON shapes, or plain text; "" for HTML pages
    and anything else.
    """
    body = bytes(body[: MAX_BODY + 1])
    if "html" in content_type.lower() or body.lstrip()[:1] in (b"<", b"") or len(body) > MAX_BODY:
        return ""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return _find_message(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return ""
    return body.decode(errors="replace") if content_type.lower().startswith("text/") or not content_type else ""


def _find_message(value: Any) -> str:
    for _ in range(3):  # {"error": {"message": ...}} and the like
        if isinstance(value, str):
            return value
        if not isinstance(value, dict):
            return ""
        value = next((value[name] for name in ("error", "message", "detail", "title") if value.get(name)), None)
    return value if isinstance(value, str) else ""


def system_message(errors: Iterable[BaseException]) -> str | None:
    """Return the operating system's message of the first error that has one, ``None`` if none has.

    Other messages are not used: they may quote a URL, a proxy or a header.
    """
    for error in errors:
        if isinstance(error, OSError) and error.strerror:
            return redact_text(error.strerror, limit=120)
    return None
