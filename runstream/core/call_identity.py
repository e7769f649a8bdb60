"""The identity of a call: its encoded id, and the digest of everything else."""

from __future__ import annotations

from typing import Any

from runstream.model.frozen import thaw
from runstream.model.keys import digest, escape_id
from runstream.model.tool_calls import ToolCall, parse_arguments

__all__ = ["base_of_call", "digest_base", "parse_json", "signature_of"]


def base_of_call(call: ToolCall) -> str:
    """The encoded id of a call; a digest if it has none."""
    return escape_id(call.id) if call.id else digest_base(call.to_dict())


def digest_base(value: Any) -> str:
    """The digest of a JSON value, in place of an id."""
    return f"digest:{digest(value)}"  # no id contains a colon once it is escaped


def signature_of(call: ToolCall) -> str:
    """The digest of a call without its id. Arguments are compared as JSON values: gateways may format them anew."""
    text = call.arguments
    if text is None:
        return digest({name: value for name, value in call.to_dict().items() if name != "id"})
    return digest([call.name, parse_json(text)])


def parse_json(text: str) -> Any:
    """Arguments as a JSON value in a list, for comparison; the text itself if they are no JSON."""
    value, error = parse_arguments(text)
    return text if error is not None else [thaw(value)]
