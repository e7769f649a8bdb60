"""The rules of redaction of the AG-UI wire."""

from __future__ import annotations

from typing import Final

from runstream.dialects.ag_ui_wire import EVENT_TYPES
from runstream.dialects.redaction_rules import RedactionRules, split_words

__all__ = ["AG_UI_RULES"]

AG_UI_RULES: Final = RedactionRules(
    names=EVENT_TYPES,
    containers=split_words(
        "messages toolCalls tool_calls function outcome interrupt interrupts usage resume tools input"
    ),
    # The operations of a patch: their paths have the keys of a document, and keys are kept.
    lists_in=dict.fromkeys(("delta", "patch"), frozenset({""})),
    pointers=frozenset({"path", "from"}),
    id_lists=split_words("interruptIds pendingToolCallIds"),
    ids=split_words(
        "id type role threadId thread_id runId run_id parentRunId parent_run_id messageId message_id toolCallId "
        "tool_call_id parentMessageId parent_message_id subagentRunId subagent_run_id parentSubagentRunId "
        "parentToolCallId interruptId entityId activityType status"
    ),
    words={
        "toolCallName": None,
        "tool_call_name": None,
        "stepName": None,
        "step_name": None,
        "name": None,
        "reason": frozenset({"interrupt", "interrupts"}),
        "code": None,
        "outcome": None,
        "provider": frozenset({"usage"}),
        "model": frozenset({"usage"}),
        "subtype": None,
        "op": None,
        "protocolVersion": None,
    },
    # States, activities, and values of the application are content, whatever their shape.
    values=split_words("arguments args output snapshot delta content patch value event result rawEvent metadata state"),
    literals=frozenset({b"[DONE]", b'"[DONE]"'}),
)
"""The keys of the wire."""
