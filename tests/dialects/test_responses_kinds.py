"""The Responses dialect on every kind of item: steps, calls, what grows, what waits, and what is none of these."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.engine.fold import Folded, fold
from runstream.model.signals import (
    ActionRequired,
    ArgumentsDelta,
    CustomReceived,
    RunCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.model.tool_calls import CodeInterpreterToolCall, FileSearchToolCall, GenericToolCall, McpToolCall
from tests.support.responses import ResponseScript

Json = dict[str, Any]


def read(script: ResponseScript, **options: Any) -> Folded:
    """The fold of one source, without a key twice, whether its events come once or twice."""
    folded = fold(script.raws(), dialect="responses", **options)
    keys = [signal.key for signal in folded.signals]
    assert len(set(keys)) == len(keys)
    twice = fold([raw for raw in script.raws() for _ in range(2)], dialect="responses", **options)
    assert [signal.key for signal in twice.signals] == keys
    assert twice.runs[0].to_dict() == folded.runs[0].to_dict()
    return folded


def item(script: ResponseScript, **fields: Any) -> ResponseScript:
    """Add an item that is sent whole."""
    at = len(script.response["output"])
    shown = {"id": f"item_{at}", **fields}
    script.send("output_item.added", output_index=at, item={**shown, "status": "in_progress"})
    script.send("output_item.done", output_index=at, item=shown)
    script.response["output"] = [*script.response["output"], shown]
    return script


def call_of(folded: Folded) -> Any:
    """The only call of the only run."""
    ((call,),) = [state.tool_calls for state in folded.runs]
    return call


# calls of the server


def test_a_web_search() -> None:
    """Its action is its arguments; its states are those of the call."""
    script = ResponseScript().begin()
    script.send("output_item.added", output_index=0, item={"id": "ws_1", "type": "web_search_call"})
    script.send("web_search_call.searching", output_index=0, item_id="ws_1")
    half = fold(script.raws(), dialect="responses").runs[0].tool_calls[0]
    assert (half.type, half.status, half.arguments) == ("web_search", "searching", None)
    done = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    call = call_of(read(script.send("output_item.done", output_index=0, item=done).end(output=[done])))
    assert (call.status, call.arguments) == ("completed", '{"type":"search","query":"q"}')


def test_a_file_search() -> None:
    """Hits are results; the queries stay beside them."""
    hit = {"file_id": "f", "filename": "a.txt", "score": 0.5, "text": "words", "attributes": {"a": 1}}
    script = item(ResponseScript().begin(), type="file_search_call", queries=["q"], results=[hit])
    call = call_of(read(script.end()))
    assert isinstance(call, FileSearchToolCall)
    (result,) = call.file_search.results
    assert (result.file_id, result.file_name, result.score) == ("f", "a.txt", 0.5)
    assert list(call.extra()["queries"]) == ["q"]


def test_code_with_outputs() -> None:
    """Code grows; logs and images are outputs; the container stays beside them."""
    script = ResponseScript().begin()
    shown = {"id": "ci_1", "type": "code_interpreter_call", "container_id": "cntr_1"}
    script.send("output_item.added", output_index=0, item={**shown, "code": ""})
    for piece in ("1 + ", "1"):
        script.send("code_interpreter_call_code.delta", output_index=0, item_id="ci_1", delta=piece)
    outputs = [{"type": "logs", "logs": "2"}, {"type": "image", "url": "https://x.example/1"}]
    script.send("output_item.done", output_index=0, item={**shown, "code": "1 + 1", "outputs": outputs})
    folded = read(script.end(output=[]))
    call = call_of(folded)
    assert isinstance(call, CodeInterpreterToolCall)
    assert call.arguments == "1 + 1"
    assert [output.type for output in call.code_interpreter.outputs] == ["logs", "image"]
    assert (call.extra()["container_id"], call.code_interpreter.outputs[1].extra()["url"]) == (
        "cntr_1",
        outputs[1]["url"],
    )
    assert [signal.delta for signal in folded.signals if isinstance(signal, ArgumentsDelta)] == ["1 + ", "1"]


def test_an_mcp_call_that_fails() -> None:
    """Its step has failed, with the server's error."""
    error = {"type": "http_error", "code": 424, "message": "no"}
    script = item(ResponseScript().begin(), type="mcp_call", name="roll", arguments="{}", server_label="d", error=error)
    folded = read(script.end())
    call, (step,) = call_of(folded), folded.runs[0].steps
    assert isinstance(call, McpToolCall)
    assert (step.status, step.last_error and step.last_error.code, call.name) == ("failed", "http_error", "roll")


