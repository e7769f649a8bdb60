"""The client of AG-UI servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack
from uuid import uuid4

from runstream.clients.answers import Approve, CallAnswer, Decline
from runstream.clients.base import BaseClient
from runstream.clients.options import ClientOptions
from runstream.clients.outputs import encode_output
from runstream.clients.session import Session
from runstream.clients.tools import LocalTool
from runstream.core.state import RunState, build_objects, get_view
from runstream.errors import UnsupportedRequest
from runstream.model.frozen import thaw
from runstream.model.message import Message
from runstream.model.signal_base import AwaitedCall
from runstream.model.step import RunStep
from runstream.sources.ag_ui import AgUiSource, make_run_input
from runstream.sources.base import Source

__all__ = ["AgUiClient"]

_NO_REQUEST = "AG-UI has no request for it: a run exists on its stream alone; start a run of the thread instead"


class AgUiClient(BaseClient):
    """Starts runs of an AG-UI server, and answers their frontend tools and interrupts; needs the extra ``http``.

    ::

        client = AgUiClient("https://agent.example/agent", tools=[show_on_map])
        async with client.run(threadId="t1", messages=[{"id": "u1", "role": "user", "content": "Where?"}]) as stream:
            run = await stream.result()

    The body is the input of a run (RunAgentInput). All tools are offered in each request. A server has no memory of a
    thread: the request that answers a run has the messages, calls and outputs so far, and the state of the run.

    An approval answers an interrupt with ``{"approved": true}``, a refusal with ``{"approved": false}`` and its reason;
    ``Approve(value)`` and an output answer it with that value.

    A stream can't be resumed: a run whose stream breaks off is interrupted. There is no request to cancel, fetch or
    rejoin a run; :meth:`cancel` closes the connection.

    Args:
        base_url: The URL of the agent.
        options: See :class:`ClientOptions`.

    Raises:
        ImportError: See :class:`BaseClient`.
        TypeError: See :class:`BaseClient`.
        ValueError: See :class:`BaseClient`.
    """

    dialect: ClassVar[str] = "ag-ui"

    def __init__(self, base_url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(base_url, **options)

    def _start(self, body: dict[str, Any], tools: Sequence[LocalTool], session: Session) -> Source:
        offered = [*body.get("tools", ()), *map(_tool_json, session.tools.values())]
        session.request = make_run_input({**body, "tools": offered})
        return self._post(session.request, "run")

    def _further_request(self, fields: Mapping[str, Any], session: Session) -> dict[str, Any]:
        state = session.open_state()
        thread = {} if state is None or state.run.thread_id is None else {"threadId": state.run.thread_id}
        offered = [*fields.get("tools", ()), *map(_tool_json, session.tools.values())]
        return make_run_input({**thread, **fields, "tools": offered})

    def _submit(self, state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], session: Session) -> Source:
        outputs, resume = session.outputs, []
        for call, answer in answers:
            if call.kind == "interrupt" and call.id:
                resume.append({"interruptId": call.id, "status": "resolved", "payload": self._interrupt_value(answer)})
            elif call.kind != "interrupt":
                value = self._interrupt_value(answer)
                outputs[call.id] = value if isinstance(value, str) else encode_output(value)
        body = {
            **session.request,
            "runId": f"run_{uuid4().hex}",
            "parentRunId": state.pieces[-1] if state.pieces else None,
            "messages": [*session.request["messages"], *_history(state, answers, outputs)],
            "state": session.request["state"] if state.document is None else thaw(state.document),
        }
        if resume:
            body["resume"] = resume
        elif any(call.kind == "interrupt" for call, _ in answers):
            # The older form: the interrupt has no id, and its answer is a command of the server's framework.
            (answer,) = [answer for call, answer in answers if call.kind == "interrupt"][:1]
            body["forwardedProps"] = {
                **(body.get("forwardedProps") or {}),
                "command": {"resume": self._interrupt_value(answer)},
            }
        return self._post(body, f"answer {state.run_id}")

    def _follow(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> Source:
        raise UnsupportedRequest(_NO_REQUEST)

    async def _fetch(
        self, run_id: str, state: RunState | None, place: Mapping[str, Any], *, retry: bool = True
    ) -> list[bytes]:
        raise UnsupportedRequest(_NO_REQUEST)

    def _repair(self) -> None:
        return None

    def _interrupt_value(self, answer: CallAnswer) -> Any:
        if isinstance(answer, Approve):
            return {"approved": True} if answer.value is None else answer.value
        if isinstance(answer, Decline):
            return {"approved": False, **({"reason": answer.reason} if answer.reason else {})}
        return answer.value

    def _post(self, body: Mapping[str, Any], name: str) -> Source:
        return AgUiSource(
            self._api.base_url,
            body,
            name=name,
            headers=self._api.headers,
            auth=self._api.auth,
            reconnect=self._reconnect,
            **self._http,
        )


def _tool_json(tool: LocalTool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _history(
    state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], outputs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The messages of a run so far, its calls and their outputs, in the order in which they were seen.

    Args:
        state: The state of the run.
        answers: The calls that are answered now; those that are in no step are added.
        outputs: The outputs of the application, by the ids of the calls.
    """
    found: list[dict[str, Any]] = []
    calls: list[tuple[str, str | None, str | None, str | None]] = []

    def add_calls() -> None:
        """Add the calls since the last message, as one message, and their outputs."""
        if not calls:
            return
        functions = [
            {"id": id, "type": "function", "function": {"name": name or "", "arguments": arguments or ""}}
            for id, name, arguments, _ in calls
        ]
        found.append({"id": f"calls-{calls[0][0]}", "role": "assistant", "toolCalls": functions})
        for id, _, _, output in calls:
            if output is not None:
                found.append({"id": f"result-{id}", "role": "tool", "toolCallId": id, "content": output})
        calls.clear()

    seen: set[str] = set()
    for item in build_objects(state):
        value = get_view(item)
        if isinstance(value, Message):
            if value.text and value.role == "assistant":
                add_calls()
                found.append({"id": value.id, "role": "assistant", "content": value.text})
        elif isinstance(value, RunStep):
            for call in value.tool_calls:
                seen.add(call.id)
                calls.append((call.id, call.name, call.arguments, outputs.get(call.id, call.output)))
    for asked, _ in answers:
        if asked.kind != "interrupt" and asked.id not in seen:
            calls.append((asked.id, asked.name, asked.arguments, outputs.get(asked.id)))
    add_calls()
    return found
