"""What a server's refusal says: whether to come back, when, and in which words."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from runstream.sources.http_errors import http_error, retry_after, server_message

NOW = 1_790_000_000.0
URL = "wss://alice:s3cret@gateway.example/runs?token=abcdef"
SHOWN = "wss://***@gateway.example/runs?token=***"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("inf", None),
        ("nan", None),
        ("1" * 400, None),
        ("\u0661", None),  # a digit, but not one of HTTP's
        ("Fri, 99 Feb 2026 00:00:00 GMT", None),
    ],
)
def test_when_to_come_back(value: str, seconds: float | None) -> None:
    """A number of seconds or a date (RFC 9110, section 10.2.3); what is neither asks for nothing."""
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_harmless(value: str) -> None:
    """A wait is finite and not negative, whatever a server sends."""
    found = retry_after(value, NOW)
    assert found is None or 0 <= found < 1e12


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b'{"error": {"message": "No.", "code": "x"}}', "application/json", "No."),
        (b'{"error": "No."}', "application/json", "No."),
        (b'{"message": "No."}', "", "No."),
        (b'{"detail": "No."}', "application/problem+json", "No."),
        (b'{"title": "No."}', "application/problem+json", "No."),
        (b'{"error": {"message": {"message": {"message": "deep"}}}}', "application/json", ""),
        (b'{"error": 4}', "application/json", ""),
        (b'{"other": "No."}', "application/json", ""),
        (b'["No."]', "application/json", ""),
        (b'{"error"', "application/json", ""),
        (b'{"error": "\xff"}', "application/json", ""),
        (b"[" * 10_000, "application/json", ""),
        (b"No such run", "text/plain; charset=utf-8", "No such run"),
        (b"No such run", "", "No such run"),
        (b"No such run", "application/octet-stream", ""),
        (b"<p>No.</p>", "text/html", ""),
        (b"  <!doctype html>", "text/plain", ""),
        (b"", "text/plain", ""),
        (b"x" * 20_000, "text/plain", ""),
    ],
)
def test_the_message_in_a_body(body: bytes, content_type: str, message: str) -> None:
    """The usual JSON shapes and plain text; nothing of pages, of what is broken and of what is long."""
    assert server_message(body, content_type) == message


@given(st.binary(max_size=200), st.sampled_from(["", "text/plain", "application/json", "text/html"]))
def test_any_body_has_a_message_or_none(body: bytes, content_type: str) -> None:
    """Never an exception."""
    assert isinstance(server_message(body, content_type), str)


@pytest.mark.parametrize(
    ("status", "retry"),
    [(code, True) for code in (408, 425, 429, 500, 502, 503, 504)]
    + [(code, False) for code in (200, 302, 400, 401, 403, 404, 409, 410, 501, 505)],
)
def test_which_refusals_are_worth_another_try(status: int, retry: bool) -> None:
    """Those that speak of the moment, not of the request."""
    refusal = http_error(URL, status, now=NOW)
    assert refusal.retry is retry
    assert (refusal.status, refusal.wait) == (status, None)
    assert refusal.reason == str(refusal) == f"{SHOWN} refused the connection with HTTP {status}"


def test_the_words_of_a_refusal() -> None:
    """Phrase, message and wait; on one line, without secrets."""
    refusal = http_error(
        URL,
        429,
        phrase="Too Many Requests",
        headers={"retry-after": "7", "content-type": "application/json"},
        body=b'{"error": {"message": "The token abcdef of\\nalice is used up"}}',
        secrets=("abcdef", "alice"),
        now=NOW,
    )
    assert refusal.wait == 7.0
    assert refusal.reason == f"{SHOWN} refused the connection with HTTP 429 Too Many Requests"
    assert refusal.server_message == "The token *** of *** is used up"
    other = http_error(URL, 429, phrase="Slow\r\ndown, alice", secrets=("alice",), now=NOW)
    assert other.reason == f"{SHOWN} refused the connection with HTTP 429"
    assert other.server_message == "Slow down, ***"


def test_a_redirect_is_named_without_its_secrets() -> None:
    """Where it leads is shown, what it carries isn't."""
    headers = {"Location": "https://al:pw@login.example/in?state=xyzxyz"}
    refusal = http_error(URL, 302, headers=headers, body=b"moved", now=NOW)
    assert refusal.reason.endswith("HTTP 302: it redirects, which is not followed")
    assert refusal.server_message == "https://***@login.example/in?state=***"
    without = http_error(URL, 302, body=b"moved", now=NOW)
    assert without.reason.endswith("HTTP 302")
    assert without.server_message == "moved"


def test_a_header_that_comes_twice_counts_for_nothing() -> None:
    """Two answers to one question are none."""
    headers = Headers([("Retry-After", "7"), ("Retry-After", "9")])
    assert http_error(URL, 503, headers=headers, now=NOW).wait is None
