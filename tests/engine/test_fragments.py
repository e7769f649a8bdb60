"""Fragments that arrived together do what they do one by one: the same signals, states, counts and places."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from runstream import AssistantsDialect, Engine, Limits, TextDelta
from runstream.dialects.base import fragment_decoder
from runstream.dialects.responses import ResponsesDialect
from runstream.engine.batch import Batch
from runstream.engine.fragments import FragmentFeeder
from runstream.model.events import TextAppend
from runstream.model.raw import RawItem
from runstream.model.raw_events import RawEvents, RawItems
from runstream.model.text_fragments import TextFragments
from runstream.sources.sse_parser import SSEParser

RUN = {"id": "run_1", "object": "thread.run", "status": "in_progress", "thread_id": "thread_1"}


def block(name: str | None, data: object) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % text


class Wire:
    """The events of one run of a protocol, and odd forms of its fragments."""

    dialect: str
    odd: Sequence[str]

    def begin(self) -> list[bytes]:
        raise NotImplementedError

    def fragment(self, number: int, text: str, odd: str = "") -> bytes:
        raise NotImplementedError

    def end(self, number: int) -> list[bytes]:
        raise NotImplementedError


class Assistants(Wire):
    dialect = "assistants"
    odd = ("empty", "other text", "other part", "not JSON", "two", "unknown", "white space", "with an id")

    def begin(self) -> list[bytes]:
        return [
            block("thread.run.in_progress", RUN),
            *(
                block(
                    "thread.message.created", {"id": id, "object": "thread.message", "run_id": "run_1", "content": []}
                )
                for id in ("msg_1", "msg_2")
            ),
        ]

    def fragment(self, number: int, text: str, odd: str = "") -> bytes:
        part = {"index": 1 if odd == "other part" else 0, "type": "text", "text": {"value": text}}
        id = "msg_2" if odd == "other text" else "msg_1"
        data: Any = {"id": id, "object": "thread.message.delta", "delta": {"content": [part]}}
        if odd == "empty":
            part["text"] = {"value": ""}
        elif odd == "not JSON":
            data = json.dumps(data, separators=(",", ":")).replace('"value":', '"value":"a",').encode()
        elif odd == "two":
            data = json.dumps(data).encode() * 2
        elif odd == "unknown":
            data["more"] = [1]
        elif odd == "white space":
            data = json.dumps(data, indent=None).encode()
        made = block("thread.message.delta", data)
        return b"id: 7\n" + made if odd == "with an id" else made

    def end(self, number: int) -> list[bytes]:
        return [block("thread.run.completed", {**RUN, "status": "completed"})]


class Responses(Wire):
    dialect = "responses"
    odd = (
        "empty",
        "other text",
        "other part",
        "not JSON",
        "two",
        "skipped",
        "repeated",
        "no number",
        "arguments",
        "half",
        "no type",
    )

    def __init__(self) -> None:
        self.skipped = 0

    def begin(self) -> list[bytes]:
        self.skipped = 0
        response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
        events = [
            {"type": "response.created", "response": response},
            *(
                {
                    "type": "response.output_item.added",
                    "output_index": at,
                    "item": {"id": f"msg_{at}", "type": "message", "role": "assistant", "content": []},
                }
                for at in (0, 1)
            ),
        ]
        return [block(event["type"], {**event, "sequence_number": at}) for at, event in enumerate(events)]

    def fragment(self, number: int, text: str, odd: str = "") -> bytes:
        if odd == "skipped":
            self.skipped += 2
        at = 3 + number + self.skipped - (5 if odd == "repeated" else 0)
        data: dict[str, Any] = {
            "type": "response.output_text.delta",
            "sequence_number": at,
            "item_id": "msg_1" if odd == "other text" else "msg_0",
            "output_index": 1 if odd == "other text" else 0,
            "content_index": 1 if odd == "other part" else 0,
            "delta": "" if odd == "empty" else text,
            "obfuscation": "x" * (number % 7),
        }
        if odd == "no number":
            del data["sequence_number"]
        elif odd == "no type":
            del data["type"]
        elif odd == "arguments":
            data["type"] = "response.function_call_arguments.delta"
        raw: Any = data
        if odd == "not JSON":
            raw = json.dumps(data).encode() + b","
        elif odd == "two":
            raw = json.dumps(data).encode() * 2
        elif odd == "half":
            raw = json.dumps(data).encode()[:-1]
        return block("response.output_text.delta", raw)

    def end(self, number: int) -> list[bytes]:
        at = 3 + number + self.skipped
        response = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
        return [
            block("response.completed", {"type": "response.completed", "sequence_number": at, "response": response})
        ]


class AssistantsWithIds(Assistants):
    """Each block has an id that counts; some have none."""

    def begin(self) -> list[bytes]:
        return [b"id: %d\n" % (number + 1) + data for number, data in enumerate(super().begin())]

    def fragment(self, number: int, text: str, odd: str = "") -> bytes:
        if odd == "with an id":
            return super().fragment(number, text)
        return b"id: %d\n" % (number + 4 - 2 * (odd == "unknown")) + super().fragment(number, text, odd)

    def end(self, number: int) -> list[bytes]:
        return [b"id: %d\n" % (number + 4) + data for data in super().end(number)]


Feed = Callable[["Seen", Sequence[bytes]], None]

WIRES: dict[str, type[Wire]] = {"assistants": Assistants, "with ids": AssistantsWithIds, "responses": Responses}


class Seen:
    """Everything that one engine emits, and what it knows at each signal.

    Args:
        dialect: The name of the dialect.
        limits: The bounds.
        progress: True to emit progress.
        watched: Which callbacks are set: ``e`` for events, ``s`` for states, ``c`` for changes.
    """

    def __init__(self, dialect: str, limits: Limits, *, progress: bool = True, watched: str = "") -> None:
        self.engine = Engine(clock=lambda: 1.0, limits=limits, progress=progress)
        self.found: list[Any] = []
        self.count = 0
        self.act: Callable[[int], None] = lambda count: None
        self.engine.on_signal = self._signal
        self.engine.on_reject = lambda reject: self.found.append(structs.replace(reject, raw=None))
        self.intake = self.engine.intake("test", dialect=dialect)
        if "e" in watched:
            self.engine.on_event = self._event
        if "s" in watched:
            self.engine.on_state = lambda state: self.found.append(state.text)
        if "c" in watched:
            self.engine.on_change = lambda before, after, at: self.found.append(
                (before and before.text, after.text, at)
            )

    def _event(self, event: Any) -> None:
        self.found.append((event, self.engine.event_scope, [state.text for state in self.engine.states()]))

    def _signal(self, signal: Any) -> None:
        self.count += 1
        texts = [(state.text, state.to_dict()) for state in self.engine.states()] if self.count % 5 == 0 else []
        self.found.append((signal, texts))
        self.act(self.count)

    def result(self) -> Any:
        states = [state.to_dict() for state in self.engine.states()]
        return self.found, states, self.engine.stats(), self.intake.last_id, self.intake.cursor()


def items_of(chunks: Sequence[bytes]) -> Iterator[Any]:
    parser = SSEParser()
    for chunk in chunks:
        parser.at = 2.0
        yield parser.feed(chunk)
    yield parser.close()


def feed_together(seen: Seen, chunks: Sequence[bytes]) -> None:
    for items in items_of(chunks):
        seen.intake.feed_all(items)


def feed_singly(seen: Seen, chunks: Sequence[bytes]) -> None:
    for items in items_of(chunks):
        for item in items:
            seen.intake.feed(item)


def feed_listed(seen: Seen, chunks: Sequence[bytes]) -> None:
    """As a list of raw events, as those of a recording and of a WebSocket are fed."""
    for items in items_of(chunks):
        seen.intake.feed_all([*items])


def feed_interrupted(seen: Seen, chunks: Sequence[bytes]) -> None:
    """As a batch that every fourth signal interrupts; the rest is fed afterwards."""
    act = seen.act
    for items in items_of(chunks):
        rest: list[Any] = [*items]
        while rest:
            part = [*rest]
            batch = Batch(part)

            def interrupt(count: int, batch: Batch = batch) -> None:
                act(count)
                if count % 4 == 0:
                    batch.interrupt()

            seen.act = interrupt
            seen.intake.feed_all(batch)  # type: ignore[arg-type]
            assert len(part) > 0
            rest = rest[len(batch) :]
    seen.act = act


TOGETHER = (feed_together, feed_listed, feed_interrupted)


TEXTS = st.sampled_from(["word ", "a", '"', "\\", "\n", "\0", "ü", "😀", "longer than the others, ", ","])


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A run of many fragments, some of them odd, cut into chunks."""
    name = draw(st.sampled_from(sorted(WIRES)))
    wire = WIRES[name]()
    blocks = wire.begin()
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        for text in draw(st.lists(TEXTS, min_size=1, max_size=3)) * draw(st.integers(1, 60)):
            blocks.append(wire.fragment(number, text))
            number += 1
        if draw(st.booleans()):
            blocks.append(wire.fragment(number, draw(TEXTS), draw(st.sampled_from(wire.odd))))
            number += 1
    if draw(st.booleans()):
        blocks += wire.end(number)
    stream = b"".join(blocks)
    if draw(st.booleans()):  # sent again
        at = draw(st.integers(0, len(blocks)))
        stream += b"".join(blocks[at:])
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    return name, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


