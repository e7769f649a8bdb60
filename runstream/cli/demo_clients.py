"""`demo --dialect`: a client of one protocol starts runs on a scripted server of this machine, and its tools run."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from typing import Any, Final

from msgspec import Struct

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.parser import CLIENTS
from runstream.cli.screen import make_view
from runstream.cli.stdio import clip, complain
from runstream.cli.watch import watch_stream
from runstream.clients.answers import Approve, CallAnswer
from runstream.clients.base import BaseClient
from runstream.model.run import Run
from runstream.model.signal_base import AwaitedCall
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import ScriptedCall, ScriptedRequest, Turn

__all__ = ["demo_client"]

_PAUSE: Final = 0.04
"""Seconds between two events at pace 1: each demo has about 150 events, and lasts 6 s."""
_TEXT: Final = "A print museum in Ghent shows how a page was set by hand."
_CENTS: Final = 7


class Scene(Struct, frozen=True, kw_only=True):
    """One run of the demo.

    Attributes:
        name: Its name, which is a part of the user's message.
        about: A short description.
        outcome: Its final status.
        body: Fields of the request, by the name of the dialect.
    """

    name: str
    about: str
    outcome: str
    body: dict[str, dict[str, Any]] = {}


_TOOLS: Final = Scene(
    name="translate",
    about="two calls at the same time, then a call that needs an approval",
    outcome="completed",
)
_CUT: Final = Scene(
    name="describe",
    about="the connection breaks off, and the run goes on",
    outcome="completed",
    body={"responses": {"background": True}},
)
_FAILED: Final = Scene(name="fail", about="a run that fails", outcome="failed")
_SCENES: Final = dict.fromkeys(CLIENTS, (_TOOLS, _CUT, _FAILED)) | {
    "ag-ui": (_TOOLS, _FAILED)  # a run of AG-UI ends with its connection
}


async def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def price(words: int) -> str:
    """The price of a translation."""
    return f"{words * _CENTS / 100:.2f} euros"


def send_offer(price: str) -> str:
    """Send an offer to the customer."""
    return "sent"


_FUNCTIONS: Final = (count_words, price, send_offer)


def demo_client(args: argparse.Namespace) -> int:
    """Start the runs of a protocol; the exit code is 0 if every run ended as scripted."""
    try:
        return asyncio.run(_demo(args))
    except ImportError as error:
        raise UsageError("demo --dialect starts a server: pip install 'runstream[http,testing]'") from error


async def _demo(args: argparse.Namespace) -> int:
    pause = _PAUSE / args.pace if args.pace else 0.0
    failures = 0
    async with (
        serve_script(lambda request: _turn(request, pause), tools=_FUNCTIONS) as server,
        _client(args.dialect, server) as client,
    ):
        for scene in _SCENES[args.dialect]:
            if not args.json:
                complain(f"{args.dialect}: {scene.about}")
            stream = client.run({**_body(args.dialect, scene), **scene.body.get(args.dialect, {})})
            result = await watch_stream(stream, make_view(json=args.json, plain=args.plain), quiet=True)
            found = [state.status.value for state in result.states]
            if found != [scene.outcome]:
                failures += 1
                complain(f"{scene.name}: {clip(', '.join(found)) or 'no run'}, and not {scene.outcome}")
    return ExitCode.NOT_COMPLETED if failures else ExitCode.COMPLETED


def _client(dialect: str, server: ScriptedServer) -> BaseClient:
    module, name = CLIENTS[dialect]
    urls = {"ag-ui": server.ag_ui_url, "langgraph": server.langgraph_url}
    options: dict[str, Any] = {} if dialect in urls else {"poll_interval": 0.1}
    made: BaseClient = getattr(importlib.import_module(module), name)(
        urls.get(dialect, server.url),
        tools=() if dialect == "langgraph" else _FUNCTIONS,  # those of a graph are executed by the server
        approve=_approve,
        proxy=None,
        on_subscriber_error="raise",
        **options,
    )
    return made


def _body(dialect: str, scene: Scene) -> dict[str, Any]:
    """The request, as each protocol has it."""
    message = {"role": "user", "content": f"Please {scene.name}: {_TEXT}"}
    match dialect:
        case "assistants":
            return {"assistant_id": "asst_demo", "additional_messages": [message]}
        case "responses":
            return {"model": "scripted", "input": message["content"]}
        case "ag-ui":
            return {"messages": [{"id": "user_1", **message}]}
        case _:
            return {"assistant_id": "scripted", "input": {"messages": [message]}}


async def _approve(call: AwaitedCall, run: Run) -> CallAnswer:
    return Approve()


def _turn(request: ScriptedRequest, pause: float) -> Turn:
    """What the model does: by the message of the user, then by the outputs that it gets."""
    outputs = request.outputs
    if request.turn == 0:
        asked = str(request.body)
        if f"Please {_FAILED.name}:" in asked:
            return Turn(text="One moment", status="failed", code="rate_limit_exceeded", pause=pause)
        if f"Please {_CUT.name}:" in asked:
            return Turn(
                text="The text is about a museum that prints books as they once were.", cut_after=9, pause=pause
            )
        calls = [
            ScriptedCall("count_words", {"text": _TEXT}, "call_words"),
            ScriptedCall("price", {"words": len(_TEXT.split())}, "call_price"),
        ]
        return Turn(text="I count the words, and compute the price.", calls=calls, pause=pause)
    if request.turn == 1:
        text = f"It has {outputs['call_words']} words, which cost {outputs['call_price']}. Shall I send the offer?"
        return Turn(text=text, approvals=[ScriptedCall("send_offer", {"price": outputs["call_price"]})], pause=pause)
    return Turn(text="The offer is on the table.", pause=pause)
