"""The responses of one source: their items, numbers and identities."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Final

from runstream.dialects.responses_action import awaited_call
from runstream.dialects.responses_calls import arguments_of
from runstream.dialects.responses_run import tools_of
from runstream.dialects.responses_wire import Json, list_of, text_of
from runstream.model.events import Event, Target
from runstream.model.frozen import ABSENT_LIST
from runstream.model.run import Run
from runstream.model.tools import Tool

__all__ = ["Item", "Response"]

_MAX_EARLIER: Final = 4
"""The number of responses of a lane that are kept after their end."""

_COUNTED: Final = re.compile("[A-Za-z_.:-]*[0-9]{0,4}").fullmatch
"""Matches an id that bridges count, or have once for all. Random ids have digits and letters by turns."""


class Item:
    """An item of a response.

    Attributes:
        id: The id of its message or step.
        index: Its index in the output; ``None`` if it is unknown.
        value: The item as it was sent last.
        seen: The texts of which a fragment was received, by target and index.
        announced: True if an event announced it, with its id.
        closed: True once the item was sent whole.
        is_whole: True once an event had all of its arguments: it is then in its value.
        output: The output of its call, if another item has it.
        count: The number of its partial images, or of its pieces of audio.
        grown: The pieces of JSON text from which its arguments grow, where the wire has them as an object, by the
            identities of their events.
        quoted: True while the last piece is within a string.
        first: The events with which it was made, if no event announced it, and their identity: the same raw event,
            received again, makes the same events.
        path: The path of the subagent that produces it; empty for the agent that was asked.
    """

    __slots__ = (
        "announced",
        "closed",
        "count",
        "first",
        "grown",
        "id",
        "index",
        "is_whole",
        "output",
        "path",
        "quoted",
        "seen",
        "value",
    )

    def __init__(self, id: str, index: int | None, value: Json) -> None:
        self.id = id
        self.index = index
        self.value = value
        self.seen: set[tuple[Target, int]] = set()
        self.announced = False
        self.closed = False
        self.is_whole = False
        self.output: str | None = None
        self.count = 0
        self.grown: dict[str | int, str] = {}
        self.quoted = False
        self.first: tuple[str | None, list[Event]] = (None, [])
        self.path: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The type of the item on the wire."""
        return text_of(self.value.get("type")) or ""


