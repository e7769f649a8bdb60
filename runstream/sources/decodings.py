"""The texts that a text may stand for in another encoding: those in which a server could repeat what it was sent."""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote, unquote_plus

__all__ = ["decodings", "letters_and_digits"]

_DEPTH: Final = 2  # encodings of encodings
_MAX_DECODED: Final = 20_000  # characters of all results
_MAX_INFLATED: Final = 4_096  # bytes

_ESCAPE: Final = re.compile(
    r"\\u\{([0-9a-fA-F]{1,6})\}|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\x([0-9a-fA-F]{2})|U\+([0-9a-fA-F]{4,6})"
    r"|=([0-9A-Fa-f]{2})|\\([0-3][0-7]{2})|(= )|\\(.)"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_BASE32: Final = re.compile(r"[A-Z2-7]{8,}|[a-z2-7]{8,}")
_BASE85: Final = re.compile(r"[!-~]{8,}")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,;-]{0,2}){4,}")
_DECIMAL: Final = re.compile(r"[0-9]{1,3}(?:[\s,;]{1,2}[0-9]{1,3}){3,}")
_BINARY: Final = re.compile(r"(?:[01]{8}[\s,]{0,2}){4,}")
_COMPRESSED: Final = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_NOT_WORD: Final = re.compile(r"[^\w*]|_", re.UNICODE)


def decodings(text: str) -> list[str]:
    """Return the text as it would read if it, or a part of it, were encoded: for a URL, in HTML, in a program, in a
    base, as numbers, or compressed; also twice.

    Args:
        text: The text, on one line.
    """
    found = {text: None}
    size = 0
    level = [text]
    for _ in range(_DEPTH):
        following = []
        for one in level:
            for decoded in (" ".join(raw.split()) for raw in _decode(one)):
                if decoded and decoded not in found and size + len(decoded) <= _MAX_DECODED:
                    found[decoded] = None
                    size += len(decoded)
                    following.append(decoded)
        level = following
    del found[text]
    return list(found)


def letters_and_digits(text: str) -> str:
    """Return the text without whatever separates its letters and digits; a mask (``***``) stays as a line end."""
    return re.sub(r"\*+", "\n", _NOT_WORD.sub("", text))


def _decode(text: str) -> Iterator[str]:
    yield unquote(text)
    yield unquote_plus(text)
    yield html.unescape(text)
    yield _ESCAPE.sub(_unescape, text)
    yield "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    for pattern, decode in _PARTS:
        for token in pattern.findall(text):
            for data in decode(token):
                yield from _read(data)


def _unescape(match: re.Match[str]) -> str:
    *codes, octal, soft_break, other = match.groups()
    code = next((int(code, 16) for code in codes if code), int(octal, 8) if octal else None)
    if code is not None:
        return chr(code) if code <= 0x10FFFF else ""
    return "" if soft_break else {"n": " ", "t": " ", "r": " "}.get(other, other)


def _read(data: bytes) -> Iterator[str]:
    """The texts that some bytes may be."""
    if data.startswith(_COMPRESSED):
        try:
            data = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(data, _MAX_INFLATED)
        except zlib.error:
            return
    yield data.decode("utf-8", "replace")
    if b"\0" in data:  # in two or four bytes each
        yield data.replace(b"\0", b"").decode("utf-8", "replace")


def _base64(token: str) -> Iterator[bytes]:
    """The token in base64, at each of the places at which its beginning may lie."""
    for start in range(4):
        coded = token[start:].replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(coded + "=" * (-len(coded) % 4))
        except (binascii.Error, ValueError):
            continue


def _base32(token: str) -> Iterator[bytes]:
    for coded in (token, token[: len(token) // 8 * 8]):
        try:
            yield base64.b32decode(coded + "=" * (-len(coded) % 8), casefold=True)
        except (binascii.Error, ValueError):
            continue


def _base85(token: str) -> Iterator[bytes]:
    for coded in {token, token.strip("\"'`.,;:()[]<>~")}:
        for decode in (base64.b85decode, base64.a85decode):
            try:
                yield decode(coded)
            except (ValueError, OverflowError):
                continue


def _hex(token: str) -> Iterator[bytes]:
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", token)
    yield bytes.fromhex(digits[: len(digits) // 2 * 2])
    yield bytes.fromhex(digits[1 : 1 + (len(digits) - 1) // 2 * 2])


def _decimal(token: str) -> Iterator[bytes]:
    numbers = [int(number) for number in re.findall(r"[0-9]+", token)]
    yield bytes(number for number in numbers if number < 256)


def _binary(token: str) -> Iterator[bytes]:
    bits = re.sub(r"[^01]", "", token)
    yield bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


_PARTS: Final[tuple[tuple[re.Pattern[str], Callable[[str], Iterator[bytes]]], ...]] = (
    (_BASE64, _base64),
    (_BASE32, _base32),
    (_BASE85, _base85),
    (_HEX, _hex),
    (_DECIMAL, _decimal),
    (_BINARY, _binary),
)
