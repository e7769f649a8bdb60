"""The event streams of the server by name: recordings and random runs, as numbered events or as snapshots for polls."""

from __future__ import annotations

import random
import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from runstream import demo
from runstream.core.state import RunState
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording
from runstream.testing import Script
from tests.conformance.recorded import PAIRS, RECORDINGS
from tests.support.ag_ui_runs import ag_ui_runs
from tests.support.graph_runs import GraphRun, graph_run, graph_thread
from tests.support.talks import talk

__all__ = [
    "PROTOCOLS",
    "StreamEvent",
    "disjoint",
    "graph_answers",
    "graph_place",
    "interleaved",
    "is_numbered",
    "load",
    "poll_body",
    "poll_raws",
    "protocol_of",
    "shuffled",
    "snapshots",
    "stream_names",
    "tool_names",
]

PROTOCOLS: Final = ("assistants", "responses", "ag-ui", "langgraph", "langgraph-thread")
_PREFIXES: Final = {
    "thread": "ag-ui",
    "ag-ui": "ag-ui",
    "talk": "responses",
    "responses": "responses",
    "graph": "langgraph",
    "langgraph": "langgraph",
    "graph-thread": "langgraph-thread",
    "langgraph-thread": "langgraph-thread",
}
_IDS = re.compile(
    rb'"(?:id|run_id|message_id|previous_response_id|runId|messageId|toolCallId|subagentRunId)" ?: ?"([^"]*)"'
)
_TOOLS: Final = re.compile(rb'"toolCallName": ?"([^"]*)"')
_RESPONSES: Final = RECORDINGS / "responses"
_AG_UI: Final = RECORDINGS / "agui"
_LANGGRAPH: Final = RECORDINGS / "langgraph"
_FOLDERS: Final = {"responses": _RESPONSES, "ag-ui": _AG_UI, "langgraph": _LANGGRAPH, "langgraph-thread": _LANGGRAPH}
_LONGEST: Final = 32 * 1024  # bytes of an event; a larger one could exceed the limits of the harness
_NOT_COMPARABLE: Final = frozenset({"open_responses_server_function_call.sse"})
"""Its ids change within items that no event announces: after a loss, nothing tells which fragments belong together."""
_NOT_CERTAIN: Final = frozenset({"ag-ui/tanstack_tool.sse"})
"""It says that it has finished before it goes on: a cut in between can't be distinguished from its end."""
_LINKED: Final = tuple(
    (f"{server}_function_1_call.sse", f"{server}_function_2_answer.sse") for server in ("fastresponses", "ogx")
)
_WORDS = ("Let", "me", "see", "–", "it", "is", "哈哈", "ha", "ha", "🙂", "\n", "straße", '"quoted"', "done")


class StreamEvent(NamedTuple):
    """One event.

    Attributes:
        name: Its name.
        data: Its data.
        id: An id that is unique among the events of all streams. Of the Responses wire: the response and the number,
            ``resp_1/12``, and "" for an event without a number.
        number: Its place among all events of its case.
        track: The place of its stream among those of its case.
    """

    name: str
    data: bytes
    id: str
    number: int = 0
    track: int = 0


def protocol_of(streams: tuple[str, ...]) -> str:
    """The protocol of streams, by their names: the name of its dialect."""
    return _PREFIXES.get(streams[0].partition("/")[0], "assistants")


def stream_names(protocol: str = "assistants") -> list[str]:
    """The existing recordings: ``demo/NAME``, ``shared/NAME``; ``responses/NAME`` of the Responses wire, ``ag-ui/NAME``
    of the AG-UI wire, ``langgraph/NAME`` and ``langgraph-thread/NAME`` of the LangGraph server.

    Two streams of one run are joined by ``+``.
    """
    if protocol == "responses":
        return list(_response_names())
    if protocol == "ag-ui":
        return list(_ag_ui_names())
    if protocol.startswith("langgraph"):
        return list(_graph_names(protocol))
    bundled = [name for name in demo.recordings() if not name.startswith("function_call_2")]
    shared = sorted(path.name for path in RECORDINGS.glob("*.sse"))
    found = [f"demo/{name}" for name in bundled] + [f"shared/{name}" for name in shared]
    joined = ["demo/function_call_1.sse+demo/function_call_2.sse"]
    joined += [f"shared/{one}+shared/{two}" for one, two in PAIRS if one in shared and two in shared]
    return found + joined


