"""`--page`: the runs of a command in a browser."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any
from urllib.request import ProxyHandler, build_opener

import msgspec
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from runstream.cli.exit_codes import ExitCode
from runstream.sinks.page.diff import apply
from tests.cli.support import cut_short, ended, start_cli
from tests.cli.test_watch import answering, sending

pytestmark = pytest.mark.slow

WITHIN = 20.0


def fetch(url: str) -> bytes:
    with build_opener(ProxyHandler({})).open(url, timeout=WITHIN) as answer:
        return bytes(answer.read())


def watched(url: str, status: str) -> dict[str, Any]:
    """The page, once its first run has this status."""
    page: dict[str, Any] = {}
    with connect(url.replace("http://", "ws://") + "socket", proxy=None) as client:
        while not any(run["facts"]["status"] == status for run in page.get("runs", {}).values()):
            page = apply(page, msgspec.json.decode(client.recv(WITHIN)))
    return page


def line(stream: Any) -> str:
    """The next line; a command that says nothing is ended by its test's `finish`."""
    return bytes(stream.readline()).decode().strip()


def finish(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=WITHIN)
    finally:
        process.kill()
    return out.decode(), err.decode()


def test_serve_plays_the_recording_on_its_page(recording: Callable[..., str]) -> None:
    """Served as ever, and on a page from when it is first opened; who comes later sees how it ended."""
    options = ("--page", "--dialect", "assistants", "--speed", "0")
    with start_cli("serve", *options, recording(ended("a", text="Hello there."))) as process:
        try:
            assert line(process.stdout).startswith("ws://127.0.0.1:")
            url = line(process.stdout)
            assert url.startswith("http://127.0.0.1:")
            assert b"<title>runstream</title>" in fetch(url)
            for _ in range(2):
                (run,) = watched(url, "completed")["runs"].values()
                assert [block["text"] for block in run["blocks"].values()] == ["Hello there."]
        finally:
            out, err = finish(process)
    assert process.returncode == ExitCode.COMPLETED
    assert out == ""
    assert "Traceback" not in err


def test_a_page_for_others_is_warned_of(recording: Callable[..., str]) -> None:
    with start_cli("serve", "--page", "--host", "0.0.0.0", recording(ended("a"))) as process:
        try:
            line(process.stdout)
            line(process.stdout)
        finally:
            _, err = finish(process)
    assert "anyone who can reach 0.0.0.0 can read the page" in err


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        (ended("a"), "completed", ExitCode.COMPLETED),
        (ended("a", "failed"), "failed", ExitCode.NOT_COMPLETED),
        (cut_short("a"), "interrupted", ExitCode.LEFT_LIVE),
    ],
)
def test_watch_keeps_the_page_until_ctrl_c(events: list[Any], status: str, code: ExitCode) -> None:
    """And its exit code then is the one it would have had without."""
    with sending(events) as url, start_cli("watch", "--page", "--json", url) as process:
        try:
            told = line(process.stderr)
            assert told.startswith("runstream: the page is at http://127.0.0.1:")
            while (said := line(process.stderr)) and "Ctrl-C" not in said:
                pass
            watched(told.rpartition(" ")[2], status)
        finally:
            out, err = finish(process)
    assert process.returncode == code
    assert '"type":"source.ended"' in out
    assert "Traceback" not in err


def test_the_page_behind_a_proxy(recording: Callable[..., str]) -> None:
    """A site that was named may connect, another may not."""
    named = ("--page-origin", "https://dashboard.example")
    with start_cli("serve", "--page", *named, recording(ended("a"))) as process:
        try:
            line(process.stdout)
            socket_url = line(process.stdout).replace("http://", "ws://") + "socket"
            with connect(socket_url, proxy=None, origin=Origin("https://dashboard.example")) as client:
                client.recv(WITHIN)
            with (
                pytest.raises(InvalidStatus),
                connect(socket_url, proxy=None, origin=Origin("https://other.example")),
            ):
                pass
        finally:
            finish(process)


def test_an_origin_that_is_none(cli: Callable[..., Any], recording: Callable[..., str]) -> None:
    found = cli("serve", "--page", "--page-origin", "dashboard.example", recording(ended("a")))
    assert found.code == ExitCode.USAGE
    assert "--page-origin: an origin is written https://host" in found.err


def test_ctrl_c_before_the_end_of_the_stream_is_an_interruption() -> None:
    release = threading.Event()

    def wait(connection: Any) -> None:
        release.wait(WITHIN)

    with answering(wait) as url, start_cli("watch", "--page", url) as process:
        try:
            line(process.stderr)
        finally:
            finish(process)
            release.set()
    assert process.returncode == ExitCode.CTRL_C


@pytest.mark.parametrize("command", ["serve", "watch"])
def test_a_port_that_is_taken(command: str, cli: Callable[..., Any], recording: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, sending(ended("a")) as url:
        port = str(taken.getsockname()[1])
        found = cli(command, "--page", "--page-port", port, recording(ended("a")) if command == "serve" else url)
    assert found.code == ExitCode.USAGE
    assert "--page-port 0 takes any free port" in found.err
