"""Every recorded LangGraph stream folds, with the server's answers, to what the server itself said last."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.frozen import thaw
from runstream.model.raw import Answer, ConnectionEvent, RawEvent, RawItem, ResponseHead
from runstream.model.signals import CustomReceived, RunInterrupted, RunSignal
from runstream.recordings.reader import read_recording
from runstream.sources.sse_parser import SSEParser
from tests.conformance.langgraph_oracle import Reading, Stream, last_word, read_run, read_thread, requests_of
from tests.conformance.recorded import RECORDINGS

FOLDER = RECORDINGS / "langgraph"
REASON = "no shared recordings beside the repository"
ALL = sorted(path.name for path in FOLDER.glob("*") if path.suffix in (".sse", ".jsonl")) or ["absent"]
THREADS = [name for name in ALL if "v2_" in name] or ["absent"]
RUNS = [name for name in ALL if name not in THREADS]
ANSWERED = [name for name in RUNS if (FOLDER / f"{Path(name).stem}.after.json").exists()] or ["absent"]
# A stream without its beginning: what it says alone is not the whole.
JOINED = {"resumable_2_rejoined.sse", "resumable_4_joined_after_the_end_no_id.sse"}


def items_of(name: str) -> list[RawItem]:
    """The items of a recording; skips the test where there are none."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(REASON)
    return list(read_recording(path))


def head_of(name: str) -> list[RawItem]:
    """The head of the response that a recording is the body of."""
    request = asked().get(Path(name).stem)
    if request is None or request.run is None:
        return []
    place = f"/threads/{request.thread}/runs/{request.run}"
    return [ResponseHead(status=200, headers=(("content-location", place),))]


def answers_of(name: str) -> list[bytes]:
    """What the server said when the stream had ended."""
    path = FOLDER / f"{Path(name).stem.removesuffix('.ws')}.after.json"
    return [path.read_bytes()] if path.exists() else []


@cache
def asked() -> dict[str, Stream]:
    return requests_of(FOLDER) if (FOLDER / "requests.json").exists() else {}


def dialect_of(name: str) -> str:
    return "langgraph-thread" if name in THREADS else "langgraph"


def fold_file(name: str, *, answers: bool = True) -> Folded:
    found = answers_of(name) if answers else []
    return fold([*head_of(name), *items_of(name)], dialect=dialect_of(name), answers=found)


def keys_of(folded: Folded) -> list[str]:
    """The keys of the signals of runs; none comes twice."""
    keys = [signal.key for signal in folded.signals]
    assert len(set(keys)) == len(keys)
    return [signal.key for signal in folded.signals if isinstance(signal, RunSignal)]


def pending(state: RunState) -> set[str]:
    """The ids of the questions that a run waits for."""
    return {call.id or "" for call in state.run.pending_tool_calls} if state.run.requires_action else set()


def said(state: RunState) -> dict[str, Any]:
    """What a state says."""
    return {
        "status": state.status.value,
        "text": state.text,
        "pending": pending(state),
        "calls": {call.id: (call.name, call.arguments, call.output) for call in state.tool_calls},
        "document": thaw(state.document) if state.document is not None else None,
    }


@pytest.mark.parametrize("name", ANSWERED)
def test_the_answers_are_the_last_word(name: str) -> None:
    """With what the server said afterwards, the status and the questions are those that it has."""
    folded = fold_file(name)
    keys_of(folded)
    (state,) = folded.runs
    status, ids = last_word(json.loads(answers_of(name)[0]))
    assert (state.status.value, pending(state)) == (status, ids)
    assert state.run_id == asked()[Path(name).stem].run
    assert state.run.thread_id == asked()[Path(name).stem].thread
    assert not folded.rejects
    assert not folded.orphans


@pytest.mark.parametrize("name", [name for name in RUNS if name not in JOINED])
def test_a_recording_says_what_its_reading_says(name: str) -> None:
    """Texts, reasoning, calls, results, the document and custom values are those of the file."""
    folded = fold_file(name)
    assert not folded.rejects
    reading = read_run(FOLDER / name)
    assert "".join(state.text for state in folded.runs) == reading.text
    assert "".join(state.reasoning for state in folded.runs) == reading.reasoning
    known = {call.id: call for state in folded.runs for step in state.steps for call in step.tool_calls}
    for id, (tool, arguments) in reading.calls.items():
        if id in known and known[id].arguments:
            assert (known[id].name, json.loads(known[id].arguments)) == (tool, json.loads(arguments))
    assert {id: call.output for id, call in known.items() if call.output is not None} == reading.results
    state = folded.runs[-1]
    if reading.document is not None:
        assert thaw(state.document) == reading.document
    assert [thaw(signal.value) for signal in folded.signals if isinstance(signal, CustomReceived)] == reading.customs