def test_a_list_of_tools() -> None:
    """The tools of a server are an activity, also where no event closes it."""
    shown = {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "d", "tools": []}
    script = ResponseScript().begin().send("output_item.added", output_index=0, item=shown)
    script.send("mcp_list_tools.completed", output_index=0, item_id="mcpl_1")
    tools = [{"name": "roll", "description": "Rolls.", "input_schema": {}}]
    (step,) = read(script.end(output=[{**shown, "tools": tools}])).runs[0].steps
    details: Any = step.step_details
    assert (step.type, step.status) == ("activities", "completed")
    assert details.activities[0].tools["roll"]["description"] == "Rolls."


def test_an_image() -> None:
    """Partial images are counted, and only the whole one is kept: as the output."""
    script = ResponseScript().begin()
    shown = {"id": "ig_1", "type": "image_generation_call", "status": "in_progress", "result": None}
    script.send("output_item.added", output_index=0, item=shown)
    for index in range(3):
        script.send(
            "image_generation_call.partial_image", item_id="ig_1", partial_image_index=index, partial_image_b64="P"
        )
    done = {**shown, "status": "completed", "result": "WHOLE", "size": "10x10"}
    folded = read(script.send("output_item.done", output_index=0, item=done).end(output=[done]))
    call = call_of(folded)
    assert (call.output, dict(call.data)) == ("WHOLE", {"size": "10x10", "partial_images": 3})
    assert len([signal for signal in folded.signals if isinstance(signal, ToolCallResult)]) == 1


def test_a_compaction_and_an_item_of_a_new_type() -> None:
    """What is none of the known items is a generic call with all of its fields."""
    script = item(ResponseScript().begin(), type="compaction", encrypted_content="secret")
    script = item(script, type="x_search_call", status="completed", query={"a": 1})
    calls = read(script.end()).runs[0].tool_calls
    assert [call.type for call in calls] == ["compaction", "x_search"]
    assert all(isinstance(call, GenericToolCall) for call in calls)
    assert [dict(call.data) for call in calls] == [{"encrypted_content": "secret"}, {"query": {"a": 1}}]  # type: ignore[union-attr]


def test_audio() -> None:
    """The transcript grows as the output of a generic call; pieces of audio are counted."""
    script = ResponseScript().begin()
    for delta in ("Hel", "lo"):
        script.send("audio.delta", delta="AAAA").send("audio.transcript.delta", delta=delta)
    script.send("audio.done").send("audio.transcript.done")
    folded = read(script.end())
    call = call_of(folded)
    assert (call.type, call.output, dict(call.data)) == ("audio", "Hello", {"audio_pieces": 2})
    assert [signal.delta for signal in folded.signals if isinstance(signal, ToolCallOutputDelta)] == ["Hel", "lo"]


# calls whose arguments grow within an object


def patch(*pieces: str, operation: Json | None = None) -> ResponseScript:
    """A response with a patch."""
    operation = operation or {"type": "create_file", "path": "a.txt"}
    shown = {"id": "apc_1", "type": "apply_patch_call", "call_id": "call_1", "status": "in_progress"}
    script = ResponseScript().begin()
    script.send("output_item.added", output_index=0, item={**shown, "operation": {**operation, "diff": ""}})
    for piece in pieces:
        script.send("apply_patch_call_operation_diff.delta", item_id="apc_1", output_index=0, delta=piece)
    diff = "".join(pieces)
    script.send("apply_patch_call_operation_diff.done", item_id="apc_1", output_index=0, diff=diff)
    done = {**shown, "status": "completed", "operation": {"diff": diff, **operation}}
    return script.send("output_item.done", output_index=0, item=done)


