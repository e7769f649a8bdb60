"""Runs a case of a source that sends requests of its own, and judges it.

No wrong success, no hang, no key twice; and where the server has all that is asked for, the run is whole.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from runstream import IncompleteStream, Reconnect, ResponsesSource, ResponsesWebSocket, RunStream, Signal
from tests.faults.api_cases import ApiCase, make_script
from tests.faults.api_servers import HttpServer, SocketServer
from tests.faults.oracle import Verdict
from tests.support.http_peer import http_serving
from tests.support.responses import ResponseScript

__all__ = ["run_api_case"]

BOUND: Final = 60.0
"""Seconds after which a case hangs; it takes less than one, and more on a busy machine with many cases at once."""

_FAST: Final = Reconnect(initial=0.001, maximum=0.005, max_attempts=8, max_retry_after=0.01)
_GRACE: Final = 0.05


async def run_api_case(case: ApiCase) -> Verdict:
    """Run a case; the verdict has the problems."""
    signals: list[Signal] = []
    try:
        async with asyncio.timeout(BOUND):
            run = _over_http if case.source == "responses" else _over_sockets
            problems = await run(case, signals)
    except TimeoutError:
        problems = ["hang"]
    except Exception as error:
        problems = [f"{type(error).__name__}: {error}"]
    kind = "interrupted" if any(signal.type == "run.interrupted" for signal in signals) else "equal"
    return Verdict("failure" if problems else kind, problems)


async def _over_http(case: ApiCase, signals: list[Signal]) -> list[str]:
    rng = case.rng("case")
    script, poll = make_script(rng, "resp_1"), rng.random() < 0.6
    server = HttpServer(case, script)
    joins = rng.random() < 0.3 and script.numbered
    async with http_serving(server) as peer:
        options: dict[str, Any] = {"response_id": script.id} if joins else {"body": {"input": "x"}}
        source = ResponsesSource(
            f"{peer.url}/v1", poll=poll, poll_interval=0.002, proxy=None, reconnect=_FAST, grace=_GRACE, **options
        )
        stream = RunStream(source)
        await _read(stream, signals)
    whole = poll and source.response_id is not None and "gone" not in case.faults
    problems = _judge(script, stream, signals, whole=whole or not case.faults)
    return problems + ([f"{server.posts} POSTs"] if server.posts > 1 else [])


async def _over_sockets(case: ApiCase, signals: list[Signal]) -> list[str]:
    rng = case.rng("case")
    scripts = {id: make_script(rng, id) for id in (f"resp_{number}" for number in range(5))}
    server = SocketServer(case, scripts)
    async with (
        server.serve() as url,
        ResponsesWebSocket(
            url,
            lanes=rng.choice((1, 1, 2, 3)),
            max_age=0.005 if "aged" in case.faults else 10.0,
            proxy=None,
            reconnect=_FAST,
            grace=_GRACE,
        ) as socket,
    ):
        stream = RunStream(*(socket.response({"input": id}) for id in scripts))
        await _read(stream, signals)
    problems = []
    for id, script in scripts.items():
        if id in server.refused:
            found = [signal.key for signal in signals if getattr(signal, "run_id", None) == id]
            problems += [f"{id} was refused, and has {found}"] if found else []
        else:
            # One lost socket takes the other responses on it along.
            problems += _judge(script, stream, signals, whole=id in server.whole and not server.lost)
    return problems


async def _read(stream: RunStream, signals: list[Signal]) -> None:
    stream.signals.subscribe(signals.append)
    async with stream:
        with suppress(IncompleteStream):
            await stream.results()


def _judge(script: ResponseScript, stream: RunStream, signals: list[Signal], *, whole: bool) -> list[str]:
    """The problems of the run of a response.

    Args:
        script: What the server has.
        stream: The stream after its end.
        signals: All signals.
        whole: True if all of it was available.
    """
    mine = [signal for signal in signals if getattr(signal, "run_id", None) == script.id]
    keys = [signal.key for signal in mine]
    state, types = stream.latest.get(script.id), {signal.type for signal in mine}
    problems = [f"a key twice: {key}" for key in sorted({key for key in keys if keys.count(key) > 1})]
    if state is not None and state.status in ("completed", "failed", "incomplete", "requires_action"):
        if state.status != _status_of(script):
            problems.append(f"{script.id} is {state.status}, and not {_status_of(script)}")
        if state.text != _text_of(script):
            problems.append(f"{script.id} has the text {state.text!r}, and not {_text_of(script)!r}")
    elif state is not None and "run.interrupted" not in types:
        problems.append(f"{script.id} was left {state.status}, and nothing says so")
    if (state is None or state.status != "completed") and "run.completed" in types:
        problems.append(f"{script.id} completed, and is not")
    if whole and (state is None or state.status != _status_of(script)):
        problems.append(f"{script.id}: all was available, and it is {state and state.status}")
    return problems


def _text_of(script: ResponseScript) -> str:
    return "".join(event["text"] for event in script.events if event["type"] == "response.output_text.done")


def _status_of(script: ResponseScript) -> str:
    end: str = script.events[-1]["type"].removeprefix("response.")
    calls = any(event.get("item", {}).get("type") == "function_call" for event in script.events)
    return "requires_action" if end == "completed" and calls else end