@pytest.mark.parametrize("name", RUNS)
def test_without_an_answer_no_run_is_completed(name: str) -> None:
    """A file alone: an error ends its run, an interrupt pauses it, and any other outcome is unknown."""
    folded = fold_file(name, answers=False)
    reading = read_run(FOLDER / name)
    reasons = [signal.reason for signal in folded.signals if isinstance(signal, RunInterrupted)]
    for state in folded.runs:
        assert not state.run.is_complete
        assert state.is_terminal == bool(reading.errors)
        if state.run.requires_action:
            assert reading.waits
        elif not state.is_terminal:
            assert reasons == ["the outcome of the run is not on this wire, and the server was not asked"]


@pytest.mark.parametrize("name", ALL)
def test_any_chunks_of_bytes_are_the_same_run(name: str) -> None:
    """However the bytes of a stream arrive, the signals are the same."""
    body = b"".join([(FOLDER / name).read_bytes()]) if (FOLDER / name).exists() else b""
    if name.endswith(".jsonl") or not body:
        pytest.skip("frames of a socket arrive whole" if body else REASON)
    whole = [signal.key for signal in fold_file(name).signals]
    for size in (1, 7, 100, 4096):
        if size == 1 and len(body) > 60_000:
            continue
        parser = SSEParser()
        items: list[Any] = []
        for start in range(0, len(body), size):
            items += parser.feed(body[start : start + size])
        folded = fold([*head_of(name), *items], dialect=dialect_of(name), answers=answers_of(name))
        assert [signal.key for signal in folded.signals] == whole


