"""The exceptions that runstream raises; all derive from :class:`RunstreamError`."""

from __future__ import annotations

__all__ = ["DecodeError", "RunstreamError"]


class RunstreamError(Exception):
    """Base of every exception that runstream raises on purpose."""


class DecodeError(RunstreamError, ValueError):
    """JSON that is not the object it should be.

    Attributes:
        path: Where it went wrong, as a JSON path (``$.usage.total_tokens``).
        reason: What is wrong there.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DecodeError], tuple[str, str]]:
        return (type(self), (self.path, self.reason))
