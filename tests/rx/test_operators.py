"""The Rx operators: each stands alone, they compose to the whole, and they keep the Rx grammar."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import msgspec
import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from runstream import demo
from runstream.engine.fold import fold
from runstream.model.events import RunEvent, TextAppend
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.signals import RunCompleted, TextDelta
from runstream.recordings.reader import read_recording
from runstream.rx.operators import Change, decoded, deduped, derived, pipeline, reduced, states
from tests.support.dialects import WordsDialect
from tests.support.wire import EPOCH, envelope, run_object
from tests.support.wire import Event as WireEvent

RAW: list[Any] = [
    item
    for item in read_recording(demo.load("text.sse"), name="text.sse", format="sse")
    if isinstance(item, RawEvent) and item.event != "thread.created"
]


def clock() -> float:
    return 5.0


def collect(source: rx.Observable[Any]) -> list[Any]:
    items: list[Any] = []
    source.subscribe(items.append)
    return items


def test_pipeline_gives_what_fold_gives() -> None:
    """The whole pipeline as one operator gives the signals of `fold`, but for the source's own."""
    signals = collect(rx.from_iterable(RAW).pipe(pipeline(clock=clock)))
    assert signals == list(fold(RAW, clock=clock).signals)
    assert isinstance(next(signal for signal in signals if signal.type == "run.completed"), RunCompleted)


def test_stages_compose_to_the_pipeline() -> None:
    """The four stages one after the other give the same run signals as the fused pass."""
    staged = collect(rx.from_iterable(RAW).pipe(decoded(), deduped(), reduced(clock=clock), derived()))
    whole = collect(rx.from_iterable(RAW).pipe(pipeline(clock=clock)))
    assert [signal.key for signal in staged] == [signal.key for signal in whole if signal.type != "source.ended"]
    assert [s.delta for s in staged if isinstance(s, TextDelta)] == [s.delta for s in whole if isinstance(s, TextDelta)]


def test_decoded_stands_alone() -> None:
    """`decoded` turns bytes, text and mappings into typed events."""
    run = run_object("run_1", created_at=EPOCH, thread_id="thread_1", assistant_id="asst_1")
    frame = envelope(WireEvent("thread.run.queued", run))
    data = frame if isinstance(frame, bytes) else frame.encode()
    events = collect(rx.of(data, data.decode(), {"event": "thread.run.queued", "data": run}).pipe(decoded()))
    assert [type(event).__mro__[1] for event in events] == [RunEvent] * 3
    assert events[0].data == events[1].data == events[2].data


def test_decoded_reports_rejects() -> None:
    """Input that can't be used goes to `on_reject`; the stream goes on."""
    rejects: list[Any] = []
    events = collect(rx.of(b"not json", RAW[0]).pipe(decoded(on_reject=rejects.append)))
    assert len(rejects) == 1
    assert len(events) == 1


@pytest.mark.parametrize("dialect", ["words", WordsDialect, partial(WordsDialect)], ids=["name", "class", "function"])
def test_a_dialect_by_name_or_factory(dialect: Any, words_dialect: str) -> None:
    """Each operator that decodes takes it, and asks for a decoder for each subscription."""
    items = rx.of(b"run_1 in_progress", b"run_1 completed")
    assert [event.data.status for event in collect(items.pipe(decoded(dialect)))] == ["in_progress", "completed"]
    assert [state.status for state in collect(items.pipe(states(dialect=dialect)))] == ["in_progress", "completed"]
    whole = items.pipe(pipeline(dialect=dialect, clock=clock))
    assert (
        collect(whole)
        == collect(whole)
        == list(fold([b"run_1 in_progress", b"run_1 completed"], dialect="words", clock=clock).signals)
    )


@pytest.mark.parametrize("make", [decoded, lambda name: pipeline(dialect=name), lambda name: states(dialect=name)])
def test_an_unknown_dialect_is_refused_at_once(make: Any) -> None:
    """When the operator is made, not when it is subscribed."""
    with pytest.raises(ValueError, match=r"'none' is not a registered dialect\. Registered: 'ag-ui', 'assistants'"):
        make("none")


def test_deduped_drops_by_identity_alone() -> None:
    """An event with a seen id is dropped; equal deltas without ids are text and pass."""
    part = b'{"index":0,"type":"text","text":{"value":"ha"}}'
    delta = b'{"event":"thread.message.delta","data":{"id":"m","delta":{"content":[' + part + b"]}}%s}"
    plain, marked = delta % b"", delta % b',"id":"e1"'
    events = collect(rx.of(plain, plain, marked, marked).pipe(decoded(), deduped()))
    assert len(events) == 3
    assert all(isinstance(event, TextAppend) for event in events)


def test_reduced_gives_changes_only() -> None:
    """A snapshot without news emits no change; `before` of each change is `after` of the previous one."""
    changes: list[Change] = collect(rx.from_iterable([*RAW[:2], *RAW]).pipe(decoded(), reduced()))
    assert changes[0].before is None
    assert all(right.before is left.after for left, right in itertools.pairwise(changes))
    assert changes[-1].after.is_terminal


def test_states_gives_the_latest_state() -> None:
    """The last state of `states` is that of `fold`."""
    assert collect(rx.from_iterable(RAW).pipe(states()))[-1] == fold(RAW).runs[0]