@pytest.mark.parametrize("name", [name for name in ALL if name not in JOINED])
def test_a_cut_stream_is_no_success(name: str) -> None:
    """Cut at every event, no run is completed before the server says so, and all keys are those of the whole."""
    items = items_of(name)
    whole = set(keys_of(fold_file(name)))
    step = max(1, len(items) // 40)
    for at in range(1, len(items), step):
        folded = fold([*head_of(name), *items[:at]], dialect=dialect_of(name))
        new = [key for key in keys_of(folded) if key not in whole]
        # Of two questions of one step the first may be the last that arrived.
        kinds = ("/interrupted/", "/paused/", "/action_required/", "/incomplete", "/document/")
        assert [key for key in new if not any(kind in key for kind in kinds)] == []
        for state in folded.runs:
            if name in RUNS:
                assert not state.run.is_complete
            elif state.run.is_complete:
                assert any(b'"completed"' in item.data for item in items[:at] if isinstance(item, RawEvent))


def rejoined(items: list[RawItem], at: int) -> list[RawItem]:
    """The items of a stream that is cut and joined again after the last id, as the server replays it."""
    cut = [item for item in items[:at] if isinstance(item, RawEvent)]
    last = cut[-1].id if cut else None
    rest = [item for item in items if isinstance(item, RawEvent) and (last is None or (item.id or "") > last)]
    if last is not None and last.isdigit():
        rest = [item for item in items if isinstance(item, RawEvent) and int(item.id or "0") > int(last)]
    again = [ConnectionEvent(connected=False, reason="lost"), ConnectionEvent(connected=True, attempt=1)]
    return [ConnectionEvent(connected=True), *items[:at], *again, *rest]


def resumable() -> list[str]:
    found = []
    for name in ALL:
        path = FOLDER / name
        if path.suffix == ".sse" and path.exists() and b"\nid:" in path.read_bytes() and name not in JOINED:
            found.append(name)
    return found or ["absent"]


@pytest.mark.parametrize("name", resumable())
def test_a_stream_that_is_joined_again_is_whole(name: str) -> None:
    """Cut at every event and joined after its last id: the same runs, but for what shares the id of the cut."""
    items = items_of(name)
    whole = fold_file(name)
    for at in range(1, len(items)):
        parts = rejoined(items, at)
        raws = [item for item in parts if isinstance(item, RawEvent)]
        folded = fold([*head_of(name), *parts], dialect=dialect_of(name), answers=answers_of(name))
        keys_of(folded)
        if len(raws) == len([item for item in items if isinstance(item, RawEvent)]):
            assert [said(state) for state in folded.runs] == [said(state) for state in whole.runs]
        else:  # an event was lost with the cut
            assert len(folded.runs) <= len(whole.runs) + 1


@pytest.mark.parametrize("name", resumable())
def test_a_replay_from_the_beginning_changes_nothing(name: str) -> None:
    """A server that sends everything again after a reconnect adds nothing."""
    items = items_of(name)
    whole = fold_file(name)
    again = [ConnectionEvent(connected=False, reason="lost"), ConnectionEvent(connected=True, attempt=1)]
    for at in range(1, len(items), max(1, len(items) // 12)):
        parts = [ConnectionEvent(connected=True), *items[:at], *again, *items]
        folded = fold([*head_of(name), *parts], dialect=dialect_of(name), answers=answers_of(name))
        assert [said(state) for state in folded.runs] == [said(state) for state in whole.runs]
        keys = [key for key in keys_of(folded) if "/interrupted/" not in key]
        assert sorted(keys) == sorted(key for key in keys_of(whole) if "/interrupted/" not in key)


def test_a_cut_stream_and_its_rest_are_one_run() -> None:
    """The recorded cut, and what the server sent to the client that joined again."""
    first, second = items_of("resumable_1_cut.sse"), items_of("resumable_2_rejoined.sse")
    lost = [ConnectionEvent(connected=False, reason="cut"), ConnectionEvent(connected=True, attempt=1)]
    items = [ConnectionEvent(connected=True), *head_of("resumable_1_cut.sse"), *first, *lost, *second]
    (state,) = fold(items, dialect="langgraph", answers=answers_of("resumable_2_rejoined.sse")).runs
    readings = [read_run(FOLDER / f"resumable_{part}.sse") for part in ("1_cut", "2_rejoined")]
    assert state.status == "completed"
    assert state.text == "".join(readings[0].texts.values()) + "".join(
        text.removeprefix(readings[0].texts.get(id, "")) if id in readings[0].texts else text
        for id, text in readings[1].texts.items()
    )
    assert "wave 1 wave 2 wave 3" in state.text


def threads() -> list[list[str]]:
    """The files of one thread each, in order, of threads with several runs."""
    found: dict[str, list[str]] = {}
    for name in RUNS:
        request = asked().get(Path(name).stem)
        if request is not None and request.thread is not None and name not in JOINED and "_cut" not in name:
            found.setdefault(request.thread, []).append(name)
    order = list(asked())
    return [
        sorted(names, key=lambda name: order.index(Path(name).stem)) for names in found.values() if len(names) > 1
    ] or [["absent"]]


@pytest.mark.parametrize("names", threads(), ids=lambda names: Path(names[0]).stem)
def test_the_runs_of_a_thread_are_what_the_requests_say(names: list[str]) -> None:
    """A request that answers, or goes on from a breakpoint, continues the run that waits; any other one begins one."""
    if names == ["absent"]:
        pytest.skip(REASON)
    sources: list[Any] = []
    expected: list[list[str]] = []
    for name in names:
        request = asked()[Path(name).stem]
        assert request.run is not None
        options: dict[str, Any] = {"answers": answers_of(name)}
        if request.is_answer:
            options["continues"] = expected[-1][0]
            expected[-1].append(request.run)
        else:
            expected.append([request.run])
        sources.append((name, [*head_of(name), *items_of(name)], options))
    folded = fold_sources(sources, dialect="langgraph")
    keys_of(folded)
    assert [list(state.pieces) for state in folded.runs] == expected
    last = answers_of(names[-1])
    if last:
        status, ids = last_word(json.loads(last[0]))
        assert (folded.runs[-1].status.value, pending(folded.runs[-1])) == (status, ids)
    asks = [key for key in keys_of(folded) if "/action_required/" in key]
    waits = [name for name in names if read_run(FOLDER / name).waits or "messages_only_1" in name]
    assert len(asks) == len(waits)
    assert len(set(asks)) == len(asks)


def test_an_interrupt_that_is_answered_by_its_id_names_its_run() -> None:
    """A request that answers an interrupt by its id needs no other word."""
    from runstream.model.raw import Request

    names = [f"several_{part}.sse" for part in ("1_two_interrupts", "2_answered_one", "3_answered_other")]
    sources = []
    for name in names:
        items = items_of(name)
        request = Request(body=json.dumps(asked()[Path(name).stem].body).encode())
        sources.append((name, [request, *head_of(name), *items], {"answers": answers_of(name)}))
    (state,) = fold_sources(sources, dialect="langgraph").runs  # type: ignore[arg-type]
    assert (state.status, len(state.pieces), state.round) == ("completed", 3, 2)


def test_a_thread_stream_is_one_run_that_waits_and_goes_on() -> None:
    """The second run begins with the state in which the first one waits."""
    folded = fold(items_of("thread_stream_two_runs.sse"), dialect="langgraph")
    (state,) = folded.runs
    assert len(state.pieces) == 2
    assert len([key for key in keys_of(folded) if "/action_required/" in key]) == 1
    assert not state.is_terminal


# the thread protocol


@pytest.mark.parametrize("name", THREADS)
def test_a_thread_protocol_recording_says_what_its_reading_says(name: str) -> None:
    """The runs, their last status and the texts are those of the file; a late replay has lost its beginning."""
    if "replayed" in name:
        pytest.skip("a stream without its beginning")
    folded = fold_file(name)
    keys_of(folded)
    reading = read_thread(FOLDER / name) if (FOLDER / name).exists() else Reading()
    assert not folded.rejects
    assert [id for state in folded.runs for id in state.pieces] == reading.runs
    text = "".join(state.text for state in folded.runs)
    assert text == reading.text or (text.startswith(reading.text) and "cancelled" in name)
    known = {call.id: call for state in folded.runs for step in state.steps for call in step.tool_calls}
    for id, (tool, arguments) in reading.calls.items():
        assert (known[id].name, json.loads(known[id].arguments or "")) == (tool, json.loads(arguments))
    assert {id: call.output for id, call in known.items() if call.output is not None} == reading.results
    state = folded.runs[-1]
    if answers_of(name):
        assert state.status.value == last_word(json.loads(answers_of(name)[0]))[0]
    elif "timeout" in name:
        assert state.status == "in_progress"  # nothing was sent about its end
    elif reading.errors:
        assert (state.status, state.run.last_error.message) == ("failed", reading.errors[0])  # type: ignore[union-attr]
    else:
        assert state.status == "completed"


@pytest.mark.parametrize("name", ["v2_approval.sse", "ws_v2_approval.ws.jsonl"])
def test_an_answered_thread_is_one_run(name: str) -> None:
    """The run that begins with the state in which the last one waits continues it."""
    folded = fold_file(name)
    (state,) = folded.runs
    keys = keys_of(folded)
    assert (state.status, len(state.pieces)) == ("completed", 2)
    assert len([key for key in keys if "/action_required/" in key]) == 1


def test_the_replay_of_a_thread_has_the_same_identities() -> None:
    """What is sent again has other times, and is known nevertheless."""
    first, second = items_of("v2_approval.sse"), items_of("v2_approval_replayed_since.sse")
    lost = [ConnectionEvent(connected=False, reason="lost"), ConnectionEvent(connected=True, attempt=1)]
    whole = fold(first, dialect="langgraph-thread")
    folded = fold([ConnectionEvent(connected=True), *first, *lost, *second], dialect="langgraph-thread")
    assert keys_of(folded) == keys_of(whole)
    assert [said(state) for state in folded.runs] == [said(state) for state in whole.runs]


def test_polled_answers_alone_are_a_run() -> None:
    """The run and its thread, polled by turns, without any stream."""
    path = FOLDER / "poll_success.json"
    if not path.exists():
        pytest.skip(REASON)
    exchanges = json.loads(path.read_bytes())
    items = [Answer(data=json.dumps(each["body"]).encode(), status=each["status"]) for each in exchanges]
    folded = fold(items, dialect="langgraph")
    (state,) = folded.runs
    assert state.status == "completed"
    statuses = [key.split("/")[2] for key in keys_of(folded) if "/status/" in key]
    assert statuses[-1:] == ["in_progress"]


@pytest.mark.parametrize("name", ALL)
def test_a_redacted_recording_has_the_same_signals(name: str) -> None:
    """Texts are blank, and keys, statuses and lengths are the same."""
    from runstream.recordings.redaction import Redaction

    redact = Redaction(dialect=dialect_of(name))
    items = [*head_of(name), *items_of(name), *[Answer(data=data) for data in answers_of(name)]]
    plain, blank = (fold(found, dialect=dialect_of(name)) for found in (items, [redact(item) for item in items]))
    if name not in JOINED:  # whose text its message replaces: between blanks this can't be seen
        assert keys_of(blank) == keys_of(plain)
    assert [len(state.text) for state in blank.runs] == [len(state.text) for state in plain.runs]
    assert [state.status for state in blank.runs] == [state.status for state in plain.runs]
    texts = "".join(state.text for state in blank.runs)
    assert not texts.strip("x")
