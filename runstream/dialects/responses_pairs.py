"""Surrogate pairs that a server has split over two fragments of one text, as JavaScript cuts text."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final, TypeAlias

import msgspec

from runstream.dialects.responses_wire import text_of
from runstream.model.raw import RawEvent
from runstream.model.surrogates import decode_odd, join_pairs, replace_surrogates

__all__ = ["SplitPairs"]

_MAX_HALVES: Final = 64
_MAX_JOINED: Final = 256

_Place: TypeAlias = tuple[str | None, str | None, int | None, int | None]
"""The text of a fragment: the name of its event, the id of its item, and the indices of its part."""


class SplitPairs:
    """The first halves whose other half has not come, at most 64; a half without the other one becomes U+FFFD.

    Attributes:
        halves: The halves by their places.
    """

    __slots__ = ("_joined", "halves")

    def __init__(self) -> None:
        self.halves: dict[_Place, str] = {}
        self._joined: dict[tuple[_Place, int], str] = {}  # the first halves of the last pairs, by their second ones

    def join(self, raw: RawEvent, last_number: Callable[[str | None], int]) -> RawEvent:
        """Join the halves of a fragment, and keep a first half at its end.

        Args:
            raw: The fragment; any other event is returned as it is.
            last_number: Returns the highest number of the response of a lane.
        """
        try:
            value = decode_odd(raw.data)
        except (ValueError, RecursionError):
            return raw
        text = value.get("delta") if isinstance(value, dict) else None
        if not isinstance(text, str):
            return raw
        part, summary = _index(value.get("content_index")), _index(value.get("summary_index"))
        place = (text_of(value.get("type")), text_of(value.get("item_id")), part, summary)
        number = value.get("sequence_number")
        number = number if type(number) is int else -1
        is_repeated = 0 < number <= last_number(text_of(value.get("stream_id")))
        half = self._joined.get((place, number), "") if is_repeated else self.halves.pop(place, "")
        if half and number > 0:
            self._joined[place, number] = half
            if len(self._joined) > _MAX_JOINED:
                del self._joined[next(iter(self._joined))]
        text = join_pairs(half + text)
        if text and "\ud800" <= text[-1] <= "\udbff" and (is_repeated or len(self.halves) < _MAX_HALVES):
            if not is_repeated:
                self.halves[place] = text[-1]
            text = text[:-1]
        data = msgspec.json.encode(replace_surrogates({**value, "delta": text}))
        return RawEvent(raw.event, data, raw.id, raw.last_id, raw.at, raw.line)

    def forget(self, ids: Container[str | None]) -> None:
        """Forget the halves of items that have ended."""
        self.halves = {place: half for place, half in self.halves.items() if place[1] not in ids}


def _index(value: object) -> int | None:
    return value if type(value) is int else None
