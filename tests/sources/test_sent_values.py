"""A server that repeats what it was sent: masked in whatever form, or its words are not shown."""

from __future__ import annotations

import base64
import gzip
import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.sources.sent_values import SentValues, _common_pieces

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
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64 of gzip": lambda text: base64.b64encode(gzip.compress(text.encode())).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "hex pairs": lambda text: text.encode().hex(":"),
    "numbers": lambda text: str(list(text.encode())),
    "octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "braces": lambda text: "".join(f"\\u{{{ord(character):x}}}" for character in text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "zero width": "\u200b".join,
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


@pytest.mark.parametrize("written", ["Zq7diary\n9xKw", "Z q 7 d i a r y 9 x K w", "Zq7-diary-9xKw"])
def test_a_credential_with_other_separators_is_not_shown(written: str) -> None:
    assert SentValues(headers={"X-Api-Key": "Zq7.diary.9xKw"}).redact(f"Bad key {written}.") == ""


@pytest.mark.parametrize(
    ("value", "written"), [("nst_KKd83hs92hd", "nst_KKd83h"), ("4929-1234-5678-9012", "234-5678-9012")]
)
def test_a_part_of_a_key_in_a_body_is_masked(value: str, written: str) -> None:
    sent = SentValues(content=json.dumps({"settings": {"a": value}}).encode())
    assert sent.redact(f"Bad: {written} .") == "Bad: *** ."


@given(st.text("ab ", max_size=60), st.lists(st.text("ab ", max_size=60)), st.integers(4, 12))
def test_the_pieces_that_a_text_has_in_common_with_values(text: str, values: list[str], length: int) -> None:
    """The same as by a search for each piece of the text."""
    pieces = {text[at : at + length] for at in range(len(text) - length + 1)}
    assert _common_pieces(text, values, length) == {one for one in pieces if any(one in value for value in values)}