@lru_cache(maxsize=4096)
def load(name: str) -> tuple[StreamEvent, ...]:
    """The events of a stream.

    Args:
        name: One of :func:`stream_names`, or a random run: ``made/SEED``, ``talk/SEED`` of the Responses wire,
            ``thread/SEED`` of the AG-UI wire, ``graph/SEED`` and ``graph-thread/SEED`` of the LangGraph server.

    Raises:
        FileNotFoundError: The recording does not exist.
    """
    kind, _, rest = name.partition("/")
    if kind == "talk":
        return _identified([RawEvent(event.get("type"), _encoded(event)) for event in talk(int(rest))])
    if kind == "responses":
        return _identified([raw for part in name.split("+") for raw in _recorded(part)])
    if kind == "thread":
        return tuple(StreamEvent("", _encoded(event), "") for event in ag_ui_runs(int(rest)))
    if kind in ("graph", "graph-thread"):
        return _graph_events([(event, _encoded(data)) for event, data in _graph(name).events])
    if kind in ("langgraph", "langgraph-thread"):
        return _graph_events([(raw.event or "", raw.data) for raw in _recorded(name)])
    if kind == "ag-ui":
        return tuple(StreamEvent("", raw.data, "") for raw in _recorded(name))
    if kind == "made":
        raws: list[RawEvent] = _made_up(int(rest)).raw_events()
    else:
        raws = [raw for part in name.split("+") for raw in _recorded(part)]
    return tuple(StreamEvent(raw.event or "", raw.data, f"{name}:{at}") for at, raw in enumerate(raws))


def _recorded(name: str) -> list[RawEvent]:
    kind, _, file = name.partition("/")
    if kind in _FOLDERS:
        body = (_FOLDERS[kind] / file).read_bytes()
        return [raw for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent) and raw.data]
    body = demo.load(file) if kind == "demo" else (RECORDINGS / file).read_bytes()
    return [raw for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent) and raw.event is not None]


@lru_cache(maxsize=1)
def _response_names() -> tuple[str, ...]:
    """The recordings that have a response and no event that is too long."""
    streams = {
        name: _recorded(name)
        for path in _RESPONSES.glob("*.sse")
        if path.name not in _NOT_COMPARABLE
        for name in (f"responses/{path.name}",)
    }
    found = sorted(
        name
        for name, raws in streams.items()
        if any(b'"response.created"' in raw.data for raw in raws) and max(len(raw.data) for raw in raws) < _LONGEST
    )
    joined = [f"responses/{one}+responses/{two}" for one, two in _LINKED]
    return (*found, *(name for name in joined if name.partition("+")[0] in found))


@lru_cache(maxsize=1)
def _ag_ui_names() -> tuple[str, ...]:
    """The recordings of the AG-UI wire whose events are not too long, and that begin with the start of a run."""
    names = sorted(f"ag-ui/{path.name}" for path in _AG_UI.glob("*.sse"))
    streams = {name: _recorded(name) for name in names}
    return tuple(
        name
        for name, raws in streams.items()
        if name not in _NOT_CERTAIN
        and b'"RUN_STARTED"' in raws[0].data
        and max(len(raw.data) for raw in raws) < _LONGEST
    )


@lru_cache(maxsize=4)
def _graph_names(protocol: str) -> tuple[str, ...]:
    """The recordings of one run from its beginning, of which is known what the server said afterwards.

    A run that waits is one of the run wire only: the stream of its thread has no end.
    """
    found = []
    for path in sorted(_LANGGRAPH.glob("*.sse")):
        kind = "langgraph-thread" if path.name.startswith("v2_") else "langgraph"
        name = f"{kind}/{path.name}"
        if kind != protocol or path.name in _PARTS or not path.with_suffix(".after.json").exists():
            continue
        if max(len(raw.data) for raw in _recorded(name)) < _LONGEST:
            found.append(name)
    return tuple(found)


_PARTS: Final = frozenset({"resumable_2_rejoined.sse", "resumable_4_joined_after_the_end_no_id.sse"})
"""Recordings without their beginning."""


def _graph(name: str) -> GraphRun:
    kind, _, seed = name.partition("/")
    return graph_run(int(seed)) if kind == "graph" else graph_thread(int(seed))


