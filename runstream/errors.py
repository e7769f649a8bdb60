"""The exceptions that runstream raises; all derive from :class:`RunstreamError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DecodeError",
    "IncompleteStream",
    "RecordingError",
    "RunstreamError",
    "SeveralRuns",
    "SlowConsumer",
    "SourceFailed",
    "StoreError",
]


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


class SourceFailed(RunstreamError):
    """A source is gone for good.

    Attributes:
        reason: Why, in words, without credentials.
        attempts: How many times it was tried.
        status: The HTTP status by which a server refused it, ``None`` where none did.
    """

    def __init__(self, reason: str, *, attempts: int = 1, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.attempts = attempts
        self.status = status


class RecordingError(RunstreamError):
    """A recording can't be written (any further).

    What was written before is whole, and can be read.

    Attributes:
        path: The file.
        reason: Why, in words.
        errno: The system's error number (:mod:`errno`), ``None`` where it was not the system.
    """

    def __init__(self, path: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno

    def __reduce__(self) -> tuple[type[RecordingError], tuple[str, str, int | None]]:
        return (type(self), (self.path, self.reason, self.errno))


class IncompleteStream(RunstreamError):
    """The stream ended before the run did: a stream that was cut off never passes for success.

    Attributes:
        reason: Why it ended.
        states: The last states known (:class:`~runstream.core.state.RunState`) of the runs that were left.
    """

    def __init__(self, reason: str, states: Sequence[Any] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.states = tuple(states)


class SeveralRuns(RunstreamError, LookupError):
    """One run was asked for, but the stream has several; ``run_ids`` names them."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        super().__init__(f"The stream has several runs, say which: {', '.join(run_ids)}")
        self.run_ids = tuple(run_ids)


class SlowConsumer(RunstreamError):
    """A subscriber held the stream longer than ``wait_timeout`` (or its buffer overflowed) and was ended."""


class StoreError(RunstreamError):
    """A state store can't be used: what it holds is foreign, damaged or of a newer release, or it can't be written.

    The message says what to do. A stream whose store fails while it runs ends with this error: what could not be
    remembered is not delivered either.
    """
