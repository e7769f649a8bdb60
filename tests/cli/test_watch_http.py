"""`watch` and `record` of server-sent events over HTTP."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runstream.cli.exit_codes import ExitCode
from tests.cli.support import body, cut_short, ended, lines, run_cli, waiting
from tests.cli.test_watch import facts
from tests.support.http_peer import Answer, Exchange, HttpPeer, http_serving, sse_process
from tests.support.wire import Event

pytestmark = pytest.mark.slow


@contextmanager
def answering(
    data: bytes,
    *,
    answers: list[Answer | None] | None = None,
    respond: Callable[[Exchange, int], Awaitable[None]] | None = None,
) -> Iterator[HttpPeer]:
    """A server in a thread of this process that answers with an event stream."""
    ready, loops, peers = threading.Event(), [asyncio.new_event_loop()], []
    leave = asyncio.Event()

    async def send(exchange: Exchange, number: int) -> None:
        await exchange.send(data)

    async def serve() -> None:
        async with http_serving(respond or send, answers=answers) as peer:
            peers.append(peer)
            ready.set()
            await leave.wait()

    thread = threading.Thread(target=loops[0].run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield peers[0]
    finally:
        loops[0].call_soon_threadsafe(leave.set)
        thread.join(25)
        loops[0].close()


def test_what_is_watched_equals_what_was_recorded(recording: Callable) -> None:
    """The same signals live as from a file, from another process."""
    with sse_process("function_call_1.sse") as (url, _):
        live = run_cli("watch", "--json", url)
    offline = run_cli("replay", "--json", str(Path("runstream/recordings/demo/function_call_1.sse")))
    assert facts(lines(live.stdout)) == facts(lines(offline.stdout))
    assert live.returncode == offline.returncode == ExitCode.WAITING


@pytest.mark.parametrize(("events", "code"), [(ended("a"), 0), (waiting("w"), 3), (cut_short("c"), 4), ([], 1)])
def test_exit_codes(cli: Callable, events: list[Event], code: int) -> None:
    """Those of replay; a stream that is cut off is asked for once."""
    with answering(body(events)) as peer:
        assert cli("watch", "--json", peer.url).code == code
    assert len(peer.requests) == 1


def test_idle_ends_an_event_stream_without_events(cli: Callable) -> None:
    """A response that only has comments is one that sends nothing."""

    async def respond(exchange: Exchange, number: int) -> None:
        while True:
            await exchange.send(b": alive\n\n")
            await asyncio.sleep(0.05)

    with answering(b"", respond=respond) as peer:
        found = cli("watch", "--idle", "0.3", peer.url)
    assert found.code == ExitCode.NOT_COMPLETED
    assert "it gave nothing within 0.3 s (silent)" in found.err


def test_idle_ends_a_request_without_a_response(cli: Callable) -> None:
    """A server that takes the request and does not answer was never connected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = cli("watch", "--idle", "0.3", f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert found.code == ExitCode.NO_CONNECTION
    assert "it gave nothing within 0.3 s (silent)" in found.err


def test_headers_go_with_the_request_and_are_not_shown(cli: Callable) -> None:
    """Nor is the query."""
    with answering(body(ended("a"))) as peer:
        found = cli("watch", f"{peer.url}/runs?key=s3cret", "-H", "Authorization: Bearer s3cret")
    assert found.code == ExitCode.COMPLETED
    (request,) = peer.requests
    assert (request.method, request.path) == ("GET", "/runs?key=s3cret")
    assert request.header("Authorization") == "Bearer s3cret"
    assert "s3cret" not in found.out + found.err


def test_data_is_the_body_of_a_post(cli: Callable, tmp_path: Path) -> None:
    """Given in the argument or in a file; JSON unless a header says otherwise."""
    path = tmp_path / "request.json"
    path.write_bytes(b'{"stream": true}\n')
    with answering(body(ended("a"))) as peer:
        assert cli("watch", peer.url, "-d", '{"a": 1}').code == ExitCode.COMPLETED
        assert cli("watch", peer.url, "--data", f"@{path}", "-H", "content-type: text/x").code == ExitCode.COMPLETED
    told = [(request.method, request.header("Content-Type"), request.body) for request in peer.requests]
    assert told == [("POST", "application/json", b'{"a": 1}'), ("POST", "text/x", b'{"stream": true}\n')]


def test_data_that_can_not_be_sent(cli: Callable, tmp_path: Path) -> None:
    """A usage error, before anything is asked for."""
    found = cli("watch", "http://127.0.0.1:1/", "-d", f"@{tmp_path / 'none.json'}")
    assert found.code == ExitCode.USAGE
    assert "can't read" in found.err
    found = cli("watch", "ws://127.0.0.1:1/", "-d", "{}")
    assert found.code == ExitCode.USAGE
    assert "--data is the body of a POST" in found.err


def test_a_refusal_says_what_the_server_said(cli: Callable) -> None:
    """In words, once, without a traceback."""
    said = b'{"error": {"message": "No such assistant"}}'
    with answering(b"", answers=[(404, {"Content-Type": "application/json"}, said)]) as peer:
        found = cli("watch", "--json", peer.url)
    assert found.code == ExitCode.NO_CONNECTION
    assert "HTTP 404 Not Found: No such assistant" in found.err
    assert "Traceback" not in found.err


def test_without_the_extra_it_says_what_to_install(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what does without it."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    found = cli("watch", "https://host/runs")
    assert found.code == ExitCode.USAGE
    assert "pip install 'runstream[http]'" in found.err
    assert "curl -sN URL | runstream replay -" in found.err


def test_an_event_stream_is_recorded(cli: Callable, tmp_path: Path) -> None:
    """What is replayed later is what was watched."""
    path = tmp_path / "run.sse"
    with answering(body(ended("a"))) as peer:
        assert cli("record", peer.url, "-d", "{}", "-o", str(path)).code == ExitCode.COMPLETED
    assert peer.requests[0].method == "POST"
    assert "run.completed" in [signal["type"] for signal in lines(cli("replay", "--json", str(path)).out)]
