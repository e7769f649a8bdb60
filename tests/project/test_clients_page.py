"""The programs of docs/clients.md run as printed, against a scripted server."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import runstream
import runstream.testing
from runstream.errors import IncompleteStream
from runstream.testing import ScriptedCall, Turn, serve_script

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
BLOCKS = re.findall(
    r"(?:<!-- program: ([\w ]+) -->\n\n)?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)
PROGRAMS = {name: code for name, code in BLOCKS if name}
PARALLEL = Turn(calls=[ScriptedCall("get_weather", {"city": city}) for city in ("Oslo", "Rome")])
SCRIPTS: dict[str, tuple[Sequence[Turn | str], str]] = {
    "responses": ([PARALLEL, "It is sunny."], "completed It is sunny.\n"),
    "assistants": ([PARALLEL, Turn(text="It is sunny.", cut_after=4)], "completed It is sunny.\n"),
    "approval": ([Turn(approvals={"delete_file": {"path": "/x"}}), "No."], "completed\n"),
    "by hand": ([Turn(calls={"ask": {}}), "Thanks."], "completed\n"),
    "cancel": ([Turn(text="A long text. " * 50, pause=0.02)], "cancelled\n"),
    "rejoin": ([PARALLEL, "It is sunny."], "completed\n"),
    "scripted": ([], "completed {'call_step_run_1_1_0': ['sunny in Oslo']}\n"),
}


def namespace() -> dict[str, Any]:
    """The names that the programs of the page use, with what its other blocks define."""
    names: dict[str, Any] = {name: getattr(runstream, name) for name in runstream.__all__}
    names |= {name: getattr(runstream.testing, name) for name in runstream.testing.__all__}
    names["Literal"] = Literal
    for _, code in BLOCKS:
        exec(compile(f"from __future__ import annotations\n{code}", str(PAGE), "exec"), names)
    return names


def test_every_program_has_a_script() -> None:
    """A new program of the page is run too."""
    assert PROGRAMS.keys() == SCRIPTS.keys()


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_program_runs_as_printed(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It prints the end of its run, and has at most 15 lines beside its tools."""
    turns, printed = SCRIPTS[name]
    names = namespace()
    exec(compile(f"from __future__ import annotations\n{PROGRAMS[name]}", str(PAGE), "exec"), names)
    main = names["main"]
    assert len(PROGRAMS[name].strip().splitlines()) <= 18
    async with serve_script(turns) as server:
        values = {"url": server.url, "key": "key", "path": str(tmp_path / "runs.db")}
        if name == "rejoin":
            await _leave_waiting(server.url)
        await main(**{parameter: values[parameter] for parameter in inspect.signature(main).parameters})
    assert capsys.readouterr().out == printed


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
