"""The rules of redaction of the Assistants wire."""

from __future__ import annotations

from typing import Final

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.dialects.redaction_rules import RedactionRules, split_words

__all__ = ["ASSISTANTS_RULES"]

ASSISTANTS_RULES: Final = RedactionRules(
    names=frozenset(EVENT_TYPES),
    name_keys=("object",),
    envelope=("event", "data"),
    unnamed=frozenset({"error"}),
    containers=split_words(
        "data delta content text image_file image_url attachments annotations file_citation file_path url_citation "
        "incomplete_details last_error error usage required_action submit_tool_outputs submit_tool_approval "
        "tool_calls function step_details message_creation code_interpreter outputs image file_search results "
        "ranking_options tools tool_choice truncation_strategy response_format prompt_tokens_details "
        "prompt_token_details completion_tokens_details activities "
        # of requests
        "tool_outputs tool_approvals additional_messages messages thread"
    ),
    # An action of a new type has its calls, and their ids, under a key of that name.
    open_containers=frozenset({"required_action"}),
    ids=split_words(
        "id object type status role event thread_id run_id assistant_id agent_id message_id step_id tool_call_id "
        "call_id file_id"
    ),
    words={
        "model": None,
        "tool_choice": None,
        "response_format": None,
        "detail": None,
        "ranker": None,
        "reasoning_effort": None,
        "index": None,
        "code": frozenset({"last_error", "error", "data", ""}),
        "reason": frozenset({"incomplete_details"}),
        "name": frozenset({"function", "tool_calls"}),
    },
    # One server puts the usage there, as JSON in a text.
    counts=frozenset({("metadata", "usage")}),
    literals=frozenset({b"[DONE]", b'"[DONE]"'}),
)
"""The keys of the wire. In any other object (metadata, a function's parameters, new objects) a key like ``id`` may have
any value, and every text is blanked."""
