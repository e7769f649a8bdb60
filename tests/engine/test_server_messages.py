"""A server's words stand in a field of their own; the reason of an error event is its message."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.common import ErrorObject
from runstream.model.events import ErrorEvent
from runstream.model.raw import ConnectionEvent
from runstream.model.signals import RunInterrupted, SourceDisconnected, SourceEnded, SourceError
from runstream.sinks.log import log_record
from runstream.store.memory import MemoryStore
from runstream.testing import Script
from tests.support.canonical import play, run

SAID = "The model of alice is overloaded"


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (ErrorObject(message=SAID, code="server_error"), "the server sent an error (server_error)"),
        (ErrorObject(message=SAID), "the server sent an error"),
        (ErrorObject(message=SAID, code="alice, please wait"), "the server sent an error"),
    ],
)
def test_an_error_event(error: ErrorObject, summary: str) -> None:
    """Its message is the reason; a log has the code, if it is one, in place of the message."""
    _, signals = play([run("queued"), ErrorEvent(error)])
    found = signals[-1]
    assert isinstance(found, SourceError)
    assert (found.reason, found.server_message, found.error) == (SAID, SAID, error)
    fields = log_record(found)[2]
    assert (fields["reason"], "server_message" in fields) == (summary, False)
    assert SAID not in str(fields)
    assert log_record(found, include_text=True)[2]["reason"] == SAID


@pytest.mark.parametrize("data", [{"error": SAID}, {"detail": SAID}, {"error": {"message": SAID}}, {"message": SAID}])
def test_the_forms_of_an_error(data: dict[str, Any]) -> None:
    """Nested, flat, or as text alone: of each form, the message is the reason."""
    folded = fold(Script().start().emit("error", data).raw_events())
    (found,) = [signal for signal in folded.signals if isinstance(signal, SourceError)]
    assert (found.reason, found.server_message) == (SAID, SAID)


def test_an_error_without_a_message() -> None:
    """Then there are no words."""
    folded = fold(Script().start().emit("error", {"error": {"code": "rate_limit_exceeded"}}).raw_events())
    (found,) = [signal for signal in folded.signals if isinstance(signal, SourceError)]
    assert (found.reason, found.server_message) == ("the server sent an error (rate_limit_exceeded)", "")


@pytest.mark.parametrize("stored", [True, False])
def test_what_a_source_was_told(stored: bool) -> None:
    """The words reach the signals of the source, and those of the runs that it leaves."""
    engine = Engine(clock=lambda: 1.0, store=MemoryStore(clock=lambda: 1.0) if stored else None)
    signals: list[Any] = []
    engine.on_signal = signals.append
    intake = engine.intake("server")
    intake.feed_all(Script().start().raw_events())
    intake.feed(ConnectionEvent(connected=False, attempt=1, reason="HTTP 503", server_message=SAID))
    intake.disconnected("HTTP 502", 2, SAID)
    intake.failed("HTTP 429", 3, None, SAID)
    intake.end("HTTP 429", attempts=3, clean=False, server_message=SAID)
    kinds = (SourceDisconnected, SourceDisconnected, SourceError, RunInterrupted, SourceEnded)
    found = [signal for signal in signals if isinstance(signal, kinds)]
    assert [type(signal) for signal in found] == list(kinds)
    assert {signal.server_message for signal in found} == {SAID}
    assert all(SAID not in signal.reason and signal.to_dict()["server_message"] == SAID for signal in found)