LIMITS = st.builds(
    Limits, dedupe_window=st.sampled_from([3, 20, 65_536]), max_run_size=st.sampled_from([50, 600, 64 * 2**20])
)


@settings(max_examples=300)
@given(
    stream=streams(),
    limits=LIMITS,
    progress=st.booleans(),
    watched=st.sampled_from(["", "", "e", "s", "c", "sc", "es", "esc"]),
    feed=st.sampled_from(TOGETHER),
)
def test_the_results_are_the_same(
    stream: tuple[str, list[bytes]], limits: Limits, progress: bool, watched: str, feed: Feed
) -> None:
    """Events, states, signals, the state at each of them, rejects, counts, the last id and the cursor."""
    name, chunks = stream
    together, singly = (Seen(WIRES[name].dialect, limits, progress=progress, watched=watched) for _ in range(2))
    feed(together, chunks)
    feed_singly(singly, chunks)
    assert together.result() == singly.result()


def plain(name: str, count: int) -> list[bytes]:
    wire = WIRES[name]()
    texts = [wire.fragment(number, f"{number} ") for number in range(count)]
    return [b"".join([*wire.begin(), *texts, *wire.end(count)])]


class Counting:
    """Counts the fragments that an engine appends at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        take = FragmentFeeder._take_from

        def counted(feeder: FragmentFeeder, *args: Any) -> int:
            taken = take(feeder, *args)
            self.taken += taken
            return taken

        monkeypatch.setattr(FragmentFeeder, "_take_from", counted)


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("watched", ["", "esc"])
@pytest.mark.parametrize("feed", [feed_together, feed_listed])
def test_nearly_all_are_appended_at_once(
    name: str, progress: bool, watched: str, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the other tests here would compare the same with the same."""
    counting = Counting(monkeypatch)
    feed(Seen(WIRES[name].dialect, Limits(), progress=progress, watched=watched), plain(name, 300))
    assert counting.taken > 270


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("at", [20, 150, 290])
@pytest.mark.parametrize("watched", ["", "esc"])
@pytest.mark.parametrize("together", [feed_together, feed_listed])
def test_a_callback_that_raises_loses_nothing_twice(name: str, at: int, watched: str, together: Feed) -> None:
    """What is behind the event was not processed: it is, if it is fed again."""
    chunks = plain(name, 300)
    found = []
    for feed in (together, feed_singly):
        seen = Seen(WIRES[name].dialect, Limits(), watched=watched)

        def fail(count: int) -> None:
            if count == at:
                raise KeyError(count)

        seen.act = fail
        with pytest.raises(KeyError):
            feed(seen, chunks)
        before = seen.result()
        feed_singly(seen, chunks)
        found.append((before[1:], seen.result()[1:], seen.found))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", sorted(WIRES))
