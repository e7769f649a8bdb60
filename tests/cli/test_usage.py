"""Help that teaches, and usage errors that say what to do: always code 2, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import runstream
from tests.cli.support import ended, run_cli

COMMANDS = ("demo", "watch", "record", "replay", "fold", "serve", "ingest", "worker", "nats")


def test_help(cli: Callable) -> None:
    """The main help names every command and every exit code, with examples."""
    found = cli("--help")
    assert found.code == 0
    for word in (*COMMANDS, "exit codes", "examples:", "jq", "130", "141"):
        assert word in found.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(cli: Callable, command: str) -> None:
    """Each command's help has examples and exit codes and fits a terminal."""
    found = cli(command, "--help")
    assert found.code == 0
    assert f"runstream {command}" in found.out
    assert "examples:" in found.out
    assert "exit codes" in found.out
    assert max(map(len, found.out.splitlines())) <= 110


def test_version(cli: Callable) -> None:
    """The version is the package's."""
    assert cli("--version") == (0, f"runstream {metadata.version('runstream')}\n", "")


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("dance",),
        ("replay",),
        ("fold",),
        ("serve",),
        ("watch",),
        ("record",),
        ("record", "ws://127.0.0.1:1"),
        ("replay", "--speed", "-1", "x.sse"),
        ("replay", "--yaml", "x.sse"),
        ("demo", "extra"),
        ("demo", "--pace", "fast"),
        ("demo", "--pace", "-1"),
        ("demo", "--pace", "nan"),
        ("serve", "x.sse", "--port", "70000"),
        ("serve", "x.sse", "--speed", "inf"),
        ("watch", "ws://127.0.0.1:1", "-H", "no colon"),
        ("watch", "ws://127.0.0.1:1", "-H", "a: b\r\nc: d"),
    ],
    ids=" ".join,
)
def test_wrong_arguments(cli: Callable, args: tuple[str, ...]) -> None:
    """What the grammar does not know is refused with the usage."""
    found = cli(*args)
    assert found.code == 2
    assert found.out == ""
    assert "usage: runstream" in found.err


@pytest.mark.parametrize("args", [("watch", "ws://127.0.0.1:1"), ("serve", "x.sse")], ids=" ".join)
@pytest.mark.parametrize(
    "option", [("--page-port", "8080"), ("--page-port", "0"), ("--page-origin", "https://h")], ids=" ".join
)
def test_options_of_the_page_without_the_page(cli: Callable, args: tuple[str, ...], option: tuple[str, str]) -> None:
    """What says how to serve the page is not passed over where there is none: the message says what to add."""
    found = cli(*args, *option)
    assert found.code == 2
    assert found.out == ""
    assert f"usage: runstream {args[0]}" in found.err
    assert f"error: {option[0]} is of use with --page only: add --page" in found.err


@pytest.mark.parametrize(
    "args",
    [
        ("watch", "ws://127.0.0.1:1"),
        ("record", "ws://127.0.0.1:1", "-o", "x.jsonl"),
        ("replay", "x.sse"),
        ("fold", "x.sse"),
        ("serve", "x.sse", "--page"),
    ],
    ids=lambda args: args[0],
)
def test_an_unknown_dialect(cli: Callable, args: tuple[str, ...], words_dialect: str) -> None:
    """Refused before anything is read or shown, with the names that there are."""
    found = cli(*args, "--dialect", "wo\x1brds")
    assert found.code == 2
    assert found.out == ""
    assert f"usage: runstream {args[0]}" in found.err
    names = ", ".join(runstream.dialect_names())
    assert f"argument --dialect: 'wo\\x1brds' is not a dialect; there is: {names}" in found.err
    assert "assistants, auto" in names


def test_the_dialect_of_a_server_is_that_of_its_page(cli: Callable) -> None:
    """Recordings are sent as they are: without a page the option has no effect, and is refused."""
    found = cli("serve", "x.sse", "--dialect", "assistants")
    assert found.code == 2
    assert "error: --dialect is of use with --page only: add --page" in found.err


def test_continue_needs_two_files(cli: Callable) -> None:
    found = cli("fold", "--continue", "x.sse")
    assert found.code == 2
    assert found.out == ""
    assert "error: --continue needs two files or more" in found.err


