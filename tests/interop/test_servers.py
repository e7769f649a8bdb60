"""The start and the end of a server process, tried with the standard library's own server."""

from __future__ import annotations

import sys
import urllib.request

import pytest

from tests.interop.servers import run_server


def test_it_answers_and_ends() -> None:
    """A server answers as soon as it is yielded; after the block its process has ended."""
    with run_server([sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]) as server:
        with urllib.request.urlopen(f"{server.url}/README.md") as response:
            assert response.status == 200
        assert server.process.poll() is None
    assert server.process.poll() is not None


def test_a_server_that_ends_at_once() -> None:
    """The error has what the server wrote, so that its cause can be seen."""
    with (
        pytest.raises(RuntimeError, match=r"ended with 3: no such model"),
        run_server([sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]),
    ):
        raise AssertionError("a server that has ended was yielded")


def test_a_server_that_never_answers() -> None:
    """The wait has a bound, and the process is ended."""
    with (
        pytest.raises(RuntimeError, match="does not answer"),
        run_server([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3),
    ):
        raise AssertionError("a server that does not answer was yielded")
