"""Content codings of HTTP (RFC 9110, section 8.4): compressed bytes in, pieces of bounded size out; without I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["ACCEPTED", "BrokenCoding", "ContentDecoder", "content_codings", "unknown_codings"]

ACCEPTED: Final = "gzip, deflate"
"""The value of ``Accept-Encoding``."""

_MAX_PIECE: Final = 2**20  # bytes
_MAX_CODINGS: Final = 4  # one on top of the other
_GZIP: Final = 16 + zlib.MAX_WBITS
_KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})


class BrokenCoding(Exception):
    """The bytes are not in the content coding that the server declared."""


def content_codings(value: str) -> tuple[str, ...]:
    """Return the codings of a ``Content-Encoding`` value in the order in which they were applied; ``identity`` is none.

    Args:
        value: The value of the header, the values of several header lines joined by commas.
    """
    names = (name.strip().lower() for name in value.split(","))
    return tuple(name for name in names if name not in ("", "identity"))


def unknown_codings(codings: Sequence[str]) -> tuple[str, ...]:
    """Return the codings that can't be undone: those that were not accepted, or all of them if they are too many."""
    if len(codings) > _MAX_CODINGS:
        return tuple(codings)
    return tuple(name for name in codings if name not in _KNOWN)


class ContentDecoder:
    """Undoes the codings of one body.

    A body in gzip may have several members (RFC 1952, section 2.2), and zeros or other bytes behind the last one,
    which are skipped. A body in deflate may lack the header of zlib, as some servers send it.

    Args:
        codings: Known codings, in the order in which they were applied.
    """

    def __init__(self, codings: Sequence[str]) -> None:
        self._layers = [_Deflate() if name == "deflate" else _Gzip() for name in reversed(codings)]

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in pieces of at most 1 MiB.

        Raises:
            BrokenCoding: The bytes are not in the declared coding.
        """
        return self._decode(data, 0)

    def _decode(self, data: bytes, layer: int) -> Iterator[bytes]:
        if layer == len(self._layers):
            if data:
                yield data
            return
        for piece in self._layers[layer].decode(data):
            yield from self._decode(piece, layer + 1)

    @property
    def is_finished(self) -> bool:
        """True if no coding has begun that has not ended."""
        return all(layer.is_finished for layer in self._layers)


class _Gzip:
    """Undoes gzip, member by member."""

    def __init__(self) -> None:
        self._member: Any = None  # the decompressor of the present member
        self._start = b""  # bytes between two members that may begin the next one
        self._members = 0
        self._rest = False  # True behind the last member

    @property
    def is_finished(self) -> bool:
        return self._member is None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while not self._rest:
            if self._member is None:
                data = self._find_member(data)
                if self._member is None:
                    return
            try:
                piece = self._member.decompress(data, _MAX_PIECE)
            except zlib.error as error:
                raise BrokenCoding("gzip") from error
            if piece:
                yield piece
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._member = None
                self._members += 1
            elif not data and len(piece) < _MAX_PIECE:
                return

    def _find_member(self, data: bytes) -> bytes:
        data = self._start + data
        self._start = b""
        if self._members:
            data = data.lstrip(b"\0")
            if data == b"\x1f":
                self._start = data
                return b""
            if data and not data.startswith(b"\x1f\x8b"):
                self._rest = True
                return b""
        if data:
            self._member = zlib.decompressobj(_GZIP)
        return data


class _Deflate:
    """Undoes deflate, with the header of zlib (RFC 1950) or without it."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._start = b""
        self._ended = False

    @property
    def is_finished(self) -> bool:
        return self._ended or self._stream is None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            # RFC 1950, section 2.2: method 8, and a checksum of the header's two bytes.
            has_header = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        try:
            while not self._ended:
                piece = self._stream.decompress(data, _MAX_PIECE)
                if piece:
                    yield piece
                data = self._stream.unconsumed_tail
                self._ended = self._stream.eof
                if not data and len(piece) < _MAX_PIECE:
                    return
        except zlib.error as error:
            raise BrokenCoding("deflate") from error
