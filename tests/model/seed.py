"""The members of the seed's `Run` (Dart), from its reference page, and where each is in Python."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["FIELDS", "MEMBERS", "Field"]


class Field(NamedTuple):
    """A constructor parameter of the seed: its name and type there, its attribute and a value's class here."""

    dart: str
    dart_type: str
    name: str
    type: str


FIELDS: Final = (
    Field("id", "String", "id", "str"),
    Field("object", "String", "object", "str"),
    Field("createdAt", "int", "created_at", "int"),
    Field("threadId", "String", "thread_id", "str"),
    Field("assistantId", "String", "assistant_id", "str"),
    Field("status", "RunStatus", "status", "RunStatus"),
    Field("requiredAction", "RequiredAction?", "required_action", "SubmitToolOutputsAction"),
    Field("lastError", "RunError?", "last_error", "LastError"),
    Field("expiresAt", "int?", "expires_at", "int"),
    Field("startedAt", "int?", "started_at", "int"),
    Field("cancelledAt", "int?", "cancelled_at", "int"),
    Field("failedAt", "int?", "failed_at", "int"),
    Field("completedAt", "int?", "completed_at", "int"),
    Field("incompleteDetails", "RunIncompleteDetails?", "incomplete_details", "IncompleteDetails"),
    Field("model", "String", "model", "str"),
    Field("instructions", "String?", "instructions", "str"),
    Field("tools", "List<AssistantTool>", "tools", "tuple"),
    Field("metadata", "Map<String, String>", "metadata", "StringMap"),
    Field("usage", "Usage?", "usage", "Usage"),
    Field("temperature", "double?", "temperature", "float"),
    Field("topP", "double?", "top_p", "float"),
    Field("maxPromptTokens", "int?", "max_prompt_tokens", "int"),
    Field("maxCompletionTokens", "int?", "max_completion_tokens", "int"),
    Field("truncationStrategy", "TruncationStrategy?", "truncation_strategy", "TruncationStrategy"),
    Field("toolChoice", "ToolChoice?", "tool_choice", "NamedToolChoice"),
    Field("parallelToolCalls", "bool?", "parallel_tool_calls", "bool"),
    Field("responseFormat", "ResponseFormat?", "response_format", "JsonSchemaFormat"),
)
"""Every parameter of the constructor, in the order of the page."""

MEMBERS: Final = (
    # annotations
    "@immutable",
    # constructors
    "Run(",
    "Run.fromJson(",
    # properties
    *(field.dart for field in FIELDS),
    "hashCode",
    "isComplete",
    "isFailed",
    "isProcessing",
    "requiresAction",
    "runtimeType",
    # methods
    "copyWith(",
    "noSuchMethod(",
    "toJson(",
    "toString(",
    # operators
    "operator ==",
)
"""Every member of the page."""
