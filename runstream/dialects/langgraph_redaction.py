"""The rules of redaction of the LangGraph wires.

Header values of a request stand in checkpoints, debug events and the arguments of a run: under keys that are no
containers here, so that they are blanked.
"""

from __future__ import annotations

from typing import Final

from runstream.dialects.redaction_rules import RedactionRules, split_words

__all__ = ["LANGGRAPH_RULES"]

_OF_CALLS: Final = split_words("tool_calls tool_call_chunks invalid_tool_calls content")

LANGGRAPH_RULES: Final = RedactionRules(
    name_keys=("type", "method"),
    envelope=("event", "data"),
    containers=split_words(
        # of messages
        "messages content tool_calls tool_call_chunks invalid_tool_calls usage_metadata response_metadata "
        # of states, tasks and answers
        "__interrupt__ interrupts tasks result values metadata payload run state thread body error "
        # of the thread protocol, and of requests
        "params data delta usage result responses command resume"
    ),
    # The keys at the top of states and updates are those of an application.
    open_containers=frozenset({"", "interrupts"}),
    # The value of an interrupt names the call that it asks about, in one of these shapes.
    narrow={
        "value": split_words("tool_call_id action_request action_requests"),
        **dict.fromkeys(("action_request", "action_requests"), split_words("name action action_request")),
    },
    ids=split_words(
        "id run_id thread_id assistant_id tool_call_id interrupt_id event_id checkpoint_ns langgraph_checkpoint_ns "
        "created_at"
    ),
    id_lists=split_words("namespace ns next"),
    words={
        **dict.fromkeys(("type", "event", "method", "status", "role", "chunk_position", "langgraph_node"), None),
        **dict.fromkeys(("tool_name", "graph_name", "cancel_reason"), None),
        **dict.fromkeys(("finish_reason", "model_name", "model"), frozenset({"response_metadata", "metadata"})),
        "name": _OF_CALLS,
        "error": frozenset({"", "error"}),
    },
    values=split_words("args input output artifact response"),
)
"""The keys of both wires."""
