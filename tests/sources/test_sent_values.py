"""A server that repeats what it was sent: masked in whatever form, or its words are not shown."""

from __future__ import annotations

import base64
import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.sources.sent_values import SentValues

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "quote": lambda text: quote(text, safe=""),
    "plus": quote_plus,
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "unicode": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "html": html.escape,
    "repr": lambda text: repr(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 within": lambda text: base64.b64encode(f"user:{text}!".encode()).decode(),
    "urlsafe": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "spaced": lambda text: text.replace(" ", "\n  "),
    "head": lambda text: text[:12],
    "tail": lambda text: text[-12:],
}
_secret = st.text(string.ascii_letters + string.digits + "+/=&\"' %\\-_.é", min_size=14, max_size=40).map(
    lambda text: f"Zq{text.strip()}9xKw"
)


def made(place: str, secret: str) -> SentValues:
    return {
        "url": lambda: SentValues(urls=[f"https://user:{quote(secret, safe='')}@h/"]),
        "query": lambda: SentValues(urls=[f"https://h/?token={quote(secret, safe='')}"]),
        "bearer": lambda: SentValues(headers={"Authorization": f"Bearer {secret}"}),
        "basic": lambda: SentValues(
            headers={"Authorization": "Basic " + base64.b64encode(f"u:{secret}".encode()).decode()}
        ),
        "key": lambda: SentValues(headers={"X-Api-Key": secret}),
        "cookie": lambda: SentValues(headers={"Cookie": f"a=1; session={quote(secret, safe='')}"}),
        "subprotocol": lambda: SentValues(secrets=[secret]),
        "message": lambda: SentValues(messages=[json.dumps({"auth": {"token": secret}})]),
        "text message": lambda: SentValues(messages=[secret]),
        "body": lambda: SentValues(content=json.dumps({"messages": [{"content": secret}]}).encode()),
        "plain body": lambda: SentValues(content=secret.encode()),
        "form": lambda: SentValues(content=f"a=1&key={quote_plus(secret)}".encode()),
    }[place]()


PLACES = ["url", "query", "bearer", "basic", "key", "cookie", "subprotocol", "message", "text message", "body",
          "plain body", "form"]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", PLACES)
def test_a_sent_value_is_masked_in_each_form(place: str, form: str) -> None:
    """The value of a known place in a known form: nothing of it is left, and the rest of the message stays."""
    secret = "Zq7 diary/of+Ann=9xKw"
    if place in ("bearer", "basic", "key", "cookie", "subprotocol", "message", "text message"):
        secret = "Zq7-diary/of+Ann=9xKw"
    written = FORMS[form](secret)
    shown = made(place, secret).redact(f"Bad value: {written}. Try again")
    assert written not in shown
    assert "diary" not in shown
    assert shown == "" or (shown.startswith("Bad value: ") and shown.endswith("Try again"))


@given(_secret, st.sampled_from(PLACES), st.sampled_from(sorted(FORMS)))
def test_any_sent_value_is_masked(secret: str, place: str, form: str) -> None:
    """Whatever characters it has."""
    if place in ("bearer", "key", "text message"):
        secret = secret.replace(" ", "-")
    written = FORMS[form](secret)
    shown = made(place, secret).redact(f"Bad: {written} .", 10_000)
    assert written not in shown
    assert secret not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Out of quota", "Out of quota"),
        ("No model my-model-1", "No model ***"),
        ("a text", "a text"),  # too short to be a secret
        ("useful users", "useful users"),  # a short value is masked as a word alone
        ("no user", "no ***"),
        ("code 123456789", "code ***"),
        ("No.\r\n2099 ERROR forged\x1b[31m", "No. 2099 ERROR forged\\x1b[31m"),
        ("x" * 300, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_the_rest_of_a_message_stays(text: str, shown: str) -> None:
    body = {"model": "my-model-1", "role": "user", "a": "a", "pin": 123456789}
    sent = SentValues(content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    assert sent.redact(text) == shown


def test_after_a_large_request_nothing_is_shown() -> None:
    """The search in it would take too long."""
    assert SentValues(content=b"x" * (2**20 + 1)).redact("Out of quota") == ""


@given(st.text(), st.binary(max_size=200), st.text())
def test_any_text_can_be_masked(text: str, content: bytes, url: str) -> None:
    """Whatever was sent: one line, and no exception."""
    assert SentValues(content=content, urls=[url], messages=[content]).redact(text).isprintable()
