"""Repair: what may have been missed is marked, fetched and healed; what can't have been is left alone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from runstream import (
    ActionRequired,
    IncompleteStream,
    MemoryStore,
    PollSource,
    Reconnect,
    Repair,
    RunCompleted,
    RunInterrupted,
    RunPaused,
    RunState,
    RunStream,
    Signal,
    TextDelta,
    Watchdogs,
    WebSocketSource,
    record,
)
from runstream.dialects.assistants import AssistantsDialect
from runstream.model.raw import Answer, RawEvent
from runstream.sources.base import Receiver
from runstream.stream.repairs import RepairDialect
from runstream.testing import Script, scripts
from tests.support.peers import serving
from tests.support.receiver import eventually
from tests.support.run_api import HttpAnswer, run_api
from tests.support.wire import Json, dumps, message_delta, message_object, run_object, text_part

RUN = run_object("run_1", status="in_progress", started_at=1_790_000_001)
DONE = {**RUN, "status": "completed"}
CUT = "cut"
QUICK = Reconnect(initial=0.001, maximum=0.001, max_attempts=2)


def ev(name: str, data: Json, id: str | None = None) -> RawEvent:
    return RawEvent(f"thread.{name}", dumps(data).encode(), id, id)


def message(status: str = "in_progress", text: str | None = None, number: int = 1) -> Json:
    return message_object(f"msg_{number}", RUN, status=status, content=[] if text is None else [text_part(text)])


def text(value: str, id: str | None = None) -> RawEvent:
    return ev("message.delta", message_delta("msg_1", value), id)


START = [ev("run.created", run_object("run_1")), ev("run.in_progress", RUN), ev("message.created", message())]
END = [ev("message.completed", message("completed", "Hello there")), ev("run.completed", DONE)]


class Line:
    """A source that gives events, is cut and connected again where it is told, then stays or ends."""

    def __init__(self, *steps: RawEvent | str | Callable[[], Any], stays: bool = False, name: str = "line") -> None:
        self.name = name
        self.steps = steps
        self.stays = stays
        self.told = asyncio.Event()

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        for step in self.steps:
            if isinstance(step, RawEvent):
                receiver.feed(step)
                await receiver.ready()
            elif isinstance(step, str):
                receiver.disconnected("lost", 1)
                receiver.connected(1)
            else:
                await step()
        self.told.set()
        if self.stays:
            await asyncio.Event().wait()


class Server:
    """What `fetch_run` asks; counts the calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.states: list[RunState] = []
        self.called = asyncio.Event()

    async def __call__(self, state: RunState) -> Any:
        answer = self.answers[min(len(self.states), len(self.answers) - 1)]
        self.states.append(state)
        self.called.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def told(
    *sources: Any, fetch: Any = None, **options: Any
) -> tuple[RunStream, list[Signal], list[frozenset[str]]]:
    """Read to the end: the stream, its signals, and what was partial in each of its states."""
    stream = RunStream(*sources, fetch_run=fetch, on_subscriber_error="raise", **options)
    seen: list[Signal] = []
    partial: list[frozenset[str]] = []
    stream.signals.subscribe(seen.append)
    stream.runs.subscribe(lambda state: partial.append(state.partial))
    async with asyncio.timeout(30), stream:
        async for _ in stream:
            pass
    keys = [signal.key for signal in seen]
    assert len(keys) == len(set(keys))
    return stream, seen, partial


async def test_a_reconnect_that_proves_nothing_marks_and_fetches() -> None:
    """The message is partial from the next event on; what was fetched heals it, and the rest comes too late to harm."""
    server = Server([DONE, message("completed", "Hello there")])
    line = Line(*START, text("Hel"), CUT, text("re"), server.called.wait, lambda: asyncio.sleep(0.02), text("!"))
    stream, seen, partial = await told(line, fetch=server)
    state = stream.latest["run_1"]
    assert (state.run.status, state.text, state.partial) == ("completed", "Hello there", frozenset())
    assert [item.run_id for item in server.states] == ["run_1"]
    assert server.states[0].partial == {"msg_1"}
    assert frozenset({"msg_1"}) in partial
    assert (stream.stats.gaps, stream.stats.repairs, stream.stats.failed_repairs) == (1, 1, 0)
    assert sum(isinstance(signal, RunCompleted) for signal in seen) == 1


