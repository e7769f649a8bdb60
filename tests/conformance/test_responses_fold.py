"""Every recorded Responses stream folds to what an independent reading of its file says."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
import reactivex as rx

from runstream.cli.exit_codes import ExitCode
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.raw import Answer, RawEvent
from runstream.model.signals import RunSignal, Signal
from runstream.recordings.reader import read_recording
from runstream.sinks.log import log_signals
from runstream.sources.sse_parser import SSEParser
from tests.cli.support import call_cli
from tests.conformance.recorded import RECORDINGS
from tests.conformance.responses_oracle import Reading, add_up, events_of, from_fragments, read_exchanges, read_file

FOLDER = RECORDINGS / "responses"
# Lanes and steered responses are read in tests of their own.
FILES = sorted(
    path.name for path in FOLDER.glob("*") if path.suffix in (".sse", ".jsonl") and "SYNTHETIC" not in path.name
) or ["absent"]
# Streams whose fragments are not the text of the whole objects: the arguments of two calls share one index.
SHARED_INDEX = {"open_responses_server_function_call.sse"}


def raws_of(name: str) -> list[RawEvent]:
    """The raw events of a recording; skips the test where there are none."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("no shared recordings beside the repository")
    return [item for item in read_recording(path) if isinstance(item, RawEvent)]


def folded_keys(folded: Folded) -> list[str]:
    """The keys of the signals of runs; none comes twice."""
    found = [signal.key for signal in folded.signals]
    assert len(set(found)) == len(found)
    return [signal.key for signal in folded.signals if isinstance(signal, RunSignal)]


def usage_of(state: RunState) -> dict[str, int]:
    """The tokens of a state, in the words of the wire."""
    usage = state.usage
    if usage is None:
        return {}
    found = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens,
        "reasoning_tokens": usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens,
    }
    return {name: count for name, count in found.items() if count is not None}


def said(state: RunState) -> dict[str, Any]:
    """What a state says, in the words of a reading."""
    action = state.run.required_action
    return {
        "status": state.status.value,
        "text": state.text,
        "pending": sorted(call.id or "" for call in state.run.pending_tool_calls) if action is not None else [],
        "usage": usage_of(state),
        "refusal": "".join(getattr(part, "refusal", None) or "" for item in state.messages for part in item.content),
        "annotations": [note.type for message in state.messages for note in message.annotations],
    }


def expected(readings: list[Reading]) -> dict[str, Any]:
    """What the readings of the responses of one run say."""
    last = readings[-1]
    return {
        "status": last.status,
        "text": "".join(each.text for each in readings),
        "pending": sorted(last.pending),
        "usage": add_up(readings),
        "refusal": "".join(each.refusal for each in readings),
        "annotations": [type for each in readings for type in each.annotations],
    }


def value_of(text: Any) -> Any:
    """A text as the JSON value that it contains, if it contains one."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def check(state: RunState, readings: list[Reading]) -> None:
    """A state says what the readings of its responses say."""
    assert said(state) == expected(readings)
    calls = {call.id: call for call in state.tool_calls}
    for reading in readings:
        for id, (name, arguments) in reading.calls.items():
            call = calls[id]
            assert name is None or call.name == name
            assert value_of(call.arguments) == value_of(arguments)
        for id, output in reading.outputs.items():
            if id in reading.calls:  # else its call is of another file
                assert value_of(calls[id].output) == value_of(output)
    reasoning = ["".join(each.reasoning or each.summary for each in readings)]
    reasoning += ["".join(each.summary for each in readings)]
    assert state.reasoning in reasoning


@pytest.mark.parametrize("name", FILES)
def test_a_recording_folds_to_its_reading(name: str) -> None:
    """Status, text, refusals, annotations, reasoning, calls with arguments and outputs, pending calls, and tokens."""
    folded = fold(raws_of(name), dialect="responses")
    folded_keys(folded)
    readings = {reading.id: reading for reading in read_file(FOLDER / name) if reading.id}
    assert [id for state in folded.runs for id in state.pieces] == list(readings)
    for state in folded.runs:
        check(state, [readings[id] for id in state.pieces])


@pytest.mark.parametrize("name", FILES)
def test_the_library_knows_every_event(name: str) -> None:
    """No event that the reference names is unknown, and nothing of a recording is rejected."""
    folded = fold(raws_of(name), dialect="responses")
    assert (folded.stats.unknown, folded.rejects) == (0, ())


@pytest.mark.parametrize("name", FILES)
def test_partial_images_are_counted(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The bytes of a partial image are not kept; neither these nor those of a whole image are in a log."""
    images = [event["partial_image_b64"][:40] for event in events_of(FOLDER / name) if "partial_image_b64" in event]
    with caplog.at_level("DEBUG"):
        folded = fold(raws_of(name), dialect="responses")
        log_signals(rx.from_iterable(folded.signals))
    counted = [getattr(call, "data", None) or {} for call in calls(folded)]
    assert sum(data.get("partial_images", 0) for data in counted) == len(images)
    for image in images:
        assert image not in caplog.text
        assert image not in json.dumps([call.to_dict() | {"output": None} for call in calls(folded)])