@pytest.mark.parametrize("pieces", [("+a", '"\n', "é"), ("",), ()])
def test_a_diff_grows_as_json(pieces: tuple[str, ...]) -> None:
    """The pieces add up to the whole arguments, which are JSON."""
    folded = read(patch(*pieces).end(output=[]))
    (awaited,) = folded.runs[0].run.pending_tool_calls
    grown = "".join(signal.delta for signal in folded.signals if isinstance(signal, ArgumentsDelta))
    assert awaited.type == "patch"
    assert json.loads(awaited.arguments or "") == {"type": "create_file", "path": "a.txt", "diff": "".join(pieces)}
    assert grown == awaited.arguments
    assert folded.runs[0].tool_calls[0].arguments == awaited.arguments


@pytest.mark.parametrize("container", [True, False])
def test_commands_grow_as_json(container: bool) -> None:
    """So do the commands of a shell, whose output grows as it is printed where the server runs it."""
    shown: Json = {"id": "sh_1", "type": "shell_call", "call_id": "call_1", "status": "in_progress"}
    shown["environment"] = {"type": "container_reference" if container else "local"}
    action = {"commands": ['echo "a"', "ls"], "timeout_ms": None}
    script = ResponseScript().begin()
    script.send("output_item.added", output_index=0, item={**shown, "action": {"commands": []}})
    for index, command in enumerate(action["commands"]):  # type: ignore[arg-type]
        script.send("shell_call_command.added", output_index=0, command_index=index, command="")
        for letter in command:
            script.send("shell_call_command.delta", output_index=0, command_index=index, delta=letter)
        script.send("shell_call_command.done", output_index=0, command_index=index, command=command)
    script.send("output_item.done", output_index=0, item={**shown, "status": "completed", "action": action})
    if container:
        output = {"id": "sho_1", "type": "shell_call_output", "call_id": "call_1", "output": []}
        script.send("output_item.added", output_index=1, item=output)
        for delta in ({"stdout": "a\n"}, {"stderr": "b"}):
            script.send(
                "shell_call_output_content.delta", item_id="sho_1", output_index=1, command_index=0, delta=delta
            )
        whole = [{"stdout": "a\n", "stderr": "b", "outcome": {"type": "exit", "exit_code": 0}}]
        script.send("output_item.done", output_index=1, item={**output, "output": whole})
    folded = read(script.end(output=[]))
    (state,) = folded.runs
    call = state.tool_calls[0]
    assert json.loads(call.arguments or "") == action
    assert "".join(signal.delta for signal in folded.signals if isinstance(signal, ArgumentsDelta)) == call.arguments
    printed = [signal.delta for signal in folded.signals if isinstance(signal, ToolCallOutputDelta)]
    assert printed == (["a\n", "b"] if container else [])
    assert state.status == ("completed" if container else "requires_action")
    assert (json.loads(call.output or "null") == whole) if container else call.output is None


# what waits


APPROVAL = {"type": "mcp_approval_request", "name": "delete", "arguments": "{}", "server_label": "files"}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (
            {
                "type": "computer_call",
                "call_id": "c",
                "action": {"type": "click"},
                "pending_safety_checks": [{"id": "s"}],
            },
            "computer",
        ),
        ({"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}}, "shell"),
        (
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}, "environment": {"type": "local"}},
            "shell",
        ),
        ({"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"q": 1}}, "tool_search"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select"}, "custom"),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "in_progress"},
            "function",
        ),
        (APPROVAL, "approval"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "x_search", "input": "{}"}, None),
        ({"type": "shell_call", "call_id": "c", "environment": {"type": "container_auto"}}, None),
        ({"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}}, None),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a', "status": "incomplete"}, None),
        ({"type": "mcp_call", "name": "f", "arguments": "{}", "output": "1"}, None),
        ({"type": "web_search_call"}, None),
    ],
)
def test_who_answers_an_item(fields: Json, kind: str | None) -> None:
    """The type alone does not decide: the server may run the call, or its arguments may be cut."""
    tools = [{"type": "custom", "name": "sql"}, {"type": "x_search"}]
    folded = read(item(ResponseScript(tools=tools).begin(), **fields).end())
    (state,) = folded.runs
    kinds = [call.type for call in state.run.pending_tool_calls]
    assert (state.status, kinds) == (("requires_action", [kind]) if kind else ("completed", []))
    offered = [call.kind for signal in folded.signals if isinstance(signal, ActionRequired) for call in signal.calls]
    assert offered == kinds


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ),
        (
            {"type": "computer_call", "call_id": "c", "action": {"type": "click"}},
            {"type": "computer_call_output", "call_id": "c", "output": {"a": 1}},
        ),
        (
            {**APPROVAL, "id": "mcpr_1"},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        ),
        (
            {**APPROVAL, "id": "mcpr_1"},
            {"type": "mcp_call", "approval_request_id": "mcpr_1", "name": "delete", "arguments": "{}"},
        ),
    ],
)
def test_an_answer_in_the_same_response(call: Json, answer: Json) -> None:
    """A call with its answer in the same response does not wait."""
    folded = read(item(item(ResponseScript().begin(), **call), **answer).end())
    assert folded.runs[0].status == "completed"
    assert not [signal for signal in folded.signals if isinstance(signal, ActionRequired)]