def counted(events: Sequence[RawEvent], first: int = 1) -> list[RawEvent]:
    """The same events with ids that count."""
    return [with_id(event, f"e-{number}") for number, event in enumerate(events, first)]


def with_id(event: RawEvent, id: str) -> RawEvent:
    return RawEvent(event.event, event.data, id, id)


TEXTS = [text(letter) for letter in "Hello the"]


async def test_the_next_id_is_a_proof() -> None:
    """Nothing is marked, nothing fetched."""
    events = counted([*START, *TEXTS, text("re"), *END])
    server = Server(DONE)
    stream, _, partial = await told(Line(*events[:8], CUT, *events[8:]), fetch=server)
    assert stream.latest["run_1"].text == "Hello there"
    assert set(partial) == {frozenset()}
    assert (server.states, stream.stats.gaps) == ([], 0)


async def test_what_came_before_is_a_proof() -> None:
    """The server tells again from a place that is known, with ids that need not count."""
    events = [with_id(event, id) for event, id in zip([*START, *TEXTS[:4], *END], "qwertzuio", strict=True)]
    server = Server(DONE)
    stream, _, partial = await told(Line(*events[:6], CUT, *events[2:]), fetch=server)
    assert set(partial) == {frozenset()}
    assert (server.states, stream.stats.gaps) == ([], 0)


async def test_what_came_before_is_no_proof_for_fragments_without_ids() -> None:
    """They may come twice from there on, or have been lost between two ids: the message is marked until it ends."""
    events = [with_id(event, f"e-{number}") for number, event in enumerate([*START, *TEXTS])]
    events[-2:] = TEXTS[-2:]
    again = [*events[8:], text("re")]
    stream, _, partial = await told(Line(*events, CUT, *again, *END))
    assert frozenset({"msg_1"}) in partial
    assert (stream.latest["run_1"].text, stream.latest["run_1"].partial) == ("Hello there", frozenset())
    assert stream.stats.gaps == 1


async def test_being_told_again_from_the_start_is_a_proof_also_by_its_id() -> None:
    """Where the run's ``created`` is known by its id, and its fragments have none."""
    events = [*counted(START), *TEXTS, text("re"), *END]
    stream, _, partial = await told(Line(*events[:8], CUT, *events))
    assert set(partial) == {frozenset()}
    assert (stream.latest["run_1"].text, stream.stats.gaps) == ("Hello there", 0)


async def test_being_told_again_from_the_start_is_a_proof() -> None:
    """Without ids; the texts start anew, and are shown once."""
    events = [*START, *TEXTS, text("re"), *END]
    server = Server(DONE)
    stream, seen, partial = await told(Line(*events[:8], CUT, *events), fetch=server)
    assert set(partial) == {frozenset()}
    assert (server.states, stream.stats.gaps) == ([], 0)
    assert "".join(item.delta for item in seen if isinstance(item, TextDelta)) == "Hello there"


async def test_a_message_told_again_heals_itself() -> None:
    """Where the run is not told again, but what is open of it is."""
    stream, _, partial = await told(Line(*START, text("Hel"), CUT, START[2], text("Hello there"), *END))
    assert stream.latest["run_1"].text == "Hello there"
    assert set(partial) == {frozenset(), frozenset({"msg_1"})}
    assert partial.index(frozenset({"msg_1"})) == len(partial) - 1 - partial[::-1].index(frozenset({"msg_1"}))


async def test_a_skip_in_ids_that_count_is_a_gap() -> None:
    """In the middle of a connection; the end heals it, fetched or not."""
    events = counted([*START, *TEXTS, text("re"), *END])
    del events[9:11]
    stream, _, partial = await told(Line(*events))
    assert frozenset({"msg_1"}) in partial
    assert (stream.latest["run_1"].partial, stream.stats.gaps) == (frozenset(), 1)
    server = Server([RUN])
    stream, _, _ = await told(Line(*events), fetch=server)
    assert len(server.states) == 1


