"""Failed connections: an HTTP status with its headers and body in, a reason and whether to try again out."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin

import msgspec

from runstream.sources.credentials import redact_text, redact_url
from runstream.sources.sent_values import NOTHING_SENT, SentValues

__all__ = [
    "MAX_BODY",
    "ConnectFailed",
    "ErrorBody",
    "header",
    "header_number",
    "http_error",
    "is_lost",
    "is_transient",
    "read_error",
    "requested_wait",
    "retry_after",
    "system_message",
]

_REFUSED_FOR_NOW: Final = frozenset({408, 421, 425, 429})
_CUT_BY_GATEWAY: Final = frozenset({444, 460, 499})  # nginx and AWS: the connection was closed before the response
_REFUSED_FOR_GOOD: Final = frozenset({501, 505, 506, 508, 510, 511})

_MESSAGE_FIELDS: Final = ("error", "message", "detail", "msg", "title", "errors")
_CODE: Final = re.compile(r"[A-Za-z0-9][\w.:-]{0,63}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_LONGEST_WAIT: Final = 1e9  # seconds
_FAR_YEAR: Final = re.compile(r"(?:[A-Za-z]+, *)?[0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{5,} .*GMT")

MAX_BODY: Final = 16 * 1024
"""Largest body of an error, in bytes, in which a message is searched."""


def is_transient(status: int) -> bool:
    """Return whether the same request may succeed later (RFC 9110, section 15; 425: RFC 8470; 429: RFC 6585).

    So are the statuses with which gateways report that they did not reach their server: each 5xx (509, 520 to 530,
    598), and what is no status of HTTP, which counts as a 5xx (RFC 9110, section 15), but those by which a server
    reports that it never processes such a request (501, 505, 506, 508, 510, 511).
    """
    return is_lost(status) and status not in _REFUSED_FOR_GOOD


def is_lost(status: int) -> bool:
    """Return whether a connection that was established before is lost with this status, and to be made again.

    A server that has processed such a request before does not report by any 5xx that it never does.
    """
    return status >= 500 or status in _REFUSED_FOR_NOW or status in _CUT_BY_GATEWAY


class ConnectFailed(Exception):
    """A connection was not established.

    Attributes:
        reason: The reason, in words of this library, without credentials.
        message: The message of a structured error of the server, fit for an exception's text: what this side had sent
            is masked; "" for none.
        status: The HTTP status, if there was a response.
        retry: True if trying again may help.
        retry_if_opened: True if trying again may help where an earlier connection was established.
        wait: The wait that the server asks for before the next attempt (seconds).
        reached: True if a server received the request, at least in part; a response proves it.
        server_message: The server's words about it, without credentials; "" if there are none.
        attempts: How many attempts were made, where they were repeated.
    """

    def __init__(
        self,
        reason: str,
        *,
        message: str = "",
        status: int | None = None,
        retry: bool = False,
        wait: float | None = None,
        reached: bool = False,
        server_message: str = "",
    ) -> None:
        super().__init__(reason)
        self.server_message = server_message
        self.reason = reason
        self.message = message
        self.status = status
        self.retry = retry
        self.retry_if_opened = retry or (status is not None and is_lost(status))
        self.wait = wait
        self.reached = reached or status is not None
        self.attempts = 1


def http_error(
    url: str,
    status: int,
    *,
    phrase: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    sent: SentValues = NOTHING_SENT,
    now: float,
) -> ConnectFailed:
    """Make the error of an HTTP response by which a server refuses a connection.

    The reason has the usual phrase of the status, not the server's, and the code of a structured error.

    Args:
        url: The URL of the request.
        status: The status.
        phrase: The reason phrase.
        headers: The response's headers; names are looked up as written here and in lower case.
        body: The response's body.
        sent: What this side has sent; the server may repeat it.
        now: Unix time in seconds, for a ``Retry-After`` that is a date.
    """
    headers = headers or {}
    reason = f"{redact_url(url)} refused the connection with HTTP {status}"
    error = read_error(body, header(headers, "Content-Type"))
    standard = _standard_phrase(status)
    said = sent.redact(error.text)
    if standard:
        reason += f" {standard}"
    if code := error.code_for(sent):
        reason += f" ({code})"
    if 300 <= status < 400 and (target := header(headers, "Location")):
        reason += ": it redirects, which is not followed"
        said = sent.redact(redact_url(_join(url, target)))
    elif not said and phrase != standard:
        said = sent.redact(phrase, 60)
    return ConnectFailed(
        reason,
        message=error.message_for(sent),
        server_message=said,
        status=status,
        retry=is_transient(status),
        wait=requested_wait(headers, now),
    )


def _join(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        return target


def _standard_phrase(status: int) -> str:
    """The reason phrase of a status in RFC 9110; "" for an unknown status."""
    from http import HTTPStatus  # here: few programs have errors, and the package is not small

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def header(headers: Any, name: str) -> str:
    """Return a header's value, "" for none; the name is looked up as written here and in lower case."""
    try:
        value: str = headers.get(name) or headers.get(name.lower()) or ""
    except LookupError:  # several values, which another client would have joined
        return ", ".join(map(str, headers.get_all(name)))
    return value


