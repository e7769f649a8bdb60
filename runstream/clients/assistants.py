"""The client of the Assistants API: OpenAI's, Azure's, and others with the same paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Unpack

import msgspec

from runstream.clients.answers import Approve, CallAnswer, Decline
from runstream.clients.api import read_json
from runstream.clients.base import BaseClient
from runstream.clients.options import ClientOptions
from runstream.clients.run_sources import RecoveringSource
from runstream.clients.session import Session
from runstream.clients.tools import LocalTool
from runstream.core.state import RunState
from runstream.errors import RequestFailed
from runstream.model.signal_base import AwaitedCall
from runstream.sources.base import Source
from runstream.sources.poll import PollSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import POST_ONCE, POST_UNKNOWN, SseSource
from runstream.sources.urls import join_url

__all__ = ["AssistantsClient"]

_PAGE: Final = 100  # objects of a page, the most that servers send
_MAX_PAGES: Final = 20


class AssistantsClient(BaseClient):
    """Starts runs of the Assistants API, answers their calls, cancels and rejoins them; needs the extra ``http``.

    ::

        client = AssistantsClient("https://api.example/v1", api_key=key, tools=[get_weather])
        async with client.run(thread_id="thread_1", assistant_id="asst_1") as stream:
            run = await stream.result()

    A stream of this API can't be resumed: after a loss the run is polled until it has ended or waits. Outputs are
    submitted once. If the response is lost, the run is fetched, and they are sent again only if it waits still.

    For Azure, the version is part of the URL, and the body has ``agent_id``::

        AssistantsClient("https://x.services.ai.azure.com/api/projects/p?api-version=v1", api_key=token, strict=False)

    The tools of the client are executed; those that are passed to :meth:`run` are also sent with the request, in place
    of the assistant's own.

    Args:
        base_url: The URL before ``/threads``.
        strict: True if tools are sent with the strict schema where they have one.
        poll_interval: The shortest time between two polls after a loss (seconds).
        options: See :class:`ClientOptions`.

    Raises:
        ImportError: See :class:`BaseClient`.
        TypeError: See :class:`BaseClient`.
        ValueError: See :class:`BaseClient`.
    """

    dialect: ClassVar[str] = "assistants"
    protocol_headers: ClassVar[Mapping[str, str]] = {"OpenAI-Beta": "assistants=v2"}

    def __init__(
        self,
        base_url: str,
        *,
        strict: bool = True,
        poll_interval: float = 1.0,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, **options)
        self._strict = strict
        self._poll_interval = poll_interval

    def _start(self, body: dict[str, Any], tools: Sequence[LocalTool], session: Session) -> Source:
        thread_id = body.pop("thread_id", None)
        path = ("threads", "runs") if thread_id is None else ("threads", thread_id, "runs")
        if tools:
            body["tools"] = [*body.get("tools", ()), *(self._tool_json(tool) for tool in tools)]

        def poll() -> Source | None:
            state = session.open_state()
            return None if state is None else self._follow(state.run_id, state, {})

        return RecoveringSource(
            lambda policy: self._post(path, body, policy), poll, reconnect=self._reconnect, name="run"
        )

    def _submit(self, state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], session: Session) -> Source:
        path = self._path(state.run_id, state, {})
        asked = {call.id for call, _ in answers}
        keys = [call.key for call, _ in answers]

        async def waits() -> bool:
            run = self._read(state.run_id, [await self._api.get(*path, missing="such run")])
            return run.requires_action and {call.id for call in run.pending_tool_calls} == asked

        return RecoveringSource(
            lambda policy: self._post((*path, "submit_tool_outputs"), _submission(answers), policy, POST_UNKNOWN),
            lambda: self._follow(state.run_id, state, {}),
            waits=waits,
            awaits=lambda: session.is_latest(keys),
            reconnect=self._reconnect,
            name=f"submit {state.run_id}",
        )

    def _follow(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> Source:
        self._path(run_id, state, place)  # an unknown place is reported now
        return PollSource(
            partial(self._fetch, run_id, state, place, retry=False),  # the source retries
            interval=self._poll_interval,
            max_interval=max(self._poll_interval, 10.0),
            stop_on_action=True,
            reconnect=self._reconnect,
            name=f"poll {run_id}",
        )

    async def _fetch(
        self, run_id: str, state: RunState | None, place: Mapping[str, Any], *, retry: bool = True
    ) -> list[bytes]:
        path = self._path(run_id, state, place)
        run = await self._api.get(*path, missing="such run", retry=retry)
        steps = await self._pages(*path, "steps", retry=retry)
        messages = await self._pages(*path[:2], "messages", retry=retry, run_id=run_id)
        return [run, *steps, *messages]

    async def _cancel(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> list[bytes] | None:
        path = self._path(run_id, state, place)
        return [await self._api.post(*path, "cancel", missing=f"run {run_id}")]

    def _path(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> tuple[str, ...]:
        """The segments of the path of a run."""
        thread_id = place.get("thread_id") or (state.run.thread_id if state is not None else None)
        if not thread_id:
            raise LookupError(f"the thread of run {run_id} is not known here; pass thread_id=")
        return ("threads", thread_id, "runs", run_id)

    def _post(
        self, path: Sequence[str], body: Mapping[str, Any], policy: Reconnect | None, sent_once: str = POST_ONCE
    ) -> SseSource:
        source = SseSource(
            join_url(self._api.base_url, *path),
            method="POST",
            json={**body, "stream": True},
            headers=self._api.headers,
            auth=self._api.auth,
            reconnect=policy,
            **self._http,
        )
        source._sent_once = sent_once
        return source

    async def _pages(self, *path: str, retry: bool, **query: Any) -> list[bytes]:
        """The objects of a list, the oldest first; none if the server has no such list."""
        found: list[bytes] = []
        after: str | None = None
        for _ in range(_MAX_PAGES):
            try:
                page = read_json(
                    await self._api.get(*path, retry=retry, **query, limit=_PAGE, order="asc", after=after)
                )
            except RequestFailed as error:
                if error.status != 404:
                    raise
                break
            if not isinstance(page, dict) or not isinstance(page.get("data"), list):
                break
            found += [msgspec.json.encode(item) for item in page["data"]]
            after = page.get("last_id")
            if not page.get("has_more") or not isinstance(after, str):
                break
        return found

    def _tool_json(self, tool: LocalTool) -> dict[str, Any]:
        function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
        if tool.description:
            function["description"] = tool.description
        if self._strict and tool.strict_parameters is not None:
            function |= {"parameters": tool.strict_parameters, "strict": True}
        return {"type": "function", "function": function}


def _submission(answers: Sequence[tuple[AwaitedCall, CallAnswer]]) -> dict[str, Any]:
    """The body that submits answers: outputs, and approvals of Azure's."""
    outputs: list[dict[str, Any]] = []
    approvals: list[dict[str, Any]] = []
    for call, answer in answers:
        if isinstance(answer, Approve | Decline):
            approvals.append({"tool_call_id": call.id, "approve": isinstance(answer, Approve)})
        else:
            outputs.append({"tool_call_id": call.id, "output": answer.value})
    groups = {"tool_outputs": outputs, "tool_approvals": approvals}
    return {name: group for name, group in groups.items() if group}
