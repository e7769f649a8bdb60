"""The items of a response as a checker remembers them: their places, ids and texts, and the rules about these."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from runstream.checker.findings import clip_name
from runstream.checker.values import Growth, Table, as_list, as_map, as_text, count_of, has_json

__all__ = ["CheckedItem", "CheckedResponse", "ItemChecker"]

_COUNTED: Final = re.compile(r"call_\d{1,4}")
_OF_CLIENT: Final = frozenset({"function_call", "custom_tool_call", "shell_call", "apply_patch_call", "computer_call"})
_WHOLE: Final = {"refusal": "refusal", "custom_tool_call_input": "input", "code_interpreter_call_code": "code"}
_OF_PARTS: Final = frozenset({"output_text", "refusal", "reasoning_text", "reasoning_summary_text"})
_OF_ITEM: Final = {
    "function_call_arguments": "arguments",
    "mcp_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "code_interpreter_call_code": "code",
}
_PART_EVENTS: Final = ("response.content_part.", "response.reasoning_summary_part.", "response.reasoning_part.")


class CheckedItem:
    """One item of a response.

    Attributes:
        id: Its id; "" if it has none.
        index: Its output_index; ``None`` if it has none.
        kind: Its type; "" if it is unknown.
        is_done: True after the event with the whole item.
        is_partial: True if a reader resumed the stream within it, so that its beginning is not known.
        texts: Its texts, by the kind of the text and the index of the part.
        parts: The parts that were added, by kind and index, with True for those that are done.
    """

    __slots__ = ("id", "index", "is_done", "is_partial", "kind", "parts", "texts")

    def __init__(self, id: str, index: int | None, kind: str) -> None:
        self.id = id
        self.index = index
        self.kind = kind
        self.is_done = self.is_partial = False
        self.texts: Table[Growth] = Table()
        self.parts: Table[bool] = Table()


class CheckedResponse:
    """One response.

    Attributes:
        id: Its first id; "" until one is known.
        number: The last sequence_number.
        resumed: True if its beginning is not in this stream.
        has_error: True after an ``error`` while it was open.
        has_ended: True after its terminal event.
        items: Its items in order, by a number.
        by_id: Its items by id.
        by_index: Its items by output_index; of several the latest.
        calls: The call ids of its items.
        streamed: The number of its items so far.
        open: The number of items that are not done.
        not_json: The items whose arguments are not JSON.
    """

    __slots__ = (
        *("by_id", "by_index", "calls", "has_ended", "has_error", "id", "items", "not_json", "number"),
        *("open", "resumed", "streamed"),
    )

    def __init__(self, *, resumed: bool = False) -> None:
        self.id = ""
        self.number: int | None = None
        self.resumed = resumed
        self.has_error = self.has_ended = False
        self.items: Table[CheckedItem] = Table()
        self.by_id: Table[CheckedItem] = Table()
        self.by_index: Table[CheckedItem] = Table()
        self.calls: Table[str] = Table()
        self.streamed = self.open = 0
        self.not_json: Table[str] = Table()


class ItemChecker:
    """Checks the events of items.

    Args:
        violate: Counts a violation: the name of the rule, a detail, and the id of the object.
    """

    def __init__(self, violate: Callable[..., None]) -> None:
        self._violate = violate

    def event(self, response: CheckedResponse, kind: str, value: dict[str, Any]) -> None:
        """Check one event of an item; any other event is skipped."""
        if kind == "response.output_item.added":
            self._added(response, value)
        elif kind == "response.output_item.done":
            self._done(response, value)
        elif "item_id" in value or "output_index" in value:
            item = self._find(response, value)
            if item.is_done:
                self._violate("event_after_item", object_id=item.id)
            elif kind.startswith(_PART_EVENTS):
                self._part(item, kind, value)
            else:
                self._text(item, kind, value)

    def finish(self, response: CheckedResponse, status: str, value: dict[str, Any]) -> None:
        """Check the output of an ended response against its items."""
        for item in response.items.values():
            if not item.is_done and status == "completed":
                self._violate("item_done", clip_name(item.kind), item.id)
        for call_id in response.not_json:
            self._violate("arguments_json" if status == "completed" else "arguments_cut", object_id=call_id)
        output = value.get("output")
        if not isinstance(output, list):
            return
        streamed = response.streamed
        if len(output) < streamed:
            self._violate("output_complete", f"{len(output)} of {streamed} items", response.id)
        elif len(output) > streamed and not response.resumed:
            self._violate("output_streamed", f"{streamed} of {len(output)} items", response.id)
        tools = value.get("tools")
        offered = {as_text(tool.get("name")) for tool in as_list(tools) if tool.get("type") == "custom"}
        for place, entry in enumerate(as_list(output)):
            id = as_text(entry.get("id"))
            found = response.by_id.get(id or "") or response.by_index.get(place)
            if found is not None and found.kind == entry.get("type"):
                self._compare(found, entry)
            if status == "completed" and entry.get("status") not in (None, "completed", "failed"):
                self._violate("item_status", clip_name(str(entry["status"])), id)
            is_custom = entry.get("type") == "custom_tool_call"
            if is_custom and isinstance(tools, list) and as_text(entry.get("name")) not in offered:
                self._violate("call_of_server", object_id=entry.get("call_id"))

    # items

    def _new(self, response: CheckedResponse, id: str, index: int | None, kind: str) -> CheckedItem:
        item = CheckedItem(id, index, kind)
        response.streamed += 1
        response.items[response.streamed] = item
        if id:
            response.by_id[id] = item
        if index is not None:
            response.by_index[index] = item
        response.open += 1
        return item

    def _added(self, response: CheckedResponse, value: dict[str, Any]) -> None:
        entry, index = as_map(value.get("item")), count_of(value.get("output_index"))
        id, kind = as_text(entry.get("id")) or "", as_text(entry.get("type")) or ""
        if id and id in response.by_id:
            self._violate("item_added_once", object_id=id)
            return
        if index is not None and index in response.by_index:
            self._violate("index_shared", f"output_index {index}", id)
        elif response.open:
            self._violate("items_overlap", f"{response.open} open", id)
        self._new(response, id, index, kind)

    def _find(
        self, response: CheckedResponse, value: dict[str, Any], entry: dict[str, Any] | None = None
    ) -> CheckedItem:
        """The item of an event: by its announced id, else by its index."""
        source = value if entry is None else entry
        id = as_text(source.get("item_id" if entry is None else "id")) or ""
        index = count_of(value.get("output_index"))
        item = response.by_id.get(id) if id else None
        if item is not None:
            if index is not None and item.index is not None and index != item.index:
                self._violate("item_index", f"{index}, added with {item.index}", id)
            return item
        item = response.by_index.get(index) if index is not None else None
        if item is not None:
            if id and item.id and id != item.id and not (entry is not None and item.is_done):
                self._violate("item_id", f"output_index {index}", id)
                return item
            if not (id and item.id):
                return item
        if not response.resumed:
            self._violate("item_added", "" if index is None else f"output_index {index}", id)
            if index is not None and index in response.by_index:
                self._violate("index_shared", f"output_index {index}", id)
        item = self._new(response, id, index, as_text(as_map(entry).get("type")) or "")
        item.is_partial = response.resumed
        return item

    def _done(self, response: CheckedResponse, value: dict[str, Any]) -> None:
        entry = as_map(value.get("item"))
        item = self._find(response, value, entry)
        if item.is_done:
            self._violate("event_after_item", object_id=item.id)
            return
        item.is_done = True
        item.kind = as_text(entry.get("type")) or item.kind
        response.open -= 1
        self._compare(item, entry)
        if item.is_partial:
            return
        self._call(response, item, entry)
        if entry.get("status") == "incomplete":
            return  # it was cut within a text
        for (name, index), growth in item.texts.items():
            if growth.fragments and not growth.is_done:
                self._violate("text_done", f"{name} {index}", item.id)
        for (name, index), is_done in item.parts.items():
            if not is_done:
                self._violate("part_done", f"{name} {index}", item.id)

    def _call(self, response: CheckedResponse, item: CheckedItem, entry: dict[str, Any]) -> None:
        if item.kind not in _OF_CLIENT:
            return
        call_id = as_text(entry.get("call_id"))
        if call_id is None:
            self._violate("call_id", item.kind, item.id)
        elif call_id in response.calls:
            self._violate("call_id_once", object_id=call_id)
        elif _COUNTED.fullmatch(call_id):
            self._violate("call_id_counted", object_id=call_id)
        response.calls[call_id or item.id] = item.id
        arguments = entry.get("arguments")
        if item.kind == "function_call" and isinstance(arguments, str) and not has_json(arguments):
            response.not_json[call_id or item.id] = item.id

    # texts

    def _part(self, item: CheckedItem, kind: str, value: dict[str, Any]) -> None:
        *_, name, step = kind.split(".")
        family = "summary" if "summary" in name else "content"
        place = (family, count_of(value.get("summary_index" if family == "summary" else "content_index")) or 0)
        if step == "added":
            item.parts[place] = False
            return
        if place not in item.parts and not item.is_partial:
            self._violate("part_added", f"{family} {place[1]}", item.id)
        item.parts[place] = True
        part = as_map(value.get("part"))
        for kind_of_text, whole in _texts_of(part, family):
            self._compare_text(item, (kind_of_text, place[1]), whole)

    def _text(self, item: CheckedItem, kind: str, value: dict[str, Any]) -> None:
        _, _, rest = kind.partition(".")
        name, _, step = rest.rpartition(".")
        if step not in ("delta", "done") or (name not in _OF_PARTS and name not in _OF_ITEM):
            return
        is_summary = name == "reasoning_summary_text"
        index = count_of(value.get("summary_index" if is_summary else "content_index")) or 0
        place = ("summary" if is_summary else "content", index)
        if name in _OF_PARTS and place not in item.parts:
            item.parts[place] = True  # reported once
            if not item.is_partial:
                self._violate("part_added", f"{place[0]} {index}", item.id)
        growth = item.texts.get((name, index))
        if growth is None:
            growth = item.texts[name, index] = Growth()
        if step == "delta":
            if isinstance(fragment := value.get("delta"), str):
                growth.add(fragment)
            return
        whole = value.get(_WHOLE.get(name, "arguments" if name in _OF_ITEM else "text"))
        if isinstance(whole, str) and not item.is_partial:
            if whole and not growth.fragments:
                self._violate("text_without_deltas", name, item.id)
            elif growth.differs_from(whole):
                self._violate("text_whole", f"{name}: {growth.difference(whole)}", item.id)
        growth.is_done = True

    def _compare(self, item: CheckedItem, entry: dict[str, Any]) -> None:
        """Compare the texts of a whole item with those that grew."""
        for family, key in (("content", "content"), ("summary", "summary")):
            for index, part in enumerate(as_list(entry.get(key))):
                for name, whole in _texts_of(part, family):
                    self._compare_text(item, (name, index), whole)
        for name, key in _OF_ITEM.items():
            if isinstance(value := entry.get(key), str):
                self._compare_text(item, (name, 0), value)

    def _compare_text(self, item: CheckedItem, place: tuple[str, int], whole: str) -> None:
        growth = item.texts.get(place)
        if growth is not None and growth.fragments and not item.is_partial and growth.differs_from(whole):
            self._violate("text_whole", f"{place[0]}: {growth.difference(whole)}", item.id)


def _texts_of(part: dict[str, Any], family: str) -> Iterator[tuple[str, str]]:
    """The text of a part, with the kind under which it grows."""
    kind = "reasoning_summary_text" if family == "summary" else as_text(part.get("type")) or "output_text"
    text = part.get("refusal" if kind == "refusal" else "text")
    if isinstance(text, str):
        yield kind, text
