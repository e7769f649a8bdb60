"""Cases: which source, what is told, how the server numbers and resumes, which faults; each written as one line."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from tests.faults.streams import names, snapshots, together

__all__ = [
    "CONTENT",
    "FAULTS",
    "LOSSES",
    "REFUSALS",
    "SOURCES",
    "Case",
    "Fault",
    "Leg",
    "generate",
    "legs",
    "resumes",
    "slow",
]

# What a fault does to a connection: ends it after a part of what is to be told, answers instead of telling, or
# changes what is told.
_STREAMS: Final = ("ws", "sse", "post")
_NETWORK: Final = (*_STREAMS, "poll")
_TOLD: Final = (*_STREAMS, "file")
_ALL: Final = (*_NETWORK, "file")
LOSSES: Final = {
    "kill": _NETWORK,  # SIGKILL of the server's process
    "drop": _NETWORK,  # TCP closed, no word of farewell (what a WebSocket client calls 1006)
    "reset": _NETWORK,  # TCP RST: what is on the way may be lost
    "half": _NETWORK,  # the server sends FIN and goes on reading
    "stall": _NETWORK,  # nothing more, not even a pong; the connection stays
    "cut": _ALL,  # in the middle of a frame or block
    "cut-utf8": _ALL,  # in the middle of a character
    "protocol": _STREAMS,  # what follows is no frame, no chunk
    **{f"close-{code}": ("ws",) for code in (1000, 1001, 1005, 1008, 1009, 1011, 1012, 1013, 4000, 4999)},
    "end": ("sse", "post"),  # a proper end
}
REFUSALS: Final = {
    **{f"http-{status}": _NETWORK for status in (401, 403, 404, 429, 500, 503, 204)},
    "html": _NETWORK,  # 200, but a page
    "slam": _NETWORK,  # closed before the answer
    "hush": _NETWORK,  # no answer at all
    "noise": _NETWORK,  # an answer that is no HTTP
}
CONTENT: Final = {
    **{f"junk-{kind}": _ALL for kind in ("json", "types", "bytes", "deep", "large")},
    **{f"junk-{kind}": _TOLD for kind in ("names", "orphan")},
    "junk-giant": ("ws",),  # beyond what the source takes for one message
    "corrupt": _ALL,  # an event that can't be read any more
    "twice": _TOLD,  # an event, or some, again at once
    "again": _TOLD,  # from an earlier point again, in the same connection
    "reorder": _TOLD,  # the runs interleaved, differently on each connection where all is told again
}
FAULTS: Final = {**LOSSES, **REFUSALS, **CONTENT}
SOURCES: Final = ("ws", "sse", "post", "poll", "file")
_SERVERS: Final = ("resume", "resume", "replay", "replay", "back", "onward", "fetched")


class Fault(NamedTuple):
    """A fault, and where in the connection it strikes (thousandths of what is to be told)."""

    name: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.at}"


class Case(Struct, frozen=True, kw_only=True):
    """Everything that a case is; its text is what repeats it.

    Attributes:
        source: ``ws``, ``sse``, ``post`` (an event stream as the answer to a POST), ``poll`` or ``file``.
        tellings: What is told.
        ids: Which events carry an id: ``all``, ``some``, ``none``; ``count``: all, and they are numbers in a row.
        server: What a new connection gets: ``resume`` (what comes after the last id that the client names),
            ``replay`` (everything), ``back`` (from a bit before the loss), ``onward`` (from after it, with a gap);
            ``fetched``: likewise, but the client asks for the run and is given it as it ended.
            Where it is polled, what the poll after a fault gets: the next moment of the run, its first, an earlier
            one, a later one. A file is read ``once``.
        faults: In order; each that ends a connection ends that of those before it.
        seed: Decides all the rest.
    """

    source: str
    tellings: tuple[str, ...]
    ids: str
    server: str
    faults: tuple[Fault, ...]
    seed: int

    def __str__(self) -> str:
        faults = ",".join(map(str, self.faults)) or "-"
        return f"{self.source};{','.join(self.tellings)};{self.ids};{self.server};{faults};{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """The case that a line says."""
        source, tellings, ids, server, faults, seed = text.strip().split(";")
        found = [fault.split("@") for fault in faults.split(",") if fault != "-"]
        return cls(
            source=source,
            tellings=tuple(tellings.split(",")),
            ids=ids,
            server=server,
            faults=tuple(Fault(name, int(at)) for name, at in found),
            seed=int(seed),
        )

    @property
    def identified(self) -> bool:
        """Whether every event has an id."""
        return self.ids in {"all", "count"}

    def has(self, *prefixes: str) -> bool:
        """Whether a fault's name begins so."""
        return any(fault.name.startswith(prefixes) for fault in self.faults)

    def chance(self, *what: object) -> random.Random:
        """The dice for one purpose: the same each time."""
        return random.Random(f"{self}/{what}")


