"""Small graphs without a network, for live tests of the LangGraph server's wire.

Each node talks to a scripted chat model: a list of chunks, streamed one by one. Nothing is random but ids and times.
"""

from __future__ import annotations

import asyncio
import operator
import os
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, Send, interrupt

PAUSE = float(os.environ.get("SCRIPT_PAUSE", "0.01"))


class Scripted(BaseChatModel):
    """Streams `script`, a list of content pieces, tool call fragments or whole chunks."""

    script: list[Any]
    pause: float = PAUSE
    finish: str = "stop"
    tokens_in: int = 20

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "scripted", "ls_model_name": "script-1", "ls_model_type": "chat"}

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        for piece in self.script:
            yield ChatGenerationChunk(
                message=piece if isinstance(piece, AIMessageChunk) else AIMessageChunk(content=piece)
            )
        out = len(self.script)
        usage = {"input_tokens": self.tokens_in, "output_tokens": out, "total_tokens": self.tokens_in + out}
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                response_metadata={"finish_reason": self.finish, "model_name": "script-1"},
                usage_metadata=usage,  # type: ignore[arg-type]
                chunk_position="last",
            )
        )

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks()

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            await asyncio.sleep(self.pause)
            yield chunk

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        whole: AIMessageChunk | None = None
        for chunk in self._chunks():
            whole = chunk.message if whole is None else whole + chunk.message  # type: ignore[assignment,operator]
        assert whole is not None
        message = AIMessage(
            content=whole.content,
            tool_calls=whole.tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def words(text: str) -> list[str]:
    parts = text.split(" ")
    return [parts[0], *(f" {part}" for part in parts[1:])]


def call(index: int, id: str, name: str, *fragments: str) -> list[AIMessageChunk]:
    first = {"name": name, "args": "", "id": id, "index": index, "type": "tool_call_chunk"}
    rest = [{"name": None, "args": part, "id": None, "index": index, "type": "tool_call_chunk"} for part in fragments]
    return [AIMessageChunk(content="", tool_call_chunks=[chunk]) for chunk in [first, *rest]]


# chat: one node, text

TEXT = "The ferry leaves at nine, ha ha, and comes back at noon."


async def say(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await Scripted(script=words(TEXT)).ainvoke(state["messages"])]}


chat = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()


# duet: two nodes of one step send text at the same time


async def high(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await Scripted(script=words("Soprano one two three four five")).ainvoke(state["messages"])]}


async def low(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await Scripted(script=words("Bass six seven eight nine ten")).ainvoke(state["messages"])]}


duet = (
    StateGraph(MessagesState)
    .add_node("high", high)
    .add_node("low", low)
    .add_edge(START, "high")
    .add_edge(START, "low")
    .compile()
)


# blocks: content as a list, with reasoning


async def think(state: MessagesState) -> dict[str, Any]:
    thoughts = [
        {"type": "reasoning", "reasoning": part, "index": 0} for part in words("Tide first, then the timetable.")
    ]
    spoken = [{"type": "text", "text": part, "index": 1} for part in words("High water is at eight.")]
    script = [AIMessageChunk(content=[block]) for block in [*thoughts, *spoken]]
    return {"messages": [await Scripted(script=script).ainvoke(state["messages"])]}


blocks = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think").compile()


# agent: two parallel tool calls, then text


@tool
async def tide(port: str) -> str:
    """When is high water?"""
    await asyncio.sleep(0.05)
    return f"high water at {port}: 08:10"


@tool
async def boats(port: str, seats: int) -> str:
    """How many boats have that many seats?"""
    if port == "nowhere":
        raise ValueError("no such port")
    return f"{seats + 1} boats at {port}"


async def agent_node(state: MessagesState) -> dict[str, Any]:
    if state["messages"][-1].type == "tool":
        script: list[Any] = words("High water is at 08:10, and three boats are free.")
        return {"messages": [await Scripted(script=script).ainvoke(state["messages"])]}
    port = "nowhere" if "nowhere" in str(state["messages"][-1].content) else "Elm"
    script = [
        "Let",
        " me",
        " look.",
        *call(0, f"call_tide_{len(state['messages'])}", "tide", '{"po', 'rt": "', "Elm", '"}'),
        *call(1, f"call_boats_{len(state['messages'])}", "boats", '{"port": ', f'"{port}", ', '"seats"', ": 2}"),
    ]
    return {"messages": [await Scripted(script=script, finish="tool_calls").ainvoke(state["messages"])]}


_agent = (
    StateGraph(MessagesState)
    .add_node("agent", agent_node)
    .add_node("tools", ToolNode([tide, boats], handle_tool_errors=True))
    .add_edge(START, "agent")
    .add_conditional_edges("agent", tools_condition)
    .add_edge("tools", "agent")
)
agent = _agent.compile()
agent_stops = _agent.compile(interrupt_before=["tools"])  # a breakpoint that no request names


# approval: asks before the tool runs; asks again if the answer is "edit"


@tool
async def book(boat: str) -> str:
    """Book a boat."""
    return f"{boat} is booked"


async def propose(state: MessagesState) -> dict[str, Any]:
    if state["messages"][-1].type == "tool":
        done = "not booked" not in str(state["messages"][-1].content)
        text = "Booked. See you on Sunday." if done else "As you like, nothing is booked."
        return {"messages": [await Scripted(script=words(text)).ainvoke(state["messages"])]}
    script = ["I", " can", " book", " it.", *call(0, "call_book_1", "book", '{"boat"', ': "Heron"}')]
    return {"messages": [await Scripted(script=script, finish="tool_calls").ainvoke(state["messages"])]}


