"""The request for an AG-UI run (``RunAgentInput``): its body enters, the checked input or the reason leaves."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from runstream.sinks.ag_ui.encoder import supports_1_0

__all__ = ["AgUiInput", "AgUiInputError", "AgUiResume", "AgUiTool", "read_input", "text_of"]


class AgUiTool(Struct, frozen=True, kw_only=True):
    """A tool that the front end offers and executes.

    Attributes:
        name: Its name.
        description: What it does, for the model.
        parameters: The JSON schema of its arguments.
    """

    name: str
    description: str = ""
    parameters: Any = None


class AgUiResume(Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to one interrupt.

    Attributes:
        interrupt_id: The id of the interrupt.
        status: ``resolved`` or ``cancelled``.
        payload: The answer: any JSON value.
        metadata: Further fields.
    """

    interrupt_id: str
    status: str = "resolved"
    payload: Any = None
    metadata: Any = None


class AgUiInput(Struct, frozen=True, kw_only=True, rename="camel"):
    """The input of an AG-UI run, as the front end sends it.

    Attributes:
        thread_id: The id of the thread.
        run_id: The id of the run, which the stream repeats.
        messages: The whole history, as JSON objects with ``id`` and ``role``.
        protocol_version: The version of the protocol of the front end; ``None`` before 1.0.
        parent_run_id: The id of the run that has started this one.
        state: The document as the front end has it: any JSON value.
        tools: The tools that the front end offers.
        context: Objects with ``description`` and ``value``, for the model.
        forwarded_props: Any JSON value for the application.
        resume: The answers to interrupts.
    """

    thread_id: str
    run_id: str
    messages: tuple[dict[str, Any], ...]
    protocol_version: str | None = None
    parent_run_id: str | None = None
    state: Any = None
    tools: tuple[AgUiTool, ...] | None = None
    context: tuple[dict[str, Any], ...] | None = None
    forwarded_props: Any = None
    resume: tuple[AgUiResume, ...] | None = None

    @property
    def text(self) -> str:
        """The text of the last message of the user; "" if there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message.get("content"))
        return ""

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the tools that the front end offers."""
        return tuple(tool.name for tool in self.tools or ())

    @property
    def supports_1_0(self) -> bool:
        """True if the front end supports AG-UI 1.0."""
        return supports_1_0(self.protocol_version)


class AgUiInputError(ValueError):
    """The body of a request is no input of an AG-UI run.

    Args:
        message: The reason, which the front end receives.

    Attributes:
        status: The HTTP status that reports it.
        code: A short name of the reason.
    """

    def __init__(self, message: str, *, status: int = 422, code: str = "invalid_input") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def read_input(body: bytes) -> AgUiInput:
    """The input in the body of a request. Unknown fields are ignored.

    Args:
        body: The body.

    Raises:
        AgUiInputError: The body is not JSON, or a field is missing or has another type.
    """
    try:
        found = _decode(body)
    except msgspec.ValidationError as error:
        raise AgUiInputError(f"the body is no RunAgentInput: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise AgUiInputError("the body is not JSON", status=400, code="not_json") from error
    if not found.thread_id or not found.run_id:
        raise AgUiInputError("the body is no RunAgentInput: `threadId` and `runId` must not be empty")
    for place, message in enumerate(found.messages):
        if not isinstance(message.get("id"), str) or not isinstance(message.get("role"), str):
            raise AgUiInputError(f"the body is no RunAgentInput: `messages[{place}]` needs `id` and `role`")
    return found


def text_of(content: Any) -> str:
    """The text of a content: a text, or the texts of its parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


_decode = msgspec.json.Decoder(AgUiInput).decode
