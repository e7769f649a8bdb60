"""What a fragment of text costs in each dialect, beyond bare typed decoding of the same message.

Run: python benchmarks/dialects.py [rounds]. Prints a Markdown table; each contender's result is checked first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from core import bare_decode
from pairing import Ratio, Row, ratio_of, seconds, table

from runstream import Engine, RawEvent
from runstream.dialects.ag_ui_wire import decode_fragment as decode_ag_ui_fragment
from runstream.dialects.responses_wire import decode_fragment

__all__ = ["dialect_rows"]

FRAGMENTS = 20_000
_MESSAGE = "msg_0976c6df58902d6a0068c9ef3537f48196a252a62ce5661cef"


def _raw(value: dict[str, Any]) -> RawEvent:
    return RawEvent(data=msgspec.json.encode(value), at=1.0)


@cache
def responses() -> tuple[list[RawEvent], list[RawEvent]]:
    """The beginning of a response, and its fragments: with numbers, and random padding as OpenAI sends it."""
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    item = {"id": _MESSAGE, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    start = [
        _raw({"type": "response.created", "sequence_number": 0, "response": response}),
        _raw({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item}),
    ]
    fragment = {"type": "response.output_text.delta", "item_id": _MESSAGE, "output_index": 0, "content_index": 0}
    return start, [
        _raw({**fragment, "delta": "word ", "sequence_number": n, "logprobs": [], "obfuscation": f"{n * 7919:011x}"})
        for n in range(2, FRAGMENTS + 2)
    ]


@cache
def assistants() -> tuple[list[RawEvent], list[RawEvent]]:
    """The beginning of a run of the Assistants wire, and its fragments: envelopes with ids that count."""
    run = {"id": "run_1", "object": "thread.run", "status": "in_progress"}
    message = {"id": _MESSAGE, "object": "thread.message", "run_id": "run_1", "status": "in_progress", "content": []}
    start = [
        _raw({"event": "thread.run.created", "id": "e-0", "data": run}),
        _raw({"event": "thread.message.created", "id": "e-1", "data": message}),
    ]
    part = {"index": 0, "type": "text", "text": {"value": "word ", "annotations": []}}
    data = {"id": _MESSAGE, "object": "thread.message.delta", "delta": {"content": [part]}}
    return start, [
        _raw({"event": "thread.message.delta", "id": f"e-{n}", "data": data}) for n in range(2, FRAGMENTS + 2)
    ]


@cache
def langgraph() -> tuple[list[RawEvent], list[RawEvent]]:
    """The beginning of a run of a LangGraph server, and chunks of one message: each with the kilobyte beside it."""
    node = "agent:6e902f88-caee-1b93-6d08-bfa6fd5158f7"
    facts = {
        **dict.fromkeys(("created_by", "graph_id", "langgraph_plan", "langgraph_host", "ls_integration"), "system"),
        **dict.fromkeys(("run_id", "thread_id", "assistant_id", "langgraph_request_id"), _LANGGRAPH_RUN),
        "langgraph_step": 1,
        "langgraph_node": "agent",
        "langgraph_triggers": ["branch:to:agent"],
        "langgraph_path": ["__pregel_pull", "agent"],
        "langgraph_checkpoint_ns": node,
        "checkpoint_ns": node,
        "lc_versions": {"langchain-core": "1.8.3"},
    }
    chunk = {
        "content": "word ",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "AIMessageChunk",
        "name": None,
    }
    chunk |= {"id": _LANGGRAPH_MESSAGE, "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
    data = msgspec.json.encode([{**chunk, "tool_call_chunks": [], "chunk_position": None}, facts])
    start = [RawEvent("metadata", msgspec.json.encode({"run_id": _LANGGRAPH_RUN, "attempt": 1}), at=1.0)]
    return start, [RawEvent("messages", data, f"{n}-0", at=1.0) for n in range(1, FRAGMENTS + 1)]


_LANGGRAPH_RUN = "01a22220-aae2-716e-8d5d-d319283fc3e5"
_LANGGRAPH_MESSAGE = "lc_run--01a22220-ae9e-70bc-bbb6-0b921fca18a1"


@cache
def ag_ui(history: int = 0) -> tuple[list[RawEvent], list[RawEvent]]:
    """The beginning of a run of the AG-UI wire, and its fragments, which have no number.

    Args:
        history: The number of messages of its thread, which a snapshot has.
    """
    start = [_raw({"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"})]
    if history:
        roles = ("user", "assistant")
        messages = [{"id": f"m{n}", "role": roles[n % 2], "content": f"message {n}"} for n in range(history)]
        start.append(_raw({"type": "MESSAGES_SNAPSHOT", "messages": [*messages, {**messages[0], "id": "last"}]}))
    start.append(_raw({"type": "TEXT_MESSAGE_START", "messageId": _MESSAGE, "role": "assistant"}))
    fragment = {"type": "TEXT_MESSAGE_CONTENT", "messageId": _MESSAGE, "delta": "word "}
    return start, [_raw(fragment) for _ in range(FRAGMENTS)]


def fold(raws: Callable[[], tuple[list[RawEvent], list[RawEvent]]], dialect: str) -> Engine:
    """An engine that was fed with the fragments, all of whose signals are taken."""
    start, fragments = raws()
    engine = Engine(clock=lambda: 1.0)
    engine.on_signal = lambda signal: None
    intake = engine.intake("bench", dialect=dialect)
    intake.feed_all(start)
    intake.feed_all(fragments)
    return engine


def bare(raws: Callable[[], tuple[list[RawEvent], list[RawEvent]]], decode: Callable[[bytes], Any]) -> None:
    """Bare typed decoding of the fragments."""
    for raw in raws()[1]:
        decode(raw.data)


def beyond(
    raws: Callable[[], tuple[list[RawEvent], list[RawEvent]]], dialect: str, decode: Callable[[bytes], Any], rounds: int
) -> tuple[Ratio, Ratio, Ratio]:
    """A fragment of a dialect beyond its bare decoding, against one of the Assistants wire beyond its own; and each
    against its bare decoding.
    """
    ratios, ours, theirs = [], [], []
    for _ in range(rounds):
        new = seconds(lambda: fold(raws, dialect))
        floor = seconds(lambda: bare(raws, decode))
        known = seconds(lambda: fold(assistants, "assistants"))
        known_floor = seconds(lambda: bare(assistants, bare_decode))
        ratios.append((new - floor) / (known - known_floor))
        ours.append(new / floor)
        theirs.append(known / known_floor)
    return ratio_of(ratios), ratio_of(ours), ratio_of(theirs)


def history_row(rounds: int) -> Row:
    """What a fragment costs in a thread with many messages, against one in a thread with few."""
    ratios = []
    for _ in range(rounds):
        found = []
        for history in (10_000, 10):
            start, fragments = ag_ui(history)
            engine = Engine(clock=lambda: 1.0)
            engine.on_signal = lambda signal: None
            intake = engine.intake("bench", dialect="ag-ui")
            intake.feed_all(start)
            found.append(seconds(lambda intake=intake, fragments=fragments: intake.feed_all(fragments)))  # type: ignore[misc]
        ratios.append(found[0] / found[1])
    return Row("an AG-UI text delta after 10,000 messages of history, against one after 10", "≤ 1.1", ratio_of(ratios))


def dialect_rows(rounds: int) -> list[Row]:
    """The rows of the table."""
    for raws, dialect in ((responses, "responses"), (ag_ui, "ag-ui"), (assistants, "assistants")):
        (state,) = fold(raws, dialect).states()
        assert state.text == "word " * FRAGMENTS
    ratio, ours, theirs = beyond(responses, "responses", decode_fragment, rounds)
    ag_ui_ratio, ag_ui_ours, _ = beyond(ag_ui, "ag-ui", decode_ag_ui_fragment, rounds)
    return [
        Row(
            "a Responses text delta beyond bare decoding, against an Assistants delta with an id beyond its own",
            "≤ 1.3",
            ratio,
        ),
        Row(
            "an AG-UI text delta beyond bare decoding, against an Assistants delta with an id beyond its own",
            "≤ 1.3",
            ag_ui_ratio,
        ),
        Row("a Responses text delta with its number, against bare typed decode", "", ours),
        Row("an AG-UI text delta, against bare typed decode", "", ag_ui_ours),
        Row("an Assistants text delta with an id, against bare typed decode", "", theirs),
        history_row(rounds),
    ]


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"Python {sys.version.split()[0]}, msgspec {msgspec.__version__}, {rounds} rounds\n")
    print(table(dialect_rows(rounds)))


if __name__ == "__main__":
    main()