def test_a_clock_that_raises_loses_no_event(name: str) -> None:
    """Nothing is noted of what it was read for: the events are processed when they are fed again."""
    seen = Seen(WIRES[name].dialect, Limits())
    items = [structs.replace(item, at=None) for item in SSEParser().feed(plain(name, 300)[0])]
    now = seen.engine.clock

    def fail() -> float:
        raise RuntimeError("no time")

    seen.intake.feed_all(items[:50])
    seen.engine.clock = fail
    with pytest.raises(RuntimeError, match="no time"):
        seen.intake.feed_all(items[50:])
    seen.engine.clock = now
    seen.intake.feed_all(items[50:])
    assert seen.engine.states()[0].text == "".join(f"{number} " for number in range(300))


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("together", TOGETHER)
def test_callbacks_that_are_set_inside_a_callback_apply_to_the_next_event(name: str, together: Feed) -> None:
    """Here ``on_event``, ``on_state`` and the wish for no progress."""
    found = []
    for feed in (together, feed_singly):
        seen = Seen(WIRES[name].dialect, Limits())
        events: list[Any] = []

        def change(count: int, seen: Seen = seen, events: list[Any] = events) -> None:
            match count:
                case 30:
                    seen.engine.on_event = events.append
                case 60:
                    seen.engine.on_event = None
                    seen.engine.on_state = lambda state: events.append(state.text)
                case 90:
                    seen.engine.on_state = None
                    seen.engine.progress = False

        seen.act = change
        feed(seen, plain(name, 300))
        found.append((events, seen.result()))
    assert len(found[0][0]) == 60
    assert found[0] == found[1]


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("watched", ["", "e", "esc"])
@pytest.mark.parametrize("place", ["signal", "event", "state"])
@pytest.mark.parametrize("together", TOGETHER)
def test_a_callback_may_feed_more_of_the_text(name: str, watched: str, place: str, together: Feed) -> None:
    """The engine is called again within a signal of a fragment: nothing is lost, and the ids are known as before."""
    found = []
    for feed in (together, feed_singly):
        wire = WIRES[name]()
        seen = Seen(WIRES[name].dialect, Limits(), watched=watched)
        more = SSEParser().feed(wire.fragment(1_000, "more "))
        fed = [0]

        def feed_more(*_: object, seen: Seen = seen, more: Sequence[Any] = more, fed: list[int] = fed) -> None:
            fed[0] += 1
            if fed[0] == 40:
                seen.intake.feed_all(more)

        if place == "signal":
            seen.act = feed_more
        elif place == "event":
            seen.engine.on_event = feed_more
        else:
            seen.engine.on_state = feed_more
        feed(seen, plain(name, 300))
        assert fed[0] > 300
        found.append((seen.result(), seen.engine.states()[0].text))
    assert found[0] == found[1]
    assert "more " in found[0][1]


