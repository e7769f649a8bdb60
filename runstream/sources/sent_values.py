"""The values that this side has sent to a server: masked where the server repeats them, in whatever encoding."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import msgspec

from runstream.model.escaping import escape_unprintable
from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.sources.credentials import url_secrets
from runstream.sources.decodings import decodings, letters_and_digits

__all__ = ["NOTHING_SENT", "SentValues"]

_MASK: Final = "***"
_MIN_VALUE: Final = 4  # characters; shorter values are no secrets, and masking them would garble every message
_MIN_INSIDE: Final = 8  # characters; a shorter value is masked as a whole word only
_SECRET_PIECE: Final = 8  # characters of a credential in a row that are masked
_CONTENT_PIECE: Final = 12  # characters of a body's text in a row that are masked
_MIN_DIGITS: Final = 6  # digits of a number that is masked
_MAX_CONTENT: Final = 2**20  # bytes; after a larger request no words of the server are shown
_MAX_TEXT: Final = 2_000  # characters of a server's text that are read

# Headers whose values say nothing of a caller.
_PLAIN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-length", "content-type"}
)
# Headers whose values, also in part, are credentials; the values of other headers are masked as a whole.
_SECRET_HEADER: Final = re.compile(r"auth|cookie|key|token|secret|password|credential|session|signature", re.IGNORECASE)
_PARTS: Final = re.compile(r"[\s,;]+")
_MAX_TOKEN: Final = 4_096  # characters
_MIN_NUMBER: Final = 12  # digits of a number whose parts are masked too
_MAX_TOKENS: Final = 1_000
_MAX_QUOTED: Final = 2**16  # characters; of a larger body, what a server quotes for a URL is not masked but hidden
_SEPARATOR: Final = "\x1e"  # between many values that are encoded at once


class SentValues:
    """What one request, or one connection, has sent. The values are collected when a text is masked, not before.

    Args:
        urls: URLs, with their user information, query values and fragments.
        headers: Header lines; those that say nothing of the caller are skipped.
        secrets: Further credentials, such as subprotocols.
        messages: First messages of a WebSocket: they are credentials as a whole, and so is each value in their JSON.
        content: The body of a request: each string in its JSON, or the values of a form, or all of it.
    """

    def __init__(
        self,
        *,
        urls: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        messages: Sequence[str | bytes] = (),
        content: bytes | None = None,
    ) -> None:
        self._urls = [url for url in urls if url]
        self._headers = dict(headers or {})
        self._given = list(secrets)
        self._messages = list(messages)
        self._content = content or b""

    def add_urls(self, *urls: str | None) -> None:
        """Add URLs that were requested too, such as those of a proxy."""
        self._urls += [url for url in urls if url]

    def add_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Add headers that were sent too, such as those that a client has added."""
        for name, value in headers:
            known = self._headers.get(name)
            self._headers[name] = value if known in (None, value) else f"{known}; {value}"

    def redact(self, text: str, limit: int = 200) -> str:
        """Return a server's text on one line: what was sent is masked, control characters are escaped, and the text is
        cut to a length.

        A text that contains a sent value in an encoding in which it can't be masked is not shown at all, nor is one
        after a request of more than 1 MiB.

        Args:
            text: The text.
            limit: The longest result, in characters.
        """
        size = len(self._content) + sum(map(len, self._messages))
        text = " ".join(text[:_MAX_TEXT].split())
        if not text or size > _MAX_CONTENT:
            return ""
        values = _Values(self)
        masked = values.mask(text)
        if values.finds_encoded(masked):
            return ""
        masked = escape_unprintable(masked)
        return masked if len(masked) <= limit else masked[: limit - 1] + "…"

    def credentials(self) -> list[str]:
        """Return the credentials, and the other values of headers, the longest first."""
        secret, whole = self._secrets()
        return sorted(secret | whole, key=len, reverse=True)

    def _secrets(self) -> tuple[set[str], set[str]]:
        """Credentials, which are masked also in part, and values that are masked as a whole."""
        secret, whole = set(self._given), set[str]()
        for url in self._urls:
            secret |= set(url_secrets(url))
            user = _user_of(url)
            if user:
                secret.add(base64.b64encode(user.encode()).decode())
        for name, value in self._headers.items():
            if name.lower() in _PLAIN_HEADERS:
                continue
            whole.add(value)
            parts = _header_parts(value)
            (secret if _SECRET_HEADER.search(name) else whole).update(parts)
        for message in self._messages:
            text = _decode(message)
            secret.add(text)
            secret.update(_json_values(message) or text.split())
        return secret, whole

    def _content_values(self) -> set[str]:
        if not self._content:
            return set()
        found = _json_values(self._content)
        if found is None:
            text = _decode(self._content)
            found = {text, *text.splitlines(), *(value for _, value in parse_qsl(text))}
        return found


