"""Arguments that the wire has as an object, and of which one text grows: a command of a shell, the diff of a patch.

The arguments of a call are JSON text. So they grow as JSON text too: the pieces of the growing text, escaped, within
the object around it. They are at any time the beginning of the whole arguments.
"""

from __future__ import annotations

from typing import Final

from runstream.dialects.responses_calls import arguments_of
from runstream.dialects.responses_state import Item
from runstream.dialects.responses_wire import map_of
from runstream.model.jsontext import dump_json

__all__ = ["close_arguments", "grow_commands", "grow_diff"]

_GROWING: Final = "arguments"


def grow_commands(item: Item, index: int, text: str, last: str, id: str | None) -> str:
    """The JSON text that the arguments of a shell call gain.

    Args:
        item: The call.
        index: The index of the command.
        text: The piece of the command, or the whole command.
        last: The last part of the name of the event: ``added``, ``delta``, ``done``.
        id: The identity of the event; a repeated event gains the same text.
    """
    if id is not None and id in item.grown:
        return item.grown[id]
    is_new = (_GROWING, index) not in item.seen
    if not is_new and any(place > index for target, place in item.seen if target == _GROWING):
        return ""  # a repetition: a later command has begun
    item.seen.add((_GROWING, index))
    begin = ""
    if is_new:
        begin = '{"commands":["' if index == 0 or len(item.seen) == 1 else ',"'
        if item.quoted:
            begin = f'"{begin}'  # the end of the command before it was lost
        item.quoted = True
    piece = text if last == "delta" or is_new else ""
    return _grow(item, begin, piece, last, id)


def grow_diff(item: Item, text: str, last: str, id: str | None) -> str:
    """The JSON text that the arguments of a patch gain.

    Args:
        item: The call.
        text: The piece of the diff, or the whole diff.
        last: The last part of the name of the event: ``delta``, ``done``.
        id: The identity of the event; a repeated event gains the same text.
    """
    if id is not None and id in item.grown:
        return item.grown[id]
    is_new = (_GROWING, 0) not in item.seen
    item.seen.add((_GROWING, 0))
    begin = ""
    if is_new:
        fields = {key: value for key, value in map_of(item.value.get("operation")).items() if key != "diff"}
        begin = f'{dump_json(fields)[:-1]}{"," if fields else ""}"diff":"'
        item.quoted = True
    piece = text if last == "delta" or is_new else ""
    return _grow(item, begin, piece, last, id)


def _grow(item: Item, begin: str, piece: str, last: str, id: str | None) -> str:
    grown = begin + dump_json(piece)[1:-1]
    if last == "done" and item.quoted:
        grown += '"'
        item.quoted = False
    item.grown[len(item.grown) if id is None else id] = grown
    return grown


def close_arguments(item: Item) -> str:
    """The rest of the arguments of a call that was sent whole, after those that have grown; "" if there is none."""
    if not item.grown:
        return ""
    grown, whole = "".join(item.grown.values()), arguments_of(item.value) or ""
    return whole[len(grown) :] if whole.startswith(grown) else ""
