"""Cases: source, streams, ids and resumption of the server, faults and seed. Each is written as one line of text."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from tests.faults.streams import PROTOCOLS, disjoint, is_numbered, protocol_of, snapshots, stream_names

__all__ = [
    "CONTENT",
    "FAULTS",
    "LOSES_DATA",
    "LOSSES",
    "PAIRS",
    "REFUSALS",
    "SOURCES",
    "Case",
    "ConnectionPlan",
    "Fault",
    "can_resume",
    "connection_plans",
    "generate",
    "has_fault",
    "has_timeouts",
]

# A fault of a connection ends it after a part of its events, refuses it, or changes its events. Each has the sources
# for which it exists.
_STREAMS: Final = ("ws", "sse", "post")
_NETWORK: Final = (*_STREAMS, "poll")
_EVENTS: Final = (*_STREAMS, "file")
_ALL: Final = (*_NETWORK, "file")
LOSSES: Final = {
    "kill": _NETWORK,  # SIGKILL of the server's process
    "drop": _NETWORK,  # TCP closed without a closing handshake (a WebSocket client calls this 1006)
    "reset": _NETWORK,  # TCP RST: data in transit may be lost
    "half": _NETWORK,  # the server sends FIN and continues to read
    "stall": _NETWORK,  # nothing more, not even a pong; the connection stays open
    "cut": _ALL,  # ends in the middle of a frame or block
    "cut-utf8": _ALL,  # ends in the middle of a character
    "protocol": _STREAMS,  # bytes that are neither a frame nor a chunk
    **{f"close-{code}": ("ws",) for code in (1000, 1001, 1005, 1008, 1009, 1011, 1012, 1013, 4000, 4999)},
    "end": ("sse", "post"),  # a proper end
}
REFUSALS: Final = {
    **{f"http-{status}": _NETWORK for status in (401, 403, 404, 429, 500, 503, 204)},
    **{f"http-{status}": _NETWORK for status in (502, 520, 522, 530)},  # of gateways and content networks
    "html": _NETWORK,  # 200, but a page
    "error": ("sse", "post"),  # 200 and an event stream, but a JSON error without a field
    "coding": ("sse", "post"),  # a content coding that was not asked for
    "head": _NETWORK,  # a response head that never ends, a line at a time
    "slam": _NETWORK,  # closed before the answer
    "hush": _NETWORK,  # no answer at all
    "noise": _NETWORK,  # an answer that is not HTTP
}
CONTENT: Final = {
    **{f"junk-{kind}": _ALL for kind in ("json", "types", "bytes", "deep", "large")},
    **{f"junk-{kind}": _EVENTS for kind in ("names", "orphan")},
    "junk-giant": ("ws",),  # beyond the source's limit for one message
    "corrupt": _ALL,  # an event that can't be decoded any more
    "twice": _EVENTS,  # one event or several, repeated at once
    "again": _EVENTS,  # repetition from an earlier point, in the same connection
    "form": _EVENTS,  # an event in another form with the same meaning
    "indices": _EVENTS,  # the indices of calls are texts, or absent, or one for all
    "reorder": _EVENTS,  # interleaved runs, in another order on each connection that replays everything
}
LOSES_DATA: Final = ("reset", "kill", "cut")
"""Data in transit are lost when TCP is reset, and the amount is unknown."""
FAULTS: Final = {**LOSSES, **REFUSALS, **CONTENT}
SOURCES: Final = ("ws", "sse", "post", "poll", "file")
_WITHOUT: Final = {
    *(("poll", protocol) for protocol in PROTOCOLS if protocol != "assistants"),  # a poll is answered with its objects
    ("ws", "langgraph"),  # the run wire is an event stream
    ("post", "langgraph-thread"),  # its event stream is the answer to a POST in any case
}
PAIRS: Final = tuple(
    (source, protocol) for protocol in PROTOCOLS for source in SOURCES if (source, protocol) not in _WITHOUT
)
"""Each source with each protocol that it reads."""
_OF_ALL: Final = ("reorder", "indices")
"""Faults of all connections."""
_REPEATED: Final = ("twice", "again")
"""On a wire without identities, or whose ids are not unique, a repetition within a connection is new content."""
_SERVERS: Final = ("resume", "resume", "replay", "replay", "back", "onward", "fetched")


class Fault(NamedTuple):
    """A fault and its place in the connection (thousandths of the events)."""

    name: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.at}"


class Case(Struct, frozen=True, kw_only=True):
    """A case; its text repeats it.

    Attributes:
        source: ``ws``, ``sse``, ``post`` (an event stream as the answer to a POST), ``poll`` or ``file``.
        streams: The names of the event streams (see :func:`tests.faults.streams.load`).
        ids: The events with an id: ``all``, ``some``, ``none``; ``count``: all, and the ids are consecutive numbers.
            Events of the Responses wire keep their numbers (``all``), or have none (``none``); those of the AG-UI
            wire have none. Those of the LangGraph server's run wire have one if its stream can be resumed (``all``),
            else ``none``; those of its thread protocol have one.
        server: The start of a new connection: ``resume`` (after the last id that the client sent), ``replay`` (the
            first event), ``back`` (some events before the loss), ``onward`` (some events after the loss, with a gap);
            ``fetched``: as ``onward``, but the client fetches the run and receives its final state.
            For a poll, the answer after a fault: the next snapshot of the run, its first, an earlier one, a later one.
            A file is read ``once``.
        faults: The faults, in order; a fault that ends a connection ends the one of the faults before it.
        seed: Determines all the rest.
    """

    source: str
    streams: tuple[str, ...]
    ids: str
    server: str
    faults: tuple[Fault, ...]
    seed: int

    def __str__(self) -> str:
        faults = ",".join(map(str, self.faults)) or "-"
        return f"{self.source};{','.join(self.streams)};{self.ids};{self.server};{faults};{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read a case from its text."""
        source, streams, ids, server, faults, seed = text.strip().split(";")
        found = [fault.split("@") for fault in faults.split(",") if fault != "-"]
        return cls(
            source=source,
            streams=tuple(streams.split(",")),
            ids=ids,
            server=server,
            faults=tuple(Fault(name, int(at)) for name, at in found),
            seed=int(seed),
        )

    @property
    def has_all_ids(self) -> bool:
        """Whether every event has an id."""
        return self.ids in {"all", "count"} and (
            self.protocol != "responses" or all(is_numbered(name) for name in self.streams)
        )

    @property
    def protocol(self) -> str:
        """The protocol of its streams."""
        return protocol_of(self.streams)

    def has(self, *prefixes: str) -> bool:
        """Whether the name of a fault begins with one of the prefixes."""
        return any(fault.name.startswith(prefixes) for fault in self.faults)

    def rng(self, *what: object) -> random.Random:
        """The random numbers for one purpose: the same ones each time."""
        return random.Random(f"{self}/{what}")