def test_cold_every_subscription_has_its_own_state() -> None:
    """Two subscriptions to one pipeline see the run from its start, each for itself."""
    source = rx.from_iterable(RAW).pipe(pipeline(clock=clock))
    assert collect(source) == collect(source)


def test_disposal_inside_on_next_is_honoured() -> None:
    """A subscription that is disposed inside on_next receives nothing more, not even from the same raw event."""
    seen = collect(rx.from_iterable(RAW).pipe(pipeline(), ops.take(1)))
    assert [signal.type for signal in seen] == ["run.created"]


def test_completion_tells_of_open_runs_first() -> None:
    """When the source completes, open runs are interrupted before on_completed."""
    log: list[str] = []
    rx.from_iterable(RAW[:4]).pipe(pipeline()).subscribe(
        lambda signal: log.append(signal.type), on_completed=lambda: log.append("completed")
    )
    assert log[-3:] == ["run.interrupted", "source.ended", "completed"]


def test_an_error_of_the_source_passes_through() -> None:
    """on_error of the source ends the pipeline with that error, and nothing follows."""
    subject: Subject[Any] = Subject()
    log: list[Any] = []
    subject.pipe(pipeline()).subscribe(log.append, log.append, lambda: log.append("completed"))
    error = RuntimeError("gone")
    subject.on_error(error)
    subject.on_next(RAW[0])
    assert log == [error]


def test_virtual_time_keeps_times_and_order() -> None:
    """Signals come in the virtual moment of their raw event: no operator uses a clock of its own."""
    scheduler = TestScheduler()
    on_next, on_completed = ReactiveTest.on_next, ReactiveTest.on_completed
    hot = scheduler.create_hot_observable(on_next(210, RAW[0]), on_next(220, RAW[2]), on_completed(230))
    result = scheduler.start(lambda: hot.pipe(pipeline(clock=clock), ops.map(lambda signal: signal.type)))
    assert [(message.time, getattr(message.value, "value", None)) for message in result.messages] == [
        (210, "run.created"),
        (210, "run.status_changed"),
        (220, "run.status_changed"),
        (230, "run.interrupted"),
        (230, "source.ended"),
        (230, None),
    ]


@pytest.mark.parametrize("junk", [b"", b"{", b"[1]", b"\xff", b'{"event":1}', RawEvent("thread.run.queued", b"x")])
def test_garbage_is_never_on_error(junk: Any) -> None:
    """Garbage between events changes nothing and raises nothing."""
    errors: list[Exception] = []
    items: list[Any] = []
    rx.from_iterable([RAW[0], junk, *RAW[1:]]).pipe(pipeline(clock=clock)).subscribe(items.append, errors.append)
    assert errors == []
    assert items == collect(rx.from_iterable(RAW).pipe(pipeline(clock=clock)))


def test_connections_in_a_stream_of_raw_events_are_counted() -> None:
    """Events carry the number of their connection: from the second connection on, they may be repetitions."""
    run = run_object("run_1", created_at=EPOCH, thread_id="thread_1", assistant_id="asst_1")
    made, lost = ConnectionEvent(connected=True), ConnectionEvent(connected=False, reason="lost")
    event = RawEvent("thread.run.queued", msgspec.json.encode(run))
    found = collect(rx.from_iterable([made, event, lost, made, event]).pipe(decoded()))
    assert [event.origin.connection for event in found] == [0, 1]


def test_decoded_finds_the_dialect_and_rejects_what_none_recognises() -> None:
    rejects: list[Any] = []
    found: list[Any] = []
    items = [b'{"event":"thread.run.created","data":{"id":"run_1","object":"thread.run","status":"queued"}}']
    rx.from_iterable(items).pipe(decoded(on_reject=rejects.append)).subscribe(found.append)
    assert ([type(event).__name__ for event in found], rejects) == (["_ThreadRunCreated"], [])
    rx.from_iterable([b'{"hello":1}']).pipe(decoded(on_reject=rejects.append)).subscribe(found.append)
    (reject,) = rejects
    assert "'assistants'" in reject.reason
    assert len(found) == 1


def started(run_id: str) -> str:
    """The beginning of a run, which has two signals."""
    return envelope(WireEvent("thread.run.created", run_object(run_id)))


@pytest.mark.parametrize("make", [pipeline, states])
def test_a_disposed_subscription_receives_nothing_more(make: Any) -> None:
    """Not even the other signals of the event whose first one disposes it; and its source is left."""
    source: Subject[Any] = Subject()
    seen: list[Any] = []
    subscriptions: list[Any] = []

    def take(value: Any) -> None:
        seen.append(value)
        subscriptions[0].dispose()

    subscriptions.append(source.pipe(make()).subscribe(take))
    for _ in range(3):
        source.on_next(started("run_1"))
    assert len(seen) == 1
    assert not source.observers


def test_an_error_in_a_subscriber_passes_through_and_others_go_on() -> None:
    """As without the operator: the call that pushed the item raises, and a later item is delivered."""
    source: Subject[Any] = Subject()
    seen: list[Any] = []

    def take(value: Any) -> None:
        seen.append(value)
        if len(seen) == 1:
            raise KeyError(value)

    source.pipe(pipeline()).subscribe(take)
    with pytest.raises(KeyError):
        source.on_next(started("run_1"))
    source.on_next(started("run_2"))
    assert [signal.run_id for signal in seen][-1] == "run_2"
