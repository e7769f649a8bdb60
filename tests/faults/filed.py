"""A recording with faults, as a file."""

from __future__ import annotations

from pathlib import Path

from tests.faults.cases import Case, Leg, legs
from tests.faults.slots import Slot
from tests.faults.telling import Item, tell
from tests.faults.wire import block, inside_a_character

__all__ = ["write"]


def write(case: Case, slot: Slot) -> Path:
    """Write the file of a case, and note which events are in it, whole."""
    chance = case.chance("file")
    suffix = chance.choice((".sse", ".jsonl"))
    newline = chance.choice((b"\n", b"\n", b"\r\n", b"\r"))

    def framed(item: Item) -> bytes:
        return block(item, newline=newline) if suffix == ".sse" else item.envelope() + b"\n"

    leg = next(iter(legs(case)), Leg(None, (), None))
    items, following = tell(case, 0, leg, 0)
    body = b"".join(framed(item) for item in items)
    if leg.loss is not None and following is not None:
        data = framed(following)
        rest = data[: inside_a_character(data) if leg.loss.name == "cut-utf8" else chance.randrange(1, len(data))]
        items = [*items, following] if following.data in rest else items  # only what ends it is missing
        body += rest
    for item in items:
        if item.number >= 0:
            slot.note(item.number)
    path = slot.file.with_suffix(suffix)
    path.write_bytes(body)
    return path
