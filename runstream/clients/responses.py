"""The client of the Responses API: OpenAI's, Azure's, and others that serve it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack

import msgspec

from runstream.clients.answers import Approve, CallAnswer, Decline
from runstream.clients.base import BaseClient
from runstream.clients.options import ClientOptions
from runstream.clients.run_sources import FailingSource, RecoveringSource
from runstream.clients.session import Session
from runstream.clients.tools import LocalTool
from runstream.core.state import RunState
from runstream.dialects.responses_run import RESPONSE_ID
from runstream.model.raw import RawEvent, RawItem
from runstream.model.signal_base import AwaitedCall
from runstream.sources.base import Receiver, Source
from runstream.sources.reconnect import Reconnect
from runstream.sources.responses import ResponsesSource
from runstream.sources.sse import POST_UNKNOWN

if TYPE_CHECKING:
    from runstream.sources.responses_websocket import ResponsesWebSocket

__all__ = ["ResponsesClient"]

# The items that answer a call, by the kind of the call: the type, and the name of the call's id.
_ANSWERS: Final = {
    "function": ("function_call_output", "call_id"),
    "custom": ("custom_tool_call_output", "call_id"),
    "approval": ("mcp_approval_response", "approval_request_id"),
    "shell": ("shell_call_output", "call_id"),
    "patch": ("apply_patch_call_output", "call_id"),
    "computer": ("computer_call_output", "call_id"),
    "tool_search": ("tool_search_output", "call_id"),
}
_SOCKET_OPTIONS: Final = frozenset({"ssl", "proxy", "open_timeout"})
_NO_HISTORY: Final = (
    "the history of the run is not known here, and its server has no memory: start a run with the conversation as input"
)
_ITEM_DONE: Final = b"response.output_item.done"


class ResponsesClient(BaseClient):
    """Starts runs of the Responses API, answers their calls, cancels and rejoins them; needs the extra ``http``.

    ::

        client = ResponsesClient("https://api.example/v1", api_key=key, tools=[get_weather])
        async with client.run(model="small", input="How is the weather in Oslo?") as stream:
            run = await stream.result()

    All tools are part of each request, with those of its body. A further request continues the last response by
    ``previous_response_id``; with ``store=False`` in the body, or ``history=True``, it has the items of the run so far
    instead, as servers without memory need it. After :meth:`rejoin` it has the model of the run, the tools of the
    client, and the fields that were passed there.

    After a loss the stream of a background response is resumed; any other stored response is polled. Answers are sent
    again where the response to them was lost: this API can't say whether it has processed them, so a server may begin
    a second response of the run.

    With ``websocket`` the requests of all runs, and their answers, are sent over one WebSocket, which is replaced
    before servers close it; with ``lanes``, several responses are in progress on it at the same time::

        client = ResponsesClient("https://api.example/v1", api_key=key, websocket=True, lanes=8)

    Requests for an object (:meth:`fetch`, polls after a loss) are sent over HTTP, and so are background responses,
    which the WebSocket mode does not have. :meth:`cancel` closes the socket, unless it has other runs: then the rest of
    the response is read and dropped.

    Args:
        base_url: The URL before ``/responses``.
        websocket: True for a WebSocket of this client; or one that the caller has made and closes, with options of its
            own.
        lanes: How many responses are in progress on the WebSocket of this client.
        history: True if each request has the whole history.
        strict: True if tools are sent with the strict schema where they have one.
        poll_interval: The shortest time between two polls after a loss (seconds).
        options: See :class:`ClientOptions`.

    Raises:
        ImportError: See :class:`BaseClient`.
        TypeError: See :class:`BaseClient`.
        ValueError: See :class:`BaseClient`.
    """

    dialect: ClassVar[str] = "responses"

    def __init__(
        self,
        base_url: str,
        *,
        websocket: bool | ResponsesWebSocket = False,
        lanes: int = 1,
        history: bool = False,
        strict: bool = True,
        poll_interval: float = 1.0,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, **options)
        self._history = history
        self._strict = strict
        self._poll_interval = poll_interval
        self._socket = None if websocket is True else websocket or None
        self._owned: ResponsesWebSocket | None = None
        self._lanes = lanes
        if websocket is True:
            self._socket = self._owned = self._make_socket()
        elif lanes != 1:
            raise ValueError("lanes are those of a WebSocket of this client: pass websocket=True")

    async def aclose(self) -> None:
        """Cancel the tools that are running, and close the connections of requests, and the WebSocket of this client:
        responses that are in progress on it are interrupted."""
        await super().aclose()
        if self._owned is not None:
            closed = self._owned
            self._socket = self._owned = self._make_socket()  # for later runs: it is opened by the first request
            await closed.close()

    def _make_socket(self) -> ResponsesWebSocket:
        from runstream.sources.responses_websocket import ResponsesWebSocket  # only here: it loads a library

        options = {name: value for name, value in self._http.items() if name in _SOCKET_OPTIONS}
        return ResponsesWebSocket(
            self._api.base_url,
            lanes=self._lanes,
            headers=self._api.headers,
            auth=self._api.auth,
            reconnect=self._reconnect,
            **options,
        )

    def _start(self, body: dict[str, Any], tools: Sequence[LocalTool], session: Session) -> Source:
        asked = body.get("input", ())
        session.request = {**body, "tools": [*body.get("tools", ()), *map(self._tool_json, session.tools.values())]}
        session.history = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)

        def poll() -> Source | None:
            state = session.open_state()
            if state is None or not self._uses_socket(session.request):
                return None  # the source of an HTTP request has followed its response as far as it can
            return self._join(_response_id(state.run_id, state), state.run_id)

        return RecoveringSource(
            lambda policy: self._post(session.request, session, policy), poll, reconnect=self._reconnect, name="run"
        )

    def _further_request(self, fields: Mapping[str, Any], session: Session) -> dict[str, Any]:
        return {**fields, "tools": [*fields.get("tools", ()), *map(self._tool_json, session.tools.values())]}

    def _submit(self, state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], session: Session) -> Source:
        items = [_answer_item(call, answer) for call, answer in answers]
        if session.restored:
            if self._sends_history(session.request):
                return FailingSource(f"answer {state.run_id}", _NO_HISTORY)
            session.request = {**({"model": state.run.model} if state.run.model else {}), **session.request}
        if session.history[-len(items) :] != items:  # else they are sent again
            session.history += items
        response_id = _response_id(state.run_id, state)

        async def waits() -> None:
            return None  # the API has no way to know it

        def post(policy: Reconnect | None) -> Source:
            request = {name: value for name, value in session.request.items() if name != "previous_response_id"}
            if self._sends_history(request):
                return self._post({**request, "input": session.history}, session, policy)
            return self._post({**request, "previous_response_id": response_id, "input": items}, session, policy)

        def poll() -> Source | None:
            latest = session.stream.latest[state.run_id]
            followed = _response_id(state.run_id, latest)
            if followed == response_id or not self._uses_socket(session.request):
                return None
            return self._join(followed, state.run_id)

        return RecoveringSource(post, poll, waits=waits, reconnect=self._reconnect, name=f"answer {state.run_id}")

    def _follow(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> Source:
        return self._join(_response_id(run_id, state), run_id)

    async def _fetch(
        self, run_id: str, state: RunState | None, place: Mapping[str, Any], *, retry: bool = True
    ) -> list[bytes]:
        response_id = _response_id(run_id, state)
        return [await self._api.get("responses", response_id, missing=f"response {response_id}", retry=retry)]

    async def _cancel(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> list[bytes] | None:
        response_id = _response_id(run_id, state)
        session = self._sessions.find(run_id)
        is_joined = session is not None and session.restored and not session.submitted
        if session is not None and not session.request.get("background") and not is_joined:
            return None  # the response is cancelled when its connection is closed
        if session is not None and session.waits(("", run_id)) and state is not None and state.run.requires_action:
            return None  # the response has ended: there is nothing to cancel, but the answers are not sent
        return [await self._api.post("responses", response_id, "cancel", missing=f"response {response_id}")]

    def _join(self, response_id: str, run_id: str) -> Source:
        """Read the further course of a response: its stream, if the server continues it, else by polling."""
        return ResponsesSource(
            self._api.base_url, response_id=response_id, name=f"join {run_id}", **self._source_options()
        )

    def _source_options(self) -> dict[str, Any]:
        return {
            "poll": True,
            "poll_interval": self._poll_interval,
            "headers": self._api.headers,
            "auth": self._api.auth,
            "reconnect": self._reconnect,
            **self._http,
        }

    def _post(self, body: Mapping[str, Any], session: Session, policy: Reconnect | None) -> Source:
        source: Source
        if self._socket is not None and self._uses_socket(body):
            source = self._socket.response(body)
        else:
            made = ResponsesSource(self._api.base_url, body, **{**self._source_options(), "reconnect": policy})
            if session.submitted:
                made._sent_once = POST_UNKNOWN  # answers: whether they are sent again is decided here
            source = made
        return HistorySource(source, session.history) if self._sends_history(body) else source

    def _uses_socket(self, body: Mapping[str, Any]) -> bool:
        return self._socket is not None and not body.get("background")

    def _sends_history(self, body: Mapping[str, Any]) -> bool:
        return self._history or body.get("store") is False

    def _tool_json(self, tool: LocalTool) -> dict[str, Any]:
        if tool.kind == "custom":
            return {"type": "custom", "name": tool.name, "description": tool.description}
        strict = tool.strict_parameters if self._strict else None
        return {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters if strict is None else strict,
            "strict": strict is not None,
        }


class HistorySource:
    """A source that notes the items of its responses, for a server without memory.

    Args:
        source: The source.
        history: The items are appended to it.
    """

    def __init__(self, source: Source, history: list[Any]) -> None:
        self.name = source.name
        self._source = source
        self._history = history

    @property
    def refused(self) -> int | None:
        """The HTTP status of the message that refused the request over a WebSocket; ``None`` if it was accepted."""
        found: int | None = getattr(self._source, "refused", None)
        return found

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`."""
        await self._source.run(ItemReceiver(receiver, self._history))


