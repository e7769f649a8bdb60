"""The run of a response: a response begins a run, or continues one that waits for the application.

In order of precedence: what the application said; the response that the new one names (``previous_response_id``, of the
response, or of the request where the server does not send it back); the calls that the request answers. Everything
else is a run of its own: a fork, the next turn of a conversation, a response that names an unknown one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.dialects.base import KnownIds
from runstream.dialects.responses_action import answers_of
from runstream.dialects.responses_state import Response
from runstream.dialects.responses_wire import Json, list_of, map_of, text_of
from runstream.model.raw import Request

__all__ = ["Asked", "Links"]

_MAX_RUNS: Final = 256
"""The number of responses whose run is remembered, of each source."""

_MAX_ASKED: Final = 64
"""The number of requests of a lane whose response has not begun."""


class Asked(Struct, array_like=True):
    """A request whose response has not begun.

    Attributes:
        continues: The run that it continues, as the application said.
        previous: The id of the response that it continues.
        answers: The ids of the calls and approvals that it answers.
    """

    continues: str | None = None
    previous: str | None = None
    answers: list[str] = []


class Links:
    """What is known of the runs of the responses of one source.

    Args:
        continues: The id of the run that the first response continues.
        find_run: Returns the id of the run that waits, by the id of its last response or of a call that it waits for.
        known: What the runs have, also from other sources.

    Attributes:
        runs: The run of each response.
        steered: The run of each response that another one follows unasked.
        asked: The requests of each lane whose response has not begun.
        is_one_run: True if the source sends one run alone, as an agent in the same process does.
    """

    __slots__ = ("_bound", "_continues", "_find_run", "_known", "_last", "asked", "is_one_run", "runs", "steered")

    def __init__(
        self, continues: str | None, find_run: Callable[[str], str | None] | None, known: KnownIds | None = None
    ) -> None:
        self._continues = continues
        self._find_run = find_run
        self._known = known
        self._bound: dict[str, str] = {}
        self._last: str | None = None  # the run of the last response
        self.is_one_run = False
        self.runs: dict[str, str] = {}
        self.steered: dict[str, str] = {}
        self.asked: dict[str | None, list[Asked]] = {}

    def ask(self, request: Request) -> bool:
        """Note a request.

        Returns:
            False if the response to it is no new one.
        """
        body = _read_body(request.body)
        kind = body.get("type")
        if kind not in (None, "response.create"):
            return False  # it steers a response, or adds to its input
        if not body and request.continues is None:
            return False  # a response is fetched, or resumed
        asked = Asked(request.continues, text_of(body.get("previous_response_id")), list(_last_answers(body)))
        lane = text_of(body.get("stream_id"))
        if kind is None:
            self.asked[lane] = [asked]  # one request has one event stream: the one before was sent again
        else:
            self.asked[lane] = [*self.asked.get(lane, ()), asked][-_MAX_ASKED:]
        return True

    def is_certain(self, response: Json, lane: str | None) -> bool:
        """True unless an item may say later which run a response continues: the call of an approved tool does.

        Args:
            response: The first snapshot of the response.
            lane: Its lane.
        """
        if self._find_run is None or self._continues is not None or self.asked.get(lane):
            return True
        id = text_of(response.get("id"))
        if id in self.runs or id in self._bound or response.get("previous_response_id") is not None:
            return True
        servers = [tool for tool in list_of(response.get("tools")) if tool.get("type") == "mcp"]
        return all(tool.get("require_approval") == "never" for tool in servers)

    def bind(self, response_id: str, run_id: str | None) -> None:
        """Note the run of a response that has not begun; ``None`` for a run of its own."""
        self._bound[response_id] = response_id if run_id is None else run_id

    def begin(self, id: str, response: Json, lane: str | None, lost: str | None) -> str:
        """The run of a response that begins.

        Args:
            id: The id of the response.
            response: Its first snapshot.
            lane: Its lane.
            lost: The run of the response before it, if that one is open, has calls, and is the one that it names.
        """
        run_id = self.runs.get(id)
        if run_id is None:
            run_id = self._find(id, response, lane, lost) or id
        self.runs[id] = self._last = run_id
        if len(self.runs) > _MAX_RUNS:
            del self.runs[next(iter(self.runs))]
        return run_id

    def _find(self, id: str, response: Json, lane: str | None, lost: str | None) -> str | None:
        if (bound := self._bound.pop(id, None)) is not None:
            return bound
        previous = text_of(response.get("previous_response_id"))
        if previous is not None and (steered := self.steered.pop(previous, None)) is not None:
            return steered  # no request asked for this response
        asked = self._take(lane)
        if self._continues is not None:
            run_id, self._continues = self._continues, None
            return run_id
        if asked.continues is not None and not self._has_ended(asked.continues):
            return asked.continues
        previous = previous if previous is not None else asked.previous
        if previous is not None and (steered := self.steered.pop(previous, None)) is not None:
            return steered
        if previous is not None and (found := self.waiting(previous) or lost) is not None:
            return found
        if self.is_one_run and self._last is not None and (found := self.waiting(self._last)) is not None:
            return found
        return self._answered(asked)

    def _has_ended(self, run_id: str) -> bool:
        """True if this source has sent the run and it does not wait: a further response can't continue it."""
        return run_id in self.runs.values() and self.waiting(run_id) is None

    def refused(self, lane: str | None) -> str | None:
        """The run of which a request was refused; the request has no response.

        Args:
            lane: The lane of the request.
        """
        asked = self._take(lane)
        found = asked.continues or self._continues
        if found is None and asked.previous is not None:
            found = self.waiting(asked.previous)
        return found or self._answered(asked)

    def waiting(self, id: str) -> str | None:
        """The run that waits, by the id of its last response or of a call that it waits for."""
        return self._find_run(id) if self._find_run is not None else None

    def know(self, response: Response) -> bool:
        """Let a response know what its run has.

        Returns:
            True if the run has earlier responses, and what it has is known.
        """
        if self._known is not None:
            response.has_object = partial(self._known.has_object, response.run_id)
        return self._known is not None and response.run_id != response.id

    def has_piece(self, run_id: str, id: str) -> bool:
        """True if a run has a response of this id, also from another source."""
        return self._known is not None and self._known.has_piece(run_id, id)

    def forget(self, run_id: str) -> None:
        """Forget the responses of a run."""
        self.runs = {response: run for response, run in self.runs.items() if run != run_id}
        self.steered = {response: run for response, run in self.steered.items() if run != run_id}

    def _take(self, lane: str | None) -> Asked:
        requests = self.asked.get(lane)
        if not requests:
            return Asked()
        first, *rest = requests
        if rest:
            self.asked[lane] = rest
        else:
            del self.asked[lane]
        return first

    def _answered(self, asked: Asked) -> str | None:
        """The one run that waits for all of the calls that a request answers."""
        found = {self.waiting(id) for id in asked.answers}
        return found.pop() if len(found) == 1 else None


def _read_body(body: bytes) -> Json:
    try:
        found: Any = msgspec.json.decode(body) if body else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return map_of(found)


def _last_answers(body: Json) -> Iterator[str]:
    """The ids of the calls that a request answers: those at the end of its input. Others are of an earlier request,
    where the client sends the history again.
    """
    items = body.get("input")
    last: list[Json] = []
    for item in reversed(list_of(items)):
        if next(answers_of(iter([item])), None) is None or item.get("type") == "mcp_call":
            break
        last.append(item)
    return answers_of(iter(last))
