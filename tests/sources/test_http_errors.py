"""What a server's refusal says: whether to come back, when, and in which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from runstream.sources.http_errors import http_error, read_error, retry_after
from runstream.sources.sent_values import SentValues

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
        ("1.5", 1.5),
        ("7, 9", 9.0),
        ("9" * 10, 1e9),
        ("9" * 5_000, 1e9),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 1e9),
        (formatdate(NOW + 90, usegmt=True).replace("GMT", "-0000"), 90.0),
        (datetime.fromtimestamp(NOW + 90, UTC).isoformat(), 90.0),
        ("inf", None),
        ("nan", None),
        ("1" * 400, 1e9),
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
    assert read_error(body, content_type).text == message


@given(st.binary(max_size=200), st.sampled_from(["", "text/plain", "application/json", "text/html"]))
def test_any_body_has_a_message_or_none(body: bytes, content_type: str) -> None:
    """Never an exception."""
    assert isinstance(read_error(body, content_type).text, str)


@pytest.mark.parametrize(
    ("status", "retry"),
    [(code, True) for code in (408, 421, 425, 429, 499, 500, 502, 503, 504, 507, 509, *range(520, 531), 598, 599, 999)]
    + [(code, False) for code in (200, 302, 400, 401, 403, 404, 409, 410, 501, 505, 511)],
)
def test_which_refusals_are_worth_another_try(status: int, retry: bool) -> None:
    """Those that speak of the moment, not of the request."""
    refusal = http_error(URL, status, now=NOW)
    assert refusal.retry is retry
    assert (refusal.status, refusal.wait) == (status, None)
    shown = f"{SHOWN} refused the connection with HTTP {status}"
    assert refusal.reason == str(refusal)
    assert refusal.reason.partition(" HTTP ")[0] == shown.partition(" HTTP ")[0]


@pytest.mark.parametrize("status", [501, 505, 511])
def test_what_is_never_done_is_a_loss_after_it_was_done(status: int) -> None:
    """After an earlier connection each 5xx is the report of a gateway; other refusals stay final."""
    assert http_error(URL, status, now=NOW).retry_if_opened
    assert not http_error(URL, 403, now=NOW).retry_if_opened


def test_the_words_of_a_refusal() -> None:
    """The usual phrase, the code, and the message apart from them; on one line, without what was sent."""
    refusal = http_error(
        URL,
        429,
        phrase="Too Many Requests",
        headers={"retry-after": "7", "content-type": "application/json"},
        body=b'{"error": {"code": "insufficient_quota", "message": "The token abcdef of\\nalice is used up"}}',
        sent=SentValues(secrets=("abcdef", "alice")),
        now=NOW,
    )
    assert refusal.wait == 7.0
    assert refusal.reason == f"{SHOWN} refused the connection with HTTP 429 Too Many Requests (insufficient_quota)"
    assert refusal.message == "The token *** of *** is used up"
    assert refusal.server_message == "The token *** of *** is used up"
    other = http_error(URL, 429, phrase="Slow\r\ndown, alice", sent=SentValues(secrets=["alice"]), now=NOW)
    assert other.reason == f"{SHOWN} refused the connection with HTTP 429 Too Many Requests"
    assert other.server_message == "Slow down, ***"


def test_a_body_that_is_no_structured_error_is_data_alone() -> None:
    """Its text may quote anything, and stands neither in the reason nor in the message."""
    refusal = http_error(URL, 400, headers={"content-type": "text/plain"}, body=b"my diary is bad", now=NOW)
    assert (refusal.reason, refusal.message) == (f"{SHOWN} refused the connection with HTTP 400 Bad Request", "")
    assert refusal.server_message == "my diary is bad"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"error": {"message": "Out of quota", "type": "tokens", "code": "insufficient_quota"}}',
         "insufficient_quota", "Out of quota"),
        (b'{"error": {"message": "Out of quota", "type": "tokens", "code": null}}', "tokens", "Out of quota"),
        (b'{"code": "x", "message": "No"}', "x", "No"),
        (b'{"error": "Out of quota"}', "", "Out of quota"),
        (b'{"error": "invalid_grant", "error_description": "Expired"}', "invalid_grant", "Expired"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}', "missing", "field required"),
        (b'[{"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}}]', "429", "Slow down"),
        (b'{"error": {"code": "only_a_code"}}', "only_a_code", ""),
    ],
)  # fmt: skip
def test_the_code_and_message_of_a_structured_error(body: bytes, code: str, message: str) -> None:
    error = read_error(body)
    assert (error.code, error.text, error.is_structured) == (code, message, True)


@pytest.mark.parametrize("code", ["two words", "x" * 65, "a\x1b[31m", "sk-sent", "429"])
def test_a_code_that_is_no_short_name_is_not_shown(code: str) -> None:
    """Nor is a value that this side has sent, nor a bare number."""
    error = read_error(json.dumps({"error": {"code": code, "message": "No"}}).encode())
    assert error.code_for(SentValues(secrets=["sk-sent"])) == ""


def test_a_redirect_is_named_without_its_secrets() -> None:
    """Where it leads is shown, what it carries isn't."""
    headers = {"Location": "https://al:pw@login.example/in?state=xyzxyz"}
    refusal = http_error(URL, 302, headers=headers, body=b"moved", now=NOW)
    assert refusal.reason.endswith("HTTP 302 Found: it redirects, which is not followed")
    assert refusal.server_message == "https://***@login.example/in?state=***"
    without = http_error(URL, 302, body=b"moved", now=NOW)
    assert without.reason.endswith("HTTP 302 Found")
    assert without.server_message == "moved"


def test_of_a_header_that_comes_twice_the_longer_wait_counts() -> None:
    """Also where the client does not join the values."""
    headers = Headers([("Retry-After", "7"), ("Retry-After", "9")])
    assert http_error(URL, 503, headers=headers, now=NOW).wait == 9.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After-Ms": "1500", "Retry-After": "30"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "30"}, 30.0),
        ({"Retry-After-Ms": "250"}, 0.25),
    ],
)
def test_a_wait_in_milliseconds_is_more_exact(headers: dict[str, str], wait: float) -> None:
    assert http_error("http://host/", 429, headers=headers, now=NOW).wait == wait