def calls(folded: Folded) -> list[Any]:
    return [call for state in folded.runs for call in state.tool_calls]


@pytest.mark.parametrize("name", [name for name in FILES if name not in SHARED_INDEX])
def test_fragments_alone_have_the_same_texts(name: str) -> None:
    """Without any whole item, the fragments have built what the fragments of the file say."""
    raws = [raw for raw in raws_of(name) if b'output_item.done"' not in raw.data and b'.done"' not in raw.data[:200]]
    events = [event for event in events_of(FOLDER / name) if str(event.get("type")).endswith(".delta")]
    whole = from_fragments(events)
    cut = [
        raw for raw in raws if not any(end in raw.data[:400] for end in (b"response.completed", b"response.incomplete"))
    ]
    folded = fold(cut, dialect="responses")
    assert "".join(state.text for state in folded.runs) == whole.text
    assert "".join(state.reasoning for state in folded.runs) in (whole.reasoning, whole.summary)
    refusals = [part for state in folded.runs for item in state.messages for part in item.content]
    assert "".join(getattr(part, "refusal", None) or "" for part in refusals) == whole.refusal
    built = {step.id: call.arguments for state in folded.runs for step in state.steps for call in step.tool_calls}
    for id, (_, arguments) in whole.calls.items():
        if id in built:  # else its ids change in every event
            assert built[id] == arguments


