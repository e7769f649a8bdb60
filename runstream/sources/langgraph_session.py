"""The runs of a thread of a LangGraph server while a source reads them: which one is open, when the server is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from runstream.dialects.base import Dialect
from runstream.errors import SourceFailed
from runstream.model.raw import Answer, RawEvent, RawItem
from runstream.sources.base import Receiver
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.langgraph_server import LangGraphServer

__all__ = ["ResumeGap", "ThreadSession"]

_ENDED: Final = frozenset({"completed", "failed", "interrupted"})
_BEGUN: Final = frozenset({"running", "started"})
_MAX_SEARCHES: Final = 3
_NO_RUN: Final = "it joined in the middle of a run, and the server does not say of which one"


class ResumeGap(Exception):
    """The server does not have the events after the last one any more."""


class ThreadSession:
    """What a source knows of its thread while it runs: a receiver that notes which runs begin and end, and asks about
    them.

    Args:
        receiver: The receiver of the stream.
        server: The requests to the server.
        name: The name of the source.
        thread_id: The id of the thread.
        take_start: Returns the parameters of the run to start, once; ``None`` if there is none (any more).
        start: Starts a run of the thread.
        ask_after: The time without an event after which the server is asked about an open run (seconds); ``None``:
            never.
        ends: True to end once a run has ended and none is open.

    Attributes:
        receiver: The receiver of the stream.
        tasks: The tasks of commands that were sent when the source was connected.
        places: The namespaces of the interrupts, by their ids.
        commands: The number of commands.
        has_gap: True while the server does not have the events after the last one any more.
        is_refused: True until the first event of a subscription without a place.
    """

    def __init__(
        self,
        receiver: Receiver,
        server: LangGraphServer,
        *,
        name: str,
        thread_id: str,
        take_start: Callable[[], Mapping[str, Any] | None],
        start: Callable[..., Awaitable[None]],
        ask_after: float | None,
        ends: bool,
    ) -> None:
        self.receiver = receiver
        self.tasks: list[asyncio.Task[None]] = []
        self.places: dict[str, list[str]] = {}
        self.commands = 0
        self.has_gap = False
        self.is_refused = False
        self._server = server
        self._name = name
        self._thread_id = thread_id
        self._take_start = take_start
        self._start = start
        self._ask_after = ask_after
        self._ends = ends
        self._run_id: str | None = None
        self._is_open = False
        self._failure: Exception | None = None
        self._last = time.monotonic()
        self._wake = asyncio.Event()
        self._has_joined = False  # True once an event came whose run is unknown
        self._searches = 0
        self._asks: list[str] = []

    # the receiver

    def feed(self, item: RawItem) -> None:
        """Process one item."""
        self.receiver.feed(item)
        self._note(item)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Process several items."""
        items = list(items)
        await self.receiver.feed_all(items)
        for item in items:
            self._note(item)

    async def ready(self) -> None:
        """Return when more input is welcome."""
        await self.receiver.ready()

    def connected(self, attempt: int = 0) -> None:
        """Report that the source is connected; then the run is started."""
        self.receiver.connected(attempt)
        self._last = time.monotonic()
        params = self._take_start()
        if params is not None:
            self.tasks.append(asyncio.create_task(self._begin(params)))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Report that the connection was lost."""
        self.receiver.disconnected(reason, attempt, server_message)

    def decoder(self) -> Dialect:
        """A new decoder of the source's dialect."""
        return self.receiver.decoder()

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the server goes on."""
        return self.receiver.cursor(run_id)

    @property
    def live(self) -> bool:
        """True: the server closes a quiet stream, and the next run of the thread may begin at any time."""
        return True

    @property
    def expects_idle(self) -> bool:
        """False: the server is asked instead."""
        return False

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues."""
        return self.receiver.continues

    @property
    def progress(self) -> int:
        """A number that has grown if the state of a run has advanced."""
        return self.receiver.progress

    @property
    def last_id(self) -> str | None:
        """The number of the last event."""
        return self.receiver.last_id

    # runs

    async def _begin(self, params: Mapping[str, Any]) -> None:
        try:
            await self._start(**params)
        except (SourceFailed, RuntimeError) as error:
            self._failure = error
            self._wake.set()

    def note_reply(self, reply: Mapping[str, Any]) -> None:
        """Process the answer to a command."""
        self.receiver.feed(Answer(data=msgspec.json.encode(reply), at=time.time()))
        result = reply.get("result")
        if isinstance(result, dict) and isinstance(result.get("run_id"), str):
            self._run_id, self._is_open = result["run_id"], True
            self._last = time.monotonic()

    def _note(self, item: RawItem) -> None:
        """Note the beginning and the end of runs, and the places of interrupts."""
        if not isinstance(item, RawEvent):
            return
        self._last = time.monotonic()
        head = item.data[:400]
        if self.has_gap and b'"resume_gap"' not in head:
            self.has_gap = self.is_refused = False  # later events have a place again
        if self._run_id is None and not self._has_joined and b'"method"' in head and b'"synth:' not in head:
            self._has_joined = True
            self._wake.set()
        if not any(part in head for part in (b'"lifecycle"', b'"input.requested"', b'"resume_gap"')):
            return
        try:
            frame = msgspec.json.decode(item.data)
            if frame.get("error") == "resume_gap":
                self.has_gap = True
                self._failure = ResumeGap()
                self._wake.set()
                return
            params = frame["params"]
            data, names = params["data"], params["namespace"]
            if frame["method"] == "input.requested":
                self.places[data["interrupt_id"]] = names
            elif not names:
                self._note_lifecycle(data["event"], frame.get("event_id"))
        except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, AttributeError, RecursionError):
            return

    def _note_lifecycle(self, event: str, id: object) -> None:
        parts = id.split(":", 2) if isinstance(id, str) else []
        if len(parts) == 3 and parts[0] == "synth":
            self._run_id = parts[1]
        if event in _BEGUN:
            self._is_open = True
        elif event in _ENDED and self._run_id is not None:
            self._asks.append(self._run_id)
            self._wake.set()

    async def watch(self) -> None:
        """Ask about runs that have ended, or that send nothing; return when none is open any more.

        Raises:
            Exception: A command could not be sent, or the server has lost the place.
        """
        limit = self._ask_after
        while True:
            pause = None if limit is None else max(0.05, limit - (time.monotonic() - self._last))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                if self._is_open and self._run_id is not None and time.monotonic() - self._last >= (limit or 0):
                    self._asks.append(self._run_id)
            self._wake.clear()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._has_joined and self._run_id is None:
                await self._find_run()
            while self._asks:
                if await self._ask(self._asks.pop(0)) and self._ends and not self._asks:
                    return
            if self._is_open:
                self._last = max(self._last, time.monotonic() - (limit or 0) / 2)

    async def _find_run(self) -> None:
        """Find the run in whose middle the source has joined.

        Raises:
            SourceFailed: The server does not say which one it is.
        """
        found = await self._server.find_run(self._thread_id)
        if self._run_id is not None:
            return  # an event has named it meanwhile
        if found is not None:
            self._run_id, self._is_open = found, True
            self._asks.append(found)
            return
        self._searches += 1
        self._last = time.monotonic()
        if self._searches >= _MAX_SEARCHES or self._ask_after is None:
            raise SourceFailed(f"{self._name}: {_NO_RUN}")

    async def _ask(self, run_id: str) -> bool:
        """Ask about a run.

        Returns:
            True if it has ended, and no other has begun.
        """
        try:
            answer, is_open = await self._server.ask(self._thread_id, run_id)
        except ConnectFailed:
            return False
        if answer is None:
            return False
        self.receiver.feed(answer)
        if run_id != self._run_id or is_open:
            return False
        self._is_open = _waits(answer.data)
        return not self._is_open


def _waits(data: bytes) -> bool:
    """True if a run waits, as the server says."""
    found = msgspec.json.decode(data)
    state = (found.get("state") or {}).get("body") or {}
    status = ((found.get("run") or {}).get("body") or {}).get("status")
    return status == "success" and bool(
        state.get("next") or any(task.get("interrupts") for task in state.get("tasks") or [])
    )