def _graph_events(events: list[tuple[str, bytes]]) -> tuple[StreamEvent, ...]:
    """Events of the LangGraph server. Their ids are times, as the server has them, and no two are equal here: a server
    that has several events with one id loses some where it resumes after it.
    """
    return tuple(StreamEvent(name, data, f"{_TIME + at}-0") for at, (name, data) in enumerate(events))


_TIME: Final = 1795868915000


@lru_cache(maxsize=4096)
def graph_answers(name: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """What a LangGraph server says about a run that has ended: the run, the state, the thread, each with a status."""
    if not name.startswith("langgraph"):
        return {kind: (200, body) for kind, body in _graph(name).answers.items()}
    found = msgspec.json.decode((_LANGGRAPH / name.partition("/")[2]).with_suffix(".after.json").read_bytes())
    return {
        kind: (each["http"], each["body"]) for kind, each in found.items() if isinstance(each, dict) and "http" in each
    }


@lru_cache(maxsize=4096)
def graph_place(name: str) -> tuple[str, str]:
    """The ids of the thread and of the run of a stream of the LangGraph server."""
    if not name.startswith("langgraph"):
        run = _graph(name)
        return run.thread_id, run.run_id
    if "thread_id" in (run := graph_answers(name)["run"][1]):
        return run["thread_id"], run["run_id"]
    requests = msgspec.json.decode((_LANGGRAPH / "requests.json").read_bytes())  # a run that was removed
    place = _PLACE.search(msgspec.json.encode(requests[name.partition("/")[2].removesuffix(".sse")]))
    assert place is not None
    return place[1].decode(), place[2].decode()


_PLACE: Final = re.compile(rb'"content-location":"/threads/([\w-]+)/runs/([\w-]+)"')


def _encoded(event: Any) -> bytes:
    return msgspec.json.encode(event) if event else b"[DONE]"


def _identified(raws: list[RawEvent]) -> tuple[StreamEvent, ...]:
    """The events of the Responses wire, each with its identity."""
    found, response = [], ""
    for raw in raws:
        event = msgspec.json.decode(raw.data) if raw.data != b"[DONE]" else {}
        if event.get("type") == "response.created":
            response = event["response"]["id"]
        number = event.get("sequence_number")
        found.append(StreamEvent(raw.event or "", raw.data, f"{response}/{number}" if number is not None else ""))
    return tuple(found)


@lru_cache(maxsize=4096)
def is_numbered(name: str) -> bool:
    """True if each event of a stream of the Responses wire has a number of its own; the end mark has none."""
    ids = [event.id for event in load(name) if event.data != b"[DONE]"]
    return "" not in ids and len(set(ids)) == len(ids)


@lru_cache(maxsize=4096)
def tool_names(streams: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the tools that an application would offer to the servers of streams of the AG-UI wire.

    A server that asks by ``on_interrupt`` has the tool itself: else the call would be requested beside the question.
    """
    offering = [
        load(stream) for stream in streams if not any(b'"on_interrupt"' in event.data for event in load(stream))
    ]
    found = {name for events in offering for event in events for name in _TOOLS.findall(event.data)}
    return tuple(sorted(name.decode() for name in found))


@lru_cache(maxsize=4096)
def _ids(name: str) -> frozenset[bytes]:
    return frozenset(id for events in load(name) for id in _IDS.findall(events.data))


def disjoint(chosen: list[str]) -> list[str]:
    """The names of the streams that can be mixed: streams that have an id in common with an earlier one are omitted."""
    kept: list[str] = []
    for name in chosen:
        if all(_ids(name).isdisjoint(_ids(other)) for other in kept):
            kept.append(name)
    return kept


@lru_cache(maxsize=4096)
def _numbered(chosen: tuple[str, ...]) -> tuple[tuple[StreamEvent, ...], ...]:
    tracks, number = [], 0
    for track, name in enumerate(chosen):
        numbered = enumerate(load(name))
        tracks.append(tuple(events._replace(number=number + at, track=track) for at, events in numbered))
        number += len(tracks[-1])
    return tuple(tracks)


def interleaved(chosen: tuple[str, ...], seed: str | None) -> list[StreamEvent]:
    """All events of several streams; the events of each keep their order.

    Args:
        chosen: Their names.
        seed: Determines the order; ``None``: one stream after the other.
    """
    tracks = _numbered(chosen)
    if seed is None:
        return [events for track in tracks for events in track]
    order = [number for number, track in enumerate(tracks) for _ in track]
    random.Random(seed).shuffle(order)
    iterators = [iter(track) for track in tracks]
    return [next(iterators[number]) for number in order]


def shuffled(chosen: tuple[str, ...], seed: str) -> list[StreamEvent]:
    """All events of several streams, one stream after the other, in a random order of the streams."""
    tracks = list(_numbered(chosen))
    random.Random(seed).shuffle(tracks)
    return [events for track in tracks for events in track]


def _made_up(seed: int) -> Script:
    """A random run: messages, calls of all kinds, several rounds, any final status."""
    rng = random.Random(f"made/{seed}")
    script = Script(f"run_made{seed}", thread_id=f"thread_made{seed}")
    for _ in range(rng.randint(0, 4)):
        act = rng.choice(("say", "say", "two", "call", "code", "search", "act"))
        if act == "say":
            script.say("", pieces=_pieces(rng))
        elif act == "two":
            one, other = script.open_message(), script.open_message()
            for piece in _pieces(rng):
                rng.choice((one, other)).write(piece, part=0)
            one.close()
            other.close(rng.choice((None, "max_tokens")))
        elif act == "call":
            script.call(weather={"city": rng.choice(_WORDS)}, time={})
            script.answer("sunny", "noon")
        elif act == "code":
            script.run_code(" ".join(_pieces(rng)), logs="1\n")
        elif act == "search":
            script.search({"file_id": "file_1", "file_name": "a.txt", "score": 0.5})
        else:
            script.act({"type": "mcp_list_tools", "server_label": "server", "tools": {}})
    if rng.random() < 0.1:
        return script.call(weather={"city": "Oslo"})
    return script.end(rng.choice(("completed", "completed", "failed", "cancelled", "expired", "incomplete")))


def _pieces(rng: random.Random) -> list[str]:
    return [rng.choice(_WORDS) + " " * rng.randint(0, 1) for _ in range(rng.randint(1, 25))]


_EVERY: Final = 9  # events between two moments, beside those at which the run itself changes


@lru_cache(maxsize=2048)
def snapshots(streams: tuple[str, ...]) -> tuple[tuple[dict[str, Any], ...], ...]:
    """The snapshots of a polled run, in order; each has the run, its steps and its messages."""
    engine, latest = Engine(clock=lambda: 1.0), list[RunState]()
    engine.on_state = latest.append
    intake = engine.intake("polled")
    found: list[tuple[dict[str, Any], ...]] = []
    events = interleaved(streams, None)
    run: dict[str, Any] = {}
    for number, item in enumerate(events):
        runs = len(latest)
        intake.feed(RawEvent(item.name, item.data))
        changed = len(latest) > runs and item.name.startswith("thread.run.") and ".step." not in item.name
        if changed:
            run = msgspec.json.decode(item.data)  # as sent by the server, with nulls
        if latest and (number % _EVERY == 0 or changed or number == len(events) - 1):
            moment = ({**run, "object": "thread.run"}, *_objects(latest[-1]))
            if not found or moment != found[-1]:
                found.append(moment)
    return tuple(found)


def _objects(state: RunState) -> tuple[dict[str, Any], ...]:
    events = state.to_dict()
    steps = [{"object": "thread.run.step", "run_id": state.run_id, **step} for step in events["steps"]]
    messages = [{"object": "thread.message", "run_id": state.run_id, **message} for message in events["messages"]]
    return (*steps, *messages)


def poll_body(streams: tuple[str, ...], moment: int) -> bytes:
    """The answer to a poll."""
    known = snapshots(streams)
    return msgspec.json.encode(known[min(moment, len(known) - 1)])


def poll_raws(streams: tuple[str, ...]) -> list[list[RawEvent]]:
    """All snapshots as the raw events that the pipeline receives."""
    return [[RawEvent(_name(item), msgspec.json.encode(item)) for item in moment] for moment in snapshots(streams)]


def _name(item: dict[str, Any]) -> str:
    name = f"{item['object']}.{item.get('status')}"
    return name if name in EVENT_TYPES else str(item["object"])
