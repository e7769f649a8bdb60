"""The rules of redaction of the Responses wire."""

from __future__ import annotations

from typing import Final

from runstream.dialects.redaction_rules import RedactionRules, split_words

__all__ = ["RESPONSES_RULES"]

_ITEMS: Final = split_words("item output input raw_item data")
_ERRORS: Final = split_words("error last_error data response")

RESPONSES_RULES: Final = RedactionRules(
    envelope=("event", "data"),
    containers=split_words(
        # of events and responses
        "response item raw_item part data error last_error incomplete_details conversation reasoning text format "
        "tool_choice tools usage input "
        # of items
        "content summary outputs results annotations annotation agent environment caller pending_safety_checks"
    ),
    # The list of the items of a response; the output of a call is content.
    lists_in={"output": frozenset({"", "response", "data"})},
    ids=split_words(
        "id item_id response_id previous_response_id call_id approval_request_id container_id file_id stream_id "
        "conversation caller_id agent_name parent_id steer_id"
    ),
    words={
        **dict.fromkeys(split_words("type object event status role phase execution model detail"), None),
        **dict.fromkeys(split_words("server_label effort verbosity truncation tool_choice service_tier"), None),
        **dict.fromkeys(split_words("require_approval connector_id"), None),
        "reason": frozenset({"incomplete_details"}),
        "name": _ITEMS | split_words("tools tool_choice content") | {""},
        "code": _ERRORS | {""},
        "param": _ERRORS | {""},
    },
    values=split_words("arguments action actions operation queries output code result logprobs"),
    literals=frozenset({b"[DONE]", b'"[DONE]"'}),
)
"""The keys of the wire. Arguments, actions and outputs are content, whatever their shape."""