@pytest.mark.parametrize("args", [("demo",), ("watch", "ws://127.0.0.1:1"), ("replay", "x.sse")], ids=" ".join)
def test_two_forms_of_output(cli: Callable, args: tuple[str, ...]) -> None:
    """JSON and lines for people are one or the other: neither wins in silence."""
    found = cli(*args, "--json", "--plain")
    assert found.code == 2
    assert found.out == ""
    assert "--plain: not allowed with argument --json" in found.err


@pytest.mark.parametrize("command", ["replay", "fold", "serve"])
def test_no_such_file(cli: Callable, recording: Callable, command: str) -> None:
    """A missing file is found out before anything of the others is shown."""
    found = cli(command, recording(ended("a")), "missing.sse")
    assert found.code == 2
    assert found.out == ""
    assert f"{command}: missing.sse: there is no such file" in found.err
    assert f"try: runstream {command} --help" in found.err


def test_a_directory(cli: Callable, tmp_path: Path) -> None:
    """A directory is no recording."""
    found = cli("replay", str(tmp_path))
    assert found.code == 2
    assert "is a directory; name the recordings in it" in found.err


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_not_allowed(cli: Callable, recording: Callable) -> None:
    """A file that may not be read."""
    path = recording(ended("a"))
    Path(path).chmod(0)
    found = cli("replay", path)
    assert found.code == 2
    assert "permission denied" in found.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"Dear diary,\n"),
        ("list.json", b"[1, 2]\n"),
        ("page.html", b"<html></html>"),
        ("object.json", b'{\n  "id": "run_1",\n'),
        ("image", b"\x89PNG\r\n\x1a\n\0\0\0"),
    ],
)
@pytest.mark.parametrize("command", ["replay", "fold", "serve"])
def test_unknown_format(cli: Callable, tmp_path: Path, command: str, name: str, content: bytes) -> None:
    """What is no recording is refused, with the two formats that are."""
    path = tmp_path / name
    path.write_bytes(content)
    found = cli(command, str(path))
    assert found.code == 2
    assert found.out == ""
    assert name in found.err
    assert ".sse" in found.err
    assert ".jsonl" in found.err


def test_serve_needs_events(cli: Callable, tmp_path: Path) -> None:
    """An object that was fetched is no stream that could be played."""
    path = tmp_path / "object.json"
    path.write_bytes(b'{\n  "id": "run_1",\n  "status": "completed"\n}\n')
    found = cli("serve", str(path))
    assert (found.code, found.out) == (2, "")
    assert "object.json: objects that were fetched, and no events" in found.err


def test_unknown_format_on_standard_input() -> None:
    """The same of what is piped in."""
    found = run_cli("replay", "-", input=b"<html>502 Bad Gateway</html>\n")
    assert found.returncode == 2
    assert "<stdin>: not recognised by its first line" in found.stderr
    assert "Traceback" not in found.stderr


def test_standard_input_twice(cli: Callable) -> None:
    """Standard input can't be read again."""
    found = cli("replay", "-", "-")
    assert found.code == 2
    assert "give it once" in found.err


@pytest.mark.parametrize("url", ["localhost:8000", "127.0.0.1:8000/runs", "host/runs"])
def test_a_url_without_a_scheme(cli: Callable, url: str) -> None:
    """The host is no scheme: the message names the schemes that there are."""
    found = cli("watch", url)
    assert found.code == 2
    assert "the URL has no scheme; give wss://host/path, https://host/path, ws:// or http://" in found.err


@pytest.mark.parametrize("url", ["host/runs", "ftp://host/runs", "ws://", "https://", ""])
def test_watch_what_can_not_be_watched(cli: Callable, url: str) -> None:
    """A URL that is no live stream is refused, with what would do."""
    found = cli("watch", url)
    assert found.code == 2
    assert found.out == ""
    assert "ws://" in found.err
    assert "try: runstream watch --help" in found.err


def test_watch_shows_no_credentials(cli: Callable) -> None:
    """A refused URL is not repeated with its password."""
    found = cli("watch", "ftp://me:secret@host/runs?token=secret")
    assert "secret" not in found.err