async def ask(state: MessagesState) -> Command[Any]:
    asked = state["messages"][-1].tool_calls[0]  # type: ignore[union-attr]
    answer = interrupt({"question": "Book this boat?", "tool_call_id": asked["id"], "args": asked["args"]})
    if answer == "edit":
        answer = interrupt({"question": "Which one instead?", "tool_call_id": asked["id"]})
    if answer == "no":
        refusal = {"role": "tool", "tool_call_id": asked["id"], "content": "not booked"}
        return Command(goto="propose", update={"messages": [refusal]})
    return Command(goto="tools")


approval = (
    StateGraph(MessagesState)
    .add_node("propose", propose)
    .add_node("ask", ask, destinations=("tools", "propose"))
    .add_node("tools", ToolNode([book]))
    .add_edge(START, "propose")
    .add_conditional_edges("propose", lambda state: "ask" if state["messages"][-1].tool_calls else END, ["ask", END])
    .add_edge("tools", "propose")
    .compile()
)


# several: two tasks of one step interrupt at once


class Several(TypedDict):
    topics: list[str]
    answers: Annotated[list[str], operator.add]


async def question(state: dict[str, Any]) -> dict[str, Any]:
    return {"answers": [f"{state['topic']}: {interrupt({'ask': state['topic']})}"]}


several = (
    StateGraph(Several)
    .add_node("question", question)
    .add_conditional_edges(
        START, lambda state: [Send("question", {"topic": topic}) for topic in state["topics"]], ["question"]
    )
    .add_edge("question", END)
    .compile()
)


# fails: some text, then an error in the next node


async def break_down(state: MessagesState) -> dict[str, Any]:
    await Scripted(script=words("One moment please")).ainvoke(state["messages"])
    raise RuntimeError("the engine does not start")


fails = (
    StateGraph(MessagesState)
    .add_node("say", say)
    .add_node("break_down", break_down)
    .add_edge(START, "say")
    .add_edge("say", "break_down")
    .compile()
)


# slow: long enough to be cancelled or cut off


async def drawl(state: MessagesState) -> dict[str, Any]:
    script = words(" ".join(f"wave {number}" for number in range(1, 26)))
    return {"messages": [await Scripted(script=script, pause=0.12).ainvoke(state["messages"])]}


slow = (
    StateGraph(MessagesState)
    .add_node("say", say)
    .add_node("drawl", drawl)
    .add_edge(START, "say")
    .add_edge("say", "drawl")
    .compile()
)


# flaky: the first attempt breaks with an error that the server itself retries

try:
    from langgraph_runtime_inmem.retry import RetryableException
except ImportError:  # run outside the server
    RetryableException = RuntimeError  # type: ignore[misc,assignment]

_tried: set[str] = set()


async def stumble(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    run = str(config["configurable"].get("run_id"))
    if run not in _tried:
        _tried.add(run)
        await Scripted(script=words("The ferry leaves")).ainvoke(state["messages"])
        raise RetryableException("the line went dead")
    return await say(state)


flaky = StateGraph(MessagesState).add_node("stumble", stumble).add_edge(START, "stumble").compile()


# quiet: nothing for a while, then text


async def wait(state: MessagesState) -> dict[str, Any]:
    await asyncio.sleep(12)
    return {"messages": [await Scripted(script=words("Still here.")).ainvoke(state["messages"])]}


quiet = StateGraph(MessagesState).add_node("wait", wait).add_edge(START, "wait").compile()


# nested: a graph inside a graph, both with a model

nested = (
    StateGraph(MessagesState)
    .add_node("helper", agent)
    .add_node("say", say)
    .add_edge(START, "helper")
    .add_edge("helper", "say")
    .compile()
)


# nested_approval: the interrupt comes from inside

nested_approval = StateGraph(MessagesState).add_node("helper", approval).add_edge(START, "helper").compile()


# counting: no messages at all, custom events


class Counting(TypedDict):
    total: int
    log: Annotated[list[str], operator.add]


async def count(state: Counting) -> dict[str, Any]:
    write = get_stream_writer()
    for step in range(3):
        write({"progress": step + 1, "of": 3})
    write("half way")
    return {"total": state.get("total", 0) + 3, "log": ["counted"]}


async def check(state: Counting) -> dict[str, Any]:
    return {"log": [f"total is {state['total']}"]}


_counting = (
    StateGraph(Counting)
    .add_node("count", count)
    .add_node("check", check)
    .add_edge(START, "count")
    .add_edge("count", "check")
)
counting = _counting.compile()


# the same two for the thread protocol: a graph has to opt in to its channels tools, updates, custom, tasks

try:
    from langgraph.prebuilt._tool_call_transformer import ToolCallTransformer
    from langgraph.stream.transformers import CustomTransformer, TasksTransformer, UpdatesTransformer

    agent_opted = _agent.compile(transformers=[ToolCallTransformer, UpdatesTransformer])
    counting_opted = _counting.compile(transformers=[CustomTransformer, UpdatesTransformer, TasksTransformer])
except ImportError:  # LangGraph before 1.2
    agent_opted, counting_opted = agent, counting
