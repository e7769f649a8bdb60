"""`run`: a run is started, its tools are executed, and its signals are shown."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runstream.cli.exit_codes import UsageError
from runstream.cli.run import load_tool
from runstream.testing import Turn, serve_script
from tests.support.processes import server_process

TOOLS = '''
from __future__ import annotations
from runstream import ToolContext, tool

def get_weather(city: str, context: ToolContext) -> str:
    """The weather."""
    return f"sunny in {city}"

@tool(name="multiply")
async def product(a: int, b: int) -> int:
    return a * b

value = 5
def rest(*args): ...
'''
TURNS: list[Turn | str] = [
    Turn(calls={"get_weather": {"city": "Oslo"}, "multiply": {"a": 6, "b": 7}}),
    Turn(approvals={"delete_file": {"path": "/x"}}),
    "Done.",
]
BODIES = {"responses": {"model": "m", "input": "Hello"}, "assistants": {"assistant_id": "asst_1"}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The base URL of a scripted server in another process."""
    with server_process(__name__) as (line, _):
        yield line


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A file with tools."""
    path = tmp_path / "my_tools.py"
    path.write_text(TOOLS, encoding="utf-8")
    return path


def command(*args: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """The result of the command."""
    return subprocess.run(
        [sys.executable, "-m", "runstream", "run", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, **environ},
        check=False,
    )


def keys(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The signals of a command with ``--json``."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("dialect", BODIES)
def test_a_run_with_tools(url: str, tools: Path, dialect: str) -> None:
    """Tools of a file are executed, the approval is given, and the run completes."""
    result = command(
        *("--dialect", dialect, url, "--body", json.dumps(BODIES[dialect]), "--json", "--approve", "all"),
        *("--tools", f"{tools}:get_weather", "--tools", f"{tools}:product"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    signals = keys(result)
    assert [one["type"] for one in signals].count("run.action_required") == 2
    assert signals[-2]["type"] == "run.completed"


@pytest.mark.parametrize("form", ["URL", "option"])
async def test_a_run_over_a_websocket(tools: Path, form: str) -> None:
    """All requests of the run are sent over the socket, and none over HTTP."""
    async with serve_script(TURNS) as server:
        place = [server.url.replace("http://", "ws://")] if form == "URL" else [server.url, "--websocket"]
        result = await asyncio.to_thread(
            command,
            *(
                "--dialect",
                "responses",
                *place,
                "--body",
                json.dumps(BODIES["responses"]),
                "--json",
                "--approve",
                "all",
            ),
            *("--tools", f"{tools}:get_weather", "--tools", f"{tools}:product"),
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert keys(result)[-2]["type"] == "run.completed"
        assert len(server.outputs) == 3
        assert server.requests == []


@pytest.mark.parametrize("file", ["body.json", "@body.json"])
def test_tools_of_a_module(file: str, url: str, tools: Path, tmp_path: Path) -> None:
    """The directory of the command is searched for modules; without an approval the run waits."""
    (tmp_path / "body.json").write_text(json.dumps(BODIES["responses"]), encoding="utf-8")
    result = command(
        *("--dialect", "responses", url, "--body", file, "--approve", "ask"),
        *("--tools", "my_tools:get_weather", "--tools", "my_tools:product", "--key-env", "KEY"),
        cwd=tmp_path,
        KEY="a secret",
    )
    assert result.returncode == 3, result.stderr
    assert "delete_file" in result.stdout
    assert "a secret" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--tools", "nothing"), "module:function"),
        (("--tools", "no_such_module:f"), "can't be loaded"),
        (("--tools", "no_such_file.py:f"), "no file"),
        (("--tools", "json:no_such_name"), "can't be loaded"),
        (("--body", "{"), "no JSON object"),
        (("--body", "[]"), "no JSON object"),
        (("--body", ""), "no JSON object"),
        (("--body", '"text"'), "no JSON object"),
        (("--body", __file__), "test_run.py contains no JSON object"),
        (("--body", "@no_such_file"), "can't read no_such_file: No such file"),
        (("--body", "no_such_file"), "can't read no_such_file: No such file"),
        (("--body", "."), "give a JSON object, or a file"),
        (("--key-env", "RUNSTREAM_TEST_NOT_SET"), "is not set"),
        (("--timeout", "0"), "seconds"),
        (("--approve", "perhaps"), "invalid choice"),
    ],
)
def test_wrong_arguments(args: Sequence[str], message: str) -> None:
    """Exit code 2, and the message says what to do."""
    result = command("--dialect", "responses", "http://127.0.0.1:9/v1", *args)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize("place", [("wss://h/v1",), ("https://h/v1", "--websocket")])
def test_a_protocol_without_a_websocket(place: Sequence[str]) -> None:
    """The message names the protocol that has one."""
    result = command("--dialect", "assistants", *place)
    assert result.returncode == 2
    assert "only responses has one" in result.stderr


def test_no_server() -> None:
    """Exit code 5, reported once."""
    result = command("--dialect", "responses", "http://127.0.0.1:9/v1", "--body", "{}")
    assert result.returncode == 5
    assert result.stderr.count("Could not connect") == 1


def test_what_can_not_be_a_tool(tools: Path) -> None:
    """The message names the reason."""
    for name, words in (("value", "a tool is a function"), ("rest", "parameters=")):
        with pytest.raises(UsageError, match=words):
            load_tool(f"{tools}:{name}")


def _serve() -> None:
    async def serve() -> None:
        async with serve_script(TURNS) as server:
            print(server.url, flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(serve())


if __name__ == "__main__":
    _serve()
