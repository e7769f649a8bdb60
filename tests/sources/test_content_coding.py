"""The undoing of content codings, without a network."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.sources.content_coding import BrokenCoding, ContentDecoder, content_codings, unknown_codings


def deflate(data: bytes) -> bytes:
    """Deflate without the header of zlib."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


CODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "raw": deflate}


def decoded(decoder: ContentDecoder, data: bytes, size: int) -> bytes:
    pieces = [piece for at in range(0, len(data), size) for piece in decoder.decode(data[at : at + size])]
    assert all(0 < len(piece) <= 2**20 for piece in pieces)
    return b"".join(pieces)


@given(st.binary(max_size=300), st.lists(st.sampled_from(sorted(CODERS)), max_size=3), st.integers(1, 50))
def test_each_coding_is_undone_in_chunks_of_any_size(data: bytes, names: list[str], size: int) -> None:
    coded = data
    for name in names:
        coded = CODERS[name](coded)
    decoder = ContentDecoder(["deflate" if name == "raw" else name for name in names])
    assert decoded(decoder, coded, size) == data
    assert decoder.is_finished


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5), st.integers(0, 3), st.integers(1, 40))
def test_several_gzip_members_are_one_body(parts: list[bytes], zeros: int, size: int) -> None:
    """Zeros between and behind the members are padding."""
    coded = b"".join(gzip.compress(part) + b"\0" * zeros for part in parts)
    decoder = ContentDecoder(["gzip"])
    assert decoded(decoder, coded, size) == b"".join(parts)
    assert decoder.is_finished


@pytest.mark.parametrize("rest", [b"rest", b"\x1f", b"\x1frest", b"\0\0rest"])
def test_bytes_behind_the_last_member_are_skipped(rest: bytes) -> None:
    assert decoded(ContentDecoder(["gzip"]), gzip.compress(b"data") + rest, 3) == b"data"


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(1, 40))
def test_any_bytes_are_decoded_or_refused(data: bytes, name: str, size: int) -> None:
    with suppress(BrokenCoding):
        decoded(ContentDecoder([name]), data, size)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_few_bytes_become_many_in_pieces(name: str) -> None:
    """All of a body arrives, also where its last bytes are still in the decompressor."""
    size = 7 * 2**20 + 5
    decoder = ContentDecoder([name])
    assert len(decoded(decoder, CODERS[name](bytes(size)), 2**20)) == size
    assert decoder.is_finished


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_body_that_is_cut_off_is_not_finished(name: str) -> None:
    decoder = ContentDecoder([name])
    assert b"data".startswith(decoded(decoder, CODERS[name](b"data")[:-5], 100))
    assert not decoder.is_finished


@pytest.mark.parametrize(
    ("value", "codings", "unknown"),
    [
        ("", (), ()),
        ("identity", (), ()),
        ("gzip", ("gzip",), ()),
        (" GZip , identity, deflate", ("gzip", "deflate"), ()),
        ("br", ("br",), ("br",)),
        ("gzip, zstd", ("gzip", "zstd"), ("zstd",)),
        ("compress", ("compress",), ("compress",)),
        ("gzip," * 5, ("gzip",) * 5, ("gzip",) * 5),
    ],
)
def test_the_codings_of_a_header(value: str, codings: tuple[str, ...], unknown: tuple[str, ...]) -> None:
    assert content_codings(value) == codings
    assert unknown_codings(codings) == unknown
