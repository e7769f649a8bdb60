"""The readers of the npm package `ai`, versions 5 to 7: what they make of our UI message streams.

Each recording of each dialect, and generated conversations, are read by `readUIMessageStream` and by the chat behind
`useChat`. At the end texts, calls, outputs, documents, activities and statuses are those of our states, but for the
losses that `docs/use-chat.md` lists.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from runstream.engine.fold import Folded, fold, fold_sources
from runstream.recordings.reader import read_recording
from runstream.sinks.ui_message_stream.chunks import DONE, chunk_bytes
from runstream.testing import Script
from runstream.testing.strategies import conversations
from tests.conformance.recorded import RECORDINGS
from tests.interop.node_apps import node_command
from tests.sinks.ui_message_stream.support import encode
from tests.support.responses import ResponseScript
from tests.support.ui_messages import read_chunks, shown_by_message, shown_by_state

pytestmark = pytest.mark.slow

READERS = {"ai5": 5, "ai6": 6, "ai7": 6}
"""The packages, and the version for which the stream is encoded."""

FILES = sorted(
    path.relative_to(RECORDINGS).as_posix()
    for path in RECORDINGS.rglob("*")
    if path.suffix in (".sse", ".jsonl", ".json") and path.name != "requests.json"
) or ["absent"]

ASKED_BEFORE = {
    "oai_dotnet_poll_function_tools.json": 1,
    "oai_dotnet_poll_function_tools_v1.json": 1,
    "langgraph/thread_stream_two_runs.sse": 1,
    "langgraph/v2_approval.sse": 1,
    "langgraph/ws_v2_approval.ws.jsonl": 1,
}
"""Recordings with requests that were answered and whose calls are in no step, such as interrupts: the message keeps
their parts, the state has none of them any more."""


class Stream(NamedTuple):
    """One stream for a reader: the package, the chunks, and the message that they continue."""

    package: str
    chunks: list[dict[str, Any]]
    message: dict[str, Any] | None = None


def read(streams: list[Stream]) -> list[dict[str, Any]]:
    """What the readers make of streams: all in one process of Node."""
    folder = Path(mkdtemp(prefix="ui-message-stream-"))
    command = node_command("ui_message_stream.mjs", folder, *READERS)
    with (folder / "streams.jsonl").open("w", encoding="utf-8") as file:
        for package, chunks, message in streams:
            line: dict[str, Any] = {"package": package, "body": (b"".join(map(chunk_bytes, chunks)) + DONE).decode()}
            file.write(json.dumps({**line, **({"message": message} if message is not None else {})}) + "\n")
    done = subprocess.run(
        [*command, str(folder / "streams.jsonl")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(found) == len(streams)
    return found


@cache
def folded(name: str) -> Folded:
    """A recording; the objects of a poll as one stream each."""
    if not (RECORDINGS / name).exists():
        pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
    body = (RECORDINGS / name).read_bytes()
    if not name.endswith(".json"):
        return fold(read_recording(body, name=name))
    value = json.loads(body)
    exchanges = [each.get("body", each) for each in value] if isinstance(value, list) else [value]
    objects = [
        item
        for each in exchanges
        if isinstance(each, dict)
        for item in (each["data"] if each.get("object") == "list" else [each])
    ]
    return fold([json.dumps(item) for item in objects])


@cache
def recorded() -> dict[tuple[str, str], tuple[Stream, dict[str, Any]]]:
    """Each stream of each recording, and what a reader made of it."""
    streams = {
        (name, package): Stream(package, encode(folded(name), sdk=sdk, message_id="message-1"))
        for name in FILES
        for package, sdk in READERS.items()
    }
    return {key: (streams[key], found) for key, found in zip(streams, read([*streams.values()]), strict=True)}


def plain(shown: dict[str, Any]) -> dict[str, Any]:
    """What is shown, with numbers as JavaScript has them."""

    def number(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: number(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [*map(number, value)]
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    return {name: number(value) for name, value in shown.items()}


def check(states: Any, stream: Stream, found: dict[str, Any]) -> dict[str, Any]:
    """Compare what a reader has with the states; return what the message shows and the states do not have."""
    errors = [chunk["errorText"] for chunk in stream.chunks if chunk["type"] == "error"]
    assert found["reader"]["errors"] == [f"Error: {text}" for text in errors]
    expected, actual = plain(shown_by_state(states)), plain(shown_by_message(found["reader"]["message"]))
    for id, (name, value, output) in expected["calls"].items():
        # Versions 5 and 6 drop the text of arguments that are no JSON when the call of a typed tool has an output.
        is_dropped = stream.package != "ai7" and isinstance(value, str) and actual["calls"][id][1] is None
        expected["calls"][id] = [name, None if is_dropped else value, output]
    more = {id: actual["calls"].pop(id) for id in [*actual["calls"]] if id not in expected["calls"]}
    assert actual == expected
    return more


@pytest.mark.parametrize("package", READERS)
@pytest.mark.parametrize("name", FILES)
def test_a_recording(name: str, package: str) -> None:
    """The message shows what the states have; the chat ends in the right way, and sends nothing by itself."""
    states = folded(name).runs
    stream, found = recorded()[name, package]
    assert len(check(states, stream, found)) == ASKED_BEFORE.get(name, 0)
    chat, last = found["chat"], stream.chunks[-1]
    assert chat["error"] == (found["reader"]["errors"] or [None])[0]
    assert chat["status"] == ("error" if chat["error"] else "ready")
    assert chat["roles"] == ["user", "assistant"]
    assert chat["message"]["id"] == "message-1"
    assert not chat["sendsOutputs"]
    assert not chat["sendsApprovals"]
    if not chat["error"]:
        assert chat["finishReason"] == last.get("finishReason")
        waits = any(state.run.pending_tool_calls for state in states)
        assert (chat["finishReason"] == "tool-calls") == waits


@pytest.mark.parametrize("package", READERS)
def test_the_model_of_the_reader(package: str) -> None:
    """The reader of our own tests makes the same of each recording, but for what versions name differently."""
    for (name, reader), (stream, found) in recorded().items():
        if reader == package and READERS[reader] == 6:
            own = shown_by_message(read_chunks(stream.chunks))
            assert plain(own) == plain(shown_by_message(found["reader"]["message"])), name


def generated() -> Iterator[tuple[Folded, list[Stream]]]:
    """Conversations of any runs, the same in each test run."""
    found: list[Folded] = []

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(conversations(), st.booleans(), st.integers(0, 99))
    def collect(made: Any, interleaved: bool, seed: int) -> None:
        found.append(fold(made.raw_events(interleaved=interleaved, seed=seed)))

    collect()
    for each in found:
        yield each, [Stream(package, encode(each, sdk=sdk)) for package, sdk in READERS.items()]


def test_generated_conversations() -> None:
    """Any runs of the Assistants wire, side by side or one after the other."""
    pairs = [(each, stream) for each, streams in generated() for stream in streams]
    for (each, stream), found in zip(pairs, read([stream for _, stream in pairs]), strict=True):
        assert not check(each.runs, stream, found)
        assert not found["chat"]["sendsOutputs"]


# Approvals and outputs of the browser


def asking() -> ResponseScript:
    """A response that calls a function and asks for an approval."""
    found = ResponseScript("resp_1").begin().call("call_1", "locate", "{}")
    item = {"id": "mcpr_1", "type": "mcp_approval_request", "name": "erase", "arguments": '{"file":"a"}'}
    found._close(found._add(item), item)
    return found.end()


def tool_part(message: dict[str, Any], id: str) -> dict[str, Any]:
    """The part of a call."""
    found: dict[str, Any] = next(part for part in message["parts"] if part.get("toolCallId") == id)
    return found


@pytest.mark.parametrize("package", READERS)
@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_and_an_output(package: str, approved: bool) -> None:
    """The chat asks, the user answers, and the response continues the same message."""
    sdk = READERS[package]
    first = encode(fold(asking().raws()), sdk=sdk, message_id="message-1")
    (found,) = read([Stream(package, first)])
    message = found["chat"]["message"]
    part, call = tool_part(message, "mcpr_1"), tool_part(message, "call_1")
    assert found["chat"]["finishReason"] == "tool-calls"
    assert found["chat"]["calls"] == ["call_1", "mcpr_1"]
    assert (call["type"], call["state"]) == ("tool-locate", "input-available")
    call |= {"state": "output-available", "output": {"room": 7}}
    if sdk == 5:
        assert part["state"] == "input-available"
        (data,) = [part["data"] for part in message["parts"] if part["type"] == "data-approval"]
        assert data["toolCallId"] == "mcpr_1"
        part |= {"state": "output-available", "output": {"approved": approved}}
    else:
        assert part["state"] == "approval-requested"
        assert part["approval"] == {"id": "mcpr_1"}
        part |= {"state": "approval-responded", "approval": {"id": "mcpr_1", "approved": approved}}
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin()
    if approved:
        ran = {"id": "mcp_1", "type": "mcp_call", "name": "erase", "arguments": '{"file":"a"}', "server_label": "files"}
        ran["approval_request_id"] = "mcpr_1"
        second._close(second._add(ran), {**ran, "output": "erased"})
    then = second.say("Done.").end().raws()
    known = len(fold(asking().raws()).signals)
    both = fold_sources([("1", asking().raws()), ("2", then, {"continues": "resp_1"})])
    rest = Folded(**{**{name: getattr(both, name) for name in both.__struct_fields__}, "signals": both.signals[known:]})
    chunks = encode(rest, sdk=sdk, message_id="message-1", message=message)
    (found,) = read([Stream(package, chunks, message)])
    chat = found["chat"]
    assert (chat["status"], chat["roles"]) == ("ready", ["user", "assistant"])
    assert found["reader"]["errors"] == []
    state = tool_part(chat["message"], "mcpr_1")["state"]
    if approved:
        assert tool_part(chat["message"], "mcpr_1")["output"] == "erased"
    assert state == ("output-denied" if sdk == 6 and not approved else "output-available")
    assert chat["message"]["parts"][-1]["text"] == "Done."
    assert not chat["sendsApprovals"]
    assert not chat["sendsOutputs"]


# Losses


def test_a_replaced_text_stays_as_a_part() -> None:
    run = Script("run_1")
    message = run.open_message()
    message.write("Helo").message["content"][0]["text"]["value"] = "Hello."
    message.close()
    chunks = encode(fold(run.end().raw_events()))
    for found in read([Stream(package, chunks) for package in READERS]):
        texts = [part for part in found["reader"]["message"]["parts"] if part["type"] == "text"]
        assert [part["text"] for part in texts] == ["Helo", "Hello."]
        assert texts[1]["providerMetadata"]["runstream"]["replaces"] is True


@pytest.mark.parametrize("key", ['{"__proto__": 1}', '{"constructor": {"prototype": 1}}'])
def test_a_value_that_the_reader_rejects_is_text(key: str) -> None:
    run = Script("run_1").use("web_search", "search", key, key).say("Done.").end()
    for found in read([Stream(package, encode(fold(run.raw_events()))) for package in READERS]):
        assert found["reader"]["errors"] == []
        (part,) = [part for part in found["reader"]["message"]["parts"] if "toolCallId" in part]
        assert json.loads(part["input"]) == json.loads(part["output"]) == json.loads(key)


def test_a_large_number_loses_digits() -> None:
    run = Script("run_1").use("web_search", "search", '{"n": 9007199254740993}').end()
    for found in read([Stream(package, encode(fold(run.raw_events()))) for package in READERS]):
        (part,) = [part for part in found["reader"]["message"]["parts"] if "toolCallId" in part]
        assert part["input"] == {"n": 9007199254740992}