async def test_other_runs_of_the_source_stay_partial_until_their_next_event() -> None:
    """Each is settled by its own next event."""
    other = run_object("run_2", status="in_progress", started_at=1)
    theirs = [ev("run.created", other), ev("message.created", message_object("msg_2", other))]
    line, server = Line(*START, *theirs, CUT, text("x"), stays=True), Server(RUN)
    stream = RunStream(line, fetch_run=server, on_subscriber_error="raise")
    async with asyncio.timeout(30), stream:
        stream.start()
        await eventually(lambda: len(server.states) == 1, 10)
        assert stream.latest["run_1"].partial == {"msg_1"}
        assert stream.latest["run_2"].partial == frozenset()


async def test_a_run_that_waits_misses_nothing() -> None:
    """Its turn is ours: a reconnect meanwhile raises no doubt, until it goes on and nobody saw the rest."""
    waiting = Script("run_1").call(get_time={})
    server = Server(DONE)
    stream, seen, _ = await told(Line(*waiting.raw_events(), CUT), fetch=server)
    assert sum(isinstance(signal, ActionRequired) for signal in seen) == 1
    assert (stream.stats.gaps, server.states) == (0, [])
    raws = list(waiting.answer("12:00").say("It is noon.").end().raw_events())
    server = Server([waiting.expected["run"], *waiting.expected["messages"], *waiting.expected["steps"]])
    asked = next(at for at, raw in enumerate(raws) if raw.event == "thread.run.requires_action")
    created = next(at for at, raw in enumerate(raws) if raw.event == "thread.message.created")
    stream, seen, _ = await told(Line(*raws[: asked + 1], CUT, raws[created], server.called.wait), fetch=server)
    assert sum(isinstance(signal, RunCompleted) for signal in seen) == 1
    assert stream.latest["run_1"].text == "It is noon."


async def test_a_source_that_ends_before_its_run_is_asked_after() -> None:
    """A server that hangs up, then says that the run is done: `result()` has it, and the text is whole."""
    server = Server([DONE, message("completed", "Hello there")])
    stream, seen, _ = await told(Line(*START, text("Hel")), fetch=server)
    assert [type(item) for item in seen if isinstance(item, RunInterrupted | RunCompleted)] == [
        RunInterrupted, RunCompleted,
    ]  # fmt: skip
    assert (await stream.result()).is_complete
    assert stream.latest["run_1"].text == "Hello there"
    stream, _, _ = await told(Line(*START, text("Hel")))
    assert stream.latest["run_1"].partial == frozenset()  # a true beginning
    with pytest.raises(IncompleteStream):
        await stream.result()