class Response:
    """A response that was begun.

    Attributes:
        id: Its id, from its first snapshot.
        ids: All its ids; some servers send another one in each snapshot.
        prefix: The beginning of the identities of its events.
        run_id: The id of its run.
        value: Its latest snapshot.
        items: Its items, in order.
        by_id: The items by each id that names them.
        by_index: The items by their index; the latest one where several have it.
        number: The highest number of its events; -1 before the first one.
        has_stable_ids: True once an event named an item by its announced id: an unknown id is then another item, and
            not the one with its index.
        has_changing_ids: True once an event named an open item by another id than the event before: an unknown id may
            be one more of its ids, also after its end.
        error: An error that names no response, and that may be its end.
        last_error: The latest of these, also after it was no end: a server may repeat it.
        is_open: True until its end.
        has_ended: True once it has ended.
        ended_as: The status of its run at its end; ``None`` before.
        contradicted: The identity of the event that contradicted its end, in a tuple; ``None`` if there was none.
        is_again: True if it had ended before the server began it again.
        repeats: True if its last event has a number that was received before.
        steered: True once the server has accepted that another response takes its place.
        deferred: Its final status, until it is certain that no other response takes its place; ``None`` for none.
        audio: The item that stands for its audio, of which events name no item.
        tools: Its tools, read once.
        earlier: The responses before it in its lane, the latest first: a server may repeat their last events.
        preceding: The ids of those of them that were first begun before it: they are sent again in any order.
        has_object: Returns True if the run has a message or step of an id, also from another source; ``None`` if that
            is unknown.
        is_new: True if its run had nothing of it when it began here.
        own: The ids of the items that an earlier connection has sent of it.
        run: The snapshot and the status of which a run was made last, and that run.
        resumed: The earlier response that the lane's last event was of, and the highest number of this one then: it is
            outdated once that one is higher. ``None`` in place of the response: another connection has begun, and no
            event has named a response since. ``None``: the lane's last event was of this response.
    """

    __slots__ = (
        "_snapshots",
        "_tools",
        "audio",
        "by_id",
        "by_index",
        "contradicted",
        "deferred",
        "earlier",
        "ended_as",
        "error",
        "has_changing_ids",
        "has_ended",
        "has_object",
        "has_stable_ids",
        "id",
        "ids",
        "is_again",
        "is_new",
        "is_open",
        "items",
        "last_error",
        "number",
        "own",
        "preceding",
        "prefix",
        "repeats",
        "resumed",
        "run",
        "run_id",
        "steered",
        "tools",
        "value",
    )

    def __init__(self, id: str, run_id: str, value: Json) -> None:
        self.id = id
        self.ids = {id}
        self.prefix = f"{id}/"
        self.run_id = run_id
        self.value = value
        self.items: list[Item] = []
        self.by_id: dict[str, Item] = {}
        self.by_index: dict[int, Item] = {}
        self.number = -1
        self.has_stable_ids = False
        self.has_changing_ids = False
        self.error: Json | None = None
        self.last_error: Json | None = None
        self.is_open = True
        self.repeats = False
        self.has_ended = False
        self.ended_as: str | None = None
        self.contradicted: tuple[str | None] | None = None
        self.is_again = False
        self.steered = False
        self.deferred: str | None = None
        self.audio: Item | None = None
        self.tools: tuple[Tool, ...] = ABSENT_LIST
        self._tools: object = None  # as the wire has them
        self.earlier: tuple[Response, ...] = ()
        self.preceding: frozenset[str] = frozenset()
        self.has_object: Callable[[str], bool] | None = None
        self.is_new = False
        self.own: frozenset[str] = frozenset()
        self.resumed: tuple[Response | None, int] | None = None
        self.run: tuple[Json | None, str, Run | None] = (None, "", None)
        self._snapshots = 0

    def show(self, id: str | None, value: Json) -> None:
        """Note a snapshot of the response, and the id that it has."""
        self.value = value
        tools = value.get("tools")
        if tools and tools != self._tools:
            self._tools, self.tools = tools, tools_of(tools)
        if id is not None:
            self.ids.add(id)
            self._snapshots += 1

    def is_other(self, id: str, value: Json) -> bool:
        """True if a snapshot is one of another response. Some servers send another id in each snapshot of a response.

        Args:
            id: The id of the snapshot.
            value: The snapshot.
        """
        if id in self.ids:
            return False
        if not self.is_open or text_of(value.get("previous_response_id")) in self.ids:
            return True
        if self._snapshots > 1 and len(self.ids) == 1:
            return True  # its ids do not change
        known, created = self.value.get("created_at"), value.get("created_at")
        return known is not None and created is not None and known != created

    @property
    def offered(self) -> Json:
        """The latest snapshot, with the tools of an earlier one if it has none."""
        return self.value if self.value.get("tools") or not self._tools else {**self.value, "tools": self._tools}

    @property
    def has_lost_request(self) -> bool:
        """True if its end was not received, and it has a call that the application answers."""
        offered = self.offered
        return self.is_open and any(awaited_call(item.value, offered) is not None for item in self.items)

    def follow(self, last: Response) -> None:
        """Note the response before it in its lane, which may be the same one, sent again from its beginning."""
        known = last.earlier if last.id == self.id else (last, *last.earlier)
        again = [each for each in (last, *last.earlier) if each.id == self.id]
        self.is_again = any(each.has_ended or each.is_again for each in again)
        self.preceding = again[0].preceding if again else frozenset(each.id for each in (last, *last.earlier))
        if again:
            self.is_new = again[0].is_new
            self.own = again[0].own | {item.id for item in again[0].items}
        self.earlier = tuple(each for each in known if each.id != self.id)[:_MAX_EARLIER]
        last.earlier = ()

    def reconnect(self) -> None:
        """Note another connection: the server may go on from within an earlier response of the lane."""
        self.resumed = (None, self.number) if self.earlier else None

    def with_id(self, id: str | None) -> Response:
        """This response, or an earlier one if only that has this id."""
        return self._choose(next((each for each in (self, *self.earlier) if id in each.ids), self))

    def with_event(
        self, id: str | None, item_id: str | None, number: object, item: Json | None, *, whole: bool
    ) -> Response:
        """This response, or an earlier one if only that has this id, or an item with this id.

        Args:
            id: The id of the response; few servers name it in the events of an item.
            item_id: The id of the item. Some servers use ids again in the next response.
            number: The number of the event.
            item: The item, if the event has it.
            whole: True if the event has it whole.
        """
        known = (self, *self.earlier)
        for each in known:
            if id in each.ids:
                return self._choose(each)
        if item_id not in self.by_id and self.is_open:
            # Only what differs is no repetition of the item of that id.
            found = next((each for each in self.earlier if item_id in each.by_id), self)
            other = found.by_id.get(item_id or "")
            if other is not None and (
                (self.resumed is None and self._is_next(number, found.number, item_id, item, other))
                or (item is not None and item.get("call_id") != other.value.get("call_id"))
                or (item is not None and whole and other.closed and _words_of(item) != _words_of(other.value))
            ):
                return self._choose(self)
        return self._choose(next((each for each in known if item_id in each.by_id), self))

    def _is_next(self, number: object, last: int, item_id: str | None, item: Json | None, other: Item) -> bool:
        """True if an event whose item has the id of an earlier response's item is the next one of this response.

        Args:
            number: The number of the event.
            last: The highest number of the earlier response.
            item_id: The id of the item.
            item: The item, if the event has it.
            other: The item of the earlier response.
        """
        counts = type(number) is int and (number > 0 or self.number > 0)  # else the server does not count its events
        if counts and number != self.number + 1:
            return False
        if counts and type(number) is int and number > last:
            return True
        call_id = item.get("call_id") if item is not None else None
        return _COUNTED(item_id or "") is not None and (call_id is None or call_id != other.value.get("call_id"))

    def with_number(self, number: object) -> Response | None:
        """The response of an event that names neither a response nor an item: that of the event before it.

        Args:
            number: The number of the event.

        Returns:
            ``None`` if it is unknown: it is the first event of a connection, and does not follow the last one.
        """
        if self.resumed is None or self.resumed[1] != self.number:
            return self
        if self.resumed[0] is None and (type(number) is not int or number == self.number + 1):
            return self
        return self.resumed[0]

    def _choose(self, found: Response) -> Response:
        self.resumed = (found, self.number) if found is not self else None
        return found

    def is_repeated(self, number: object) -> bool:
        """True if an event with this number, or a larger one, was received."""
        return type(number) is int and 0 < self.number >= number

    def find(self, id: str | None, index: int | None, type: str | None = None) -> Item | None:
        """The item with this id, else the one with this index, else the only open one.

        Args:
            id: The id.
            index: The index.
            type: The type of the item; ``None`` if it is unknown. By index no message is taken for a call.
        """
        item = self.by_id.get(id) if id is not None else None
        if item is not None:
            self.has_stable_ids = self.has_stable_ids or item.announced
            return item
        if id is not None and self.has_stable_ids:
            return None  # the event that announced it was lost
        if index is not None:
            item = self.by_index.get(index)
            if item is not None and id is not None:
                if not item.closed:
                    self.has_changing_ids = True
                elif not self.has_changing_ids:
                    return None  # another item, though it has the index
        else:
            items = [each for each in self.items if not each.closed]
            item = items[0] if len(items) == 1 else None
        return None if item is None or (type is not None and _class_of(type) != _class_of(item.type)) else item

    def add(self, id: str | None, index: int | None, value: Json) -> Item:
        """Add an item. One without an id of its own in its run gets an id that a replay makes again."""
        position = len(self.items) if index is None else index
        is_used = any(
            id in each.by_id for each in self.earlier if each.run_id == self.run_id and each.id in self.preceding
        )
        other = f"{self.id}:{id or position}"
        if not is_used and id and self.has_object is not None:
            # Another source has sent the earlier response, and maybe a part of this one.
            is_used = self.has_object(other) or (self.is_new and id not in self.own and self.has_object(id))
        item = Item(other if is_used or not id else id, index, value)
        self.items.append(item)
        self.by_id[id or item.id] = item
        if index is not None:
            self.by_index[index] = item
        return item

    def find_made(self, id: str | None, index: int | None, value: Json) -> Item | None:
        """The item that is announced only now, under another id than its fragments had; ``None`` if it is a new one.

        Args:
            id: Its id.
            index: Its index.
            value: The item.
        """
        item = self.by_index.get(index) if index is not None else None
        if item is None or item.announced or item.closed or not item.seen or item.type != value.get("type"):
            return None
        if id is not None:
            self.by_id[id] = item
        item.value = {**item.value, **value}
        return item

    def find_open(self, id: str | None, index: int | None, value: Json) -> Item | None:
        """The open item that ends under another id than it was announced with; ``None`` if it is another one.

        Args:
            id: The id at its end.
            index: Its index.
            value: The item.
        """
        call_id, type = value.get("call_id"), value.get("type")
        found = self.by_index.get(index) if index is not None else None
        if call_id is not None:
            found = next((each for each in self.items if each.value.get("call_id") == call_id), None)
        if found is None or found.closed or found.type != type or (_class_of(found.type) == "call" and call_id is None):
            return None
        if id is not None:
            self.by_id[id] = found
        return found

    def load(self, id: str, index: int | None, value: Json) -> Item:
        """Add an item of an earlier decoder, which has given it this id."""
        item = self.add(id, index, value)
        if wire_id := text_of(value.get("id")):
            self.by_id[wire_id] = item
        return item

    def identify(self, number: object) -> str | None:
        """The identity of an event with this number; ``None`` if the numbers of the response do not grow."""
        if type(number) is not int:
            return None
        if number > self.number:
            self.number = number
        elif not self.number:
            return None
        return f"{self.prefix}{number}"

    def match(self, value: Json, position: int, taken: Container[Item]) -> Item | None:
        """The streamed item that an item of the final output repeats; ids may differ there.

        Args:
            value: The item of the final output.
            position: Its position there.
            taken: The streamed items that other items of the final output repeat.
        """
        id, call_id, type = text_of(value.get("id")), text_of(value.get("call_id")), value.get("type")
        if id is not None and (item := self.by_id.get(id)) is not None:
            return item
        if call_id is not None:
            for item in self.items:
                if item.value.get("call_id") == call_id and item.type == type:
                    return item
        words = _words_of(value)
        for item in self.items:
            if (
                words != (None, [])
                and item.closed
                and item.type == type
                and item not in taken
                and item.value.get("name") == value.get("name")
                and _words_of(item.value) == words
            ):
                return item  # its ids and its place differ
        known = self.by_index.get(position)
        open_ones = [item for item in self.items if not item.closed and item.type == type]
        # One that was closed is repeated at its place; those that were not are closed in their order.
        for item in (known, *open_ones) if known is not None and known.closed else open_ones:
            if item.type == type and (call_id is None or item.value.get("call_id") is None):
                return item
        return None


def _texts_of(value: Json) -> list[str]:
    """The texts of a message or a reasoning."""
    parts = [part for name in ("summary", "content") for part in list_of(value.get(name))]
    texts = [text_of(part.get("text")) or text_of(part.get("refusal")) for part in parts]
    return [text for text in texts if text]


def _words_of(value: Json) -> tuple[str | None, list[str]]:
    """The arguments of a call, and the texts of a message or a reasoning."""
    return arguments_of(value), _texts_of(value)


def _class_of(type: str) -> str:
    """The class of the object that stands for an item: a message, a reasoning, or a call."""
    return type if type in ("message", "reasoning") else "call"