def header_number(headers: Any, name: str) -> float | None:
    """Return the number in a header, ``None`` for any other value."""
    return _seconds(str(header(headers, name)))


def retry_after(value: str, now: float) -> float | None:
    """Return the wait in seconds of a ``Retry-After`` value (RFC 9110, section 10.2.3: a number or a date), ``None``
    for any other value.

    A number may have any number of digits, and a fraction; of several numbers, which a proxy has joined, the largest
    one counts. A date may be in the form of RFC 9110 or of ISO 8601. The result is 1e9 seconds at most.
    """
    value = value.strip()
    found = _seconds(value)
    if found is not None or not value:
        return found
    date = _date(value)
    return None if date is None else min(max(0.0, date - now), _LONGEST_WAIT)


def _seconds(value: str) -> float | None:
    parts = [part.strip() for part in value.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return min(max(float(part) for part in parts), _LONGEST_WAIT)


def _date(value: str) -> float | None:
    """The Unix time of a date; infinite for a year that no clock of this program reaches."""
    # Hardly any server sends a date, and the e-mail package is not small.
    from email.utils import parsedate_to_datetime

    if _FAR_YEAR.fullmatch(value):
        return math.inf
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = parse(value)
            # A date without a zone is in GMT: HTTP has no other.
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def requested_wait(headers: Any, now: float | None = None) -> float | None:
    """Return the seconds for which a server asks not to be called: ``retry-after-ms``, or ``Retry-After``
    (RFC 9110, section 10.2.3).

    Args:
        headers: The headers of a response.
        now: Unix time in seconds, for a date; the present time by default.
    """
    milliseconds = header_number(headers, "Retry-After-Ms")
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after(str(header(headers, "Retry-After")), time.time() if now is None else now)


class ErrorBody(NamedTuple):
    """The error in the body of a response.

    Attributes:
        text: The server's message as received; "" for none.
        code: The code, or else the type, of a structured error; "" for none.
        is_structured: True if the message is a field of a JSON object.
    """

    text: str = ""
    code: str = ""
    is_structured: bool = False

    def message_for(self, sent: SentValues) -> str:
        """Return the message for an exception's text, masked; "" for what is not structured: it may be anything."""
        return sent.redact(self.text) if self.is_structured else ""

    def code_for(self, sent: SentValues) -> str:
        """Return the code, unless it is no short name, or this side has sent it."""
        is_name = _CODE.fullmatch(self.code) is not None and not self.code.isdigit()
        return self.code if is_name and sent.redact(self.code) == self.code else ""


def read_error(body: bytes, content_type: str = "application/json") -> ErrorBody:
    """Read the short message in the body of an error: of the usual JSON shapes, or plain text; nothing of HTML pages
    and of anything else.
    """
    body = bytes(body[: MAX_BODY + 1])
    start = body.lstrip()[:1]
    if "html" in content_type.lower() or start in (b"<", b"") or len(body) > MAX_BODY:
        return ErrorBody()
    if start in (b"{", b"["):
        try:
            return _find_error(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return ErrorBody()
    if content_type and not content_type.lower().startswith("text/"):
        return ErrorBody()
    return ErrorBody(body.decode(errors="replace"))


def _find_error(value: Any) -> ErrorBody:
    code = ""
    for _ in range(4):  # {"error": {"message": ...}}, {"detail": [{"msg": ...}]} and the like
        if isinstance(value, str):
            return ErrorBody(value, code, is_structured=True)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if not isinstance(value, dict):
            break
        code = next((str(value[name]) for name in ("code", "type") if isinstance(value.get(name), str | int)), code)
        if isinstance(value.get("error"), str) and isinstance(value.get("error_description"), str):
            return ErrorBody(value["error_description"], value["error"], is_structured=True)  # RFC 6749, section 5.2
        value = next((value[name] for name in _MESSAGE_FIELDS if value.get(name)), None)
    return ErrorBody("", code, is_structured=bool(code))


def system_message(errors: Iterable[BaseException]) -> str | None:
    """Return the operating system's message of the first error that has one, ``None`` if none has.

    Other messages are not used: they may quote a URL, a proxy or a header.
    """
    for error in errors:
        if isinstance(error, OSError) and error.strerror:
            return redact_text(error.strerror, limit=120)
    return None
