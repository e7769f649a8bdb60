"""The transcripts of further dialects say what ``docs/further-dialects.md`` says about them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Event, Json, read_sse

TRANSCRIPTS = Path(__file__).parents[1] / "fixtures" / "dialects"


# -- OpenAI Responses ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def responses() -> list[Json]:
    """Every event of the transcript, as its data."""
    events = read_sse((TRANSCRIPTS / "openai_responses_function_call.sse").read_bytes())
    decoded = []
    for event in events:
        assert isinstance(event.data, dict)
        assert event.data["type"] == event.name
        decoded.append(event.data)
    return decoded


@pytest.fixture(scope="module")
def chain(responses: list[Json]) -> tuple[list[Json], list[Json]]:
    """The events of the first response and those of the second."""
    border = [event["type"] for event in responses].index("response.completed") + 1
    return responses[:border], responses[border:]


def test_the_openai_package_reads_every_event_of_the_responses_transcript(responses: list[Json]) -> None:
    pydantic = pytest.importorskip("pydantic")
    types = pytest.importorskip("openai.types.responses")
    adapter = pydantic.TypeAdapter(types.ResponseStreamEvent)
    for event in responses:
        adapter.validate_python(event)
    assert len(responses) == 59


def test_the_first_response_ends_completed_with_a_call_that_waits(
    chain: tuple[list[Json], list[Json]],
) -> None:
    last = chain[0][-1]["response"]
    assert last["status"] == "completed"
    pending = [item for item in last["output"] if item["type"] == "function_call"]
    assert [(item["call_id"], item["name"]) for item in pending] == [("call_towpath_0001", "get_water_level")]
    assert json.loads(pending[0]["arguments"]) == {"gauge": "Lock 7"}
    assert pending[0]["id"] != pending[0]["call_id"]


def test_the_second_response_names_the_first_and_starts_later(chain: tuple[list[Json], list[Json]]) -> None:
    first, second = (events[0]["response"] for events in chain)
    assert second["id"] != first["id"]
    assert second["previous_response_id"] == first["id"]
    assert first["previous_response_id"] is None
    assert second["created_at"] > first["created_at"]
    assert [item["type"] for item in chain[1][-1]["response"]["output"]] == ["message"]


def test_the_outputs_that_were_submitted_are_not_on_the_wire(responses: list[Json]) -> None:
    assert "function_call_output" not in json.dumps(responses)


def test_only_whole_responses_carry_a_response_id(responses: list[Json]) -> None:
    for event in responses:
        assert "response_id" not in event
        if "response" not in event:
            assert "item_id" in event or event["type"].startswith("response.output_item.")
    deltas = [event for event in responses if event["type"].endswith(".delta")]
    assert deltas
    assert all({"item_id", "output_index"} <= event.keys() for event in deltas)


def test_every_item_is_announced_first_and_belongs_to_one_response(
    chain: tuple[list[Json], list[Json]],
) -> None:
    items: list[set[str]] = []
    for events in chain:
        announced: set[str] = set()
        for event in events:
            if event["type"] == "response.output_item.added":
                announced.add(event["item"]["id"])
            elif "item_id" in event:
                assert event["item_id"] in announced
        items.append(announced)
    assert items[0].isdisjoint(items[1])


def test_sequence_numbers_begin_at_zero_in_each_response(chain: tuple[list[Json], list[Json]]) -> None:
    for events in chain:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_the_items_that_are_done_are_what_their_deltas_add_up_to(responses: list[Json]) -> None:
    built: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for event in responses:
        if event["type"].endswith(".delta"):
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
            built[event["item_id"]] += 1
        elif event["type"] == "response.output_item.done":
            item = event["item"]
            whole = item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
            assert texts[item["id"]] == whole
    assert built["msg_towpath_0001"] == 9


def test_deltas_are_padded_at_random(responses: list[Json]) -> None:
    pads = [event["obfuscation"] for event in responses if event["type"].endswith(".delta")]
    assert len(set(pads)) > 1


def test_the_runs_usage_is_the_sum_of_its_responses(chain: tuple[list[Json], list[Json]]) -> None:
    spent = [events[-1]["response"]["usage"] for events in chain]
    assert sum(usage["input_tokens"] for usage in spent) == 217
    assert sum(usage["output_tokens"] for usage in spent) == 52


# -- AG-UI ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ag_ui() -> list[Json]:
    """Every event of the transcript."""
    lines = (TRANSCRIPTS / "ag_ui_interrupt.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def of_type(events: list[Json], type: str) -> list[Json]:
    return [event for event in events if event["type"] == type]


def test_ag_ui_names_its_events_by_type_and_has_no_envelope(ag_ui: list[Json]) -> None:
    for event in ag_ui:
        assert event["type"].isupper()
        assert event.keys().isdisjoint({"event", "data", "id"})


def test_only_the_borders_of_a_run_say_which_run(ag_ui: list[Json]) -> None:
    bordered = {event["type"] for event in ag_ui if "runId" in event}
    assert bordered == {"RUN_STARTED", "RUN_FINISHED"}
    assert {event["threadId"] for event in ag_ui if "threadId" in event} == {"thread-postcard-1"}


def test_the_runs_follow_each_other(ag_ui: list[Json]) -> None:
    borders = [(event["type"], event["runId"]) for event in ag_ui if "runId" in event]
    assert borders == [
        ("RUN_STARTED", "r1"),
        ("RUN_FINISHED", "r1"),
        ("RUN_STARTED", "r2"),
        ("RUN_FINISHED", "r2"),
    ]


def test_the_first_run_is_interrupted_over_a_call_that_it_proposed(ag_ui: list[Json]) -> None:
    interrupted = of_type(ag_ui, "RUN_FINISHED")[0]["outcome"]
    assert interrupted["type"] == "interrupt"
    (interrupt,) = interrupted["interrupts"]
    (proposed,) = of_type(ag_ui, "TOOL_CALL_START")
    assert interrupt["reason"] == "tool_call"
    assert interrupt["toolCallId"] == proposed["toolCallId"]
    assert interrupt["id"] != interrupt["toolCallId"]


def test_the_second_run_resumes_the_first_ones_interrupt(ag_ui: list[Json]) -> None:
    (interrupt,) = of_type(ag_ui, "RUN_FINISHED")[0]["outcome"]["interrupts"]
    first, second = of_type(ag_ui, "RUN_STARTED")
    assert "resume" not in first["input"]
    assert [entry["interruptId"] for entry in second["input"]["resume"]] == [interrupt["id"]]
    assert "parentRunId" not in second
    assert of_type(ag_ui, "RUN_FINISHED")[1]["outcome"] == {"type": "success"}


def test_the_result_comes_in_the_second_run_for_the_call_of_the_first(ag_ui: list[Json]) -> None:
    names = [event["type"] for event in ag_ui]
    resumed = names.index("RUN_STARTED", 1)
    assert "TOOL_CALL_START" not in names[resumed:]
    (result,) = of_type(ag_ui[resumed:], "TOOL_CALL_RESULT")
    assert result["toolCallId"] == of_type(ag_ui[:resumed], "TOOL_CALL_START")[0]["toolCallId"]
    assert result["messageId"] not in {event["messageId"] for event in of_type(ag_ui, "TEXT_MESSAGE_START")}


def test_the_snapshot_says_what_the_deltas_said(ag_ui: list[Json]) -> None:
    (snapshot,) = of_type(ag_ui, "MESSAGES_SNAPSHOT")
    (assistant,) = (message for message in snapshot["messages"] if message["role"] == "assistant")
    text = "".join(
        event["delta"] for event in of_type(ag_ui, "TEXT_MESSAGE_CONTENT") if event["messageId"] == assistant["id"]
    )
    arguments = "".join(event["delta"] for event in of_type(ag_ui, "TOOL_CALL_ARGS"))
    assert assistant["content"] == text
    assert assistant["toolCalls"][0]["function"]["arguments"] == arguments
    assert all("content" not in event for event in of_type(ag_ui, "TEXT_MESSAGE_END"))


def test_each_ag_ui_run_reports_only_its_own_usage(ag_ui: list[Json]) -> None:
    spent = [event["usage"][0]["totalTokens"] for event in of_type(ag_ui, "RUN_FINISHED")]
    assert spent == [154, 186]


# -- LangGraph -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def langgraph() -> tuple[list[Event], list[Event]]:
    """The events of the first stream and those of the second."""
    events = read_sse((TRANSCRIPTS / "langgraph_interrupt.sse").read_bytes())
    border = [event.name for event in events].index("metadata", 1)
    return events[:border], events[border:]


def payload(event: Event) -> Any:
    """The data of an event, which is a list in the mode ``messages``."""
    return event.data


def field(event: Event, name: str, default: Any = None) -> Any:
    return event.data.get(name, default) if isinstance(event.data, dict) else default


def interrupts(events: list[Event]) -> list[tuple[str, Json]]:
    """Each interrupt with the name of the event that tells of it."""
    return [(event.name, item) for event in events for item in field(event, "__interrupt__", [])]


def test_langgraph_frames_with_crlf_and_writes_the_id_last() -> None:
    body = (TRANSCRIPTS / "langgraph_interrupt.sse").read_bytes()
    assert body.count(b"\n") == body.count(b"\r\n")
    blocks = [block for block in body.decode().split("\r\n\r\n") if block and not block.startswith(":")]
    assert all([line.partition(":")[0] for line in block.split("\r\n")] == ["event", "data", "id"] for block in blocks)
    ids = [block.rpartition("\r\nid: ")[2] for block in blocks]
    assert len(set(ids)) == len(ids)
    assert b"\r\n\r\n: heartbeat\r\n\r\n" in body


def test_the_streams_have_two_run_ids_and_one_thread(langgraph: tuple[list[Event], list[Event]]) -> None:
    opened = [events[0] for events in langgraph]
    assert [event.name for event in opened] == ["metadata", "metadata"]
    assert all(isinstance(event.data, dict) and set(event.data) == {"run_id", "attempt"} for event in opened)
    assert field(opened[0], "run_id") != field(opened[1], "run_id")
    threads = set()
    for events, start in zip(langgraph, opened, strict=True):
        for event in events:
            if event.name == "messages":
                metadata = payload(event)[1]
                assert metadata["run_id"] == field(start, "run_id")
                threads.add(metadata["thread_id"])
    assert len(threads) == 1


def test_the_interrupt_is_told_twice_and_only_in_the_first_stream(
    langgraph: tuple[list[Event], list[Event]],
) -> None:
    told = interrupts(langgraph[0])
    assert [name for name, _ in told] == ["updates", "values"]
    assert told[0][1] == told[1][1]
    assert set(told[0][1]) == {"value", "id"}
    assert interrupts(langgraph[1]) == []


def test_the_second_stream_does_not_say_what_it_resumes(langgraph: tuple[list[Event], list[Event]]) -> None:
    interrupt_id = interrupts(langgraph[0])[0][1]["id"]
    first_run = field(langgraph[0][0], "run_id")
    second = json.dumps([event.data for event in langgraph[1]])
    assert interrupt_id not in second
    assert first_run not in second
    assert "resume" not in second


def test_neither_stream_has_a_terminal_event(langgraph: tuple[list[Event], list[Event]]) -> None:
    assert [events[-1].name for events in langgraph] == ["values", "values"]
    assert {event.name for events in langgraph for event in events} == {
        "metadata",
        "messages",
        "updates",
        "values",
    }


def chunks(events: list[Event]) -> list[Json]:
    """The message chunks of a stream."""
    found = [payload(event)[0] for event in events if event.name == "messages"]
    return [chunk for chunk in found if chunk["type"] == "AIMessageChunk"]


def test_chunks_add_up_to_the_message_of_the_update(langgraph: tuple[list[Event], list[Event]]) -> None:
    for events in langgraph:
        (whole,) = (
            message
            for event in events
            if event.name == "updates"
            for message in (field(event, "agent") or {}).get("messages", [])
        )
        pieces = chunks(events)
        assert {piece["id"] for piece in pieces} == {whole["id"]}
        assert "".join(piece["content"] for piece in pieces) == whole["content"]
        assert pieces[-1]["chunk_position"] == "last"
        calls = [call for piece in pieces for call in piece["tool_call_chunks"]]
        assert [call["id"] for call in calls if call["id"]] == [call["id"] for call in whole["tool_calls"]]
        assert {call["index"] for call in calls} <= {0}
        if calls:
            assert json.loads("".join(call["args"] for call in calls)) == whole["tool_calls"][0]["args"]


def test_the_tool_answers_in_the_second_stream_the_call_of_the_first(
    langgraph: tuple[list[Event], list[Event]],
) -> None:
    first, second = langgraph
    asked = interrupts(first)[0][1]["value"]["tool_call_id"]
    (answer,) = (
        message
        for event in second
        if event.name == "updates"
        for message in (field(event, "approve") or {}).get("messages", [])
    )
    assert answer["type"] == "tool"
    assert answer["tool_call_id"] == asked
    assert asked in [call["id"] for chunk in chunks(first) for call in chunk["tool_call_chunks"]]


def test_values_repeat_the_whole_conversation(langgraph: tuple[list[Event], list[Event]]) -> None:
    states = [field(event, "messages") for events in langgraph for event in events if event.name == "values"]
    for earlier, later in itertools.pairwise(states):
        assert later[: len(earlier)] == earlier
    assert [message["type"] for message in states[-1]] == ["human", "ai", "tool", "ai"]