@pytest.mark.parametrize("name", FILES)
def test_a_cut_recording_is_no_success(name: str) -> None:
    """Cut at every event, no run is terminal before the event that says so, and all keys are those of the whole."""
    raws = raws_of(name)
    whole = folded_keys(fold(raws, dialect="responses"))
    ended = {reading.id for reading in read_file(FOLDER / name)}
    step = max(1, len(raws) // 40)
    for at in range(1, len(raws), step):
        folded = fold(raws[:at], dialect="responses")
        keys = folded_keys(folded)
        for state in folded.runs:
            assert state.run_id in ended
            if state.status == "completed":
                assert any(b'response.completed"' in raw.data for raw in raws[:at])
        assert [key for key in keys if "/interrupted/" not in key and "/paused/" not in key and key not in whole] == []


def numbered(name: str) -> bool:
    numbers = [event.get("sequence_number") for event in events_of(FOLDER / name)] if FOLDER.exists() else []
    return bool(numbers) and all(isinstance(number, int) for number in numbers)


@pytest.mark.parametrize("name", [name for name in FILES if numbered(name)] or ["absent"])
def test_a_repeated_recording_changes_nothing(name: str) -> None:
    """With numbers, each event twice and the whole stream twice are the same run signals and the same runs."""
    raws = raws_of(name)
    whole = fold(raws, dialect="responses")
    for again in ([raw for raw in raws for _ in range(2)], [*raws, *raws]):
        folded = fold(again, dialect="responses")
        assert folded_keys(folded) == folded_keys(whole)
        assert [said(state) for state in folded.runs] == [said(state) for state in whole.runs]


RUNS = [
    *[
        (f"{stem}_function_1_call.sse", f"{stem}_function_2_answer.sse")
        for stem in ("openai_2025-03", "openai_phase", "deepseek", "litellm", "ogx", "fastresponses", "xai")
    ],
    ("openai_mcp_approval_1_request.jsonl", "openai_mcp_approval_2_approved.jsonl"),
    tuple(f"openai_client_tool_search_{number}.sse" for number in (1, 2, 3)),
    tuple(f"openai_programmatic_{number}.jsonl" for number in (1, 2, 3)),
    tuple(f"bedrock_counted_call_ids_{number}.sse" for number in (1, 2, 3)),
]


@pytest.mark.parametrize("names", RUNS, ids=lambda names: names[0].partition(".")[0])
def test_several_files_are_one_run(names: tuple[str, ...]) -> None:
    """The application says that each stream continues the first: one run, each round asked once, completed once."""
    sources: list[Any] = [("1", raws_of(names[0]))]
    readings = [read_file(FOLDER / name)[0] for name in names]
    run_id = readings[0].id
    if len({reading.id for reading in readings}) < len(readings):
        # A server whose responses have one id: for the library they are one, with the tokens of the last one.
        readings = [
            replace(reading, usage=readings[-1].usage if reading is readings[-1] else {}) for reading in readings
        ]
    sources += [(str(at), raws_of(name), {"continues": run_id}) for at, name in enumerate(names[1:], 2)]
    folded = fold_sources(sources, dialect="responses")
    (state,) = folded.runs
    assert (state.run_id, state.status) == (run_id, "completed")
    assert state.round == len(names) - 1
    check(state, readings)
    keys = folded_keys(folded)
    assert len([key for key in keys if "/action_required/" in key]) == len(names) - 1
    assert keys[-1] == f"{keys[0].partition('/')[0]}/completed"


@pytest.mark.parametrize("names", RUNS, ids=lambda names: names[0].partition(".")[0])
def test_fold_continues_on_the_command_line(names: tuple[str, ...]) -> None:
    """`fold --continue` of the files of one run shows one completed run."""
    raws_of(names[0])
    paths = [str(FOLDER / name) for name in names]
    done = call_cli("fold", "--json", "--dialect", "responses", "--continue", *paths)
    (shown,) = map(json.loads, done.out.splitlines())
    assert (shown["run"]["status"], done.code) == ("completed", ExitCode.COMPLETED)
    assert shown["run"]["id"] == read_file(FOLDER / names[0])[0].id


@pytest.mark.parametrize("stem", ["ogx", "fastresponses"])
def test_the_wire_names_the_first_response(stem: str) -> None:
    """These servers send `previous_response_id`, so that the pair is one run without a word of the application."""
    one, two = raws_of(f"{stem}_function_1_call.sse"), raws_of(f"{stem}_function_2_answer.sse")
    (state,) = fold_sources([("one", one), ("two", two)], dialect="responses").runs
    assert (state.status, len(state.pieces)) == ("completed", 2)


def test_the_wire_names_the_approval() -> None:
    """The call of an approved tool names the request for its approval, which a waiting run has made."""
    one, two = raws_of("openai_mcp_approval_1_request.jsonl"), raws_of("openai_mcp_approval_2_approved.jsonl")
    folded = fold_sources([("one", one), ("two", two)], dialect="responses")
    (state,) = folded.runs
    assert (state.status, len(state.pieces)) == ("completed", 2)
    told = fold_sources([("one", one), ("two", two, {"continues": state.run_id})], dialect="responses")
    assert folded_keys(told) == folded_keys(folded)


def test_a_next_turn_is_a_run_of_its_own() -> None:
    """A response that names one which waits for nothing is the next turn of a conversation."""
    one, two = raws_of("openai_previous_response_id_1.sse"), raws_of("openai_previous_response_id_2.sse")
    folded = fold_sources([("one", one), ("two", two)], dialect="responses")
    assert [(state.status.value, len(state.pieces)) for state in folded.runs] == [("completed", 1)] * 2


def test_a_steered_response_is_one_run() -> None:
    """The successor of a steered response is the same run."""
    (state,) = fold(raws_of("websocket_steered_SYNTHETIC.jsonl"), dialect="responses").runs
    assert (state.status, len(state.pieces)) == ("completed", 2)


def test_lanes_are_runs_of_their_own() -> None:
    """Two lanes of one socket, one of which waits and is answered in the other."""
    folded = fold(raws_of("websocket_two_lanes_SYNTHETIC.jsonl"), dialect="responses")
    folded_keys(folded)
    assert sorted(state.status.value for state in folded.runs) == ["completed", "completed"]


# the same bytes in other pieces


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".sse")] or ["absent"])
@pytest.mark.parametrize("seed", range(3))
def test_bytes_in_any_chunks_are_one_stream(name: str, seed: int) -> None:
    """Where the network cuts a stream makes no difference."""
    whole = folded_keys(fold(raws_of(name), dialect="responses"))
    body, rng = (FOLDER / name).read_bytes(), random.Random(seed)
    parser, items, at = SSEParser(), list[Any](), 0
    while at < len(body):
        size = rng.choice((1, 2, 7, 100, 5_000))
        items += parser.feed(body[at : at + size])
        at += size
    items += parser.close()
    assert folded_keys(fold(items, dialect="responses")) == whole