def slow(case: Case) -> bool:
    """Whether time-outs are part of it: they are so short then that one may strike where nothing is wrong."""
    return case.has("hush", "stall")


def resumes(case: Case) -> bool:
    """Whether the client says how to go on: by a GET, where a POST had begun."""
    return case.source != "post" or case.seed % 2 == 0


class Leg(NamedTuple):
    """One connection: either refused, or told something until a fault ends it; ``None``: to the end."""

    refusal: Fault | None
    content: tuple[Fault, ...]
    loss: Fault | None


def legs(case: Case) -> list[Leg]:
    """The connections that have faults, in order; every later one is sound."""
    found: list[Leg] = []
    if case.source == "poll":  # each poll is a connection; a fault is what one of them gets, after some that go well
        for fault in case.faults:
            found += [Leg(None, (), None)] * (fault.at // 250)
            found.append(Leg(fault, (), None))
        return found
    content: list[Fault] = []
    for fault in case.faults:
        if fault.name in REFUSALS:
            found.append(Leg(fault, (), None))
        elif fault.name in LOSSES:
            found.append(Leg(None, tuple(content), fault))
            content = []
        elif fault.name != "reorder":
            content.append(fault)
    if content:
        found.append(Leg(None, tuple(content), None))
    return found


def generate(source: str, count: int, seed: int, faults: Iterable[str] | None = None) -> list[Case]:
    """Cases at random, the same for the same arguments where the same recordings are there.

    Args:
        source: The source.
        count: How many.
        seed: Decides them.
        faults: The kinds of which each case gets at least one; by default each kind in turn.
    """
    mine = [name for name, sources in FAULTS.items() if source in sources]
    wanted = list(faults) if faults is not None else mine
    recordings = [name for name in names() if source != "poll" or snapshots((name,))]
    found = []
    for number in range(count):
        first = wanted[number % len(wanted)]
        chance = random.Random(f"{seed}/{source}/{first}/{number}")
        chosen = [first, *(chance.choice(mine) for _ in range(chance.choice((0, 0, 1, 1, 2))))]
        chance.shuffle(chosen)
        several = "reorder" in chosen or chance.random() < 0.3
        number_of = chance.randint(2, 3) if several and source != "poll" else 1
        tellings = [_telling(chance, recordings) for _ in range(number_of)]
        ids = "none" if source == "poll" else chance.choice(("all", "count", "some", "none", "none"))
        found.append(
            Case(
                source=source,
                tellings=tuple(together(tellings)),
                ids=ids,
                server=_server(chance, source, ids),
                faults=tuple(Fault(name, _place(chance)) for name in chosen),
                seed=chance.randrange(10**6),
            )
        )
    return found


def _place(chance: random.Random) -> int:
    """Mostly in the middle; the ends have troubles of their own."""
    return chance.choice((0, 999, *(chance.randrange(1000) for _ in range(4))))


def _server(chance: random.Random, source: str, ids: str) -> str:
    if source == "file":
        return "once"
    possible = set(_SERVERS) - ({"fetched"} if source == "poll" else {"resume"} if ids == "none" else set())
    return chance.choice([server for server in _SERVERS if server in possible])


def _telling(chance: random.Random, recordings: list[str]) -> str:
    return chance.choice(recordings) if chance.random() < 0.6 else f"made/{chance.randrange(500)}"
