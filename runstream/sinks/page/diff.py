"""The last content that a client received and the present content in, a frame with the changes out. Pure.

A frame is a JSON object with the changes since the last one:

=========  ==========================================================================================
``feed``   only in the first frame of a connection, which replaces all: the id of the feed
``now``    the server's time (Unix seconds)
``page``   facts of the whole page that have changed
``runs``   the runs that have changed, the one that changed last at the end: ``n`` (its number in order
           of appearance, which identifies it), ``set`` (facts that have changed), ``blocks``, ``order``
``log``    new lines of the log: ``n``, ``at`` (Unix seconds), ``kind``, ``run``, ``text``
``gone``   numbers of runs that are no longer shown
``more``   whether another frame follows at once, because this one was full
=========  ==========================================================================================

A block is ``id``, ``set`` (facts that have changed), and if its text has changed, ``at`` and ``add``: the text is
now its first ``at`` UTF-16 code units (as JavaScript counts, ECMA-262, section 6.1.4), then ``add``; ``at`` is
either its whole length or 0. ``order`` has the ids of all blocks, if these are not the old blocks followed by new
ones. :func:`apply` is the Python form of the page's script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from msgspec import structs

from runstream.sinks.page.history import MAX_ENTRIES, Entry
from runstream.sinks.page.views import ContentBlock, Fact, RunContent

__all__ = ["ClientCursor", "PageContent", "PageRow", "apply", "units"]

_EMPTY: Final = RunContent({})
_OVERHEAD: Final = 64  # approximate characters of the name, quotes and commas of a value

Frame = dict[str, Any]


class PageRow(Protocol):
    """A run that is content.

    Attributes:
        number: Identifies the run.
        version: The version of the page after the last change of the run.
    """

    number: int
    version: int

    def content(self) -> RunContent:
        """The present content of the run."""


class PageContent(Protocol):
    """The present content of the page.

    Attributes:
        feed: The id of the feed.
        removals: The number of runs that have been removed.
    """

    feed: str
    removals: int

    def page(self) -> Mapping[str, Fact]:
        """Facts of the whole page."""

    def since(self, version: int) -> Iterable[PageRow]:
        """The runs that changed after this version, the earliest change first."""

    def numbers(self) -> Iterable[int]:
        """The numbers of all runs that are content."""

    def entries(self, number: int) -> list[Entry]:
        """The lines of the log with a larger number, in order."""


class ClientCursor:
    """Remembers the content that one client has received.

    The content is shared with the feed and with other clients: a text is stored once for any number of clients.

    Args:
        budget: The size of a frame (characters) after which the remaining runs are left for the next one. The
            change of one run is never split.
    """

    def __init__(self, budget: int = 256 * 1024) -> None:
        self._budget = budget
        self._feed: str | None = None
        self._version = 0
        self._removals = 0
        self._entry = 0
        self._page: Mapping[str, Fact] = {}
        self._contents: dict[int, RunContent] = {}
        self._units: dict[tuple[int, str], int] = {}

    def frame(self, content: PageContent, now: float) -> Frame | None:
        """The changes since the last frame; ``None`` if there are none.

        Args:
            content: The present content of the page.
            now: The time (Unix seconds).
        """
        frame: Frame = {}
        if self._feed is None:
            self._feed = frame["feed"] = content.feed
        if changed := _changed_facts(self._page, page := content.page()):
            frame["page"], self._page = changed, dict(page)
        if self._removals != content.removals and (gone := self._forget_removed(content)):
            frame["gone"] = gone
        if entries := content.entries(self._entry):
            frame["log"], self._entry = [structs.asdict(entry) for entry in entries], entries[-1].n
        runs, size = [], 0
        for row in content.since(self._version):
            if size > self._budget:
                frame["more"] = True
                break
            self._version = row.version
            change, cost = self._run(row.number, row.content())
            if change is not None:
                runs.append(change)
                size += cost
        if runs:
            frame["runs"] = runs
        return {"now": now, **frame} if frame else None

    def _forget_removed(self, content: PageContent) -> list[int]:
        """Forget the runs that are no longer shown, and return their numbers."""
        self._removals = content.removals
        gone = sorted(self._contents.keys() - set(content.numbers()))
        for number in gone:
            for block in self._contents.pop(number).blocks:
                self._units.pop((number, block.id), None)
        return gone

    def _run(self, number: int, content: RunContent) -> tuple[Frame | None, int]:
        """The changes of a run, and their size."""
        before = self._contents.get(number, _EMPTY)
        if content is before:
            return None, 0
        self._contents[number] = content
        change: Frame = {"n": number}
        if facts := _changed_facts(before.facts, content.facts):
            change["set"] = facts
        if before.blocks is not content.blocks:
            old = {block.id: block for block in before.blocks}
            blocks = [one for block in content.blocks if (one := self._block(number, old.get(block.id), block))]
            if blocks:
                change["blocks"] = blocks
            before_ids, ids = list(old), [block.id for block in content.blocks]
            if ids[: len(before_ids)] != before_ids:
                change["order"] = ids
                for id in old.keys() - set(ids):
                    self._units.pop((number, id), None)
        return (change, _size(change)) if len(change) > 1 or before is _EMPTY else (None, 0)

    def _block(self, number: int, before: ContentBlock | None, block: ContentBlock) -> Frame | None:
        """The changes of a block."""
        change: Frame = {}
        if facts := _changed_facts(before.facts if before is not None else {}, block.facts):
            change["set"] = facts
        key = (number, block.id)
        if before is None or block.skipped != before.skipped or not block.text.startswith(before.text):
            change["at"], change["add"] = 0, block.text
            self._units[key] = units(block.text)
            if block.skipped != (before.skipped if before is not None else 0):
                change["skipped"] = block.skipped
        elif len(block.text) > len(before.text):
            change["at"], change["add"] = self._units[key], block.text[len(before.text) :]
            self._units[key] += units(change["add"])
        return {"id": block.id, **change} if change else None


def units(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def _changed_facts(before: Mapping[str, Fact], after: Mapping[str, Fact]) -> dict[str, Fact]:
    """The facts that differ. A removed fact is ``None``."""
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return {**changed, **dict.fromkeys(before.keys() - after.keys() - _nulls(before))}


def _nulls(facts: Mapping[str, Fact]) -> set[str]:
    return {name for name, value in facts.items() if value is None}


def _size(change: Any) -> int:
    if isinstance(change, dict):
        return sum(_OVERHEAD + _size(value) for value in change.values())
    if isinstance(change, list):
        return sum(_size(value) for value in change)
    return len(change) if isinstance(change, str) else 0


def apply(page: dict[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """A page with a frame applied to it. The given page is changed, too.

    Args:
        page: ``{"feed": ..., "page": {...}, "log": [...], "runs": {number: {"facts": ..., "blocks": {id: {...}}}}}``;
            ``{}`` at the beginning.
        frame: The frame.
    """
    if "feed" in frame:
        page = {"feed": frame["feed"]}
    facts: dict[str, Any] = page.setdefault("page", {})
    facts.update(frame.get("page", {}))
    log: list[Any] = page.setdefault("log", [])
    log += frame.get("log", ())
    del log[:-MAX_ENTRIES]
    runs: dict[int, Any] = page.setdefault("runs", {})
    for number in frame.get("gone", ()):
        runs.pop(number, None)
    for change in frame.get("runs", ()):
        run = runs.setdefault(change["n"], {"facts": {}, "blocks": {}})
        run["facts"].update(change.get("set", {}))
        for part in change.get("blocks", ()):
            block = run["blocks"].setdefault(part["id"], {"facts": {}, "text": "", "skipped": 0})
            block["facts"].update(part.get("set", {}))
            if "at" in part:
                block["text"] = _first(block["text"], part["at"]) + part["add"]
            block["skipped"] = part.get("skipped", block["skipped"])
        if "order" in change:
            run["blocks"] = {id: run["blocks"][id] for id in change["order"]}
    return page


def _first(text: str, count: int) -> str:
    encoded = text.encode("utf-16-le", "surrogatepass")
    return encoded[: 2 * count].decode("utf-16-le", "surrogatepass")