@pytest.mark.parametrize("name", [name for name in FILES if numbered(name)] or ["absent"])
def test_a_recording_is_resumed_by_number(name: str) -> None:
    """Cut at each event and continued after the number of the last one: the same run signals and the same runs."""
    raws = raws_of(name)
    clean = fold(raws, dialect="responses", clock=lambda: 1.0)
    wanted = folded_keys(clean)
    for at in range(1, len(raws), max(1, len(raws) // 40)):
        engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
        engine.on_signal = signals.append
        intake = engine.intake("stream", dialect="responses")
        intake.connected()
        intake.feed_all(raws[:at])
        intake.disconnected("lost")
        intake.connected()
        intake.feed_all(raws[_place_after(raws, intake.last_id) :])
        intake.end()
        assert [signal.key for signal in signals if isinstance(signal, RunSignal)] == wanted, at
        assert [said(state) for state in engine.states()] == [said(state) for state in clean.runs]
        if "SHORTENED" not in name:
            assert engine.stats().gaps <= (at < 16)  # few numbers prove nothing


def _place_after(raws: list[RawEvent], cursor: str | None) -> int:
    """The place at which a server continues after a cursor: a response, and a number of its events."""
    if cursor is None:
        return 0
    id, _, number = cursor.rpartition("/")
    found, current = 0, None
    for place, raw in enumerate(raws):
        event = json.loads(raw.data) if raw.data.startswith(b"{") else {}
        if event.get("type") == "response.created":
            current = event["response"]["id"]
        if current in (id, None) and event.get("sequence_number") == int(number):
            found = place + 1
    return found


# polled responses

POLLED = sorted(path.name for path in FOLDER.glob("*.json")) or ["absent"]


@pytest.mark.parametrize("name", POLLED)
def test_polled_responses_fold_to_their_reading(name: str) -> None:
    """A polled response is a snapshot, and the requests of the file say which run each response continues."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("no shared recordings beside the repository")
    folded = fold(read_recording(path), dialect="responses")
    folded_keys(folded)
    readings = read_exchanges(path)
    assert [id for state in folded.runs for id in state.pieces] == list(readings)
    for state in folded.runs:
        check(state, [readings[id] for id in state.pieces])
    # A response continues a run if the one that it names has calls, or where the request answers them.
    turns = {"openai_previous_response_id_functions_polled.json": 2}
    assert len(folded.runs) == turns.get(name, 1)
    done = call_cli("fold", "--json", "--dialect", "responses", str(path))
    assert len(done.out.splitlines()) == len(folded.runs)


@pytest.mark.parametrize("name", POLLED)
def test_polls_repeat_nothing(name: str) -> None:
    """An object that is polled again changes nothing."""
    path = FOLDER / name
    items = list(read_recording(path)) if path.exists() else []
    twice = [item for item in items for _ in range(2 if isinstance(item, Answer) else 1)]
    assert folded_keys(fold(twice, dialect="responses")) == folded_keys(fold(items, dialect="responses"))