class Http(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("token hush")
        self.status_code = status


async def test_failures_are_told_and_never_fatal() -> None:
    """Those that pass are tried again; of the others the log has the reason, without the words of an exception."""
    server = Server(Http(503), Http(404))
    with capture_logs() as logs:
        stream, _, _ = await told(Line(*START, text("Hel")), fetch=Repair(fetch_run=server, reconnect=QUICK))
    (failed,) = [entry for entry in logs if entry["event"] == "repair_failed"]
    assert (failed["run_id"], failed["attempts"], failed["reason"]) == ("run_1", 2, "fetch_run: HTTP 404 (Http)")
    assert "hush" not in str(logs)
    assert (stream.stats.repairs, stream.stats.failed_repairs, len(server.states)) == (0, 1, 2)
    for answer in (None, 7, b"<html>", {**DONE, "id": "run_2"}, [message("completed", "x") | {"run_id": "run_2"}]):
        server = Server(answer)
        stream, _, _ = await told(Line(*START), fetch=Repair(fetch_run=server, reconnect=QUICK))
        assert (stream.stats.repairs, stream.stats.failed_repairs) == (0, 1)
        assert stream.stats.rejected == 0
        assert "run_2" not in stream.latest


async def test_a_fetch_that_never_answers_holds_nothing_for_long() -> None:
    """It is bounded by its time-out, and ended with the stream."""

    async def never(state: RunState) -> None:
        await asyncio.Event().wait()

    stream, _, _ = await told(Line(*START), fetch=Repair(fetch_run=never, timeout=0.02, reconnect=None))
    assert stream.stats.failed_repairs == 1
    before = asyncio.all_tasks()
    async with asyncio.timeout(30), RunStream(Line(*START, CUT, text("x"), stays=True), fetch_run=never) as stream:
        stream.start()
        await eventually(lambda: stream.stats.gaps == 1, 10)
    assert asyncio.all_tasks() == before


async def test_a_plain_function_is_called_beside_the_loop() -> None:
    """It may block; and it may give any form of a run."""
    threads = []

    def fetch(state: RunState) -> Json:
        threads.append(threading.current_thread())
        return DONE

    stream, _, _ = await told(Line(*START), fetch=fetch)
    assert threads[0] is not threading.main_thread()
    assert stream.latest["run_1"].run.is_complete


async def test_one_fetch_of_a_run_at_a_time_and_none_too_soon() -> None:
    """However often it is asked for; what is asked for meanwhile is one more fetch, later."""
    open_now = most = 0
    states: list[RunState] = []

    async def fetch(state: RunState) -> Json:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        states.append(state)
        await asyncio.sleep(0.01)
        open_now -= 1
        return RUN

    async def pause() -> None:
        await asyncio.sleep(0.002)

    steps = [step for letter in "abcdefgh" for step in (CUT, text(letter), pause)]
    stream, _, _ = await told(Line(*START, *steps, *END), fetch=Repair(fetch_run=fetch, interval=0.05))
    assert most == 1
    assert 1 <= len(states) <= 3
    assert stream.stats.gaps == 8


async def test_no_more_runs_are_fetched_at_a_time_than_may_be() -> None:
    """One lost connection of a gateway is a thousand runs."""
    runs = [run_object(f"run_{n}", status="in_progress", started_at=1) for n in range(50)]
    open_now = most = 0

    async def fetch(state: RunState) -> Json:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.001)
        open_now -= 1
        return next(run for run in runs if run["id"] == state.run_id) | {"status": "completed"}

    line = Line(*[ev("run.in_progress", run) for run in runs])
    stream, _, _ = await told(line, fetch=Repair(fetch_run=fetch, concurrency=3))
    assert most == 3
    assert all(state.run.is_complete for state in stream.latest.values())


async def test_what_a_stream_is_telling_is_left_to_it() -> None:
    """A snapshot of an open message holds nobody knows which of the fragments to come: none is shown twice."""
    server = Server([RUN, message("in_progress", "Hello th")])
    rest = [server.called.wait, lambda: asyncio.sleep(0.02), text("there"), *END]
    line = Line(*START, text("Hel"), CUT, text("lo "), *rest)
    stream, seen, _ = await told(line, fetch=server)
    assert stream.stats.repairs == 1
    assert "".join(item.delta for item in seen if isinstance(item, TextDelta)) == "Hello there"
    state = stream.latest["run_1"]
    others = [message("in_progress", "x"), message("completed", "y", 2), {**DONE, "id": "run_2"}]
    items = [Answer(data=json.dumps(each).encode()) for each in (RUN, *others)]
    for live, expected in (
        (True, [RUN["id"], others[1]["id"]]),
        (False, [RUN["id"], others[0]["id"], others[1]["id"]]),
    ):
        dialect = RepairDialect(AssistantsDialect(), state, live=live)
        events: list[Any] = [event for item in items for event in dialect.decode(item)]
        assert [event.data.id for event in events] == expected


async def test_a_stall_has_the_run_fetched() -> None:
    """The watchdogs' own use of it."""
    server = Server(DONE)
    async with (
        asyncio.timeout(30),
        RunStream(Line(*START, stays=True), watchdogs=Watchdogs(idle=0.05), fetch_run=server) as stream,
    ):
        assert (await stream.result()).is_complete
    assert len(server.states) == 1


