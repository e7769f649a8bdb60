"""Tools, tool choices, truncation and response formats."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model import (
    CodeInterpreterTool,
    ConnectedAgentTool,
    FileSearchTool,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    McpTool,
    NamedToolChoice,
    Run,
    TextFormat,
    TruncationStrategy,
    UnknownFormat,
    UnknownTool,
)
from tests.support import wire

AZURE = (
    "azure_ai_search",
    "azure_function",
    "bing_grounding",
    "bing_custom_search",
    "browser_automation",
    "computer_use_preview",
    "deep_research",
    "fabric_dataagent",
    "openapi",
    "sharepoint_grounding",
)


def run_with(**fields: Any) -> Run:
    """A run with these fields, written as it came."""
    run = Run.from_json({"id": "r", "status": "queued", **fields})
    assert run.to_dict() == {"id": "r", "status": "queued", **fields}
    return run


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"type": "code_interpreter"}, CodeInterpreterTool),
        ({"type": "file_search"}, FileSearchTool),
        (
            {
                "type": "file_search",
                "file_search": {
                    "max_num_results": 5,
                    "ranking_options": {"ranker": "auto", "score_threshold": 0, "hybrid_search": {"text_weight": 1}},
                },
            },
            FileSearchTool,
        ),
        (wire.function_tool("f", "d", {"a": {"type": "string"}}, strict=True), FunctionTool),
        ({"type": "function", "function": {"name": "f"}}, FunctionTool),
        (
            {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example", "allowed_tools": ["search"]},
            McpTool,
        ),
        (
            {"type": "connected_agent", "connected_agent": {"id": "a", "name": "n", "description": "d"}},
            ConnectedAgentTool,
        ),
        *(({"type": name, name: {"connections": [{"id": None}]}}, UnknownTool) for name in AZURE),
        ({"type": "browser"}, UnknownTool),
    ],
)
def test_tools(data: dict[str, Any], kind: type) -> None:
    """Each tool is of its class, or kept as it came; its type is what came."""
    (tool,) = run_with(tools=[data]).tools
    assert type(tool) is kind
    assert tool.type == data["type"]


def test_what_tools_say() -> None:
    """The parts of the typed tools are attributes."""
    search, function, mcp = run_with(
        tools=[
            {"type": "file_search", "file_search": {"max_num_results": 5, "ranking_options": {"score_threshold": 0.5}}},
            wire.function_tool("f", "d", {"a": {"type": "string"}}, strict=True),
            {"type": "mcp", "server_label": "docs", "allowed_tools": ["search"]},
        ]
    ).tools
    assert isinstance(search, FileSearchTool)
    assert search.file_search is not None
    assert search.file_search.ranking_options is not None
    assert search.file_search.ranking_options.score_threshold == 0.5
    assert isinstance(function, FunctionTool)
    assert function.function.parameters is not None
    assert function.function.parameters["required"] == ["a"]
    assert function.function.strict is True
    assert isinstance(mcp, McpTool)
    assert mcp.allowed_tools == ["search"]


@pytest.mark.parametrize("choice", ["none", "auto", "required", "whatever"])
def test_tool_choices_by_name(choice: str) -> None:
    """A choice may be a word, known or not."""
    assert run_with(tool_choice=choice).tool_choice == choice


def test_tool_choices_that_name_a_tool() -> None:
    """A choice may name a tool, and a function."""
    choice = run_with(tool_choice={"type": "function", "function": {"name": "f"}}).tool_choice
    assert isinstance(choice, NamedToolChoice)
    assert choice.function is not None
    assert (choice.type, choice.function.name) == ("function", "f")
    choice = run_with(tool_choice={"type": "new", "x": 1}).tool_choice
    assert isinstance(choice, NamedToolChoice)
    assert choice.extra() == {"x": 1}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"type": "text"}, TextFormat),
        ({"type": "json_object"}, JsonObjectFormat),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
            JsonSchemaFormat,
        ),
        ({"type": "grammar", "grammar": "x"}, UnknownFormat),
        ({}, UnknownFormat),
    ],
)
def test_response_formats(data: dict[str, Any], kind: type) -> None:
    """Each format is of its class, or kept as it came."""
    assert type(run_with(response_format=data).response_format) is kind


def test_a_response_format_by_name() -> None:
    """The format may be a word."""
    assert run_with(response_format="auto").response_format == "auto"


def test_truncation() -> None:
    """How the thread is cut."""
    strategy = run_with(truncation_strategy={"type": "last_messages", "last_messages": 5}).truncation_strategy
    assert strategy == TruncationStrategy(type="last_messages", last_messages=5)
