"""Every recorded Responses stream folds to what an independent reading of its file says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import reactivex as rx

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.raw import RawEvent
from runstream.model.signals import RunSignal
from runstream.recordings.reader import read_recording
from runstream.sinks.log import log_signals
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
            if id in calls:  # else its call is of another file
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


PAIRS = [
    ("openai_2025-03_function_1_call.sse", "openai_2025-03_function_2_answer.sse"),
    ("openai_phase_function_1_call.sse", "openai_phase_function_2_answer.sse"),
    ("deepseek_function_1_call.sse", "deepseek_function_2_answer.sse"),
    ("litellm_function_1_call.sse", "litellm_function_2_answer.sse"),
    ("ogx_function_1_call.sse", "ogx_function_2_answer.sse"),
    ("fastresponses_function_1_call.sse", "fastresponses_function_2_answer.sse"),
    ("xai_function_1_call.sse", "xai_function_2_answer.sse"),
    ("openai_mcp_approval_1_request.jsonl", "openai_mcp_approval_2_approved.jsonl"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pair_is_one_run(first: str, second: str) -> None:
    """The application says that the second stream continues the first: one run, asked once, completed once."""
    readings = read_file(FOLDER / first) if (FOLDER / first).exists() else []
    one, two = raws_of(first), raws_of(second)
    run_id = readings[0].id
    folded = fold_sources([("one", one), ("two", two, {"continues": run_id})], dialect="responses")
    (state,) = folded.runs
    assert (state.run_id, state.status) == (run_id, "completed")
    assert state.text == readings[0].text + read_file(FOLDER / second)[0].text
    keys = folded_keys(folded)
    assert len([key for key in keys if "/action_required/" in key]) == 1
    assert keys[-1] == f"{keys[0].partition('/')[0]}/completed"


@pytest.mark.parametrize("stem", ["ogx", "fastresponses"])
def test_the_wire_names_the_first_response(stem: str) -> None:
    """These servers send `previous_response_id`, so that the pair is one run without a word of the application."""
    one, two = raws_of(f"{stem}_function_1_call.sse"), raws_of(f"{stem}_function_2_answer.sse")
    (state,) = fold_sources([("one", one), ("two", two)], dialect="responses").runs
    assert (state.status, len(state.pieces)) == ("completed", 2)


def test_a_steered_response_is_one_run() -> None:
    """The successor of a steered response is the same run."""
    (state,) = fold(raws_of("websocket_steered_SYNTHETIC.jsonl"), dialect="responses").runs
    assert (state.status, len(state.pieces)) == ("completed", 2)


def test_lanes_are_runs_of_their_own() -> None:
    """Two lanes of one socket, one of which waits and is answered in the other."""
    folded = fold(raws_of("websocket_two_lanes_SYNTHETIC.jsonl"), dialect="responses")
    folded_keys(folded)
    assert sorted(state.status.value for state in folded.runs) == ["completed", "completed"]
