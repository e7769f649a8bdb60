"""The scripted server, tried by clients that others wrote: OpenAI's for Node, AG-UI's, and LangGraph's SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runstream.testing import Question, ScriptedCall, ScriptedServer, Turn, serve_script
from tests.interop.environments import APPS, interop_python
from tests.interop.node_apps import node_command

CALLS = [ScriptedCall("double", {"number": number}) for number in (4, 21)]
PARALLEL = Turn(text="Let me see. ", calls=CALLS)


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


async def printed(
    command: list[str], url: Callable[[ScriptedServer], str], turns: list[Turn | str]
) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """The JSON objects that a client prints, and the answers that the server has accepted."""
    async with serve_script(turns, tools=[double]) as server:
        process = await asyncio.create_subprocess_exec(
            *command, url(server), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, error = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, error.decode()
        return [json.loads(line) for line in out.decode().splitlines()], server.outputs


async def test_openai_for_node(tmp_path: Path) -> None:
    """Streams, calls and their outputs in both APIs, a response without a stream, a refusal."""
    command = node_command("openai_client.mjs", tmp_path, "openai")
    found, outputs = await printed(command, lambda server: server.url, [PARALLEL, "It is 8 and 42."])
    by_name = {each.pop("name"): each for each in found}
    responses = by_name["responses"]
    assert responses["calls"] == [["double", '{"number":4}'], ["double", '{"number":21}']]
    assert {"response.created", "response.output_text.delta", "response.completed"} <= set(responses["types"])
    assert (responses["status"], responses["text"]) == ("completed", "It is 8 and 42.")
    assert responses["retrieved"] == "It is 8 and 42."
    assert by_name["plain"] == {"status": "completed", "calls": 3}
    assistants = by_name["assistants"]
    if "missing" not in assistants:
        assert (assistants["asked"], assistants["status"]) == ("requires_action", "completed")
        assert assistants["text"] == assistants["listed"] == "Let me see. It is 8 and 42."
        assert len(outputs) == 4
    assert all(answers in (["8"], ["42"]) for answers in outputs.values())
    assert by_name["refused"] == {"kind": "BadRequestError", "status": 400}


async def test_the_official_ag_ui_client(tmp_path: Path) -> None:
    """It verifies every event: calls of the client, an approval, a question, and no warning."""
    turns = [
        PARALLEL,
        Turn(approvals={"double": {"number": 50}}),
        Turn(reasoning="Who?", questions=[Question("Your name?", {"type": "string"}, "name")]),
        "Done.",
    ]
    command = node_command("ag_ui_agent_client.mjs", tmp_path, "@ag-ui/client")
    found, outputs = await printed(command, lambda server: server.ag_ui_url, turns)
    first, second, third, fourth, end = found
    assert (first["outcome"], len(first["pending"])) == ("success", 2)
    assert [each["reason"] for each in second["interrupts"]] == ["tool_call"]
    assert [each["id"] for each in third["interrupts"]] == ["name"]
    assert (fourth["outcome"], fourth["interrupts"]) == ("success", [])
    assert end["text"] == "Let me see. Done."
    assert sorted(end["results"]) == ["100", "42", "8"]
    assert end["warnings"] == []
    assert outputs["name"] == ["Ada"]


async def test_the_sdk_of_langgraph() -> None:
    """Threads, streams, the state of a run that waits, its answer, and a joined run."""
    turns: list[Turn | str] = [PARALLEL, Turn(approvals={"double": {"number": 50}}), "Done."]
    command = [interop_python("langgraph_sdk"), str(APPS / "langgraph_sdk_client.py")]
    (asked, done), outputs = await printed(command, lambda server: server.langgraph_url, turns)
    assert asked == {
        "events": ["messages", "metadata", "updates", "values"],
        "tools": ["8", "42"],
        "next": ["ask"],
        "waiting": ["Execute double?"],
        "thread": "interrupted",
    }
    assert done == {"text": "Done.", "run": "success", "joined": True}
    assert list(outputs.values()) == [[True]]
