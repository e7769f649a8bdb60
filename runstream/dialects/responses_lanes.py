"""The lanes of one source of the Responses wire: the latest response of each, and responses whose run is uncertain."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from runstream.dialects.responses_links import Links
from runstream.dialects.responses_state import Response
from runstream.dialects.responses_wire import Json, map_of, text_of
from runstream.model.raw import RawEvent

__all__ = ["Deferred", "Lanes"]

_MAX_DEFERRED: Final = 64
"""The number of events that are deferred while the run of a response is uncertain."""


class Lanes(dict[str | None, Response]):
    """The latest response of each lane, by its name."""

    __slots__ = ()

    @property
    def responses(self) -> list[Response]:
        """The responses of all lanes, the oldest of each lane first."""
        return [each for last in self.values() for each in (*reversed(last.earlier), last)]

    def begin(self, lane: str | None, id: str, value: Json, links: Links) -> Response:
        """Begin a response.

        Args:
            lane: Its lane.
            id: Its id.
            value: Its first snapshot.
            links: The links of the source, which know its run.
        """
        last = self.get(lane)
        previous = text_of(value.get("previous_response_id"))
        is_named = last is not None and previous in last.ids
        lost = last.run_id if last is not None and is_named and last.has_lost_request else None
        is_known = id in links.runs
        run_id = links.begin(id, value, lane, lost)
        for each in self.responses:
            if each.deferred is not None and previous in each.ids:
                each.deferred = None  # this response takes its place
        response = self[lane] = Response(id, run_id, value)
        if links.know(response):
            response.is_new = not is_known and not links.has_piece(run_id, id)
        if last is not None:
            response.follow(last)
        return response

    def last_number(self, lane: str | None) -> int:
        """The highest number of the response of a lane; -1 if there is none."""
        response = self.get(lane)
        return -1 if response is None else response.number

    def cursor(self, run_id: str) -> str | None:
        """The response and the number of the last event of the open response of a run; ``None`` if there is none."""
        for last in self.values():
            for each in (last, *last.earlier):
                if each.run_id == run_id and each.is_open and each.number > 0:
                    return f"{each.prefix}{each.number}"
        return None

    def forget(self, run_id: str) -> None:
        """Forget the responses of a run."""
        for lane in [lane for lane, response in self.items() if response.run_id == run_id]:
            del self[lane]

    def reconnect(self) -> None:
        """Note another connection of the source."""
        for response in self.values():
            response.reconnect()


class Deferred(Struct):
    """A response whose run is uncertain so far: the call of an approved tool may continue a run that waits.

    Attributes:
        id: Its id.
        raws: Its raw events.
    """

    id: str
    raws: list[RawEvent]

    def add(self, raw: RawEvent, value: Json, name: str, links: Links) -> tuple[str | None] | None:
        """Add an event.

        Args:
            raw: The raw event.
            value: The event.
            name: Its name.
            links: The links of the source.

        Returns:
            The run that the response continues, in a tuple: ``None`` in it if it continues none. ``None`` while that is
            uncertain.
        """
        if name == "response.created" and map_of(value.get("response")).get("id") == self.id:
            self.raws.clear()  # the server sends the response again
            self.raws.append(raw)
            return None
        self.raws.append(raw)
        item = map_of(value.get("item"))
        if request_id := text_of(item.get("approval_request_id")):
            return (links.waiting(request_id),)
        kind = name.removeprefix("response.")
        lists = "mcp_list_tools" in (kind.partition(".")[0], item.get("type"))
        is_early = lists or kind in ("in_progress", "queued") or name == "keepalive"
        return None if is_early and len(self.raws) < _MAX_DEFERRED else (None,)
