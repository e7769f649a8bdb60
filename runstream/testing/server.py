"""A server of four protocols with a scripted model, for tests without a vendor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterable, MutableMapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from runstream.testing.ag_ui_api import AgUiApi
from runstream.testing.asgi import ConnectionCut, HttpRequest, Receive, Reply, Send, error_reply, read_request
from runstream.testing.assistants_api import AssistantsApi
from runstream.testing.langgraph_api import LangGraphApi
from runstream.testing.responses_api import ResponsesApi
from runstream.testing.server_tools import ServerTools
from runstream.testing.turns import Model

__all__ = ["ScriptedApi", "ScriptedServer", "serve_script"]

_INSTALL: Final = "serve_script() needs a server: pip install 'runstream[testing]'"
_BASES: Final = ("/v1", "/openai")
_STOP: Final = 2.0  # seconds
AG_UI: Final = "/ag-ui"
LANGGRAPH: Final = "/langgraph"


class ScriptedApi:
    """The server as an ASGI application.

    The paths of the Assistants API and the Responses API begin with ``/v1``, ``/openai``, or nothing; AG-UI has the
    path ``/ag-ui``, and those of LangGraph begin with ``/langgraph``. Any credentials are accepted.

    Args:
        model: The turns of each run, or a function that returns the next one; see :data:`~runstream.testing.Model`.
        tools: Functions that the server executes: for the calls of a LangGraph graph, and, in both AG-UI and LangGraph,
            for calls that are approved. A call without a function has the output ``done``.

    Attributes:
        requests: All requests, in order; those over a WebSocket are not among them.
    """

    def __init__(self, model: Model, *, tools: Iterable[Callable[..., Any]] = ()) -> None:
        self.requests: list[HttpRequest] = []
        own = ServerTools(tools)
        self._assistants = AssistantsApi(model)
        self._responses = ResponsesApi(model)
        self._ag_ui = AgUiApi(model, own)
        self._langgraph = LangGraphApi(model, own)

    @property
    def outputs(self) -> dict[str, list[Any]]:
        """The answers of each call by its id, in the order in which they were accepted. A call has one answer, unless
        a client has answered it twice."""
        apis = (self._assistants, self._responses, self._ag_ui, self._langgraph)
        return {id: answers for api in apis for id, answers in api.outputs.items()}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection; see the ASGI specification."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._responses.talk(receive, send)
        else:
            try:
                request = await read_request(scope, receive)
                self.requests.append(request)
                reply = await self._reply(request)
            except ValueError as error:
                reply = error_reply(400, str(error))
            except ConnectionCut:
                _abort(receive)
                return
            try:
                await reply.send(receive, send)
            except ConnectionCut:
                _abort(receive)

    async def _reply(self, request: HttpRequest) -> Reply:
        path = request.path
        if path.rstrip("/") == AG_UI:
            return await self._ag_ui.reply(request)
        if path.startswith(f"{LANGGRAPH}/"):
            reply = await self._langgraph.reply(request, path.removeprefix(LANGGRAPH))
            return reply if reply is not None else Reply({"detail": "Not Found"}, 404)
        for base in _BASES:
            if path.startswith(f"{base}/"):
                path = path.removeprefix(base)
                break
        for api in (self._assistants, self._responses):
            if (reply := await api.reply(request, path)) is not None:
                return reply
        return error_reply(404, f"Unknown request URL: {request.method} {request.path}.")


class ScriptedServer:
    """A scripted server that runs.

    Attributes:
        url: The base URL for clients of the Assistants API and the Responses API, which ends with ``/v1``.
        ag_ui_url: The URL for clients of AG-UI.
        langgraph_url: The base URL for clients of LangGraph.
        api: The application, with what was requested and answered.
    """

    def __init__(self, address: str, api: ScriptedApi) -> None:
        self.url = f"{address}/v1"
        self.ag_ui_url = f"{address}{AG_UI}"
        self.langgraph_url = f"{address}{LANGGRAPH}"
        self.api = api

    @property
    def requests(self) -> list[HttpRequest]:
        """See :attr:`ScriptedApi.requests`."""
        return self.api.requests

    @property
    def outputs(self) -> dict[str, list[Any]]:
        """See :attr:`ScriptedApi.outputs`."""
        return self.api.outputs


@asynccontextmanager
async def serve_script(
    model: Model, *, tools: Iterable[Callable[..., Any]] = (), host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[ScriptedServer]:
    """Serve a scripted model; needs the extra ``testing``.

    ::

        turns = [Turn(calls={"get_weather": {"city": "Oslo"}}), "It is sunny in Oslo."]
        async with serve_script(turns) as server:
            client = ResponsesClient(server.url, tools=[get_weather])
            async with client.run(model="any", input="How is the weather?") as stream:
                run = await stream.result()

    It serves the Assistants API and the Responses API at :attr:`ScriptedServer.url`, over HTTP, server-sent events and
    WebSocket, AG-UI at :attr:`ScriptedServer.ag_ui_url`, and LangGraph at :attr:`ScriptedServer.langgraph_url`.

    Args:
        model: The turns of each run, or a function that returns the next one.
        tools: Functions that the server executes; see :class:`~runstream.testing.ScriptedApi`.
        host: The address to listen at.
        port: The number of the TCP port; 0 for a free one.

    Raises:
        ImportError: The extra is not installed.
        OSError: The address is not available.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError(_INSTALL, name=error.name) from error
    api = ScriptedApi(model, tools=tools)
    listener = socket.create_server((host, port))
    config = uvicorn.Config(
        api,
        log_config=None,
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # the signals of the test's process stay its own

    server = Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield ScriptedServer(f"http://{host}:{listener.getsockname()[1]}", api)
    finally:
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(task, _STOP)
        listener.close()


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": message["type"] + ".complete"})


def _abort(receive: Receive) -> None:
    """Close a connection in the middle of a response, or before one.

    ASGI has no message for it, so the transport of uvicorn's request is used.

    Raises:
        ConnectionCut: The server is another one.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionCut
    transport.abort()
