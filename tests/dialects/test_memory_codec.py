"""The memory of a decoder: values of any size."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from runstream.dialects.memory_codec import MemoryCodec


class Memory(Struct, array_like=True):
    value: Any
    lanes: dict[str | None, tuple[str, int]] = {}


CODEC = MemoryCodec(Memory)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    memory = Memory(value, {None: ("text", 1), "a": ("b", 2)})
    assert CODEC.decode(CODEC.encode(memory)) == memory


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400, -(10**400), 2**64 - 1, -(2**63)])
def test_integers_of_any_length(number: int) -> None:
    memory = Memory({"a": [number, {"b": number}]})
    assert CODEC.decode(CODEC.encode(memory)) == memory


def test_other_bytes_are_refused() -> None:
    for memory in (b"", b"\x01", msgspec.msgpack.encode([msgspec.msgpack.Ext(7, b"x")])):
        with pytest.raises(msgspec.MsgspecError):
            CODEC.decode(memory)
