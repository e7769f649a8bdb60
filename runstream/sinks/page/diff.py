"""What one client has seen in, and what there is now; the frame that leads from one to the other out. Pure.

A frame is a JSON object, and says only what has changed since the last one:

=========  ==========================================================================================
``feed``   only in a connection's first frame, which begins anew: which feed it is
``now``    the server's time (Unix seconds)
``page``   facts of the whole page that have changed
``runs``   the runs that have changed, the one that changed last at the end: ``n`` (its number in order
           of appearance, its identity), ``set`` (facts that have changed), ``blocks``, ``order``
``gone``   numbers of runs that are no longer shown
``more``   whether another frame follows at once, because this one was full
=========  ==========================================================================================

A block is ``id``, ``set`` (facts that have changed), and if its text has changed, ``at`` and ``add``: the text is
now its first ``at`` UTF-16 code units (as JavaScript counts, ECMA-262, section 6.1.4), then ``add``; ``at`` is
either its whole length or 0. ``order`` has the ids of all blocks, whenever they are not the old ones followed by
the new ones. :func:`apply` does in Python what the page does in its script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from runstream.sinks.page.views import Block, Fact, RunView

__all__ = ["Cursor", "Entry", "Shown", "apply", "units"]

_NO_VIEW: Final = RunView({})
_OVERHEAD: Final = 64  # characters that a name, a value and their marks take, roughly

Frame = dict[str, Any]


class Entry(Protocol):
    """A run that is shown.

    Attributes:
        number: Its identity.
        version: Grows with every change, across all runs.
    """

    number: int
    version: int

    def view(self) -> RunView:
        """What is shown of it now."""


class Shown(Protocol):
    """All that is shown, as it is now.

    Attributes:
        feed: Which feed this is.
        removals: How many runs have been taken away so far.
    """

    feed: str
    removals: int

    def page(self) -> Mapping[str, Fact]:
        """Facts of the whole page."""

    def since(self, version: int) -> Iterable[Entry]:
        """The runs that changed after this version, the earliest change first."""

    def numbers(self) -> Iterable[int]:
        """The numbers of all runs that are shown."""


class Cursor:
    """What one client has been told.

    It shares what it remembers with the feed and with other clients: a text is held once, however many read it.

    Args:
        budget: How large a frame may be, in characters, before the rest is left for the next one. One run's
            change is never split.
    """

    def __init__(self, budget: int = 256 * 1024) -> None:
        self._budget = budget
        self._feed: str | None = None
        self._version = 0
        self._removals = 0
        self._page: Mapping[str, Fact] = {}
        self._views: dict[int, RunView] = {}
        self._units: dict[tuple[int, str], int] = {}

    def frame(self, shown: Shown, now: float) -> Frame | None:
        """What has changed since the last frame, ``None`` if nothing has.

        Args:
            shown: What there is now.
            now: The time (Unix seconds).
        """
        frame: Frame = {}
        if self._feed is None:
            self._feed = frame["feed"] = shown.feed
        if changed := _changed(self._page, page := shown.page()):
            frame["page"], self._page = changed, dict(page)
        if self._removals != shown.removals and (gone := self._forget(shown)):
            frame["gone"] = gone
        runs, size = [], 0
        for entry in shown.since(self._version):
            if size > self._budget:
                frame["more"] = True
                break
            self._version = entry.version
            change, cost = self._run(entry.number, entry.view())
            if change is not None:
                runs.append(change)
                size += cost
        if runs:
            frame["runs"] = runs
        return {"now": now, **frame} if frame else None

    def _forget(self, shown: Shown) -> list[int]:
        self._removals = shown.removals
        gone = sorted(self._views.keys() - set(shown.numbers()))
        for number in gone:
            for block in self._views.pop(number).blocks:
                self._units.pop((number, block.id), None)
        return gone

    def _run(self, number: int, view: RunView) -> tuple[Frame | None, int]:
        """What has changed in a run, and how large that is."""
        before = self._views.get(number, _NO_VIEW)
        if view is before:
            return None, 0
        self._views[number] = view
        change: Frame = {"n": number}
        if facts := _changed(before.facts, view.facts):
            change["set"] = facts
        if before.blocks is not view.blocks:
            held = {block.id: block for block in before.blocks}
            blocks = [one for block in view.blocks if (one := self._block(number, held.get(block.id), block))]
            if blocks:
                change["blocks"] = blocks
            old, new = list(held), [block.id for block in view.blocks]
            if new[: len(old)] != old:
                change["order"] = new
                for id in held.keys() - set(new):
                    self._units.pop((number, id), None)
        return (change, _size(change)) if len(change) > 1 or before is _NO_VIEW else (None, 0)

    def _block(self, number: int, before: Block | None, block: Block) -> Frame | None:
        """What has changed in a block."""
        change: Frame = {}
        if facts := _changed(before.facts if before is not None else {}, block.facts):
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


def _changed(before: Mapping[str, Fact], after: Mapping[str, Fact]) -> dict[str, Fact]:
    """The facts that differ. A fact that is no longer there is ``None``."""
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
    """A page with a frame applied to it; the page that was given is used up.

    Args:
        page: ``{"feed": ..., "page": {...}, "runs": {number: {"facts": ..., "blocks": {id: {...}}}}}``; ``{}``
            to begin with.
        frame: The frame.
    """
    if "feed" in frame:
        page = {"feed": frame["feed"]}
    facts: dict[str, Any] = page.setdefault("page", {})
    facts.update(frame.get("page", {}))
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
