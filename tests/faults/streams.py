"""What servers tell: recordings and made-up runs, by name, as numbered events."""

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

__all__ = ["Told", "body", "interleaved", "load", "names", "raws", "snapshots", "together"]

_IDS = re.compile(rb'"(?:id|run_id|message_id)" ?: ?"([^"]*)"')
_WORDS = ("Let", "me", "see", "–", "it", "is", "哈哈", "ha", "ha", "🙂", "\n", "straße", '"quoted"', "done")


class Told(NamedTuple):
    """One event.

    Attributes:
        name: Its name.
        data: Its data.
        id: An id that no other event of any telling has.
        number: Its place among all events of its case.
    """

    name: str
    data: bytes
    id: str
    number: int = 0


def names() -> list[str]:
    """Recordings that are there: ``demo/NAME``, ``shared/NAME``. Two streams of one run are one, joined by ``+``."""
    bundled = [name for name in demo.recordings() if not name.startswith("function_call_2")]
    shared = sorted(path.name for path in RECORDINGS.glob("*.sse"))
    found = [f"demo/{name}" for name in bundled] + [f"shared/{name}" for name in shared]
    joined = ["demo/function_call_1.sse+demo/function_call_2.sse"]
    joined += [f"shared/{one}+shared/{two}" for one, two in PAIRS if one in shared and two in shared]
    return found + joined


@lru_cache(maxsize=4096)
def load(name: str) -> tuple[Told, ...]:
    """The events of a telling.

    Args:
        name: One of :func:`names`, or ``made/SEED`` for a made-up run.

    Raises:
        FileNotFoundError: There is no such recording here.
    """
    kind, _, rest = name.partition("/")
    if kind == "made":
        raws: list[RawEvent] = _made(int(rest)).raw_events()
    else:
        raws = [raw for part in name.split("+") for raw in _recorded(part)]
    return tuple(Told(raw.event or "", raw.data, f"{name}:{at}") for at, raw in enumerate(raws))


def _recorded(name: str) -> list[RawEvent]:
    kind, _, file = name.partition("/")
    body = demo.load(file) if kind == "demo" else (RECORDINGS / file).read_bytes()
    return [raw for raw in read_recording(body, format="sse") if isinstance(raw, RawEvent) and raw.event is not None]


@lru_cache(maxsize=4096)
def _ids(name: str) -> frozenset[bytes]:
    return frozenset(id for told in load(name) for id in _IDS.findall(told.data))


def together(chosen: list[str]) -> list[str]:
    """Those of the tellings that can be told in one stream: no two may speak of one id."""
    kept: list[str] = []
    for name in chosen:
        if all(_ids(name).isdisjoint(_ids(other)) for other in kept):
            kept.append(name)
    return kept


@lru_cache(maxsize=4096)
def _numbered(chosen: tuple[str, ...]) -> tuple[tuple[Told, ...], ...]:
    tracks, number = [], 0
    for name in chosen:
        tracks.append(tuple(told._replace(number=number + at) for at, told in enumerate(load(name))))
        number += len(tracks[-1])
    return tuple(tracks)


def interleaved(chosen: tuple[str, ...], seed: str | None) -> list[Told]:
    """All events of several tellings; each keeps its order.

    Args:
        chosen: Their names.
        seed: Decides whose turn it is; ``None``: one telling after the other.
    """
    tracks = _numbered(chosen)
    if seed is None:
        return [told for track in tracks for told in track]
    turns = [number for number, track in enumerate(tracks) for _ in track]
    random.Random(seed).shuffle(turns)
    iterators = [iter(track) for track in tracks]
    return [next(iterators[number]) for number in turns]


def _made(seed: int) -> Script:
    """A run made up at random: messages, calls of all kinds, several rounds, any ending."""
    chance = random.Random(f"made/{seed}")
    script = Script(f"run_made{seed}", thread_id=f"thread_made{seed}")
    for _ in range(chance.randint(0, 4)):
        act = chance.choice(("say", "say", "two", "call", "code", "search", "act"))
        if act == "say":
            script.say("", pieces=_pieces(chance))
        elif act == "two":
            one, other = script.open_message(), script.open_message()
            for piece in _pieces(chance):
                chance.choice((one, other)).write(piece, part=0)
            one.close()
            other.close(chance.choice((None, "max_tokens")))
        elif act == "call":
            script.call(weather={"city": chance.choice(_WORDS)}, time={})
            script.answer("sunny", "noon")
        elif act == "code":
            script.run_code(" ".join(_pieces(chance)), logs="1\n")
        elif act == "search":
            script.search({"file_id": "file_1", "file_name": "a.txt", "score": 0.5})
        else:
            script.act({"type": "mcp_list_tools", "server_label": "server", "tools": {}})
    if chance.random() < 0.1:
        return script.call(weather={"city": "Oslo"})
    return script.end(chance.choice(("completed", "completed", "failed", "cancelled", "expired", "incomplete")))


def _pieces(chance: random.Random) -> list[str]:
    return [chance.choice(_WORDS) + " " * chance.randint(0, 1) for _ in range(chance.randint(1, 25))]


_EVERY: Final = 9  # events between two moments, beside those at which the run itself changes


@lru_cache(maxsize=2048)
def snapshots(tellings: tuple[str, ...]) -> tuple[tuple[dict[str, Any], ...], ...]:
    """The objects at each moment, in order: the run, its steps, its messages."""
    engine, latest = Engine(clock=lambda: 1.0), list[RunState]()
    engine.on_state = latest.append
    intake = engine.intake("polled")
    found: list[tuple[dict[str, Any], ...]] = []
    told = interleaved(tellings, None)
    run: dict[str, Any] = {}
    for number, item in enumerate(told):
        runs = len(latest)
        intake.feed(RawEvent(item.name, item.data))
        changed = len(latest) > runs and item.name.startswith("thread.run.") and ".step." not in item.name
        if changed:
            run = msgspec.json.decode(item.data)  # as the server says it, nulls too
        if latest and (number % _EVERY == 0 or changed or number == len(told) - 1):
            moment = ({**run, "object": "thread.run"}, *_objects(latest[-1]))
            if not found or moment != found[-1]:
                found.append(moment)
    return tuple(found)


def _objects(state: RunState) -> tuple[dict[str, Any], ...]:
    told = state.to_dict()
    steps = [{"object": "thread.run.step", "run_id": state.run_id, **step} for step in told["steps"]]
    messages = [{"object": "thread.message", "run_id": state.run_id, **message} for message in told["messages"]]
    return (*steps, *messages)


def body(tellings: tuple[str, ...], moment: int) -> bytes:
    """The answer to a poll."""
    known = snapshots(tellings)
    return msgspec.json.encode(known[min(moment, len(known) - 1)])


def raws(tellings: tuple[str, ...]) -> list[list[RawEvent]]:
    """All answers as the pipeline gets them."""
    return [[RawEvent(_name(item), msgspec.json.encode(item)) for item in moment] for moment in snapshots(tellings)]


def _name(item: dict[str, Any]) -> str:
    name = f"{item['object']}.{item.get('status')}"
    return name if name in EVENT_TYPES else str(item["object"])
