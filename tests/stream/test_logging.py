"""The library's log lines: to standard logging, or to a structlog that the application has configured."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from runstream.logs import LOG

PROGRAM = """
import asyncio, runstream
from runstream import RunStream, Signal
from runstream.testing import events_of
{configure}
async def main():
    async with RunStream(events_of("Hello.")) as stream:
        stream.on(Signal, lambda signal: 1 / 0)
        await stream.result()
asyncio.run(main())
"""


@pytest.mark.parametrize("configure", ["", "import structlog"])
def test_nothing_is_printed_to_the_standard_output(configure: str) -> None:
    """A program whose output is piped stays intact; the lines reach the last resort of standard logging."""
    command = [sys.executable, "-c", PROGRAM.format(configure=configure)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    assert "subscriber_failed" in done.stderr
    assert "error=ZeroDivisionError" in done.stderr


def test_a_configured_structlog_gets_the_lines() -> None:
    with capture_logs() as lines:
        LOG.warning("sources_wait", source="gateway")
    assert lines == [{"event": "sources_wait", "source": "gateway", "log_level": "warning"}]


def test_fields_with_names_of_a_record_do_no_harm(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard logging refuses them as attributes; they stand in the message."""
    monkeypatch.setattr("structlog.is_configured", lambda: False)
    with caplog.at_level(logging.INFO, "runstream"):
        LOG.info("event", name="x", args="y", message="a b")
    assert caplog.records[-1].getMessage() == 'event name=x args=y message="a b"'
    assert caplog.records[-1].name == "runstream"