NOTHING_SENT: Final = SentValues()


class _Values:
    """The values in all encodings, ready for the search in a text."""

    def __init__(self, sent: SentValues) -> None:
        secrets, whole = sent._secrets()
        content = sent._content_values()
        tokens = {value for value in content if _is_token(value)}
        if len(tokens) <= _MAX_TOKENS:
            secrets |= tokens
        secret_forms: set[str] = set()
        for value in secrets:
            secret_forms.update(_encodings(value), _binary_encodings(value))
        secret_forms = _folded(secret_forms)
        content_forms = _folded(_encodings_of_all(content))
        whole_forms = _folded({form for value in whole for form in _encodings(value)})
        self._whole = secret_forms | content_forms | whole_forms
        self._pieces = ((_SECRET_PIECE, secret_forms), (_CONTENT_PIECE, content_forms))
        bare = {letters_and_digits(form) for form in _folded(secrets)}
        self._bare = {form for form in bare if len(form) >= _SECRET_PIECE}

    def mask(self, text: str) -> str:
        """Return the text with each sent value, and each longer part of one, masked."""
        marked = bytearray(len(text))
        for start, end in self._places(_fold(text)):
            marked[start:end] = b"\x01" * (end - start)
        out: list[str] = []
        for position, character in enumerate(text):
            if not marked[position]:
                out.append(character)
            elif not position or not marked[position - 1]:
                out.append(_MASK)
        return "".join(out)

    def finds_encoded(self, text: str) -> bool:
        """Return whether the text has a sent value, or a longer part of one, in another encoding."""
        decoded = decodings(text)
        if next(self._places("\n".join(map(_fold, decoded))), None) is not None:
            return True
        bare = "\n".join(letters_and_digits(_fold(one)) for one in (text, *decoded))
        return bool(_common_pieces(bare, self._bare, _SECRET_PIECE))

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        beginnings = {text[at : at + _MIN_VALUE] for at in range(len(text))}
        for value in self._whole:
            if value[:_MIN_VALUE] not in beginnings:
                continue
            at = text.find(value)
            while at >= 0:
                end = at + len(value)
                if len(value) >= _MIN_INSIDE or _is_word(text, at, end):
                    yield at, end
                at = text.find(value, at + 1)
        for length, forms in self._pieces:
            found = _common_pieces(text, forms, length)
            if found:
                yield from ((at, at + length) for at in range(len(text)) if text[at : at + length] in found)


def _common_pieces(text: str, values: Iterable[str], length: int) -> set[str]:
    """The pieces of this length that the text and a value have in common.

    A value may be long, and this is done in the event loop. So of each value only every few characters are looked
    at: a common piece of the length has half a piece at one of these places.
    """
    half = length // 2
    step = length - half + 1
    halves = {text[at : at + half] for at in range(len(text) - half + 1)}
    pieces = {text[at : at + length] for at in range(len(text) - length + 1)}
    found: set[str] = set()
    for value in values:
        last = len(value) - length
        for at in range(0, len(value) - half + 1 if last >= 0 else 0, step):
            if value[at : at + half] in halves:
                first = max(at - length + half, 0)
                found.update(pieces.intersection(value[i : i + length] for i in range(first, min(at, last) + 1)))
    return found