@pytest.mark.parametrize("what", ["end", "expire", "claim", "reconnect", "other run"])
@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("together", TOGETHER)
def test_what_a_callback_does_to_the_run_applies_to_the_next_event(name: str, what: str, together: Feed) -> None:
    """The source ends, the run expires, another source sends it, or the connection is another one."""
    found = []
    for feed in (together, feed_singly):
        wire = WIRES[name]()
        seen = Seen(WIRES[name].dialect, Limits())
        other = seen.engine.intake("other", dialect=WIRES[name].dialect)

        def act(count: int, seen: Seen = seen, wire: Wire = wire, other: Any = other, feed: Feed = feed) -> None:
            if count != 40:
                return
            match what:
                case "end":
                    seen.intake.end()
                case "expire":
                    seen.engine.expire(next(iter(seen.engine.registry.open_records())), "idle")
                case "claim":
                    other.feed_all(SSEParser().feed(b"".join(wire.begin())))
                case "other run":
                    stream = b"".join([*wire.begin(), *[wire.fragment(n, "x ") for n in range(60)]])
                    for old, new in ((b"run_1", b"run_2"), (b"resp_1", b"resp_2"), (b"msg_", b"message_")):
                        stream = stream.replace(old, new)
                    feed(seen, [stream])  # of another run of this source
                case "reconnect":
                    seen.intake.connected()
                    seen.intake.connected()

        seen.act = act
        feed(seen, plain(name, 300))
        found.append(seen.result())
    assert found[0] == found[1]


