"""Writes and reads the memory of a decoder, which may have values as a server sent them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.msgpack import Ext

__all__ = ["MemoryCodec"]

T = TypeVar("T")

_LONG_INTEGER: Final = 1  # the code of the extension type
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


class MemoryCodec(Generic[T]):
    """Encodes objects of one class as MessagePack; integers of more than 64 bits, which it does not have, too.

    Args:
        kind: The class.
        enc_hook: Converts values of other types; see msgspec.
    """

    def __init__(self, kind: type[T], enc_hook: Callable[[Any], Any] | None = None) -> None:
        self._enc_hook = enc_hook
        self._decode = msgspec.msgpack.Decoder(kind, ext_hook=_read_extension).decode

    def encode(self, value: T) -> bytes:
        """Encode an object."""
        try:
            return msgspec.msgpack.encode(value, enc_hook=self._enc_hook)
        except OverflowError:
            return msgspec.msgpack.encode(_extend(msgspec.to_builtins(value, enc_hook=self._enc_hook)))

    def decode(self, memory: bytes) -> T:
        """Decode what :meth:`encode` has returned.

        Raises:
            msgspec.MsgspecError: The bytes have another form.
        """
        return self._decode(memory)


def _extend(value: Any) -> Any:
    """Replace the long integers in a tree of builtins by values of the extension type."""
    if isinstance(value, dict):
        return {key: _extend(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_extend(item) for item in value]
    if isinstance(value, int) and not _LOWEST <= value <= _HIGHEST:
        return Ext(_LONG_INTEGER, f"{value:x}".encode())
    return value


def _read_extension(code: int, data: memoryview) -> int:
    if code != _LONG_INTEGER:
        raise msgspec.ValidationError(f"Unknown extension type {code}")
    return int(bytes(data), 16)
