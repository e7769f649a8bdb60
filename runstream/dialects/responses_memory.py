"""The memory of a Responses decoder: the bytes with which a later decoder of the same source goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.dialects.memory_codec import MemoryCodec
from runstream.dialects.responses_links import Asked, Links
from runstream.dialects.responses_state import Item, Response
from runstream.model.events import Target

__all__ = ["dump_memory", "load_memory"]


class _Item(Struct, array_like=True):
    id: str
    index: int | None
    value: dict[str, Any]
    seen: list[tuple[Target, int]]
    closed: bool
    output: str | None
    count: int = 0
    path: tuple[str, ...] = ()
    is_whole: bool = False


class _Response(Struct, array_like=True):
    lane: str | None
    id: str
    run_id: str
    value: dict[str, Any]
    items: list[_Item]
    has_numbers: bool
    error: dict[str, Any] | None
    ids: list[str] = []
    is_open: bool = True
    steered: bool = False
    deferred: str | None = None
    audio: _Item | None = None
    is_new: bool = False
    own: list[str] = []


class _Memory(Struct, array_like=True):
    responses: list[_Response]
    runs: dict[str, str]
    steered: dict[str, str] = {}
    asked: list[tuple[str | None, list[Asked]]] = []


_codec: Final = MemoryCodec(_Memory)


def dump_memory(lanes: Iterable[tuple[str | None, Response]], links: Links) -> bytes:
    """The memory of a decoder; empty if there is nothing to remember.

    Args:
        lanes: The latest response of each lane; only those are remembered of which more may follow.
        links: The links of responses.
    """
    found = [
        _Response(
            lane,
            each.id,
            each.run_id,
            dict(each.value),
            list(map(_dump_item, each.items)),
            each.number > 0,
            dict(each.error) if each.error is not None else None,
            sorted(each.ids),
            each.is_open,
            each.steered,
            each.deferred,
            _dump_item(each.audio) if each.audio is not None else None,
            each.is_new,
            sorted(each.own),
        )
        for lane, each in lanes
        if each.is_open or each.deferred is not None
    ]
    continuing = {response: run for response, run in links.runs.items() if response != run}
    asked = [(lane, list(requests)) for lane, requests in links.asked.items() if requests]
    if not (found or continuing or links.steered or asked):
        return b""
    return _codec.encode(_Memory(found, continuing, links.steered, asked))


def _dump_item(item: Item) -> _Item:
    seen = sorted(item.seen)
    return _Item(
        item.id, item.index, dict(item.value), seen, item.closed, item.output, item.count, item.path, item.is_whole
    )


def load_memory(memory: bytes, links: Links) -> list[tuple[str | None, Response]]:
    """The responses in a memory, each with its lane; none if the memory has another form.

    Args:
        memory: The memory.
        links: Receives the links of responses.
    """
    try:
        found = _codec.decode(memory)
    except msgspec.MsgspecError:
        return []
    links.runs.update(found.runs)
    links.steered.update(found.steered)
    links.asked.update({lane: list(asked) for lane, asked in found.asked})
    responses = []
    for each in found.responses:
        response = Response(each.id, each.run_id, each.value)
        response.show(None, each.value)
        response.ids.update(each.ids)
        response.number = 1 if each.has_numbers else -1
        response.error = each.error
        response.is_open, response.steered, response.deferred = each.is_open, each.steered, each.deferred
        for item in each.items:
            _load_item(response.load(item.id, item.index, item.value), item)
        links.know(response)
        response.is_new, response.own = each.is_new, frozenset(each.own)
        if each.audio is not None:
            response.audio = Item(each.audio.id, None, each.audio.value)
            _load_item(response.audio, each.audio)
        links.runs[response.id] = response.run_id
        responses.append((each.lane, response))
    return responses


def _load_item(item: Item, stored: _Item) -> None:
    item.seen.update(stored.seen)
    item.closed, item.output, item.count = stored.closed, stored.output, stored.count
    item.path, item.is_whole = stored.path, stored.is_whole