def test_a_dialect_that_wraps_decode_sees_each_raw_event() -> None:
    """Its base class decodes many at once, past it: that is not used."""

    class Wrapping(AssistantsDialect):
        __slots__ = ("seen",)

        def decode(self, raw: Any) -> Any:
            self.seen = getattr(self, "seen", 0) + 1
            return super().decode(raw)

    class Plain(AssistantsDialect):
        __slots__ = ()

    dialect = Wrapping()
    assert fragment_decoder(dialect) is None
    assert fragment_decoder(Plain()) is not None
    assert fragment_decoder(ResponsesDialect()) is not None
    engine = Engine()
    intake = engine.intake("test", dialect=dialect)
    for items in items_of(plain("assistants", 100)):
        intake.feed_all(items)
    assert dialect.seen == 104
    assert len(engine.states()[0].text) == sum(len(f"{number} ") for number in range(100))


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("watched", ["", "e", "sc", "esc"])
@pytest.mark.parametrize("together", TOGETHER)
def test_counts_and_places_are_those_of_the_present_event(name: str, watched: str, together: Feed) -> None:
    """A callback asks for them in the middle of fragments that arrived together."""
    found = []
    for feed in (together, feed_singly):
        seen = Seen(WIRES[name].dialect, Limits(), watched=watched)
        asked: list[Any] = []

        def ask(count: int, seen: Seen = seen, asked: list[Any] = asked) -> None:
            if count in (40, 41, 200, 300):
                asked.append((seen.engine.stats(), seen.intake.last_id, seen.intake.cursor()))

        seen.act = ask
        feed(seen, plain(name, 300))
        assert len(asked) == 4
        found.append((asked, seen.result()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", sorted(WIRES))
@pytest.mark.parametrize("place", ["event", "state", "change", "signal"])
@pytest.mark.parametrize("together", [feed_together, feed_listed])
def test_a_callback_that_raises_is_counted_as_one_by_one(name: str, place: str, together: Feed) -> None:
    """Where it raises before the signal is due, the event is not counted."""
    found = []
    for feed in (together, feed_singly):
        seen = Seen(WIRES[name].dialect, Limits())
        calls = [0]

        def fail(*_: object, calls: list[int] = calls) -> None:
            calls[0] += 1
            if calls[0] == 60:
                raise RuntimeError("sixty")

        match place:
            case "event":
                seen.engine.on_event = fail
            case "state":
                seen.engine.on_state = fail
            case "change":
                seen.engine.on_change = fail
            case "signal":
                seen.act = fail
        with pytest.raises(RuntimeError, match="sixty"):
            feed(seen, plain(name, 300))
        found.append(seen.result())
    assert found[0] == found[1]


def test_a_decoder_knows_what_was_processed_before() -> None:
    """A callback feeds more of the text: the decoder has noted the fragment of the callback by then."""
    cursors: list[str | None] = []

    class Noting(ResponsesDialect):
        __slots__ = ()

        def decode_fragments(self, events: RawEvents, first: int) -> TextFragments | None:
            cursors.append(self.cursor())
            return super().decode_fragments(events, first)

    engine = Engine()
    intake = engine.intake("test", dialect=Noting())
    wire = Responses()
    more = SSEParser().feed(b"".join(wire.fragment(1_000 + number, "more ") for number in range(30)))
    assert isinstance(more, RawItems)
    (together,) = [part for part in more.parts if isinstance(part, RawEvents)]
    count = 0

    def feed_more(signal: Any) -> None:
        nonlocal count
        count += isinstance(signal, TextDelta)
        if count == 40:
            count += 1
            before = len(cursors)
            intake.feed_all(together)
            assert cursors[before] == "resp_1/42"

    engine.on_signal = feed_more
    for items in items_of(plain("responses", 300)):
        intake.feed_all(items)
    assert count > 300


def test_fragments_of_another_run_are_not_appended() -> None:
    """Two runs have a message of one id: the decoder names the run of each fragment."""

    class Other(ResponsesDialect):
        __slots__ = ()

        def decode_fragments(self, events: RawEvents, first: int) -> TextFragments | None:
            found = super().decode_fragments(events, first)
            return None if found is None else structs.replace(found, run_id="resp_2")

        def decode(self, item: RawItem) -> Any:
            event = super().decode(item)
            is_far = isinstance(event, TextAppend) and int(event.text) > 2
            return structs.replace(event, run_id="resp_2") if is_far else event

    engine = Engine()
    intake = engine.intake("test", dialect=Other())
    for items in items_of(plain("responses", 100)):
        intake.feed_all(items)
    assert engine.states()[0].text == "0 1 2 "
    assert len(engine.orphans()["resp_2"]) == 97


def test_the_dialect_is_found_in_events_that_arrived_together() -> None:
    """``"auto"`` takes the first ones, and the others are those of the dialect."""
    engine = Engine()
    intake = engine.intake("test")
    for items in items_of(plain("responses", 100)):
        intake.feed_all(items)
    assert intake.dialect == "responses"
    assert len(engine.states()[0].text) == sum(len(f"{number} ") for number in range(100))
