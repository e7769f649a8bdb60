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
    """Base of all exceptions that runstream raises deliberately."""


class DecodeError(RunstreamError, ValueError):
    """JSON is invalid, or is not the expected object.

    Attributes:
        path: The place of the error, as a JSON path (``$.usage.total_tokens``).
        reason: The error, as text.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DecodeError], tuple[str, str]]:
        return (type(self), (self.path, self.reason))


class SourceFailed(RunstreamError):
    """A source failed for good: it does not reconnect.

    Attributes:
        reason: The cause, in words of this library, without credentials.
        attempts: Number of connection attempts.
        status: The HTTP status of a refusal by the server, ``None`` if there was none.
        server_message: The server's words about it, "" if there are none. They are no part of the exception's message,
            which may be logged.
    """

    def __init__(self, reason: str, *, attempts: int = 1, status: int | None = None, server_message: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.server_message = server_message
        self.attempts = attempts
        self.status = status


class RecordingError(RunstreamError):
    """A recording can't be written, or not any further.

    The part that was written before is complete and can be read.

    Attributes:
        path: The file.
        reason: The cause, as text.
        errno: The error number of the system (:mod:`errno`), ``None`` if the cause is not a system error.
    """

    def __init__(self, path: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno

    def __reduce__(self) -> tuple[type[RecordingError], tuple[str, str, int | None]]:
        return (type(self), (self.path, self.reason, self.errno))


class IncompleteStream(RunstreamError):
    """The stream ended before the run did, so an interrupted stream is never taken for success.

    Attributes:
        reason: The cause of the end, in words of this library.
        states: The last known states (:class:`~runstream.core.state.RunState`) of the runs that had not ended.
        server_message: The last words of the server about an error, "" if there are none. They are no part of the
            exception's message, which may be logged.
    """

    def __init__(self, reason: str, states: Sequence[Any] = (), server_message: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.server_message = server_message
        self.states = tuple(states)


class SeveralRuns(RunstreamError, LookupError):
    """One run was requested, but the stream has several; ``run_ids`` lists them."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        super().__init__(f"The stream has several runs, say which: {', '.join(run_ids)}")
        self.run_ids = tuple(run_ids)


class SlowConsumer(RunstreamError):
    """A subscription was ended: it blocked the stream longer than ``wait_timeout``, or its buffer overflowed."""


class StoreError(RunstreamError):
    """A state store can't be used: its data are foreign, damaged or of a newer release, or it can't be written.

    The message contains the remedy. A stream whose store fails while it runs ends with this error: signals that could
    not be stored are not delivered either.
    """