def _fold(text: str) -> str:
    """The text for comparison. Its length stays the same: places in it are places in the text."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _folded(values: Iterable[str]) -> set[str]:
    return {form for value in values if len(form := _fold(" ".join(value.split()))) >= _MIN_VALUE}


def _is_token(value: str) -> bool:
    """Return whether a value of a body may be a key or an account: its parts are masked like those of a credential."""
    if not _MIN_INSIDE <= len(value) <= _MAX_TOKEN or len(value.split()) != 1:
        return False
    digits = sum(character.isdigit() for character in value)
    return digits >= _MIN_NUMBER or (digits > 0 and any(character.isalpha() for character in value))


def _is_word(text: str, start: int, end: int) -> bool:
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())


def _encodings(value: str) -> set[str]:
    """A value as it is written in a text, in a URL, in JSON, in HTML and in a program."""
    if len(value) < _MIN_VALUE:
        return set()
    encoded = value.encode("utf-8", "replace")
    return {
        value,
        quote(encoded),
        quote(encoded, safe=""),
        quote_plus(encoded),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        repr(value)[1:-1],
    }


def _encodings_of_all(values: set[str]) -> set[str]:
    """Many values in the same encodings; those for URLs if they are not large, as they take long."""
    text = _SEPARATOR.join(value for value in values if len(value) >= _MIN_VALUE)
    if not text:
        return set()
    forms = {*text.split(_SEPARATOR), *html.escape(text).split(_SEPARATOR), *repr(text)[1:-1].split("\\x1e")}
    for ascii_only in (True, False):
        forms.update(json.dumps(text, ensure_ascii=ascii_only)[1:-1].split("\\u001e"))
    if len(text) <= _MAX_QUOTED:
        encoded = text.encode("utf-8", "replace")
        for quoted in (quote(encoded), quote(encoded, safe=""), quote_plus(encoded)):
            forms.update(quoted.split("%1E"))
    return forms


def _binary_encodings(value: str) -> set[str]:
    """A value in base64, at each of the three places where it may begin in a longer text, and in hexadecimal."""
    data = value.encode("utf-8", "replace")
    if len(data) < _MIN_VALUE:
        return set()
    found = {data.hex()}
    for offset in range(3):
        # The first and last characters depend on the neighbours.
        text = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        inner = text[-(-offset * 8 // 6) : len(text) - (1 if (offset + len(data)) % 3 else 0)]
        if len(inner) >= _MIN_INSIDE - 2:
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


def _decode(data: str | bytes) -> str:
    return data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")


def _header_parts(value: str) -> set[str]:
    """The words of a header's value without an authentication scheme, the values of its parameters, and what a word
    in base64 stands for.
    """
    words = [word for word in _PARTS.split(value) if word]
    parts = set(words[1:] if len(words) > 1 and words[0].isalpha() else words)
    for word in tuple(parts):
        _, equals, inner = word.partition("=")
        if equals and inner.strip("="):
            parts.add(inner.strip('"'))
        try:
            decoded = base64.b64decode(word, validate=True).decode()
        except (binascii.Error, ValueError):
            continue
        parts |= {decoded, *decoded.split(":", 1)}
    return parts | {unquote(part) for part in parts}


def _user_of(url: str) -> str:
    """The user information of a URL as the header ``Authorization`` contains it (RFC 7617)."""
    user, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    return unquote(user) if at else ""


def _json_values(data: str | bytes) -> set[str] | None:
    """The strings and long numbers in JSON text; ``None`` if it is no object or array."""
    data = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    if data.lstrip()[:1] not in (b"{", b"[") or nesting_depth(data) > MAX_NESTING:
        return None
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    found: set[str] = set()
    queue: list[Any] = [value]
    while queue:
        item = queue.pop()
        if isinstance(item, dict):
            queue += item.values()
        elif isinstance(item, list):
            queue += item
        elif isinstance(item, str):
            found.add(item)
        elif isinstance(item, int | float) and len(text := str(item)) >= _MIN_DIGITS:
            found.add(text)
    return found
