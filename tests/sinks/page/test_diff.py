"""Whatever a client is told, and how seldom: once it has the frames, it has the state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.sinks.page.diff import ClientCursor, apply, units
from runstream.sinks.page.history import Entry
from runstream.sinks.page.views import ContentBlock, Fact, RunContent


class Run:
    """A run that is shown."""

    def __init__(self, number: int, version: int, shown: RunContent) -> None:
        self.number = number
        self.version = version
        self.shown = shown

    def content(self) -> RunContent:
        return self.shown


class Page:
    """All that is shown, kept the simple way."""

    def __init__(self) -> None:
        self.feed = "f"
        self.removals = 0
        self.facts: dict[str, Fact] = {}
        self.runs: dict[int, Run] = {}
        self.version = 0
        self.log: list[Entry] = []

    def put(self, number: int, view: RunContent) -> None:
        self.version += 1
        self.runs[number] = Run(number, self.version, view)

    def remove(self, number: int) -> None:
        if self.runs.pop(number, None) is not None:
            self.removals += 1

    def page(self) -> Mapping[str, Fact]:
        return self.facts

    def since(self, version: int) -> Iterable[Run]:
        return sorted((run for run in self.runs.values() if run.version > version), key=lambda run: run.version)

    def numbers(self) -> Iterable[int]:
        return self.runs

    def entries(self, number: int) -> list[Entry]:
        return [entry for entry in self.log if entry.n > number]

    def plain(self) -> dict[int, Any]:
        return {
            number: {"facts": present(run.shown.facts), "blocks": blocks(run.shown)}
            for number, run in self.runs.items()
        }


def present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def blocks(view: RunContent) -> list[tuple[str, dict[str, Any], str, int]]:
    return [(block.id, present(block.facts), block.text, block.skipped) for block in view.blocks]


def read(page: dict[str, Any]) -> dict[int, Any]:
    """A client's page in the form of `Page.plain`; its blocks in their order."""
    return {
        number: {
            "facts": present(run["facts"]),
            "blocks": [
                (id, present(block["facts"]), block["text"], block["skipped"]) for id, block in run["blocks"].items()
            ],
        }
        for number, run in page.get("runs", {}).items()
    }


class Client:
    """Takes frames as they go over the wire."""

    def __init__(self, budget: int = 10_000) -> None:
        self.cursor = ClientCursor(budget)
        self.page: dict[str, Any] = {}
        self.frames: list[dict[str, Any]] = []

    def take(self, page: Page) -> None:
        while (frame := self.cursor.frame(page, 1.0)) is not None:
            self.frames.append(msgspec.json.decode(msgspec.json.encode(frame)))
            self.page = apply(self.page, self.frames[-1])
            if "more" not in frame:
                return


def text(value: str, id: str = "m", **facts: Fact) -> RunContent:
    return RunContent({"status": "in_progress"}, (ContentBlock(id, dict(facts), value),))


def test_the_first_frame_has_everything_and_the_next_only_what_changed() -> None:
    page, client = Page(), Client()
    page.facts = {"open": 1, "sources": "x"}
    page.put(1, text("Hello"))
    page.put(2, text("Other"))
    client.take(page)
    page.facts = {"open": 2, "sources": "x"}
    page.put(1, text("Hello there"))
    client.take(page)
    first, second = client.frames
    assert first["feed"] == "f"
    assert [run["n"] for run in first["runs"]] == [1, 2]
    assert second == {
        "now": 1.0,
        "page": {"open": 2},
        "runs": [{"n": 1, "blocks": [{"id": "m", "at": 5, "add": " there"}]}],
    }


def test_nothing_new_is_no_frame() -> None:
    page, client = Page(), Client()
    client.take(page)
    client.take(page)
    page.put(1, text("a"))
    client.take(page)
    page.put(1, text("a"))  # changed, and back, or in what is not shown
    client.take(page)
    assert len(client.frames) == 2


def test_text_is_sent_in_pieces_whose_place_is_counted_as_a_browser_does() -> None:
    page, client = Page(), Client()
    for value in ("a😀", "a😀b", "a😀b😀c", "other"):
        page.put(1, text(value))
        client.take(page)
    parts = [frame["runs"][0]["blocks"][0] for frame in client.frames]
    assert [(part["at"], part["add"]) for part in parts] == [(0, "a😀"), (3, "b"), (4, "😀c"), (0, "other")]


