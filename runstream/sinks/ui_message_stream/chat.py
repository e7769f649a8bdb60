"""Reads what `useChat` posts: bytes in, a conversation with the user's answers out, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field, structs

from runstream.clients.answers import Approve, Decline
from runstream.errors import DecodeError
from runstream.model.frozen import FrozenMap, thaw
from runstream.model.jsontext import decode_json
from runstream.sinks.ui_message_stream.posted import is_tool

__all__ = ["UiChat", "UiChatError", "decision_of", "read_chat"]

_ROLES: Final = ("system", "user", "assistant")
_TRIGGERS: Final = ("submit-message", "regenerate-message")
_OWN: Final = frozenset({"id", "messages", "trigger", "messageId"})
_MAX_ID: Final = 512  # characters


class UiChatError(ValueError):
    """A request that is refused: its reason is the response. A handler may raise it too.

    Args:
        message: The reason, in words.
        status: The HTTP status of the response.
        code: The reason, for programs.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UiChat(Struct, frozen=True, kw_only=True):
    """A request of ``useChat``: a conversation that needs a response.

    Attributes:
        id: The id of the chat.
        messages: The messages, as JSON objects (read-only) with ``id``, ``role`` and ``parts``.
        trigger: ``submit-message`` or ``regenerate-message``.
        message_id: The id of the message that the request is about, if it names one.
        body: The further fields of the request, which the application's front end has added.
        headers: The headers of the request; names in lower case, the last value of several.
        answers: The user's answers to calls, by the id (or key) of the call: an output as JSON value,
            :class:`~runstream.Approve` or :class:`~runstream.Decline`. Where the endpoint knows what the run waits for,
            only its calls are in it; else all answers of the message.
        run_id: The id of the run that they are for; ``None`` if the message has none.
    """

    id: str
    messages: tuple[FrozenMap, ...]
    trigger: str = "submit-message"
    message_id: str | None = None
    body: FrozenMap = field(default_factory=lambda: FrozenMap({}))
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the last message of the user."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return "".join(_texts(message))
        return ""

    @property
    def message(self) -> FrozenMap | None:
        """The message of the assistant that the response continues: the browser has it already.

        ``None`` if the response is a message of its own.
        """
        if self.trigger == "regenerate-message" or not self.messages:
            return None
        named = (message for message in self.messages if message.get("id") == self.message_id)
        found = next(named, self.messages[-1]) if self.message_id is not None else self.messages[-1]
        return found if found.get("role") == "assistant" else None

    def __repr__(self) -> str:
        return f"UiChat(id={self.id!r}, messages={len(self.messages)}, trigger={self.trigger!r})"


def read_chat(body: bytes, *, max_messages: int, max_parts: int, headers: Mapping[str, str] | None = None) -> UiChat:
    """Read the body of a request.

    Args:
        body: The body.
        max_messages: The number of messages that it may have.
        max_parts: The number of parts that all messages together may have.
        headers: The headers of the request.

    Raises:
        UiChatError: The body is refused.
    """
    try:
        value = decode_json(body)
    except DecodeError as error:
        raise UiChatError(f"The body is not JSON: {error.reason}", status=400, code="invalid_json") from error
    if not isinstance(value, dict):
        raise UiChatError("The body is no JSON object.", status=400, code="invalid_body")
    id = value.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= _MAX_ID:
        raise UiChatError(
            f"`id` is the id of the chat: text of at most {_MAX_ID} characters.", status=400, code="invalid_id"
        )
    trigger = value.get("trigger", "submit-message")
    if trigger not in _TRIGGERS:
        raise UiChatError(f"`trigger` is one of {', '.join(_TRIGGERS)}.", status=400, code="invalid_trigger")
    message_id = value.get("messageId")
    if message_id is not None and not isinstance(message_id, str):
        raise UiChatError("`messageId` is text.", status=400, code="invalid_message_id")
    messages = _read_messages(value.get("messages"), max_messages, max_parts)
    more = {name: field for name, field in value.items() if name not in _OWN}
    chat = UiChat(
        id=id,
        messages=messages,
        trigger=trigger,
        message_id=message_id,
        body=FrozenMap(more),
        headers=headers or {},
    )
    if chat.message is None:
        return chat
    return structs.replace(chat, answers=dict(_answers(chat.message)), run_id=_run_id(chat.message))


def _read_messages(value: Any, max_messages: int, max_parts: int) -> tuple[FrozenMap, ...]:
    if not isinstance(value, list) or not value:
        raise UiChatError("`messages` is a list of at least one message.", status=400, code="invalid_messages")
    if len(value) > max_messages:
        raise UiChatError(f"`messages` has more than {max_messages} messages.", status=413, code="too_many_messages")
    count = 0
    for place, message in enumerate(value):
        where = f"`messages[{place}]`"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise UiChatError(
                f"{where} is an object whose `role` is one of {', '.join(_ROLES)}.", status=400, code="invalid_message"
            )
        if not isinstance(message.get("id", ""), str):
            raise UiChatError(f"{where}.id is text.", status=400, code="invalid_message")
        parts = message.get("parts")
        if not isinstance(parts, list) or not all(map(_is_part, parts)):
            raise UiChatError(f"{where}.parts is a list of objects with a `type`.", status=400, code="invalid_parts")
        count += len(parts)
    if count > max_parts:
        raise UiChatError(f"`messages` have more than {max_parts} parts.", status=413, code="too_many_parts")
    return tuple(map(FrozenMap, value))


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    return not is_tool(part["type"]) or isinstance(part.get("toolCallId"), str)


def _texts(message: FrozenMap) -> Iterator[str]:
    for part in message["parts"]:
        if part["type"] == "text" and isinstance(text := part.get("text"), str):
            yield text


def _answers(message: FrozenMap) -> Iterator[tuple[str, Any]]:
    """The answers of the user: what the server itself has sent is marked as executed there."""
    parts: Sequence[Any] = message["parts"]
    for part in parts:
        if not is_tool(part["type"]):
            continue
        state, approval = part.get("state"), part.get("approval")
        if state == "approval-responded" and isinstance(approval, FrozenMap):
            reason = approval.get("reason")
            approved = approval.get("approved") is True
            yield part["toolCallId"], Approve() if approved else Decline(reason if isinstance(reason, str) else "")
        elif part.get("providerExecuted") is True or part.get("preliminary") is True:
            continue
        elif state == "output-available":
            yield part["toolCallId"], thaw(part.get("output"))
        elif state == "output-error" and isinstance(part.get("errorText"), str):
            yield part["toolCallId"], part["errorText"]


def decision_of(answer: Any) -> Any:
    """The answer to an approval: of version 5 of the package, which knows none, an output with ``approved``."""
    if isinstance(answer, Mapping) and isinstance(answer.get("approved"), bool):
        reason = answer.get("reason")
        return Approve() if answer["approved"] else Decline(reason if isinstance(reason, str) else "")
    return answer


def _run_id(message: FrozenMap) -> str | None:
    metadata = message.get("metadata")
    found = metadata.get("runId") if isinstance(metadata, FrozenMap) else None
    return found if isinstance(found, str) and found else None