@pytest.mark.parametrize("recorded", [False, True])
async def test_polls_beside_a_stream_do_not_garble_its_text(recorded: bool, tmp_path: Path) -> None:
    """They tell of the run and of what has ended; the message that is being told is the stream's. So too if they are
    recorded on the way.
    """
    texts = iter(["", "H", "Hello the", "Hello there"])
    polled = asyncio.Event()

    async def retrieve() -> Any:
        found = next(texts, None)
        if found is None:
            polled.set()
            await asyncio.Event().wait()
        return [RUN, message("in_progress", found)]

    async def when_polled() -> None:
        await polled.wait()

    poll = PollSource(retrieve, interval=0.001, max_interval=0.001, name="poll")
    line = Line(*START, text("Hel"), when_polled, text("lo there"), *END)
    beside = record(poll, tmp_path / "poll.jsonl") if recorded else poll
    stream = RunStream(line, beside, on_subscriber_error="raise")
    seen: list[Signal] = []
    stream.signals.subscribe(seen.append)
    async with asyncio.timeout(30), stream:
        await stream.result()
        state = stream.latest["run_1"]
    assert (state.text, state.partial) == ("Hello there", frozenset())
    assert "".join(item.delta for item in seen if isinstance(item, TextDelta)) == "Hello there"
    assert stream.stats.gaps == 0


async def test_a_stream_that_comes_to_a_polled_run_tells_it_from_the_start() -> None:
    """What polls showed of the text is not shown again; no key comes twice."""
    asked = asyncio.Event()

    async def retrieve() -> Any:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        return [RUN, message("in_progress", "Hello")]

    async def when_asked() -> None:
        await asked.wait()
        await asyncio.sleep(0.02)

    poll = PollSource(retrieve, interval=0.001, max_interval=0.001)
    line = Line(when_asked, *START, *TEXTS, text("re"), *END)
    stream = RunStream(poll, line, on_subscriber_error="raise")
    seen: list[Signal] = []
    partial: list[frozenset[str]] = []
    stream.signals.subscribe(seen.append)
    stream.runs.subscribe(lambda state: partial.append(state.partial))
    async with asyncio.timeout(30), stream:
        await stream.result()
        state = stream.latest["run_1"]
    assert (state.text, state.partial) == ("Hello there", frozenset())
    texts = [(item.offset, item.delta) for item in seen if isinstance(item, TextDelta)]
    assert texts[0] == (0, "Hello")
    assert "".join(delta for _, delta in texts) == "Hello there"
    assert len({signal.key for signal in seen}) == len(seen)


async def test_another_source_that_goes_on_may_have_missed_something() -> None:
    """Marked until the message has ended."""
    first, then = Line(*START, text("Hel"), name="one"), Line(text("re"), *END, name="two")
    stream = RunStream(first, on_subscriber_error="raise")
    partial: list[frozenset[str]] = []
    stream.runs.subscribe(lambda state: partial.append(state.partial))
    async with asyncio.timeout(30), stream:
        with stream.keep_open():
            stream.start()
            await first.told.wait()
            stream.attach(then)
        await stream.result()
    assert partial[-1] == frozenset()
    assert frozenset({"msg_1"}) in partial


async def test_a_real_server_that_hangs_up_and_another_that_knows() -> None:
    """A WebSocket that closes while the run lives, on every connection; the run is fetched over HTTP, from another
    process, with a client as people have it.
    """
    httpx = pytest.importorskip("httpx")
    listed = {"object": "list", "data": [message("completed", "Hello there")]}

    async def hang_up(connection: Any, number: int) -> None:
        for raw in [*START, text("Hel")] if number == 0 else [text("re")]:
            assert raw.event is not None
            await connection.send(b'{"event":"' + raw.event.encode() + b'","data":' + raw.data + b"}")

    answers: dict[str, list[HttpAnswer]] = {
        "/run": [(503, {"Retry-After": "0"}, "busy"), (200, {}, DONE)], "/messages": [(200, {}, listed)],
    }  # fmt: skip
    with run_api(answers) as url:
        async with serving(hang_up) as peer, httpx.AsyncClient(base_url=url) as client:

            async def fetch(state: RunState) -> list[Any]:
                run, messages = await client.get("/run"), await client.get("/messages")
                run.raise_for_status()
                return [run.json(), messages.content]

            source = WebSocketSource(peer.url, proxy=None, reconnect=Reconnect(initial=0.01, maximum=0.01))
            stream = RunStream(source, fetch_run=Repair(fetch_run=fetch, reconnect=QUICK), on_subscriber_error="raise")
            async with asyncio.timeout(60), stream:
                assert (await stream.result()).is_complete
                state = stream.latest["run_1"]
    assert (state.text, state.partial) == ("Hello there", frozenset())
    assert stream.stats.repairs == 1


