"""Bundled demo recordings, and the order in which they are shown: names in, recorded bytes out.

Each recording is one server-sent event stream of the Assistants wire, made for this package: it contains no real
traffic. `SCRIPT` defines the recordings that are played, their order, and which of them are played together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final, TypeVar

from msgspec import Struct

__all__ = ["SCRIPT", "Scene", "interleave", "load", "recordings"]

T = TypeVar("T")


class Scene(Struct, frozen=True, kw_only=True):
    """One run of the demo.

    Args:
        run_id: The id of the run.
        files: Its streams, one after the other (two if tool outputs were submitted in between).
        outcome: Its final status.
        about: A short description.
    """

    run_id: str
    files: tuple[str, ...]
    outcome: str
    about: str


SCRIPT: Final[tuple[tuple[Scene, ...], ...]] = (
    (
        Scene(
            run_id="run_demo_text_0001",
            files=("text.sse",),
            outcome="completed",
            about="a text answer",
        ),
        Scene(
            run_id="run_demo_call_0001",
            files=("function_call_1.sse", "function_call_2.sse"),
            outcome="completed",
            about="two function calls at once, answered in a second stream",
        ),
    ),
    (
        Scene(
            run_id="run_demo_code_0001",
            files=("code_interpreter.sse",),
            outcome="completed",
            about="code that is written, run and explained",
        ),
        Scene(
            run_id="run_demo_search_0001",
            files=("file_search.sse",),
            outcome="completed",
            about="an answer that cites a file",
        ),
    ),
    (
        Scene(
            run_id="run_demo_failed_0001",
            files=("failed.sse",),
            outcome="failed",
            about="a rate limit in mid sentence",
        ),
        Scene(
            run_id="run_demo_cancelled_0001",
            files=("cancelled.sse",),
            outcome="cancelled",
            about="cancelled in mid sentence",
        ),
        Scene(
            run_id="run_demo_expired_0001",
            files=("expired.sse",),
            outcome="expired",
            about="a function call without an answer",
        ),
        Scene(
            run_id="run_demo_incomplete_0001",
            files=("incomplete.sse",),
            outcome="incomplete",
            about="out of tokens in mid sentence",
        ),
    ),
)
"""The show: its acts in order, and in each act the scenes that are played together (see `interleave`)."""


def recordings() -> tuple[str, ...]:
    """Return the names of all bundled recordings, in the order of the show."""
    return tuple(name for act in SCRIPT for scene in act for name in scene.files)


def load(name: str) -> bytes:
    """Return the bytes of a bundled recording.

    Raises:
        FileNotFoundError: No recording has this name.
    """
    known = recordings()
    if name not in known:
        raise FileNotFoundError(f"no demo recording is named {name!r}; there are {', '.join(known)}")
    return files(__name__).joinpath(name).read_bytes()


def interleave(tracks: Sequence[Sequence[T]]) -> Iterator[T]:
    """Merge several tracks into one, each spread evenly over the whole and in its own order.

    Deterministic: of two items that are due together, the item of the earlier track comes first.
    """
    due = [
        ((place + 1) / len(track), number, item)
        for number, track in enumerate(tracks)
        for place, item in enumerate(track)
    ]
    due.sort(key=lambda entry: entry[:2])
    return (item for _, _, item in due)
