"""The same bytes of the Responses wire through runstream and through the `openai` package's own stream.

Run: python benchmarks/responses.py [rounds]. Prints a Markdown table; each contender's result is checked first.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
import openai
from pairing import Row, paired, table
from peers import chunks, offline_api

from runstream import Engine, RawEvent, TextDelta
from runstream.dialects.responses_wire import decode_fragment
from runstream.sources.sse_parser import SSEParser

__all__ = ["response_rows"]

_MESSAGE = "msg_0976c6df58902d6a0068c9ef3537f48196a252a62ce5661cef"
_RESPONSE = "resp_0976c6df58902d6a0068c9ef34fae48196bc8ea85b5f22e1ef"
AIM = "≥ 80"


class Outcome(NamedTuple):
    """The result of a contender: equal for all."""

    status: str
    text: str
    pieces: int


@cache
def body(words: int) -> bytes:
    """One response as the body of an HTTP response: with numbers, and random padding as OpenAI sends it."""
    text = "word " * words
    message = {"id": _MESSAGE, "type": "message", "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    place = {"item_id": _MESSAGE, "output_index": 0, "content_index": 0}
    whole = {**message, "status": "completed", "content": [{**part, "text": text}]}
    usage = {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": words,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 36 + words,
    }
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response("in_progress")},
        {"type": "response.in_progress", "response": _response("in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
        *[
            {"type": "response.output_text.delta", **place, "delta": "word ", "logprobs": [], "obfuscation": padding}
            for padding in (f"{number * 7919:011x}" for number in range(words))
        ],
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": {**_response("completed"), "output": [whole], "usage": usage}},
    ]
    blocks = []
    for number, event in enumerate(events):
        data = msgspec.json.encode({"type": event["type"], "sequence_number": number, **event})
        blocks.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))
    return b"".join(blocks)


def _response(status: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "name": "get_weather", "description": "The weather.", "strict": True}
    return {
        "id": _RESPONSE,
        "object": "response",
        "created_at": 1758064437,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": "You are a helpful assistant that answers in a friendly and concise way. " * 11,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-4o-mini-2024-07-18",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [{**tool, "parameters": parameters}],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def runstream_sse(data: bytes) -> Outcome:
    """The parser and the engine: full state, every signal taken."""
    pieces = [0]

    def take(signal: Any) -> None:
        if type(signal) is TextDelta:
            pieces[0] += 1

    engine = Engine()
    engine.on_signal = take
    intake, parser = engine.intake("bench", dialect="responses"), SSEParser()
    for chunk in chunks(data):
        intake.feed_all(parser.feed(chunk))
    intake.feed_all(parser.close())
    (state,) = engine.states()
    return Outcome(state.status.value, state.text, pieces[0])


def parsed_and_decoded(data: bytes) -> int:
    """The floor: the parser, and one decoding for each block; nothing is kept."""
    parser, count = SSEParser(), 0
    for chunk in chunks(data):
        for raw in parser.feed(chunk):
            if isinstance(raw, RawEvent):
                if raw.event == "response.output_text.delta":
                    decode_fragment(raw.data)
                else:
                    msgspec.json.decode(raw.data)
                count += 1
    return count


def openai_sync(data: bytes) -> Outcome:
    """The package's stream of typed events, as its documentation has it; the program adds up the text."""
    status, text, pieces = "", [], 0
    with (
        offline_api(data) as api,
        api.responses.create(model="gpt-4o-mini", input="Hello", stream=True) as stream,
    ):
        for event in stream:
            if event.type == "response.output_text.delta":
                text.append(event.delta)
                pieces += 1
            elif event.type == "response.completed":
                status = event.response.status or ""
    return Outcome(status, "".join(text), pieces)


def openai_helper(data: bytes) -> Outcome:
    """The package's helper, which keeps a snapshot of the response."""
    pieces = 0
    with (
        offline_api(data) as api,
        api.responses.stream(model="gpt-4o-mini", input="Hello") as stream,
    ):
        for event in stream:
            pieces += event.type == "response.output_text.delta"
        response = stream.get_final_response()
    return Outcome(response.status or "", response.output_text, pieces)


def response_rows(rounds: int) -> list[Row]:
    """The rows of the table."""
    rows = []
    for words in (200, 1000):
        data = body(words)
        mine = runstream_sse(data)
        assert mine == ("completed", "word " * words, words), mine
        for name, call, aim in (("stream", openai_sync, AIM), ("`stream()` helper", openai_helper, "")):
            assert call(data) == mine, name
            ratio = paired(partial(call, data), partial(runstream_sse, data), rounds, others=20)
            what = f"openai's Responses {name}: CPU time, times that of runstream; SSE, {words} deltas"
            rows.append(Row(what, aim, ratio))
        assert parsed_and_decoded(data) > words
        floor = paired(partial(openai_sync, data), partial(parsed_and_decoded, data), rounds, others=20)
        rows.append(Row(f"its floor: against parsing and bare decode alone, {words} deltas", "", floor))
    return rows


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"Python {sys.version.split()[0]}, msgspec {msgspec.__version__}, openai {openai.__version__}\n")
    print(table(response_rows(rounds)))


if __name__ == "__main__":
    main()
