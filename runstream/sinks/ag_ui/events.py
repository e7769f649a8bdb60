"""Events of the AG-UI wire, as JSON builtins; and their bytes in an event stream."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec

from runstream.model.common import Usage
from runstream.model.surrogates import replace_surrogates

__all__ = ["AgUiEvent", "error_code", "sse_block", "usage_entry"]

AgUiEvent: TypeAlias = dict[str, Any]
"""One event of the AG-UI wire, as JSON builtins: ``{"type": "TEXT_MESSAGE_CONTENT", ...}``."""

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # a code, and not a sentence


def sse_block(event: AgUiEvent) -> bytes:
    """An event as a block of an event stream."""
    try:
        data = msgspec.json.encode(event)
    except UnicodeEncodeError:  # lone surrogates, which many readers refuse
        data = msgspec.json.encode(replace_surrogates(event))
    return b"data: " + data + b"\n\n"


def error_code(code: str | None, default: str) -> str:
    """The code of an error if it is a short name, else the default.

    Args:
        code: The code, as the server sent it.
        default: The default.
    """
    return code if code is not None and _CODE.fullmatch(code) else default


def usage_entry(usage: Usage, model: str | None) -> dict[str, Any]:
    """Token counts as an entry of ``usage``. Numbers that are not known are absent.

    Args:
        usage: The counts.
        model: The model of the run.
    """
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    found = {
        "model": model,
        "inputTokens": usage.prompt_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
        "reasoningTokens": completion.reasoning_tokens if completion is not None else None,
        "cachedInputTokens": prompt.cached_tokens if prompt is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}