async def test_what_was_fetched_is_kept_in_the_store() -> None:
    """As one turn, like what the source says; the next process needs not ask again."""
    store = MemoryStore()
    server = Server([DONE, message("completed", "Hello there")])
    await told(Line(*counted([*START, text("Hel")])), fetch=server, store=store)
    _, seen, _ = await told(Line(), store=store)
    assert not any(isinstance(signal, RunCompleted | RunInterrupted) for signal in seen)
    kept = store.get("", "run_1")
    assert kept is not None
    assert kept.state is not None
    assert (kept.state.run.is_complete, kept.state.text, kept.state.partial) == (True, "Hello there", frozenset())


def test_without_a_loop_nothing_is_fetched() -> None:
    """A source may be removed before anything is read: then it leaves the run that the store has of it."""
    store = MemoryStore()
    asyncio.run(_left_in(store))
    server = Server(DONE)
    stream = RunStream(fetch_run=server, store=store, on_subscriber_error="raise")
    stream.attach(Line()).remove()
    assert server.states == []
    assert stream.latest["run_1"].status == "in_progress"


async def _left_in(store: MemoryStore) -> None:
    await told(Line(*counted([*START, text("Hel")])), store=store)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts(), st.data())
def test_whatever_is_lost_is_healed_by_what_is_fetched(script: Script, data: st.DataObject) -> None:
    """Any run, any part of it lost over a reconnect: in the end it is as it is on the server, nothing is partial, and
    no key was told twice.
    """
    raws = list(script.raw_events())
    expected = script.expected
    first = data.draw(st.integers(1, len(raws)))
    then = data.draw(st.integers(first, len(raws)))
    truth = [expected["run"], *expected["steps"], *expected["messages"]]

    async def whole() -> tuple[RunStream, list[Signal]]:
        fetch = Repair(fetch_run=lambda state: truth, interval=0.0)
        stream, seen, _ = await told(Line(*raws[:first], CUT, *raws[then:]), fetch=fetch)
        return stream, seen

    stream, seen = asyncio.run(whole())
    (state,) = stream.latest.values()
    held = state.to_dict()
    if state.run.requires_action and any(isinstance(signal, RunPaused) for signal in seen):
        return  # nothing came of it after it waited: it is told as what it is
    if (held["run"]["status"], expected["run"]["status"]) == ("in_progress", "queued"):
        return  # its request for action was lost: that it was queued again can't be told from an old snapshot
    assert held["run"]["status"] == expected["run"]["status"]
    assert state.partial <= {item["id"] for item in truth[1:] if item["status"] == "in_progress"}
    if state.is_terminal and stream.stats.gaps:
        for kind in ("messages", "steps"):
            theirs = {item["id"]: item for item in held[kind]}
            for item in expected[kind]:
                if item["status"] != "in_progress":
                    assert theirs[item["id"]] == item


@pytest.mark.parametrize(
    "options", [{"interval": -1.0}, {"concurrency": 0}, {"timeout": 0.0}, {"timeout": float("nan")}], ids=str
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before anything is fetched; a run instead of a function too."""
    with pytest.raises(ValueError, match="must be"):
        Repair(fetch_run=lambda state: None, **options)
    with pytest.raises(TypeError, match="a function that gives a run"):
        RunStream(fetch_run=DONE)  # type: ignore[arg-type]