def test_what_is_not_read_in_time_is_one_frame_later() -> None:
    page, client = Page(), Client()
    client.take(page)
    for count in range(1000):
        page.put(1, text("x" * count))
    client.take(page)
    assert len(client.frames) == 2
    assert read(client.page) == page.plain()


def test_a_large_state_comes_in_several_frames() -> None:
    page, client = Page(), Client(budget=1000)
    for number in range(20):
        page.put(number, text("x" * 400))
    client.take(page)
    assert 5 < len(client.frames) < 20
    assert all(frame.get("more") for frame in client.frames[:-1])
    assert "more" not in client.frames[-1]
    assert read(client.page) == page.plain()


def test_a_removed_run_is_gone_and_may_come_again() -> None:
    page, client = Page(), Client()
    page.put(1, text("a"))
    client.take(page)
    page.remove(1)
    client.take(page)
    assert client.frames[-1]["gone"] == [1]
    assert read(client.page) == {}
    page.put(1, text("ab"))
    client.take(page)
    assert read(client.page) == page.plain()


def test_a_new_connection_begins_anew() -> None:
    page, client = Page(), Client()
    page.put(1, text("a"))
    client.take(page)
    page.remove(1)
    page.put(2, text("b"))
    client.cursor = ClientCursor()
    client.take(page)
    assert read(client.page) == page.plain()


@pytest.mark.parametrize(("value", "count"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("a😀\uffff", 4)])
def test_units(value: str, count: int) -> None:
    assert units(value) == count == len(value.encode("utf-16-le")) // 2


FACTS = st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 2) | st.text("xy", max_size=3), max_size=3)
TEXTS = st.text("aé😀", max_size=6)
BLOCKS = st.lists(
    st.builds(ContentBlock, st.sampled_from("pqrs"), FACTS, TEXTS, st.integers(0, 2)),
    max_size=4,
    unique_by=lambda block: block.id,
)
VIEWS = st.builds(RunContent, FACTS, BLOCKS.map(tuple))
PUTS = st.tuples(st.just("put"), st.integers(1, 4), VIEWS)
GROWS = st.tuples(st.just("grow"), st.integers(1, 4), TEXTS)
REMOVES = st.tuples(st.just("remove"), st.integers(1, 4), st.none())
PAGES = st.tuples(st.just("page"), st.none(), FACTS)


def change(page: Page, what: str, number: int, value: Any) -> None:
    if what == "put":
        page.put(number, value)
    elif what == "grow" and number in page.runs:
        shown = page.runs[number].shown
        grown = tuple(ContentBlock(one.id, one.facts, one.text + value, one.skipped) for one in shown.blocks)
        page.put(number, RunContent(shown.facts, grown))
    elif what == "remove":
        page.remove(number)
    elif what == "page":
        page.facts = value


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(st.tuples(PUTS | GROWS | REMOVES | PAGES, st.booleans(), st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 300),
)
def test_whenever_a_client_reads_it_then_has_what_there_is(steps: list[Any], budget: int) -> None:
    """For clients of any rate, with frames of any size, also after they have connected again."""
    page, clients = Page(), [Client(budget), Client()]
    for step, first, second, again in steps:
        change(page, *step)
        if again:
            clients[1].cursor = ClientCursor(budget)
        for client, reads in zip(clients, (first, second), strict=True):
            if reads:
                client.take(page)
                assert read(client.page) == page.plain()
    for client in clients:
        client.take(page)
        assert read(client.page) == page.plain()
        assert present(client.page["page"]) == present(page.facts)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_a_growing_text_is_sent_once(pieces: list[str]) -> None:
    """What goes over the wire is the text, not its square."""
    page, client = Page(), Client()
    whole = ""
    for piece in pieces:
        whole += piece
        page.put(1, text(whole))
        client.take(page)
    sent = [block["add"] for frame in client.frames for run in frame["runs"] for block in run["blocks"]]
    assert "".join(sent) == whole
