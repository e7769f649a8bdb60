"""Who joins late: a snapshot and the signals after it say what all signals say, for each place in each dialect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream import RawEvent, RunState, RunStream, StateSnapshot, read_recording
from runstream.model.run import RunStatus
from runstream.model.signals import RunSignal, Signal
from runstream.stream.consumers import StreamIterator
from runstream.testing import Conversation
from runstream.testing.strategies import conversations
from tests.conformance.recorded import RECORDINGS, body_of
from tests.properties.strategies import Line, lines, raws
from tests.support.ag_ui_runs import ag_ui_runs
from tests.support.graph_runs import graph_run, graph_thread
from tests.support.talks import talk
from tests.support.transcript import Transcript, transcript_of

pytestmark = pytest.mark.slow

some = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
MOST = 12  # places of one stream at which an iterator joins
RECORDED = sorted(
    str(path.relative_to(RECORDINGS)) for path in RECORDINGS.rglob("*") if path.suffix in (".sse", ".jsonl")
) or ["absent"]

RENAMED = {"responses/open_responses_server_function_call.sse"}
"""The ids of calls in deltas are others than those in whole items."""

Joined = StreamIterator[StateSnapshot | Signal]


class Joining:
    """A source whose stream is joined before some of its events, after the last one, and from within deliveries."""

    name = "joining"

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.stream: RunStream
        self.iterators: list[Joined] = []
        self.run_ids: list[str] = []

    def join(self, *_: object) -> None:
        self.iterators.append(self.stream.iter(replay=True))
        self.iterators += [self.stream.run(id).iter(replay=True) for id in self.run_ids]

    async def run(self, receiver: Any) -> None:
        receiver.connected()
        every = len(self.items) // MOST + 1
        for number, item in enumerate(self.items):
            if number % every == 0:
                self.join()
            receiver.feed(item)
        self.join()


async def read(iterator: Joined) -> list[StateSnapshot | Signal]:
    return [item async for item in iterator]


async def joined(items: Iterable[Any], *, dialect: str = "auto", within: bool = False, arguments: bool = True) -> None:
    """Join at every event, and compare what each iterator says with what the first one says.

    Args:
        items: The events.
        dialect: Their dialect.
        within: True to join from within deliveries too.
        arguments: False for streams whose server repeats or renames calls: what is said of arguments may differ.
    """
    source = Joining(list(items))
    # Iterators that nobody reads yet must not keep the stream open.
    stream = source.stream = RunStream(source, dialect=dialect, buffer=10**6, wait_timeout=0.01)
    states = []
    async with stream:
        first = stream.iter()
        stream.runs.subscribe(lambda state: source.run_ids.append(state.run_id) if _is_new(source, state) else None)
        if within:
            stream.on(Signal, _each(source.join, max(1, len(source.items) // 10)))
        told = transcript_of([item async for item in first])
        states = list(stream.latest.values())
        source.join()  # after the end
        found = [await read(iterator) for iterator in source.iterators]
    everything = told.facts()
    for state in states:
        check_text(told, state)
    # A call that was awaited, is in no step, and is awaited no more, is in no state.
    calls = {call.id for state in states for call in state.tool_calls} | {""}
    for each in found:
        kinds = [isinstance(item, StateSnapshot) for item in each]
        assert kinds == sorted(kinds, reverse=True)  # snapshots come first
        mine = transcript_of(each)
        runs = {item.run_id for item in each if isinstance(item, StateSnapshot | RunSignal)}
        expected = everything if len(runs) == len(states) else only(everything, runs)
        found_differences = {
            key: value
            for key, value in differences(agreed(mine.facts(), told), expected).items()
            if ("/call/" not in key[1] or (arguments and _call_id(key[1]) in calls))
            and not _comes_again(key, value, states)
        }
        assert found_differences == {}


def _comes_again(key: tuple[str, Any], values: tuple[object, object], states: list[RunState]) -> bool:
    """True where an unknown status comes and goes within a round: the second time is no fact of its own.

    Who has joined late then has the status of the state.
    """
    unknown = any(isinstance(value, RunStatus) and not value.is_known for value in values)
    return unknown and any(state.run_id == key[1] and state.status == values[0] for state in states)


def _call_id(key: str) -> str:
    """The id of the call in a key; "" for a call without one."""
    name = key.split("/call/")[1].split("/")[0]
    return "" if ":" in name else unquote(name.split("~")[0])


def differences(mine: dict[str, Any], expected: dict[str, Any]) -> dict[Any, Any]:
    """What two consumers do not agree on: by key, what each says of it."""
    return {
        (name, key): (found.get(key, "nothing"), expected[name].get(key, "nothing"))
        for name, found in mine.items()
        for key in found.keys() | expected[name].keys()
        if found.get(key, "nothing") != expected[name].get(key, "nothing")
    }


def agreed(facts: dict[str, Any], told: Transcript) -> dict[str, Any]:
    """The facts without arguments that only a snapshot has: those of some calls make no progress in full objects."""
    texts = {key: text for key, text in facts["texts"].items() if key in told.texts or "/arguments" not in key}
    return {**facts, "texts": texts}


def _is_new(source: Joining, state: Any) -> bool:
    return state.run_id not in source.run_ids and len(source.run_ids) < 2


def _each(call: Any, every: int) -> Any:
    count = 0

    def on_signal(_: object) -> None:
        nonlocal count
        count += 1
        if count % every == 0:
            call()

    return on_signal


def only(facts: dict[str, Any], runs: set[str]) -> dict[str, Any]:
    """The facts of some runs."""

    def of(key: Any) -> bool:
        return (key[0] if isinstance(key, tuple) else key).split("/")[0] in {run_key_of(id) for id in runs}

    return {name: {key: value for key, value in found.items() if of(key)} for name, found in facts.items()}


def run_key_of(run_id: str) -> str:
    from runstream.model.keys import run_key

    return run_key("", run_id)


def check_text(told: Transcript, state: Any) -> None:
    """The messages that have ended have the text that the signals say."""
    for message in state.messages:
        if message.is_terminal:
            place = f"{run_key_of(state.run_id)}/message/{message.id}/text/"
            texts = [text for key, text in sorted(told.texts.items()) if key.startswith(place)]
            assert "".join(texts) == message.text


@given(conversations(max_runs=2))
@some
async def test_conversations(found: Conversation) -> None:
    """The Assistants wire, well-behaved."""
    await joined(found.raw_events(interleaved=True), dialect="assistants")


@given(conversations(max_runs=2))
@some
async def test_joins_from_within_a_delivery(found: Conversation) -> None:
    """A callback that joins: the state is then ahead of the signals."""
    await joined(found.raw_events(interleaved=True), dialect="assistants", within=True)


@given(lines(max_runs=2), st.booleans())
@some
async def test_rough_streams(told: list[Line], ids: bool) -> None:
    """The Assistants wire with gaps, missing beginnings and corrected texts."""
    await joined(raws(told, ids=ids), dialect="assistants", within=ids)


@given(lines(max_runs=1), st.data())
@some
async def test_streams_that_begin_again(told: list[Line], data: st.DataObject) -> None:
    """A server that sends the run once more from its beginning: texts are shorter than what was emitted."""
    cut = data.draw(st.integers(0, len(told)))
    await joined([*raws(told[:cut]), *raws(told)], dialect="assistants", arguments=False)


@given(st.integers(0, 10**6))
@some
async def test_responses(seed: int) -> None:
    """The Responses wire."""
    await joined(_events(talk(seed)), dialect="responses")


@given(st.integers(0, 10**6))
@some
async def test_ag_ui(seed: int) -> None:
    """The AG-UI wire."""
    await joined(_events(ag_ui_runs(seed)), dialect="ag-ui")


@given(st.integers(0, 10**6))
@some
async def test_langgraph(seed: int) -> None:
    """Both wires of LangGraph's servers."""
    for dialect, found in (("langgraph", graph_run(seed)), ("langgraph-thread", graph_thread(seed))):
        events = [RawEvent(name, json.dumps(data).encode()) for name, data in found.events]
        await joined(events, dialect=dialect)


@pytest.mark.parametrize("name", RECORDED)
async def test_recordings(name: str) -> None:
    """Each recorded stream of each dialect, LangGraph's too."""
    items = read_recording(body_of(name), name=name)
    await joined(items, arguments=name not in RENAMED)


def _events(found: Iterable[dict[str, Any]]) -> list[RawEvent]:
    return [RawEvent(event.get("type"), json.dumps(event).encode()) for event in found if event]