class ItemReceiver:
    """Passes all items on to a receiver, and notes the output items among them.

    Args:
        receiver: The receiver.
        history: The output items are appended to it, as they are.
    """

    def __init__(self, receiver: Receiver, history: list[Any]) -> None:
        self._receiver = receiver
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    def feed(self, item: RawItem) -> None:
        """Process one item."""
        self._note(item)
        self._receiver.feed(item)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Process several items."""
        found = list(items)
        for item in found:
            self._note(item)
        await self._receiver.feed_all(found)

    def _note(self, item: RawItem) -> None:
        if type(item) is not RawEvent or _ITEM_DONE not in item.data:
            return
        try:
            event = msgspec.json.decode(item.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return
        if isinstance(event, dict) and event.get("type") == _ITEM_DONE.decode() and isinstance(event.get("item"), dict):
            self._history.append(event["item"])


def _response_id(run_id: str, state: RunState | None) -> str:
    """The id of the latest response of a run."""
    found = None if state is None else state.run.metadata.get(RESPONSE_ID)
    return found if isinstance(found, str) else run_id


def _answer_item(call: AwaitedCall, answer: CallAnswer) -> dict[str, Any]:
    """The item that answers a call."""
    kind, id_name = _ANSWERS.get(call.kind, _ANSWERS["function"])
    item: dict[str, Any] = {"type": kind, id_name: call.id}
    if isinstance(answer, Approve):
        return {**item, "approve": True}
    if isinstance(answer, Decline):
        return {**item, "approve": False, **({"reason": answer.reason} if answer.reason else {})}
    value = answer.value
    if call.kind in ("function", "custom") or not isinstance(value, dict):
        return {**item, "output": value}
    return {**item, **value}
