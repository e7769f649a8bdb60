"""LangGraph behind AG-UI, with a scripted model. The user's words choose the scenario; the argument is the port.

``/`` interrupts as the default does, by a custom event; ``/outcome`` by the outcome of the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt


def script(messages: list[Any]) -> tuple[list[Any], list[tuple[str, str, dict[str, Any]]]]:
    """The pieces of text and the calls of the model."""
    last = max(number for number, message in enumerate(messages) if isinstance(message, HumanMessage))
    said = str(messages[last].content)
    results = [str(message.content) for message in messages[last:] if isinstance(message, ToolMessage)]
    if results:
        return ["Result: ", "; ".join(results)], []
    if "two gates" in said:
        return [], [("call_e", "gate_status", {"gate": "east"}), ("call_w", "gate_status", {"gate": "west"})]
    if "gate" in said:
        return ["Let me ", "check."], [("call_g", "gate_status", {"gate": "east"})]
    if "two maps" in said:
        return [], [(f"call_m{zoom}", "show_map", {"zoom": zoom}) for zoom in (3, 5)]
    if "map" in said:
        return [], [("call_m", "show_map", {"zoom": 3})]
    if "ticket" in said:
        return [], [("call_t", "buy_ticket", {"seats": 2})]
    if "think" in said:
        thoughts = [[{"type": "thinking", "thinking": word, "index": 0}] for word in ("First ", "this.")]
        return [*thoughts, "Then ", "that."], []
    return ["Good ", "morning."], []


class ScriptedModel(BaseChatModel):
    """A chat model that streams its script."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> ScriptedModel:
        return self

    def _generate(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        pieces, calls = script(messages)
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        found = [{"id": id, "name": name, "args": args} for id, name, args in calls]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text, tool_calls=found))])

    async def _astream(
        self, messages: list[Any], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        pieces, calls = script(messages)
        id = f"lc-{len(messages)}-{abs(hash(str(messages))) % 10**8}"
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece, id=id))
        if "break" in str(messages[-1].content):
            raise RuntimeError("the model is gone")
        for number, (call_id, name, arguments) in enumerate(calls):
            text = json.dumps(arguments)
            # The adapter takes arguments only from chunks without a name.
            fragments = [{"id": call_id, "name": name, "args": ""}]
            fragments += [{"id": None, "name": None, "args": part} for part in (text[:4], text[4:])]
            for fragment in fragments:
                chunk = {"index": number, **fragment}
                yield ChatGenerationChunk(message=AIMessageChunk(content="", id=id, tool_call_chunks=[chunk]))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", id=id, chunk_position="last"))


@tool
def gate_status(gate: str) -> str:
    """The status of a gate."""
    return f"{gate} is open"


@tool
def buy_ticket(seats: int) -> str:
    """Buy a ticket."""
    return f"bought: {interrupt({'question': 'Buy it?', 'seats': seats})}"


class State(MessagesState):
    """The state that the agent shares."""

    tools: list[Any]
    steps: list[str]


async def chat(state: State, config: RunnableConfig) -> dict[str, Any]:
    answer = await ScriptedModel().ainvoke(state["messages"], config)
    return {"messages": [answer], "steps": [*(state.get("steps") or []), "chat"]}


def route(state: State) -> str:
    calls = getattr(state["messages"][-1], "tool_calls", None)
    own = {"gate_status", "buy_ticket"}
    return "tools" if calls and all(call["name"] in own for call in calls) else END


def build() -> Any:
    graph = StateGraph(State)
    graph.add_node("chat", chat)
    graph.add_node("tools", ToolNode([gate_status, buy_ticket]))
    graph.add_edge(START, "chat")
    graph.add_conditional_edges("chat", route, {"tools": "tools", END: END})
    graph.add_edge("tools", "chat")
    return graph.compile(checkpointer=MemorySaver())


if __name__ == "__main__":
    app = FastAPI()
    default = LangGraphAgent(name="plain", graph=build())
    outcome = LangGraphAgent(
        name="outcome",
        graph=build(),
        emit_raw_events=False,
        emit_interrupt_outcome=True,
        enable_legacy_on_interrupt_event=False,
    )
    add_langgraph_fastapi_endpoint(app, default, "/")
    add_langgraph_fastapi_endpoint(app, outcome, "/outcome")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
