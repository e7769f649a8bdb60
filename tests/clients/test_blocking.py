"""`BlockingClient`: plain calls in a program without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator

import pytest

from runstream.clients.answers import Output
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.blocking import BlockingClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream, RequestFailed
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired, TextDelta
from runstream.stream.blocking import BlockingStream
from runstream.testing.turns import ScriptedRequest, Turn
from tests.clients.support import multiply
from tests.support.processes import server_process


def model(request: ScriptedRequest) -> Turn:
    """A call that is answered and one that is not; or a long text; or an approval."""
    if request.turn:
        return Turn(text=f"Got {', '.join(sorted(map(str, request.outputs.values())))}.")
    words = str(request.body)
    if "talk" in words:
        return Turn(text="A long text. " * 100, pause=0.02)
    if "may I" in words:
        return Turn(approvals={"delete": {}})
    return Turn(calls={"multiply": {"a": 6, "b": 7}, **({"ask": {}} if "ask" in words else {})})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a scripted server in another process."""
    with server_process(__name__) as (line, _):
        yield line


def test_a_run_and_its_state_on_the_server(url: str) -> None:
    """A tool is executed while `result` waits; `fetch` asks the server."""
    with BlockingClient(ResponsesClient(url, tools=[multiply])) as client:
        with client.run(model="m", input="Hello") as stream:
            types = [signal.type for signal in stream]
            run = stream.result()
            assert stream.stream.latest[run.id].text == "Got 42."
        assert types[-2:] == ["run.completed", "source.ended"]
        assert client.fetch(run.id).status == RunStatus.COMPLETED
        with pytest.raises(RequestFailed, match="no response"):
            client.fetch("resp_none")


def test_it_has_the_methods_of_its_client(url: str) -> None:
    """All but those that close the client, and the one for a cluster, with the same parameters."""

    def methods_of(kind: type) -> dict[str, list[inspect.Parameter]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: [*inspect.signature(method).parameters.values()] for name, method in found if not name.startswith("_")
        }

    expected = methods_of(BaseClient)
    for name in ("aclose", "make_answer"):
        del expected[name]
    assert methods_of(BlockingClient) == expected
    with BlockingClient(ResponsesClient(url, tools=[multiply])) as client:
        with client.run(model="m", input="Hello") as stream:
            run = stream.result()
        assert list(client.submitted(run.id).values()) == [Output("42")]


def test_several_runs_share_the_loop(url: str) -> None:
    """While one of them is waited for, the others go on."""
    with (
        BlockingClient(ResponsesClient(url, tools=[multiply], websocket=True, lanes=4)) as client,
        client.run(model="m", input="Hello") as first,
        client.run(model="m", input="Hello") as second,
    ):
        first.start()
        second.result()
        assert first.result().status == RunStatus.COMPLETED


def test_an_answer_that_comes_later(url: str) -> None:
    """The run waits, its stream ends, and the answer opens another one."""
    with BlockingClient(AssistantsClient(url, tools=[multiply])) as client:
        with client.run(assistant_id="asst_1", instructions="ask") as stream:
            asked = stream.when(ActionRequired)
            with pytest.raises(IncompleteStream, match="waits for action"):
                stream.result()
        calls = {call.id: "yes" for call in asked.calls if call.name == "ask"}
        with client.answer(asked.run_id, calls) as answered:
            assert answered.result(asked.run_id).status == RunStatus.COMPLETED
            assert answered.stream.latest[asked.run_id].text == "Got 42, yes."
        with pytest.raises(ValueError, match="has ended"):
            client.rejoin(asked.run_id)


def test_a_plain_handler_answers_at_once(url: str) -> None:
    """The loop runs already, and the stream is the open one."""
    streams: list[BlockingStream] = []
    with BlockingClient(AssistantsClient(url, tools=[multiply])) as client:
        with client.run(assistant_id="asst_1", instructions="ask") as stream:

            def answer(signal: ActionRequired) -> None:
                calls = {call.id: "yes" for call in signal.calls if call.name == "ask"}
                streams.append(client.answer(signal.run_id, calls))

            stream.stream.on(ActionRequired, answer)
            assert stream.result().status == RunStatus.COMPLETED
        assert streams == [stream]


@pytest.mark.parametrize("yes", [True, False])
def test_decisions(url: str, yes: bool) -> None:
    """`approve` and `decline` by hand."""
    with BlockingClient(ResponsesClient(url)) as client:
        with client.run(model="m", input="may I?") as stream:
            asked = stream.when(ActionRequired)
        with client.approve(asked.run_id) if yes else client.decline(asked.run_id, reason="no") as answered:
            run = answered.result(asked.run_id)
            assert answered.stream.latest[run.id].text == f"Got {yes}."


def test_cancel(url: str) -> None:
    """The server is asked, and the run ends as it says."""
    with BlockingClient(AssistantsClient(url)) as client, client.run(assistant_id="asst_1", instructions="talk") as one:
        run_id = one.when(TextDelta).run_id
        assert client.cancel(run_id) is not None
        assert one.result().status == RunStatus.CANCELLED


def test_outside_of_its_context(url: str) -> None:
    """The message says what to do; nothing is left behind."""
    client = BlockingClient(ResponsesClient(url))
    with pytest.raises(RuntimeError, match="with BlockingClient"):
        client.fetch("resp_1")
    with client:
        pass
    with pytest.raises(RuntimeError, match="with BlockingClient"):
        client.run(model="m", input="Hello")


async def test_inside_of_an_event_loop(url: str) -> None:
    """The message names the other client's way."""
    with pytest.raises(RuntimeError, match="runs in this thread already"), BlockingClient(ResponsesClient(url)):
        pass


def test_in_another_thread_at_the_same_time(url: str) -> None:
    """One thread at a time: the other one gets an error that says so."""
    found: list[str] = []

    def use(client: BlockingClient) -> None:
        try:
            client.fetch("resp_1")
        except RuntimeError as error:
            found.append(str(error))

    with BlockingClient(AssistantsClient(url)) as client, client.run(assistant_id="asst_1") as stream:

        def start(signal: object) -> None:
            thread = threading.Thread(target=use, args=(client,))
            thread.start()
            thread.join()

        stream.stream.on("run.created", start)
        stream.when(ActionRequired)
    assert ["in use by another thread" in text for text in found] == [True]


async def serve() -> None:
    """Serve until standard input is closed."""
    import sys

    from runstream.testing.server import serve_script

    async with serve_script(model) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
