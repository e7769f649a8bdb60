"""The programs of docs/clients.md run as printed, against a scripted server."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

import runstream
import runstream.testing
from runstream.errors import IncompleteStream
from runstream.testing import Model, ScriptedCall, ScriptedServer, Turn, serve_script

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
BLOCKS = re.findall(
    r"(?:<!-- program: ([\w -]+) -->\n\n)?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)
PROGRAMS = {name: code for name, code in BLOCKS if name}
PARALLEL = Turn(calls=[ScriptedCall("get_weather", {"city": city}) for city in ("Oslo", "Rome")])
SCRIPTS: dict[str, tuple[Sequence[Turn | str], str]] = {
    "responses": ([PARALLEL, Turn(lose=True), "It is sunny."], "completed It is sunny.\n"),  # an answer is lost
    "assistants": ([PARALLEL, Turn(text="It is sunny.", cut_after=4)], "completed It is sunny.\n"),
    "ag-ui": ([PARALLEL, "It is sunny."], "completed It is sunny.\n"),
    "langgraph": (
        [PARALLEL, Turn(approvals={"read_file": {"path": "/x"}}, cut_after=3), Turn(text="It is sunny.", cut_after=2)],
        "completed It is sunny.\n",
    ),
    "blocking": ([PARALLEL, "It is sunny."], "completed It is sunny.\ncompleted\n"),
    "websocket": ([PARALLEL, "It is sunny."], "['It is sunny.', 'It is sunny.']\n"),
    "by hand": ([Turn(calls={"ask": {}}), "Thanks."], "completed\n"),
    "rejoin": ([PARALLEL, "It is sunny."], "completed\n"),
    "scripted": ([], "completed {'call_step_run_1_1_0': ['sunny in Oslo']}\n"),
}
GENERAL: dict[str, Sequence[Turn | str]] = {
    "approval": [Turn(approvals={"delete_file": {"path": "/x"}}), "No."],
    "cancel": [Turn(text="A long text. " * 50, pause=0.02)],
}
"""The programs that are the same for all clients."""
MESSAGE = {"id": "u1", "role": "user", "content": "Hello"}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": ("ResponsesClient", {"model": "small", "input": "Hello"}),
    "websocket": ("ResponsesClient", {"model": "small", "input": "Hello"}),
    "background": ("ResponsesClient", {"model": "small", "input": "Hello", "background": True}),
    "assistants": ("AssistantsClient", {"assistant_id": "asst_1"}),
    "ag-ui": ("AgUiClient", {"messages": [MESSAGE]}),
    "langgraph": ("LangGraphClient", {"assistant_id": "agent", "input": {"messages": [MESSAGE]}}),
}


@pytest.fixture(autouse=True)
def _no_configuration_of_logs() -> None:
    """Logs go to the standard output only where an application has configured structlog, as other tests may have."""
    structlog.reset_defaults()


def namespace() -> dict[str, Any]:
    """The names that the programs of the page use, with what its other blocks define."""
    names: dict[str, Any] = {name: getattr(runstream, name) for name in runstream.__all__}
    names |= {name: getattr(runstream.testing, name) for name in runstream.testing.__all__}
    names |= {"Literal": Literal, "Any": Any, "asyncio": asyncio}
    for _, code in BLOCKS:
        exec(compile(f"from __future__ import annotations\n{code}", str(PAGE), "exec"), names)
    return names


def test_every_program_has_a_script() -> None:
    """A new program of the page is run too."""
    assert PROGRAMS.keys() == SCRIPTS.keys() | GENERAL.keys() | {"again"}


def url_of(name: str, server: ScriptedServer) -> str:
    """The URL for a client."""
    return {"ag-ui": server.ag_ui_url, "langgraph": server.langgraph_url, "again": server.ag_ui_url}.get(
        name, server.url
    )


def main_of(name: str) -> Any:
    """The program of the page, which has at most 15 lines beside its tools."""
    names = namespace()
    exec(compile(f"from __future__ import annotations\n{PROGRAMS[name]}", str(PAGE), "exec"), names)
    main = names["main"]
    assert len(PROGRAMS[name][PROGRAMS[name].index("def main") :].strip().splitlines()) <= 15
    return main


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_program_runs_as_printed(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It prints the end of its run."""
    turns, printed = SCRIPTS[name]
    main = main_of(name)
    requests = iter(turns)
    model: Model = (lambda request: next(requests)) if name == "responses" else turns
    async with serve_script(model) as server:
        values = {"url": url_of(name, server), "key": "key", "path": str(tmp_path / "runs.db")}
        if name == "rejoin":
            await _leave_waiting(server.url)
        arguments = {parameter: values[parameter] for parameter in inspect.signature(main).parameters}
        if inspect.iscoroutinefunction(main):
            await main(**arguments)
            if name == "rejoin":  # its next start, after the run has ended
                assert capsys.readouterr().out == printed
                await main(**arguments)
        else:
            await asyncio.to_thread(main, **arguments)
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("client", BODIES)
@pytest.mark.parametrize("name", GENERAL)
async def test_a_program_for_all_clients(name: str, client: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the same for each protocol, and ends as the protocol has it."""
    kind, body = BODIES[client]
    async with serve_script(GENERAL[name]) as server:
        options = {"websocket": True} if client == "websocket" else {}
        await main_of(name)(getattr(runstream, kind)(url_of(client, server), **options), body)
        outputs = [answer for answers in server.outputs.values() for answer in answers]
    printed = capsys.readouterr().out
    if name == "approval":
        assert printed == "completed\n"
        refused: Any = {"approved": False, "reason": "only reading is allowed"} if client == "ag-ui" else False
        assert outputs == [refused]
    elif client == "ag-ui":
        assert "was left in_progress" in printed
    elif client in ("responses", "websocket"):  # by what the server says when it is asked: it may not know it yet
        assert printed == "cancelled\n" or "was left in_progress" in printed
    else:
        assert printed == "cancelled\n"


async def test_a_run_that_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of AG-UI whose stream breaks off is interrupted; the program starts it again."""
    turns = iter([PARALLEL, Turn(text="It is", cut_after=2), PARALLEL, Turn(text="It is sunny.")])
    async with serve_script(lambda request: next(turns)) as server:
        await main_of("again")(server.ag_ui_url, "key")
    first, second = capsys.readouterr().out.splitlines()
    assert "the connection broke off" in first
    assert second == "completed It is sunny."


async def _leave_waiting(url: str) -> None:
    """Start a run that another process leaves."""
    client = runstream.AssistantsClient(url)
    async with client, client.run(assistant_id="asst_1") as stream:
        with pytest.raises(IncompleteStream):
            await stream.result()


def test_the_tools_of_the_page() -> None:
    """They are tools, with the schema and the arguments that the page describes."""
    names = namespace()
    assert names["clock"].name == "get_time"
    assert names["clock"].parameters["properties"]["zone"]["enum"] == ["CET", "UTC"]
    assert runstream.LocalTool(names["book"]).decode('{"seat": "1a"}') == {"seat": "1a"}
