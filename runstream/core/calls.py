"""The tool calls and the requests for action of a run: the names of calls in keys, and the rounds.

A server may repeat an id in another call of a run: at another index, in another step, or in a later round. The name of
a call is therefore its id with ``~k`` behind it for the k-th call of that id in its run, k from 2. A call is seen in
two places, in a step and in a request for action, in either order; both places get one name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, structs

from runstream.core.open_calls import NO_OPEN_CALLS, OpenCall, OpenCalls
from runstream.core.tally import NO_TALLY, Tally
from runstream.model.common import Timestamp

__all__ = ["MAX_ENDED", "NO_CALLS", "Calls", "add_whole", "close_calls"]

MAX_ENDED: Final = 64
"""The number of calls of ended steps that no request named; likewise of requested calls of earlier rounds that are in
no step. More are kept only where one step or request has more."""


class Calls(Struct, frozen=True, gc=False, eq=False):
    """The calls and requests of a run. All numbers count from the beginning of the run.

    Attributes:
        round: The number of rounds.
        request: The name of the last request in its key: the sorted names of its calls, or a digest; "" for none.
        started_at: ``started_at`` of the run in the last request.
        pairs: The identities (id and signature) of the calls of the last request, in its order.
        names: The names of these calls.
        counts: The ids of all calls, once for each call of the id; likewise the digests of requests.
        asked: The identities of all requested calls.
        whole: The names of the calls whose arguments are complete.
        open: The calls that were seen in one place only, in order: those of requests, then those of steps.
        results: The names of the calls whose output is complete.
    """

    round: int = 0
    request: str = ""
    started_at: Timestamp | None = None
    pairs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    counts: Tally = NO_TALLY
    asked: Tally = NO_TALLY
    whole: Tally = NO_TALLY
    open: OpenCalls = NO_OPEN_CALLS
    results: Tally = NO_TALLY

    def was_asked(self, pair: str) -> bool:
        """True if a call of this id and with these arguments was requested before."""
        # States of an older release know the ids alone.
        return pair in self.asked or _pair_of_any(pair) in self.asked

    def number(self, base: str, step_id: str = "", signature: str = "") -> tuple[Calls, str]:
        """Count one more call of an id (or digest), and name it.

        Args:
            base: The encoded id, or the digest.
            step_id: See :class:`OpenCall`; the call is open if this or the signature is given.
            signature: See :class:`OpenCall`.
        """
        counts = self.counts.add(base)
        k = counts.count(base)
        name = base if k == 1 else f"{base}~{k}"
        opened = self.open
        if step_id or signature:
            opened = opened.add(OpenCall(name, step_id, signature))
        return structs.replace(self, counts=counts, open=opened), name


NO_CALLS: Final = Calls()


def add_whole(calls: Calls, names: Iterable[str]) -> Calls:
    """Note that the arguments of these calls are complete."""
    whole = calls.whole
    for name in names:
        if name not in whole:
            whole = whole.add(name)
    return calls if whole is calls.whole else structs.replace(calls, whole=whole)


def close_calls(calls: Calls) -> Calls:
    """Note that a new piece has begun: its calls are others than those that were seen in one place before."""
    return structs.replace(calls, open=NO_OPEN_CALLS) if calls.open else calls


def _pair_of_any(pair: str) -> str:
    """The identity of a call with any arguments."""
    return f"{pair.partition('/')[0]}/"
