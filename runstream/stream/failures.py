"""The failures of subscribers and the errors of servers enter; the causes of an incomplete stream leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from runstream.core.state import RunState
from runstream.errors import ServerError, SlowConsumer, SubscriberFailed
from runstream.model.common import ErrorObject
from runstream.model.run import RunKey
from runstream.model.signals import ActionRequired, SourceError

__all__ = ["Failures"]

Redactor: TypeAlias = Callable[[str], str]

_MAX_FAILURES: Final = 100  # failures that are kept for `results`; all are counted
_MAX_KEYS: Final = 1_024  # runs and sources whose last failure is kept


class Failures:
    """The failures of one stream, as far as an exception of the stream names them.

    Args:
        source_of: Returns by scope and run id the name of the source that sent the run last, if it is known.
        redactor_of: Returns by scope and name of a source the function that masks what the source has sent in a text.

    Attributes:
        unhandled: The first failures that no ``on_failed`` of a handler has processed.
    """

    def __init__(
        self,
        source_of: Callable[[str, str], str | None] = lambda scope, run_id: None,
        redactor_of: Callable[[str, str], Redactor | None] = lambda scope, name: None,
    ) -> None:
        self.unhandled: list[SubscriberFailed] = []
        self._source_of = source_of
        self._redactor_of = redactor_of
        self._answers: dict[RunKey, SubscriberFailed] = {}  # the last one of each run's ActionRequired
        self._slow: SubscriberFailed | None = None
        # The last one of each source, by scope and name, with what masks its message: that takes time.
        self._errors: dict[tuple[str, str], tuple[ErrorObject, Redactor | None]] = {}

    def add(self, failure: SubscriberFailed, *, handled: bool) -> None:
        """Keep a failure of a subscriber."""
        if not handled and len(self.unhandled) < _MAX_FAILURES:
            self.unhandled.append(failure)
        if isinstance(failure.error, SlowConsumer):
            self._slow = failure
        elif type(failure.value) is ActionRequired:
            _keep(self._answers, (failure.value.scope, failure.value.run_id), failure)

    def remove(self, error: BaseException) -> None:
        """Remove a failure whose exception was raised to the code that it concerns."""
        self.unhandled = [failure for failure in self.unhandled if failure.error is not error]

    def observe(self, signal: SourceError) -> None:
        """Keep the error that a server sent, if the signal has one."""
        if signal.error is not None:
            key = signal.scope, signal.source
            _keep(self._errors, key, (signal.error, self._redactor_of(*key)))

    def answers(self, states: Iterable[RunState]) -> tuple[SubscriberFailed, ...]:
        """The failures of the handlers on whose answers these runs wait."""
        waiting = [state for state in states if state.run.requires_action]
        keys = [(state.scope, state.run_id) for state in waiting]
        found = [self._answers[key] for key in keys if key in self._answers]
        if waiting and not found and self._slow is not None:
            found.append(self._slow)
        return tuple(found)

    def server_error(self, states: Sequence[RunState]) -> ServerError | None:
        """The last error of the sources of these runs; without any run, the last one of all sources."""
        if not states:
            return next((_server_error(*found) for found in reversed(self._errors.values())), None)
        for state in states:
            name = self._source_of(state.scope, state.run_id)
            if name is not None and (state.scope, name) in self._errors:
                return _server_error(*self._errors[state.scope, name])
        return None


def _server_error(error: ErrorObject, redact: Redactor | None) -> ServerError:
    if redact is None:
        from runstream.sources.sent_values import NOTHING_SENT  # here: a stream without errors does without it

        redact = NOTHING_SENT.redact
    return ServerError(error, redact(error.message or ""))


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Keep a value as the latest one; drop the oldest one beyond the bound."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _MAX_KEYS:
        del kept[next(iter(kept))]
