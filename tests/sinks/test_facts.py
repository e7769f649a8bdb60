"""The facts of every class of signal: named once, for logs and for the command line."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model.run import Run
from runstream.model.signals import SIGNAL_TYPES, RunCreated, RunSignal, SourceError, StepCreated
from runstream.sinks.facts import facts, run_end_facts
from runstream.sinks.log import log_record
from tests.sinks.test_log import EVERY, made
from tests.support.wire import run_object


@pytest.mark.parametrize("kind", EVERY)
def test_every_signal_has_facts(kind: Any) -> None:
    """The key and the scope always; what a log has is a selection of the facts, in their order."""
    signal = made(kind)
    found = facts(signal)
    assert (found["key"], found["scope"]) == (signal.key, "")
    assert ("thread_id" in found) is isinstance(signal, RunSignal) is not ("source" in found)
    assert ("run_id" in found) is (isinstance(signal, RunSignal) or kind is SourceError)
    fields = log_record(signal, include_text=True, include_arguments=True)[2]
    assert [name for name in found if name in fields] == list(fields)


def test_the_facts_of_a_signal_differ_from_those_of_the_others() -> None:
    """Each type has facts of its own, but for those that name nothing beyond their object."""
    bare = {"key", "run_id", "thread_id", "assistant_id", "scope", "source", "reason", "attempt", "server_message"}
    without = {name for name, kind in SIGNAL_TYPES.items() if not facts(made(kind)).keys() - bare}
    assert without == {"source.connected", "source.disconnected", "source.resumed", "source.ended"}


def test_values_are_as_they_came() -> None:
    """Whoever shows them escapes them: a log does it otherwise than a terminal."""
    run = Run.from_json(run_object("run_1", model="a\x1b[31m\n"))
    assert facts(RunCreated("run_1", None, "", 1.0, run))["model"] == "a\x1b[31m\n"


def test_an_end_without_usage_error_and_reason_has_no_such_facts() -> None:
    assert run_end_facts(Run.from_json(run_object("run_1")), None).keys() == {"duration", "model"}


def test_a_step_names_its_tools_and_its_error() -> None:
    found = facts(made(StepCreated))
    assert (found["tools"], found["error_code"], found["error_message"]) == ([], "server_error", "BLAMED")