def test_an_answer_to_a_call_without_an_id() -> None:
    """The server answers its own search for tools, whose id is null."""
    script = item(
        ResponseScript().begin(), type="tool_search_call", call_id=None, execution="server", arguments={"q": 1}
    )
    script = item(script, type="tool_search_output", call_id=None, execution="server", tools=[{"name": "f"}])
    call = call_of(read(script.end()))
    assert (call.arguments, call.output) == ('{"q":1}', '[{"name":"f"}]')


def test_the_data_that_an_answer_needs() -> None:
    """An awaited call has the fields of its item beside its arguments."""
    checks = [{"id": "s", "code": "c"}]
    script = item(ResponseScript().begin(), type="computer_call", call_id="c", action={}, pending_safety_checks=checks)
    action: Any = read(script.end()).runs[0].run.required_action
    assert action.to_dict()["calls"][0]["data"] == {
        "type": "computer_call",
        "id": "item_0",
        "pending_safety_checks": checks,
    }


# texts and fields beside them


def test_annotations() -> None:
    """They arrive one by one, and with the whole message."""
    script = ResponseScript().begin().say("Hello", done=False)
    place = {"item_id": "msg_resp_1_0", "output_index": 0, "content_index": 0}
    note = {"type": "url_citation", "url": "https://x.example", "title": "X", "start_index": 0, "end_index": 5}
    script.send("output_text.annotation.added", **place, annotation_index=0, annotation=note)
    script.send("output_text.annotation.added", **place, annotation_index=1, annotation={"type": "new", "x": 1})
    (message,) = fold(script.raws(), dialect="responses").runs[0].messages
    assert [found.type for found in message.annotations] == ["url_citation", "new"]
    assert [text for _, text in message.marked] == ["Hello", ""]
    part = {
        "type": "output_text",
        "text": "Hello",
        "annotations": [note, {"type": "container_file_citation", "file_id": "f"}],
    }
    done = {"id": "msg_resp_1_0", "type": "message", "content": [part], "phase": "commentary"}
    (message,) = read(script.send("output_item.done", output_index=0, item=done).end(output=[])).runs[0].messages
    assert [found.type for found in message.annotations] == ["url_citation", "file_citation"]
    assert message.metadata["phase"] == "commentary"


