"""A terminal client of an AG-UI server: text, reasoning, tools of its own, questions, and every kind of end.

``python examples/18_ag_ui.py`` runs it against a scripted server on loopback; with a URL it asks that server.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from runstream import (
    ActionRequired,
    ActivityChanged,
    AgUiSource,
    AwaitedCall,
    DocumentChanged,
    IncompleteStream,
    ReasoningDelta,
    Run,
    RunStream,
    Signal,
    SourceError,
    TextDelta,
    ToolCallCompleted,
    ToolCallResult,
)

TOOLS = [
    {
        "name": "show_on_map",
        "description": "Show a place on the user's map.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    }
]
"""The tools that this program offers to the agent, and executes."""


def show_on_map(arguments: Any) -> str:
    """Execute the tool of this program."""
    return f"{arguments['place']} is shown"


class Client:
    """A conversation with one agent.

    Args:
        url: The endpoint of the agent.
        ask: Asks the user a question, and returns the answer.
    """

    def __init__(self, url: str, ask: Callable[[str], str]) -> None:
        self.url = url
        self.ask = ask
        self.messages: list[Mapping[str, Any]] = []
        self.state: Any = {}

    def source(self, **fields: Any) -> AgUiSource:
        """The next run of the thread: what it sends is the whole history, and maybe answers."""
        input = {"threadId": "thread-1", "messages": self.messages, "tools": TOOLS, "state": self.state, **fields}
        return AgUiSource(self.url, input, proxy=None)

    async def say(self, text: str) -> Run | None:
        """Send a message of the user, and show the run until its end; ``None`` if it was cut."""
        self.messages.append({"id": f"user-{len(self.messages)}", "role": "user", "content": text})
        async with RunStream(self.source()) as stream:
            stream.on(ActionRequired, self.answer)
            async for signal in stream:
                self.show(signal)
            try:
                run = await stream.result()
            except IncompleteStream as error:
                print(f"\n[no end: {error}]")
                return None
            state = stream.latest[run.id]
        for message in state.messages:
            self.messages.append({"id": message.id, "role": "assistant", "content": message.text})
        if state.document is not None:
            self.state = state.document
        print(f"\n[{run.status}{f': {run.last_error.message}' if run.last_error else ''}]")
        return run

    def show(self, signal: Signal) -> None:
        """Print what changes."""
        match signal:
            case TextDelta(path=()):
                print(signal.delta, end="", flush=True)
            case ReasoningDelta():
                print(f"({signal.delta.strip()})", end=" ", flush=True)
            case ToolCallCompleted():
                print(f"\n> {signal.call.name} {signal.call.arguments}")
            case ToolCallResult():
                print(f"< {signal.output}")
            case DocumentChanged():
                print(f"\n[state {signal.value}]")
            case ActivityChanged():
                print(f"\n[{signal.kind} {signal.activity_id}]")
            case SourceError():
                print(f"\n[{signal.reason}: {signal.server_message}]")

    def answer(self, signal: ActionRequired) -> AgUiSource:
        """Answer everything that the run waits for: the source that is returned continues it."""
        resume = []
        calls = [call for call in signal.calls if call.kind != "interrupt"]
        if calls:
            function = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or ""}}
                for call in calls
            ]
            self.messages.append({"id": f"calls-{signal.run_id}", "role": "assistant", "toolCalls": function})
        for call in signal.calls:
            if call.kind == "interrupt":
                approved = self.ask(question(call)).startswith("y")
                payload = {"approved": approved}
                resume.append({"interruptId": call.id, "status": "resolved", "payload": payload})
            else:
                output = show_on_map(call.parsed) if call.name == "show_on_map" else self.ask(question(call))
                result = {"id": f"result-{call.id}", "role": "tool", "toolCallId": call.id, "content": output}
                self.messages.append(result)
        return self.source(**({"resume": resume} if resume else {}))


def question(call: AwaitedCall) -> str:
    """What to ask the user about a call."""
    data = call.data or {}
    return str(data.get("message") or f"{call.name} {call.arguments}?")


# The scripted server: the last message decides what it sends.

SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "hours": [
        {"type": "REASONING_MESSAGE_START", "messageId": "r1", "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r1", "delta": "Winter hours."},
        {"type": "REASONING_MESSAGE_END", "messageId": "r1"},
        {"type": "STATE_SNAPSHOT", "snapshot": {"visits": []}},
        {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/visits/-", "value": "hours"}]},
        {"type": "A_NEWER_EVENT", "value": 1},
        *[{"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": word} for word in ("We close ", "at five.")],
    ],
    "where": [
        {"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "show_on_map"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": '{"place": "the old mill"}'},
        {"type": "TOOL_CALL_END", "toolCallId": "c1"},
    ],
    "the old mill is shown": [{"type": "TEXT_MESSAGE_CHUNK", "messageId": "m2", "delta": "There it is."}],
    "book": [
        {"type": "TOOL_CALL_START", "toolCallId": "c2", "toolCallName": "book_table"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c2", "delta": '{"seats": 2}'},
        {"type": "TOOL_CALL_END", "toolCallId": "c2"},
    ],
    "approved": [
        {"type": "TOOL_CALL_RESULT", "messageId": "t2", "toolCallId": "c2", "content": "table 7"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m3", "delta": "Table 7 is yours."},
    ],
    "fail": [{"type": "RUN_ERROR", "message": "The kitchen is on fire", "code": "FIRE"}],
    "cut": [{"type": "TEXT_MESSAGE_CHUNK", "messageId": "m4", "delta": "The soup of the day is"}],
}
QUESTION = {"id": "i1", "reason": "tool_call", "toolCallId": "c2", "message": "Book a table for 2?"}
OUTCOMES: dict[str, dict[str, Any]] = {
    "where": {"type": "success", "pendingToolCallIds": ["c1"]},
    "book": {"type": "interrupt", "interrupts": [QUESTION]},
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers a run's input with its events."""

    def do_POST(self) -> None:
        input = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = "approved" if input.get("resume") else input["messages"][-1]["content"]
        boundary = {"threadId": input["threadId"], "runId": input["runId"]}
        events = [{"type": "RUN_STARTED", **boundary}, *SCRIPTS[name]]
        if name not in ("fail", "cut"):
            events.append({"type": "RUN_FINISHED", **boundary, "outcome": OUTCOMES.get(name, {"type": "success"})})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


async def main() -> None:
    if len(sys.argv) > 1:
        client = Client(sys.argv[1], input)
        while text := await asyncio.to_thread(input, "\nyou: "):
            await client.say(text)
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def yes(question: str) -> str:
        print(f"? {question} yes")
        return "yes"

    client = Client(f"http://127.0.0.1:{server.server_port}/", yes)
    for text in ("hours", "where", "book", "fail", "cut"):
        print(f"\nyou: {text}")
        await client.say(text)
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    asyncio.run(main())
