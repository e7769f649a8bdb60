"""Requests beside the stream to a LangGraph server: what it says about a run, and commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from runstream.model.raw import Answer
from runstream.sources.connection_loop import call_hook
from runstream.sources.credentials import Credentials, merge_headers, resolve_headers
from runstream.sources.fetch import MAX_OBJECT, request_object
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.sent_values import SentValues

__all__ = ["LangGraphServer", "Reply"]

Reply = tuple[int, Any]
"""The HTTP status of a response, and its body as decoded JSON; ``None`` if it is no JSON."""

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "runstream"}
_SETTLING: Final = 5.0  # seconds within which a server writes the interrupts of a run that has ended
_PAUSE: Final = 0.25
_ATTEMPTS: Final = 4
_MAX_FOUND: Final = 10  # runs of a thread that are asked for
# Keys of answers that contain the headers of the request which started the run, with its credentials.
_WITH_HEADERS: Final = frozenset({"kwargs", "config", "parent_config"})
_OPEN: Final = frozenset({"pending", "running"})


class LangGraphServer:
    """One server.

    Args:
        url: Its URL, without a path of the API.
        headers: Headers of each request.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each request.
        options: Options of :class:`~runstream.sources.http_client.HttpClient`.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None, auth: Credentials | None, options: Mapping[str, Any]
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._auth = auth
        self._options = options

    async def request(self, method: str, path: str, value: Any = None) -> Reply:
        """Send a request and read its response.

        Returns:
            The HTTP status, and the body; ``None`` for a body that is not JSON, or that of an error.

        Raises:
            ConnectFailed: There is no response.
        """
        secret = await call_hook("auth", resolve_headers, self._auth, retry=True)
        content = msgspec.json.encode(value) if value is not None else None
        kind = {"Content-Type": "application/json"} if content is not None else None
        url, client = f"{self._url}{path}", HttpClient(**self._options)
        headers = merge_headers(_HEADERS, kind, self._headers, secret)
        sent = SentValues(urls=[url], headers=headers, content=content)
        try:
            reply = await request_object(client, method, url, headers, content, sent, max_bytes=MAX_OBJECT)
        except ConnectFailed as error:
            if error.status is None:
                raise
            return error.status, None
        finally:
            await client.close()
        try:
            return reply.status_code, msgspec.json.decode(reply.content) if reply.content else None
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return reply.status_code, None

    async def ask(self, thread_id: str, run_id: str) -> tuple[Answer | None, bool]:
        """Ask about a run: the run itself, then the state and the thread that say more.

        Args:
            thread_id: The id of its thread.
            run_id: The id of the run.

        Returns:
            The answer; ``None`` if the server could not be asked. And True if the run has not ended: it is to be
            joined again.
        """
        thread = f"/threads/{quote(thread_id, safe='')}"
        deadline = time.monotonic() + _SETTLING
        while True:
            run = await self._get(f"{thread}/runs/{quote(run_id, safe='')}")
            if run is None:
                return None, False
            found: dict[str, Reply] = {"run": run}
            status = run[1].get("status") if run[0] < 300 and isinstance(run[1], dict) else None
            if status == "success":
                await self._add(found, "state", f"{thread}/state")
            if status not in _OPEN:
                await self._add(found, "thread", thread)
            if status != "success" or _is_settled(found) or time.monotonic() > deadline:
                return _compose(run_id, found), status in _OPEN
            await asyncio.sleep(_PAUSE)

    async def find_run(self, thread_id: str) -> str | None:
        """The id of the run of a thread that is running, else of the latest one that has begun.

        Args:
            thread_id: The id of the thread.

        Returns:
            ``None`` if the server does not say.
        """
        try:
            _, found = await self.request("GET", f"/threads/{quote(thread_id, safe='')}/runs?limit={_MAX_FOUND}")
        except ConnectFailed:
            return None
        runs = [run for run in found if isinstance(run, dict)] if isinstance(found, list) else []
        runs = [run for run in runs if isinstance(run.get("run_id"), str)]
        # The latest one comes first. One that is queued sends nothing.
        running = [run for run in runs if run.get("status") == "running"]
        begun = [run for run in runs if run.get("status") != "pending"]
        latest = next(iter([*running, *begun, *runs]), None)
        return str(latest["run_id"]) if latest is not None else None

    async def _add(self, found: dict[str, Reply], name: str, path: str) -> None:
        reply = await self._get(path)
        if reply is not None:
            found[name] = reply

    async def _get(self, path: str) -> Reply | None:
        """Read an object; an answer that is none is tried again some times."""
        for attempt in range(_ATTEMPTS):
            try:
                reply = await self.request("GET", path)
            except ConnectFailed as error:
                if not error.retry:
                    return None
            else:
                if reply[0] == 404 or (reply[0] < 300 and isinstance(reply[1], dict)):
                    return reply
                if reply[0] < 500 and reply[0] not in (408, 425, 429):
                    return None
            await asyncio.sleep(_PAUSE * 2**attempt)
        return None


def _is_settled(found: Mapping[str, Reply]) -> bool:
    """True if a state that does not wait is final: where the thread is busy, interrupts may be written later."""
    state, thread = (_body(found.get(name)) for name in ("state", "thread"))
    tasks = state.get("tasks")
    tasks = tasks if isinstance(tasks, list) else []
    waits = state.get("next") or any(isinstance(task, dict) and task.get("interrupts") for task in tasks)
    return bool(waits) or thread.get("status") != "busy"


def _body(reply: Reply | None) -> dict[str, Any]:
    return reply[1] if reply is not None and isinstance(reply[1], dict) else {}


def _compose(run_id: str, found: Mapping[str, Reply]) -> Answer:
    parts: dict[str, Any] = {"run_id": run_id}
    for name, (status, body) in found.items():
        kept = {key: value for key, value in (body or {}).items() if key not in _WITH_HEADERS}
        parts[name] = {"http": status, "body": kept}
    return Answer(data=msgspec.json.encode(parts), at=time.time())
