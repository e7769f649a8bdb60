"""What of a URL, and of a server's words, may be shown."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.sources.credentials import redact_text, redact_url, url_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://gateway.example/runs", "ws://gateway.example/runs"),
        ("wss://gateway.example:8443/runs", "wss://gateway.example:8443/runs"),
        ("wss://alice:s3cret@gateway.example/runs", "wss://***@gateway.example/runs"),
        ("wss://token@gateway.example", "wss://***@gateway.example"),
        ("wss://a:b@c@gateway.example", "wss://***@gateway.example"),
        ("wss://gateway.example/?token=abc&run=1", "wss://gateway.example/?token=***&run=***"),
        ("wss://gateway.example/?sk-bare-token", "wss://gateway.example/?***"),
        ("wss://gateway.example/?a=1;token=abc", "wss://gateway.example/?a=***"),
        ("wss://gateway.example/?token=a=b", "wss://gateway.example/?token=***"),
        ("wss://gateway.example/#access_token=abc", "wss://gateway.example/"),
        ("ws://[::1]:8080/runs", "ws://[::1]:8080/runs"),
        ("ws://gateway.example/\x1b[2J", "ws://gateway.example/\\x1b[2J"),
        ("ws://gateway.example/?a\u2028b=1", "ws://gateway.example/?a\\u2028b=***"),
        # What has no host might be anything, credentials too.
        ("alice:s3cret@gateway.example", "(invalid URL)"),
        ("wss:alice:s3cret@gateway.example", "(invalid URL)"),
        ("wss://alice:s3cret@", "(invalid URL)"),
        ("ws://gateway.example:port/", "(invalid URL)"),
        ("ws://[::1/", "(invalid URL)"),
        ("", "(invalid URL)"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert redact_url(url) == shown


_secret = st.text(string.ascii_letters + string.digits, min_size=8).map(lambda text: f"Z9{text}9Z")


@given(user=_secret, password=_secret, value=_secret, fragment=_secret)
def test_no_part_of_a_secret_is_left(user: str, password: str, value: str, fragment: str) -> None:
    url = f"wss://{user}:{password}@gateway.example/runs?key={value}#{fragment}"
    assert not any(secret in redact_url(url) for secret in (user, password, value, fragment))
    said = redact_text(f"{user} {password}, {value} or {fragment} of {url} is wrong", url_secrets(url), 10_000)
    assert not any(secret in said for secret in (user, password, value, fragment))


@given(st.text())
def test_any_text_is_a_url_that_can_be_shown_on_one_line(url: str) -> None:
    assert redact_url(url).isprintable()
    url_secrets(url)


def test_secrets_are_known_as_written_and_as_decoded() -> None:
    secrets = url_secrets("wss://al%40ce:p%2Fw@gateway.example/?key=a%20long+key&bare-token#frag")
    assert {"al@ce", "p/w", "p%2Fw", "a%20long+key", "a long key", "bare-token", "frag"} <= set(secrets)


def test_words_are_put_on_one_line_masked_and_cut() -> None:
    assert redact_text("No.\r\n2099 ERROR forged\x1b[31m") == "No. 2099 ERROR forged\\x1b[31m"
    assert redact_text("the key abcdef and abcdefgh", ("abcdef", "abcdefgh")) == "the key *** and ***"
    assert redact_text("1 of 12", ("1",)) == "1 of 12"
    assert redact_text("x" * 300) == "x" * 199 + "…"
