"""The exceptions that runstream raises; all derive from :class:`RunstreamError`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ClusterError",
    "DecodeError",
    "IncompleteStream",
    "RecordingError",
    "RequestFailed",
    "ReturnRefused",
    "RunstreamError",
    "ServerError",
    "SeveralRuns",
    "SlowConsumer",
    "SourceFailed",
    "StoreError",
    "SubscriberFailed",
    "SubscribersFailed",
    "UnsupportedRequest",
]

_CODE: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)


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


class ClusterError(RunstreamError):
    """The broker can't be used, or has other data than expected; the message says what to do."""


class SourceFailed(RunstreamError):
    """A source failed for good: it does not reconnect.

    Args:
        reason: The cause in the library's words.
        message: The message of a structured error of the server; the text of the exception has it behind the cause.

    Attributes:
        reason: The cause, in words of this library, without credentials; with the message of a structured error of the
            server ("Out of quota"), in which whatever this side had sent is masked.
        summary: The cause without that message, for logs and signals.
        attempts: Number of connection attempts.
        status: The HTTP status of a refusal by the server, ``None`` if there was none.
        server_message: The server's words about it, "" if there are none. They are no part of the exception's message,
            which may be logged.
    """

    def __init__(
        self,
        reason: str,
        *,
        message: str = "",
        attempts: int = 1,
        status: int | None = None,
        server_message: str = "",
    ) -> None:
        self.reason = f"{reason}: {message}" if message else reason
        super().__init__(self.reason)
        self.summary = reason
        self.server_message = server_message
        self.attempts = attempts
        self.status = status


class RequestFailed(RunstreamError):
    """A server refused a request of a client, or the request could not be sent.

    Attributes:
        reason: The cause, in words of this library, without credentials.
        message: The message of the server's structured error, without anything that the request had sent; "" for none.
        status: The HTTP status, ``None`` if there was no response.
        reached: True if the server may have processed the request.
        server_message: The server's words about it, "" if there are none.
        retry_after: The wait that the server asked for before another request (seconds), if any.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        message: str = "",
        reached: bool = False,
        server_message: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.status = status
        self.reached = reached
        self.server_message = server_message
        self.retry_after = retry_after


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


class ServerError(RunstreamError):
    """The server sent an ``error`` event: the cause of an :class:`IncompleteStream`, if nothing else is known.

    Its text has the code and the message.

    Attributes:
        error: The error (:class:`~runstream.ErrorObject`) as received: data, which may quote anything.
        code: Its code, else its type; ``None`` if it has neither, or not a short name.
        message: Its message on one line of at most 200 characters, "" for none. Whatever the source had sent is masked
            in it.
    """

    def __init__(self, error: Any, message: str = "") -> None:
        name = error.code or error.type or ""
        self.error = error
        self.message = message
        self.code: str | None = name if _CODE.fullmatch(name) else None
        said = f"the server sent an error: {self.code or 'without a code'}"
        super().__init__(f"{said} ({message})" if message else said)

    def __reduce__(self) -> tuple[type[ServerError], tuple[Any, str]]:
        return (type(self), (self.error, self.message))


class ReturnRefused(RunstreamError, TypeError):
    """A handler, or ``approve``, returned a value that it may not return.

    The message says what it may return, and the type of the value.
    """


class SubscriberFailed(RunstreamError):
    """A handler or another subscriber of a stream raised, or was ended because it was slow.

    The exception itself is ``error``, and the ``__cause__``. The text has its class and place, not its message, which
    may quote the content of a run. For a value that a handler may not return (:class:`ReturnRefused`), the text says
    which values it may return.

    Attributes:
        subscriber: The name of the subscriber, as in the log.
        channel: The channel: ``"signals"``, ``"runs"``, ``"events"`` or ``"rejects"``.
        value: The signal, state, event or reject whose delivery failed; ``None`` if the subscriber was ended.
        error: The exception; :class:`SlowConsumer` if the subscriber was ended because it was slow.
        attempts: How many times the handler was called with the value.
    """

    def __init__(
        self, subscriber: str, channel: str, value: Any, error: BaseException, *, attempts: int = 1, where: str = ""
    ) -> None:
        if isinstance(error, SlowConsumer):
            reason = f"was ended: {error}"
        elif isinstance(error, ReturnRefused):
            reason = f"failed: {error}"
        else:
            reason = f"failed: {type(error).__name__}{f' at {where}' if where else ''}"
            reason += f", after {attempts} attempts" if attempts > 1 else ""
        super().__init__(f"{subscriber} {reason}")
        self.subscriber = subscriber
        self.channel = channel
        self.value = value
        self.error = error
        self.attempts = attempts
        self.__cause__ = error


class SubscribersFailed(RunstreamError):
    """All runs have ended, but subscribers of the stream failed: :meth:`RunStream.results` is no full success.

    Failures that an ``on_failed`` of a handler has processed are not among them.

    Attributes:
        failures: The failures, the first ones of each stream at most.
        runs: The runs, as :meth:`RunStream.results` returns them.
    """

    def __init__(self, failures: Sequence[SubscriberFailed], runs: Sequence[Any]) -> None:
        first, more = failures[0], len(failures) - 1
        super().__init__(f"{first}{f' (and {more} more)' if more else ''}")
        self.failures = tuple(failures)
        self.runs = tuple(runs)
        self.__cause__ = first


class IncompleteStream(RunstreamError):
    """The stream ended before the run did, so an interrupted stream is never taken for success.

    Its ``__cause__`` is the first of these that is known: the exception of the handler on whose answer a run waits
    (:class:`SubscriberFailed`), the failure of the source (:class:`SourceFailed`), the server's last error
    (:class:`ServerError`). The text names all of them, with the code and the message of the server's error.

    Attributes:
        reason: The cause of the end, in words of this library; with the message of a structured error of the server
            that the failure of the source has, masked.
        states: The last known states (:class:`~runstream.core.state.RunState`) of the runs that had not ended.
        server_message: The last words of the server about an error as received, "" if there are none: data, which may
            quote anything.
        source_failure: The failure of their source, if it failed.
        server_error: The last error that their server sent inside the stream, if it sent one.
        failures: The failures of handlers on whose answers the runs wait.
        rejected: How many raw events could not be used, if no run was seen; else 0. The text has the first reason.
        unknown: How many events had a name that their dialect does not know, if no run was seen; else 0.
    """

    def __init__(
        self,
        reason: str,
        states: Sequence[Any] = (),
        server_message: str = "",
        *,
        source_failure: SourceFailed | None = None,
        server_error: ServerError | None = None,
        failures: Sequence[SubscriberFailed] = (),
        rejected: int = 0,
        unknown: int = 0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.server_message = server_message
        self.states = tuple(states)
        self.source_failure = source_failure
        self.server_error = server_error
        self.failures = tuple(failures)
        self.rejected = rejected
        self.unknown = unknown
        cause = next((one for one in (*failures, source_failure, server_error) if one is not None), None)
        if cause is not None:
            self.__cause__ = cause


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


class UnsupportedRequest(RunstreamError):
    """The protocol of a client has no such request, or this run can't have it; the message says what to do instead."""
