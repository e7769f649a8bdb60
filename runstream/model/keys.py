"""Parts of the keys of signals: percent-encoded ids, digests of JSON values."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

__all__ = ["call_key", "digest", "escape_id", "run_key"]

_SPECIAL: Final = re.compile("[%/:,~]")


def _encode_character(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def escape_id(id: str) -> str:
    """An id as a part of a key: the characters with a meaning in keys (``% / : , ~``) are percent-encoded."""
    return _SPECIAL.sub(_encode_character, id)


def run_key(scope: str, run_id: str) -> str:
    """The beginning of each key of a run: its id, and the scope before it where there is one."""
    return f"{escape_id(scope)}:{escape_id(run_id)}" if scope else escape_id(run_id)


def call_key(scope: str, run_id: str, name: str) -> str:
    """The key of a tool call.

    Args:
        scope: The scope of its run.
        run_id: The id of its run.
        name: The name of the call within its run (:mod:`runstream.core.calls`).
    """
    return f"{run_key(scope, run_id)}/call/{name}"


def digest(value: Any) -> str:
    """A short digest of a JSON value, for keys of signals."""
    # Keys must be the same on every machine, so JSON keys are sorted, and Python's own hash is of no help.
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