def has_timeouts(case: Case) -> bool:
    """Whether the case needs timeouts. They are then so short that one may expire without a fault."""
    return case.has("hush", "stall", "head")


def can_resume(case: Case) -> bool:
    """Whether the client can resume: after a POST, by a GET. The AG-UI protocol has no resumption."""
    if case.protocol == "ag-ui" and case.source == "post":
        return False
    return case.source != "post" or case.seed % 2 == 0


class ConnectionPlan(NamedTuple):
    """The faults of one connection: it is refused, or it has changed events until ``loss`` (``None``: no loss)."""

    refusal: Fault | None
    content: tuple[Fault, ...]
    loss: Fault | None


def connection_plans(case: Case) -> list[ConnectionPlan]:
    """The connections with faults, in order; all later ones have none."""
    found: list[ConnectionPlan] = []
    if case.source == "poll":  # each poll is a connection; a fault affects one of them, after some without faults
        for fault in case.faults:
            found += [ConnectionPlan(None, (), None)] * (fault.at // 250)
            found.append(ConnectionPlan(fault, (), None))
        return found
    content: list[Fault] = []
    for fault in case.faults:
        if fault.name in REFUSALS:
            found.append(ConnectionPlan(fault, (), None))
        elif fault.name in LOSSES:
            found.append(ConnectionPlan(None, tuple(content), fault))
            content = []
        elif fault.name not in _OF_ALL:
            content.append(fault)
    if content:
        found.append(ConnectionPlan(None, tuple(content), None))
    return found


def generate(
    source: str, count: int, seed: int, faults: Iterable[str] | None = None, protocol: str = "assistants"
) -> list[Case]:
    """Random cases, the same for the same arguments if the same recordings exist.

    Args:
        source: The source.
        count: Number of cases.
        seed: Determines the cases.
        faults: The kinds of faults; each case has at least one of them. By default all kinds, one after the other.
        protocol: The protocol of the streams.
    """
    mine = [name for name, sources in FAULTS.items() if source in sources and has_fault(name, protocol)]
    wanted = list(faults) if faults is not None else mine
    recordings = [name for name in stream_names(protocol) if source != "poll" or snapshots((name,))]
    responses = protocol == "responses"
    found = []
    for number in range(count):
        first = wanted[number % len(wanted)]
        rng = random.Random(f"{seed}/{source}/{first}/{number}" + _SUFFIXES[protocol])
        chosen = [first, *(rng.choice(mine) for _ in range(rng.choice((0, 0, 1, 1, 2))))]
        rng.shuffle(chosen)
        several = "reorder" in chosen or rng.random() < 0.3
        several = several and not protocol.startswith("langgraph")  # whose sources read one run
        number_of = rng.randint(2, 3) if several and source != "poll" else 1
        streams = [_stream_name(rng, recordings, _MADE[protocol]) for _ in range(number_of)]
        ids = "none" if source == "poll" else rng.choice(("all", "count", "some", "none", "none"))
        if responses:
            ids = "all" if ids in ("all", "count") else "none"
        server = _server(rng, source, ids, fetched=not responses)
        if protocol == "ag-ui":  # nothing on this wire names the place of an event
            ids, server = "none", "once" if source == "file" else "replay"
        if protocol.startswith("langgraph"):
            ids = "all" if ids != "none" or protocol == "langgraph-thread" else "none"
            # With ids it keeps the events, so that there is no gap; without them it keeps none.
            server = "onward" if ids == "none" else rng.choice(("resume", "resume", "replay", "back"))
            server = "once" if source == "file" else server
        found.append(
            Case(
                source=source,
                streams=tuple(disjoint(streams)),
                ids=ids,
                server=server,
                faults=tuple(Fault(name, _place(rng)) for name in chosen),
                seed=rng.randrange(10**6),
            )
        )
    return found


_SUFFIXES: Final = {protocol: "" if protocol == "assistants" else f"/{protocol}" for protocol in PROTOCOLS}
_MADE: Final = {
    "assistants": "made",
    "responses": "talk",
    "ag-ui": "thread",
    "langgraph": "graph",
    "langgraph-thread": "graph-thread",
}
"""The random runs of each protocol."""


def has_fault(name: str, protocol: str) -> bool:
    """Whether a kind of fault exists for a protocol."""
    if name == "indices":
        return protocol == "assistants"  # the only wire with indices of calls
    if name == "reorder" and protocol.startswith("langgraph"):
        return False  # one run
    return protocol not in ("ag-ui", "langgraph") or name not in _REPEATED


def _place(rng: random.Random) -> int:
    """A place mostly in the middle; the ends are special cases."""
    return rng.choice((0, 999, *(rng.randrange(1000) for _ in range(4))))


def _server(rng: random.Random, source: str, ids: str, *, fetched: bool) -> str:
    if source == "file":
        return "once"
    possible = set(_SERVERS) - ({"fetched"} if source == "poll" else {"resume"} if ids == "none" else set())
    if not fetched:  # an application fetches a run as objects of the Assistants wire
        possible -= {"fetched"}
    return rng.choice([server for server in _SERVERS if server in possible])


def _stream_name(rng: random.Random, recordings: list[str], made: str) -> str:
    share = 0.6 if made == "made" else 0.3  # the recordings of the Responses wire are mostly of one response
    return rng.choice(recordings) if recordings and rng.random() < share else f"{made}/{rng.randrange(500)}"
