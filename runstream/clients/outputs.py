"""The outputs of tools as text for the model: results, and failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from runstream.clients.tools import ToolArgumentsError
from runstream.errors import RunstreamError
from runstream.model.surrogates import has_surrogates, replace_surrogates

__all__ = ["FailureKind", "ToolError", "ToolErrorPolicy", "ToolFailed", "encode_output", "failure_output", "json_value"]

FailureKind: TypeAlias = Literal["arguments", "exception", "timeout", "result"]
"""Why a call of a tool has no result: its arguments do not fit, the tool raised, it took too long, or its result can't
be encoded as JSON."""

_TEXTS: Final[dict[FailureKind, str]] = {
    "exception": "the tool failed",
    "timeout": "the tool did not return in time",
    "result": "the tool failed: its result can't be encoded",
}


class ToolError(RunstreamError):
    """Raised by a tool to send its message to the model as the output of the call. Others' messages are not sent."""


class ToolFailed(RunstreamError):
    """A call of a tool has no result.

    The text has no content of the run; the exception itself is ``error``, and the ``__cause__``.

    Attributes:
        tool: The name of the tool.
        call_key: The key of the call.
        kind: See :data:`FailureKind`.
        error: The exception.
    """

    def __init__(self, tool: str, call_key: str, kind: FailureKind, error: BaseException) -> None:
        super().__init__(f"tool {tool}: {kind}: {type(error).__name__}")
        self.tool = tool
        self.call_key = call_key
        self.kind: FailureKind = kind
        self.error = error
        self.__cause__ = error

    def __reduce__(self) -> tuple[type[ToolFailed], tuple[str, str, FailureKind, BaseException]]:
        return (type(self), (self.tool, self.call_key, self.kind, self.error))


ToolErrorPolicy: TypeAlias = Callable[[ToolFailed], str | None]
"""Returns the output for a call that failed; ``None`` to send none: the run then waits for an answer."""


def encode_output(value: Any) -> str:
    """The result of a tool as text: a ``str`` as it is, with U+FFFD for lone surrogates, anything else as JSON.

    Args:
        value: Builtins, dataclasses, Structs, attrs and Pydantic models, dates, UUIDs, enums, and containers of these.

    Raises:
        TypeError: A value has no form in JSON.
        ValueError: The same, as with an integer beyond 64 bits or a circle of containers.
    """
    if isinstance(value, str):
        return replace_surrogates(value) if has_surrogates(value) else value
    try:
        return msgspec.json.encode(value, enc_hook=_to_builtins).decode()
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error
    except OverflowError as error:
        raise ValueError(str(error)) from error


def json_value(value: Any) -> Any:
    """The answer to a call as JSON builtins; the same values as :func:`encode_output`.

    Raises:
        TypeError: A value has no form in JSON.
    """
    try:
        found = msgspec.to_builtins(value, enc_hook=_to_builtins)
        msgspec.json.encode(found)
    except UnicodeEncodeError:
        return replace_surrogates(found)
    except (ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"The answer has no form in JSON: {error}") from error
    return found


def failure_output(failure: ToolFailed) -> str:
    """The default policy: what is wrong with the arguments, the message of a :class:`ToolError`, else the fact alone.

    Other exceptions may have secrets or internals in their messages; the model receives the name of the class.
    """
    error = failure.error
    if isinstance(error, ToolError | ToolArgumentsError):
        return f"error: {error}"
    if failure.kind == "exception":
        return f"error: {_TEXTS['exception']} ({type(error).__name__})"
    return f"error: {_TEXTS[failure.kind]}"


def _to_builtins(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # Pydantic
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no form in JSON")
