"""Cases of the sources that send requests of their own: a line of text repeats each, as it does for all others.

Their servers run in this process: what such a server sends depends on the requests.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.support.responses import ResponseScript

__all__ = ["API_FAULTS", "API_SOURCES", "ApiCase", "generate_api", "make_script"]

API_SOURCES: Final = {"responses": "responses", "responses-ws": "responses"}
"""The sources, each with its protocol: ``ResponsesSource``, and the responses of a ``ResponsesWebSocket``."""

API_FAULTS: Final = {
    "status": ("responses",),  # refused with a status after which a client tries again
    "cut": ("responses", "responses-ws"),  # the connection ends within the response, or within an event
    "back": ("responses",),  # it goes on some events too early, and is cut
    "twice": ("responses",),  # each event twice, where the events have numbers, and cut
    "old": ("responses",),  # a polled object is one from before the end
    "forgets": ("responses",),  # the stream can be had only once
    "gone": ("responses",),  # after the first stream the response does not exist any more
    "refused": ("responses-ws",),  # an error in place of a response
    "limit": ("responses-ws",),  # an error about the age of the socket, which is then closed
    "junk": ("responses-ws",),  # messages between the events that are no events
    "nameless": ("responses-ws",),  # the server ignores lanes
    "aged": ("responses-ws",),  # the client replaces its socket after milliseconds
}
"""The faults, each with the sources for which it exists."""


class ApiCase(NamedTuple):
    """A case; its text repeats it.

    Attributes:
        source: One of :data:`API_SOURCES`.
        faults: The faults. Of the HTTP source each exchange has the next one; of the socket each response.
        seed: Determines all the rest.
    """

    source: str
    faults: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.source};{','.join(self.faults) or '-'};{self.seed}"

    @classmethod
    def parse(cls, text: str) -> ApiCase:
        """Read a case from its text."""
        source, faults, seed = text.strip().split(";")
        return cls(source, tuple(fault for fault in faults.split(",") if fault != "-"), int(seed))

    def rng(self, *what: object) -> random.Random:
        """The random numbers for one purpose: the same ones each time."""
        return random.Random(f"{self}/{what}")


def generate_api(source: str, count: int, seed: int, faults: Iterable[str] | None = None) -> list[ApiCase]:
    """Random cases, the same for the same arguments.

    Args:
        source: The source.
        count: Number of cases.
        seed: Determines the cases.
        faults: The kinds of faults; each case has at least one of them. By default all kinds, and none, in turn.
    """
    mine = [name for name, sources in API_FAULTS.items() if source in sources]
    wanted = [None, *mine] if faults is None else [name for name in faults if name in mine]
    found = []
    for number in range(count):
        rng = random.Random(f"{seed}/{source}/{number}")
        first = wanted[number % len(wanted)]
        chosen = [] if first is None else [first, *rng.choices(mine, k=rng.choice((0, 0, 1, 2, 3)))]
        rng.shuffle(chosen)
        found.append(ApiCase(source, tuple(chosen), rng.randrange(10**6)))
    return found


def make_script(rng: random.Random, id: str) -> ResponseScript:
    """A response with texts, reasoning and maybe a call; numbered mostly."""
    script = ResponseScript(id, numbered=rng.random() < 0.85).begin()
    for number in range(rng.randint(1, 3)):
        words = [f"{rng.randrange(1000)} " for _ in range(rng.randint(1, 6))]
        kind = rng.choice(("say", "say", "think"))
        script = script.say(*words, "höö") if kind == "say" else script.think(*words)
        if rng.random() < 0.2:
            script.call(f"call_{id}_{number}", "look", '{"at":', f"{number}}}")
        if rng.random() < 0.2:
            script.send("keepalive")
    return script.end(rng.choice(("completed", "completed", "completed", "failed", "incomplete")))