def test_the_fields_of_the_run() -> None:
    """Tools, their choice and the format of the text have their canonical forms; no credential is kept."""
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
        {"type": "mcp", "server_label": "d", "server_url": "https://d.example", "headers": {"Authorization": "secret"}},
        {"type": "file_search", "vector_store_ids": ["vs"], "max_num_results": 3},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "web_search", "user_location": None},
    ]
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    script = ResponseScript(
        tools=tools,
        tool_choice={"type": "function", "name": "f"},
        text={"format": schema},
        truncation="auto",
        instructions=[{"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]}],
    )
    run = read(script.begin().say("Hello").end()).runs[0].run
    assert [tool.type for tool in run.tools] == ["function", "mcp", "file_search", "code_interpreter", "web_search"]
    shown: Json = run.to_dict()
    assert "secret" not in json.dumps(shown)
    assert shown["tools"][0]["function"]["name"] == "f"
    assert shown["tools"][2]["file_search"] == {"max_num_results": 3}
    assert shown["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert shown["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (run.instructions, shown["truncation_strategy"]) == ("Be brief.", {"type": "auto"})


def test_events_of_one_server_only() -> None:
    """A private event of an open response is a custom one of its run; an unknown one of the protocol is unknown."""
    script = ResponseScript().begin().send("metadata", headers={"a": "b"})
    script.events.append({"type": "acme:progress", "percent": 5, "sequence_number": 3})
    script.events.append({"type": "response.brand_new", "sequence_number": 4})
    script.say("Hello")
    for number, event in enumerate(script.events):
        event["sequence_number"] = number
    folded = read(script.end(moderation={"output": {"flagged": False}}))
    customs = [signal for signal in folded.signals if isinstance(signal, CustomReceived)]
    assert [(signal.name, signal.run_id) for signal in customs] == [
        ("response.metadata", "resp_1"),
        ("acme:progress", "resp_1"),
        ("moderation", "resp_1"),
    ]
    assert customs[1].value["percent"] == 5
    assert folded.stats.unknown == 1


def test_whole_texts_in_an_open_item() -> None:
    """A server that announces an item with its whole text, and sends the fragments too, doubles nothing."""
    script = ResponseScript().begin()
    item = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    script.send("output_item.added", output_index=0, item=item)
    script.send("function_call_arguments.delta", item_id="fc_1", output_index=0, delta='{"a":1}')
    assert fold(script.raws(), dialect="responses").runs[0].tool_calls[0].arguments == '{"a":1}'
    folded = read(script.send("output_item.done", output_index=0, item=item).end(output=[]))
    assert [signal.delta for signal in folded.signals if isinstance(signal, ArgumentsDelta)] == ['{"a":1}']


@pytest.mark.parametrize("type", ["message", "reasoning", "web_search_call"])
def test_an_item_that_is_only_announced(type: str) -> None:
    """What was announced, and never closed, ends with its response, with the text that it had."""
    parts = {
        "message": {"content": [{"type": "output_text", "text": "Hi"}]},
        "reasoning": {"content": [{"text": "Hi"}]},
    }
    script = ResponseScript().begin()
    script.send("output_item.added", output_index=0, item={"id": "x_1", "type": type, **parts.get(type, {})})
    folded = read(script.end(output=[]))
    (state,) = folded.runs
    (found,) = [*state.messages, *state.steps]
    assert found.status == "completed"
    assert (state.text or state.reasoning) == ("" if type == "web_search_call" else "Hi")
    assert [signal for signal in folded.signals if isinstance(signal, RunCompleted)]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("calls", [True, False])
def test_a_field_of_the_end_is_one_fact(numbered: bool, calls: bool) -> None:
    """A server that begins again has nothing new to say about the moderation of a response."""
    script = ResponseScript(numbered=numbered).begin()
    script = script.call("c", "f", "{}") if calls else script.say("Hello")
    raws = script.end(moderation={"flagged": False}).raws()
    once = fold(raws, dialect="responses")
    for again in ([*raws, *raws], [*raws, *raws, *raws[1:]]):
        assert [signal.key for signal in fold(again, dialect="responses").signals] == [s.key for s in once.signals]
    assert len([signal for signal in once.signals if isinstance(signal, CustomReceived)]) == 1


@pytest.mark.parametrize("ending", ["incomplete", "failed"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_call_that_only_the_output_of_a_failed_response_has(ending: str, announced: bool) -> None:
    """It is not to be executed, whatever its own status says: its end in the stream was lost."""
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
        "status": "completed",
    }
    script = ResponseScript().begin()
    if announced:
        script.send("output_item.added", output_index=0, item={**call, "arguments": "", "status": "in_progress"})
    folded = read(script.end(ending, output=[call]))
    assert [step.status.value for step in folded.runs[0].steps if step.status is not None] == ["failed"]
    assert not [signal for signal in folded.signals if signal.key.endswith("call/c/completed")]
