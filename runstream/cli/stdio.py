"""Standard output and standard error of the commands: text from the wire is made safe to print."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from runstream.model.escaping import escape_control as escape

if TYPE_CHECKING:
    from runstream.model.events import Event, Reject

__all__ = ["Output", "Rejects", "clip", "complain", "escape", "escape_json", "report_dialect", "report_orphans"]

# JSON has escaped C0 already.
_JSON_CONTROL: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_WIDTH: Final = 100
_STYLES: Final = {
    "good": "32",
    "bad": "31",
    "warn": "33",
    "ask": "1;35",
    "dim": "2",
    "bold": "1",
    "run0": "36",
    "run1": "34",
    "run2": "35",
    "run3": "32",
    "run4": "33",
    "run5": "94",
}


def escape_json(line: str) -> str:
    """An equivalent line of JSON, without the control characters that JSON allows in strings."""
    return _JSON_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def clip(text: str, length: int = 80) -> str:
    """The text, escaped, on one line and no longer than ``length``."""
    short = " ".join(text.split())
    return escape(short if len(short) <= length else f"{short[: length - 1]}…")


def complain(text: str) -> None:
    """Write a message to standard error. If that is closed, the message is dropped, and the command continues."""
    try:
        print(f"runstream: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


class Output:
    """Standard output: colours on a terminal only, whole lines for pipes.

    Args:
        stream: Where to write; standard output by default.
        json: True for JSON: always in UTF-8, and never in colour.
    """

    def __init__(self, stream: TextIO | None = None, *, json: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._tty = self._stream.isatty()
        self._colour = self._tty and not json and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        reconfigure: Any = getattr(self._stream, "reconfigure", None)
        if reconfigure is not None:
            # A character that the encoding of the terminal lacks must not end the command.
            reconfigure(line_buffering=True, errors="backslashreplace")
            if json:
                reconfigure(encoding="utf-8", newline="\n")

    @property
    def width(self) -> int:
        """The columns of the terminal (or ``COLUMNS``); 100 where there is none."""
        return max(40, shutil.get_terminal_size((_WIDTH, 24)).columns)

    def paint(self, style: str, text: str) -> str:
        """The text in a style, if colours are on."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour and text else text

    def line(self, text: str = "") -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")

    def piece(self, text: str) -> None:
        """Write a part of a line: a terminal shows it at once, a pipe receives it with the rest of the line."""
        self._stream.write(text)
        if self._tty:
            self._stream.flush()

    def flush(self) -> None:
        """Flush buffered output."""
        self._stream.flush()


def report_dialect(source: str, requested: str | None, found: str | None) -> None:
    """Report the dialect that was found for a source, unless it is ``assistants``.

    Args:
        source: The name of the source.
        requested: The dialect of the command line.
        found: The dialect that was found.
    """
    if requested in (None, "auto") and found not in (None, "assistants"):
        complain(f"{clip(source, 200)}: the dialect is {clip(found or '')} (--dialect names another one)")


class Rejects:
    """Reports each rejected input, with place and reason and without content, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self.first_reason = ""

    def add(self, reject: Reject) -> None:
        """Report one rejected input."""
        if not self.count:
            self.first_reason = reject.reason
        self.count += 1
        event = f" ({clip(reject.raw.event, 60)})" if reject.raw.event else ""
        path = f" at {clip(reject.path)}" if reject.path != "$" else ""
        complain(f"{escape(reject.where)}: rejected: {clip(reject.reason, 200)}{path}{event}")

    def total(self) -> None:
        """Report their number, if there are any."""
        if self.count:
            complain(f"{self.count} rejected input{'s' if self.count != 1 else ''}; the rest was read")


def report_orphans(orphans: Mapping[str, tuple[Event, ...]]) -> None:
    """Report the runs that events named but that were never seen, and messages and steps whose run is unknown."""
    from runstream.model.events import MessageEvent, StepEvent  # here: help and usage errors load no model

    runs: dict[str, str] = {}  # the run of a message or step, where at least one of its events names it
    for event in (event for events in orphans.values() for event in events):
        if isinstance(event, MessageEvent | StepEvent) and event.data.run_id is not None:
            runs[event.data.id] = event.data.run_id
    counts: Counter[str] = Counter()
    for id, events in orphans.items():
        counts[runs.get(id, id)] += len(events)
    for id, count in counts.items():
        subject = f"{clip(id)}: named by {count} event{'s' if count != 1 else ''}"
        complain(f"{subject}, but {'this run' if id in runs.values() else 'the run that has it'} was never seen")
