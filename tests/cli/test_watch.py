"""`watch` and `serve` over real sockets, between processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from runstream.cli.exit_codes import ExitCode
from runstream.engine.fold import fold
from runstream.model.signals import Signal
from runstream.recordings.reader import read_recording
from runstream.stream.connect import connect as connect_stream
from tests.cli.support import ENDINGS, asked_and_answered, cut_short, ended, lines, run_cli, start_cli, waiting
from tests.support.wire import Event, envelope

pytestmark = pytest.mark.slow

EPHEMERAL = {"at", "source", "n", "reason"}


@contextmanager
def serving(*args: str) -> Iterator[str]:
    """`runstream serve` in a process of its own; gives its URL."""
    with start_cli("serve", *args) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            assert url.startswith("ws://"), process.stderr.read() if process.stderr else ""
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode == ExitCode.COMPLETED


@contextmanager
def answering(handle: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A server of our own, in threads of this process; gives its URL."""
    with serve_websocket(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(60)


def sending(
    events: Sequence[Event | str], *, code: int = 1000, abort: bool = False, headers: dict[str, str] | None = None
) -> AbstractContextManager[str]:
    """A server that sends messages, then closes with a code, or just drops the connection."""

    def handle(connection: ServerConnection) -> None:
        if headers is not None and connection.request is not None:
            headers.update({name.lower(): value for name, value in connection.request.headers.raw_items()})
        for event in events:
            connection.send(event if isinstance(event, str) else envelope(event))
        if abort:
            connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            connection.close(code)

    return answering(handle)


def facts(signals: list[dict]) -> list[dict]:
    """The signals without what differs between a file and a socket."""
    return [
        {key: value for key, value in signal.items() if key not in EPHEMERAL}
        for signal in signals
        if not signal["type"].startswith("source.")
    ]


def test_watch_equals_the_offline_replay(recording: Callable) -> None:
    """Served by one process and watched by another, a recording gives the signals that it gives offline."""
    first, second = asked_and_answered("pair")
    asked = recording(first, ended("other", "failed"), name="1.sse")
    answered = recording(second, cut_short("cut"), name="2.sse")
    with serving("--speed", "0", asked, answered) as url:
        live = run_cli("watch", "--json", url)
        again = run_cli("watch", "--json", url)
    both = Path(asked).read_bytes() + Path(answered).read_bytes()
    offline = run_cli("replay", "--json", "-", input=both)
    assert facts(lines(live.stdout)) == facts(lines(offline.stdout)) == facts(lines(again.stdout))
    assert live.returncode == offline.returncode == ExitCode.LEFT_LIVE
    types = [signal["type"] for signal in lines(live.stdout)]
    assert types[0] == "source.connected"
    assert types[-1] == "source.ended"
    assert len(live.stderr.splitlines()) == 1
    assert "code 1000" in live.stderr


def test_serve_sends_messages_and_closes(recording: Callable) -> None:
    """Every client gets the recording as one envelope a message, then the close code 1000."""
    events = ended("a")
    with serving("--speed", "0", recording(events)) as url:
        for _ in range(2):
            with connect(url) as client:
                got = list(client)
                assert client.close_code == 1000
            assert lines("\n".join(map(str, got))) == lines("\n".join(map(envelope, events)))


def test_serve_on_a_port_that_is_taken(cli: Callable, recording: Callable) -> None:
    """A port in use is a usage error that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = cli("serve", "--port", str(taken.getsockname()[1]), recording(ended("a")))
    assert found.code == ExitCode.USAGE
    assert "--port 0 takes any free port" in found.err


def test_watch_in_columns(cli: Callable) -> None:
    """The same lines as replay, with the time since the start."""
    with sending(ended("a", text="Hello there.")) as url:
        found = cli("watch", url)
    assert found.code == ExitCode.COMPLETED
    told = found.out.splitlines()
    assert all(line[:8].strip().replace(".", "").isdigit() and line[8] == "s" for line in told)
    assert told[1][11:].startswith("run_a_0001        run.created            gpt-4o-mini")
    assert "runstream: 1 run: 1 completed" in found.err


@pytest.mark.parametrize(
    ("events", "code"),
    [
        *((ended(status, status), 0 if status == "completed" else 1) for status in ENDINGS),
        (waiting("w"), 3),
        (cut_short("c"), 4),
        (cut_short("d", done=True), 4),
        ([*waiting("w"), *cut_short("c"), *ended("a")], 4),
        ([], 1),
    ],
    ids=[*ENDINGS, "waiting", "cut", "done", "mixed", "nothing"],
)
def test_exit_codes(cli: Callable, events: list[Event], code: int) -> None:
    """The exit codes are those of replay."""
    with sending(list(events)) as url:
        assert cli("watch", "--json", url).code == code


@pytest.mark.parametrize("how", [{"code": 1011}, {"code": 4000}, {"abort": True}], ids=str)
def test_a_connection_that_breaks(cli: Callable, how: dict) -> None:
    """Lost while a run lived: interrupted, and never a success."""
    with sending(cut_short("c"), **how) as url:
        found = cli("watch", "--json", url)
    assert found.code == ExitCode.LEFT_LIVE
    assert "run.interrupted" in [s["type"] for s in lines(found.out)]
    assert "Traceback" not in found.err


def test_a_run_of_which_nothing_comes_is_given_up(cli: Callable) -> None:
    """`--idle` ends the command although the connection stays, and says which limit it was."""

    def handle(connection: ServerConnection) -> None:
        for event in cut_short("a"):
            connection.send(envelope(event))
        for _ in connection:  # until the client goes
            pass

    with answering(handle) as url:
        found = cli("watch", "--json", "--idle", "0.2", url)
    assert found.code == ExitCode.LEFT_LIVE
    told = {signal["type"]: signal for signal in lines(found.out)}
    assert told["run.stalled"]["limit"] == "idle"
    assert told["run.interrupted"]["reason"] == "no event of it arrived for 0.2 s (idle)"
    assert list(told)[-1] == "source.ended"


def test_a_recording_gives_up_likewise(cli: Callable, tmp_path: Path) -> None:
    """What had come is in the file."""

    def handle(connection: ServerConnection) -> None:
        for event in cut_short("a"):
            connection.send(envelope(event))
        for _ in connection:
            pass

    with answering(handle) as url:
        assert cli("record", "--idle", "0.2", url, "-o", str(tmp_path / "run.jsonl")).code == ExitCode.LEFT_LIVE
    assert cli("fold", str(tmp_path / "run.jsonl")).code == ExitCode.LEFT_LIVE


def test_without_a_run_it_says_why(cli: Callable) -> None:
    """What the server sent is counted, with the reason of the first reject."""
    with sending(['{"object": "chat.completion.chunk"}'] * 2) as url:
        found = cli("watch", url)
    assert found.code == ExitCode.NOT_COMPLETED
    assert "no run was seen: 2 inputs were rejected, the first: No dialect recognises it" in found.err


@pytest.mark.parametrize("command", ["watch", "record"])
def test_idle_ends_a_server_that_sends_nothing(cli: Callable, tmp_path: Path, command: str) -> None:
    """A server that accepts and sends nothing has no run that could be idle: its source fails, with the reason."""

    def handle(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    output = ("-o", str(tmp_path / "run.jsonl")) if command == "record" else ()
    with answering(handle) as url:
        found = cli(command, "--idle", "0.2", url, *output)
    assert found.code == ExitCode.NOT_COMPLETED
    assert "it gave nothing within 0.2 s (silent)" in found.err
    assert "no run was seen" in found.err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_idle_takes_seconds(cli: Callable, seconds: str) -> None:
    """What is no time is a usage error."""
    found = cli("watch", f"--idle={seconds}", "ws://127.0.0.1:1")
    assert found.code == ExitCode.USAGE
    assert "seconds above 0" in found.err


def test_rejects(cli: Callable) -> None:
    """What can't be used is reported and counted; the text of it is not shown."""
    with sending(['{"event": "thread.run.created", "data": {"instructions": "a secret"}}', "junk", *ended("a")]) as url:
        found = cli("watch", "--json", url)
    assert found.code == ExitCode.COMPLETED
    assert found.err.count(": rejected: ") == 2
    assert "runstream: 2 rejected inputs;" in found.err
    assert "secret" not in found.err
    assert "junk" not in found.err


def test_headers(cli: Callable) -> None:
    """Headers go out with the opening request, and appear nowhere else."""
    seen: dict[str, str] = {}
    with sending(ended("a"), headers=seen) as url:
        found = cli("watch", url, "-H", "Authorization: Bearer s3cret", "--header", "X-Team:blue")
    assert found.code == ExitCode.COMPLETED
    assert seen["authorization"] == "Bearer s3cret"
    assert seen["x-team"] == "blue"
    assert "s3cret" not in found.out + found.err


def test_nobody_listens(cli: Callable) -> None:
    """A refused connection: said in words, no traceback, no success; a password in the URL is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = cli("watch", f"ws://me:s3cret@127.0.0.1:{port}/?token=s3cret")
    assert found.code == ExitCode.NO_CONNECTION
    assert (found.out + found.err).count("Could not connect") == 1
    assert found.err.splitlines() == [line for line in found.err.splitlines() if "Could not connect" in line]
    assert "Traceback" not in found.err
    assert "s3cret" not in found.out + found.err


def test_a_cut_is_reported_once(cli: Callable) -> None:
    """On standard error, and once, though a source and two runs end by it; the exit code is that of the runs."""
    with sending([*cut_short("a"), *cut_short("b")], code=4000) as url:
        found = cli("watch", url)
    assert found.code == ExitCode.LEFT_LIVE
    assert (found.out + found.err).count("code 4000") == 1
    assert "code 4000" in found.err
    assert found.out.count("run.interrupted") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
class TestLeaving:
    """A live stream can be left at any moment."""

    def test_ctrl_c(self, recording: Callable) -> None:
        """Ctrl-C while waiting for the next event: the open run is interrupted, then 130."""
        with (
            serving("--speed", "0.01", recording(ended("a"))) as url,
            start_cli("watch", "--json", url) as process,
        ):
            assert process.stdout is not None
            while b"run.created" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.CTRL_C
        assert b"Traceback" not in err
        assert b"run.interrupted" in out

    def test_closed_pipe(self, recording: Callable) -> None:
        """The reader of a live stream goes away."""
        path = recording(ended("a", text="word " * 5000))
        with serving("--speed", "0", path) as url, start_cli("watch", "--json", url) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            process.stdout = None
            _, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.CLOSED_PIPE
        assert err == b""

    def test_a_client_that_leaves(self, recording: Callable) -> None:
        """The server plays on for the others."""
        with serving("--speed", "0", recording(ended("a", text="word " * 2000))) as url:
            # It leaves without having read what has come: no farewell of the server's would be seen.
            with connect(url, close_timeout=0.1) as client:
                client.recv()
            assert run_cli("watch", "--json", url).returncode == ExitCode.COMPLETED

    def test_piped_lines_come_at_once(self) -> None:
        """A pipe gets each JSON line when it is known, not when a buffer is full."""
        hold = threading.Event()

        def handle(connection: ServerConnection) -> None:
            for event in cut_short("a"):
                connection.send(envelope(event))
            assert hold.wait(20)

        with answering(handle) as url, start_cli("watch", "--json", url, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            got = [process.stdout.readline() for _ in range(4)]
            assert b"in_progress" in got[-1]
            hold.set()
            process.communicate(timeout=60)


async def test_a_stream_equals_the_offline_fold(recording: Callable) -> None:
    """What a program reads over a real socket, from another process, folds into the very same runs and signals."""
    first, second = asked_and_answered("pair")
    path = recording(first, ended("other", "failed"), second, ended("last", text="word " * 300))
    offline = fold(read_recording(path))
    with serving("--speed", "0", path) as url:
        async with connect_stream(url) as stream:
            signals: list[Signal] = []
            stream.signals.subscribe(signals.append)
            runs = await stream.results()
            states = list(stream.latest.values())
    assert list(runs) == [state.run for state in offline.runs]
    assert [state.to_dict() for state in states] == [state.to_dict() for state in offline.runs]
    assert facts([signal.to_dict() for signal in signals]) == facts([signal.to_dict() for signal in offline.signals])


def test_a_dialect_by_name(cli: Callable, tmp_path: Path, words_dialect: str) -> None:
    """`watch` shows the runs of another wire, and `record` counts them and writes what came."""
    with sending(["run_1 in_progress", "run_1 completed"]) as url:
        found = cli("watch", "--json", "--dialect", "words", url)
        assert found.code == ExitCode.COMPLETED
        assert "run.completed" in [signal["type"] for signal in lines(found.out)]
        assert cli("watch", "--json", url).code == ExitCode.NOT_COMPLETED
        target = tmp_path / "run.sse"
        assert cli("record", "--dialect", "words", url, "-o", str(target)).code == ExitCode.COMPLETED
    assert cli("fold", "--dialect", "words", str(target)).out == "run_1  completed\n"
