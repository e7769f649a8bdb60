"""The tone in which a status is shown, on the page and in a notebook."""

from __future__ import annotations

from typing import Final

from runstream.model.run import RunStatus

__all__ = ["LIGHT_COLOURS", "tone_of"]

_TONES: Final[dict[RunStatus, str]] = {
    RunStatus.COMPLETED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "warn",
    RunStatus.EXPIRED: "warn",
    RunStatus.INCOMPLETE: "warn",
    RunStatus.REQUIRES_ACTION: "ask",
}

LIGHT_COLOURS: Final = {"": "#2456b8", "good": "#14703a", "bad": "#b3261e", "warn": "#8a5000", "ask": "#7a2fa8"}
"""The colours of the tones on a light ground, as the style sheet of the page has them; a test compares them."""


def tone_of(status: RunStatus) -> str:
    """The tone of a status: ``"good"``, ``"bad"``, ``"warn"``, ``"ask"``, or "" for a run at work."""
    return _TONES.get(status, "")
