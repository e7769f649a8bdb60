"""Events of the wire: names, ids and JSON values in, the bytes of an event stream out. Pure.

The format is that of the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

import msgspec

from runstream.core.state_snapshot import StateSnapshot
from runstream.model.keys import run_key
from runstream.model.run import RunKey

__all__ = ["HEARTBEAT", "end_id", "event", "event_id", "retry", "run_of", "snapshot_event"]

HEARTBEAT: Final = b":\n\n"
"""A comment: no event, but a sign that the connection is open."""

_AS_THEY_ARE: Final = string.punctuation + " "


def event_id(key: str) -> str:
    """The id of an event: the key of its signal, without characters that an id or a header can't have."""
    if key.isascii() and key.isprintable():
        return key
    return quote(key, safe=_AS_THEY_ARE, errors="surrogatepass")


def end_id(run: RunKey | None) -> str:
    """The id of the last event of a run, or of the stream. It is the key of no signal."""
    return "end" if run is None else event_id(f"{run_key(*run)}/end")


def event(value: Any, *, id: str | None = None, name: str = "") -> bytes:
    """One event.

    Args:
        value: Its data: any JSON value.
        id: Its id; "" makes the client forget the last one; ``None`` leaves that one as it is.
        name: Its name; "" for ``message``.
    """
    head = f"id: {id}\n" if id else "" if id is None else "id\n"
    if name:
        head += f"event: {name}\n"
    return f"{head}data: ".encode() + _json(value) + b"\n\n"


def snapshot_event(snapshots: Iterable[Any], *, id: str, whole: bool) -> bytes:
    """The event with the states of some runs.

    Args:
        snapshots: Their snapshots as JSON values.
        id: The id of the last signal that they contain; "" if there is none.
        whole: True if there are no other runs.
    """
    return event({"runs": list(snapshots), "whole": whole}, id=id, name="snapshot")


def retry(seconds: float) -> bytes:
    """The field that sets the time after which a client reconnects."""
    return f"retry: {round(seconds * 1000)}\n\n".encode()


def run_of(item: Any) -> RunKey | None:
    """Scope and id of the run of a signal or snapshot; ``None`` for a signal of a source."""
    run_id = item.run_id if isinstance(item, StateSnapshot) else getattr(item, "run_id", None)
    return None if run_id is None else (item.scope, run_id)


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write as an escape
        return json.dumps(value).encode()
