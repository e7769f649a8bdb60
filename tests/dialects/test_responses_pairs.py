"""Surrogate pairs of the Responses wire that are split over two fragments."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import TextDelta, TextReplaced, fold
from runstream.engine.fold import Folded
from runstream.model.raw import RawEvent

RESPONSE = {"id": "resp_1", "object": "response", "output": []}
FACE = "\U0001f600"


def utf16(text: str) -> list[str]:
    """The text in units as JavaScript has them."""
    data = text.encode("utf-16-be")
    return [data[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(data), 2)]


def events(fragments: Iterable[tuple[str, str]], *, numbered: bool, end: str = "incomplete") -> list[RawEvent]:
    """A response with fragments of items, each with the id of its item and its text."""
    found: list[dict[str, Any]] = [{"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}]
    found += [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {"id": id, "type": "message", "role": "assistant", "content": []},
        }
        for index, id in enumerate("ab")
    ]
    found += [
        {"type": "response.output_text.delta", "item_id": id, "output_index": "ab".index(id), "delta": text}
        for id, text in fragments
    ]
    found.append({"type": f"response.{end}", "response": {**RESPONSE, "status": end}})
    if numbered:
        found = [{**event, "sequence_number": number} for number, event in enumerate(found)]
    return [RawEvent(event["type"], json.dumps(event).encode()) for event in found]


def texts(folded: Folded) -> list[str]:
    return [message.text for message in folded.runs[0].messages]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("end", ["incomplete", "completed"])
def test_a_split_pair_is_one_character(numbered: bool, end: str) -> None:
    """With the second fragment."""
    fragments = [("a", "Hi \ud83d"), ("a", "\ude00!"), ("a", " there")]
    folded = fold(events(fragments, numbered=numbered, end=end), dialect="responses")
    assert texts(folded)[0] == f"Hi {FACE}! there"
    deltas = [signal.delta for signal in folded.signals if isinstance(signal, TextDelta)]
    assert deltas == ["Hi ", f"{FACE}!", " there"]
    assert not folded.rejects
    assert not any(isinstance(signal, TextReplaced) for signal in folded.signals)


@pytest.mark.parametrize("again", [3, 4])
def test_a_repeated_fragment_counts_once(again: int) -> None:
    """The first or the second half comes twice under its number."""
    raws = events([("a", "x\ud83d"), ("a", "\ude00y"), ("a", "z")], numbered=True)
    for place in (again + 1, again + 2):
        folded = fold([*raws[:place], raws[again], *raws[place:]], dialect="responses")
        assert texts(folded)[0] == f"x{FACE}yz"
        assert folded.stats.duplicates == 1


def test_a_half_alone_becomes_a_replacement() -> None:
    folded = fold(events([("a", "x\ud83d"), ("a", "y"), ("a", "\ude00z")], numbered=True), dialect="responses")
    assert texts(folded)[0] == "x\ufffdy\ufffdz"


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["a", FACE, "ü", "\U0001f468\u200d\U0001f469"]))),
    st.lists(st.integers(1, 3), min_size=1),
    st.booleans(),
    st.booleans(),
)
def test_any_cut_gives_the_text(parts: list[tuple[str, str]], sizes: list[int], numbered: bool, together: bool) -> None:
    """Of two items that take turns, cut between any two units of UTF-16."""
    units = [(id, unit) for id, text in parts for unit in utf16(text)]
    fragments: list[tuple[str, str]] = []
    for number, (id, unit) in enumerate(units):
        if fragments and fragments[-1][0] == id and len(fragments[-1][1]) < sizes[number % len(sizes)]:
            fragments[-1] = (id, fragments[-1][1] + unit)
        else:
            fragments.append((id, unit))
    raws = events(fragments, numbered=numbered)
    folded = fold(raws if together else iter(raws), dialect="responses")
    assert texts(folded) == ["".join(text for id, text in parts if id == item) for item in "ab"]
