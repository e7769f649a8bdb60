"""Whole JSON documents as recordings: objects that were fetched, one by one or with the requests for them.

A document is one object, a list of objects, or a list of exchanges: ``{"method", "path", "status", "request_body",
"body"}``, as HTTP recorders keep them. Each object is the answer to a question beside the stream: a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from runstream.model.raw import Answer, RawItem, Request

__all__ = ["read_document"]


class _Exchange(Struct):
    """A request and the answer to it; other fields are skipped."""

    body: Raw
    status: int = 200
    method: str = ""
    request_body: Raw | UnsetType = UNSET


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_one = msgspec.json.Decoder(Raw).decode
_decode_exchange = msgspec.json.Decoder(_Exchange).decode


def read_document(data: bytes) -> Iterator[RawItem] | None:
    """The items of a JSON document; ``None`` if it is none, or contains anything but objects.

    Args:
        data: The document.
    """
    try:
        objects = _decode_list(data) if data.lstrip().startswith(b"[") else [_decode_one(data)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not all(bytes(value).startswith(b"{") for value in objects):
        return None
    return (item for value in objects for item in _read_object(value))


def _read_object(value: Raw) -> Iterator[RawItem]:
    try:
        exchange = _decode_exchange(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        yield Answer(data=bytes(value))
        return
    asked = exchange.request_body
    if exchange.method == "POST" and isinstance(asked, Raw) and bytes(asked).startswith(b"{"):
        yield Request(body=bytes(asked))
    yield Answer(data=bytes(exchange.body), status=exchange.status)
