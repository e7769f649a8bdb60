"""What `useChat` posts, as the application sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.clients.answers import Approve, Decline
from runstream.sinks.ui_message_stream.chat import UiChat, UiChatError, decision_of, read_chat
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from tests.sinks.ui_message_stream.posting import body_of

USER = {"id": "user-1", "role": "user", "parts": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}


def read(*messages: Any, **fields: Any) -> UiChat:
    """Read a chat with some messages."""
    return read_chat(body_of(messages=list(messages), **fields), max_messages=10, max_parts=50)


def assistant(*parts: Any, **fields: Any) -> dict[str, Any]:
    """A message of the assistant."""
    return {"id": "m1", "role": "assistant", "parts": list(parts), **fields}


def tool(id: str, **fields: Any) -> dict[str, Any]:
    """The part of a call."""
    return {"type": "dynamic-tool", "toolName": "look", "toolCallId": id, **fields}


def test_the_text_is_that_of_the_last_message_of_the_user() -> None:
    assert read(USER, assistant()).text == "Hello."
    assert read(assistant()).text == ""


def test_the_message_that_is_continued() -> None:
    """The last one, or the one that the request names, if it is the assistant's."""
    other = {**assistant(), "id": "m2"}
    assert read(USER).message is None
    assert read(USER, assistant()).message == assistant()
    assert read(USER, assistant(), USER).message is None
    named = read(USER, assistant(), USER, other, messageId="m1").message
    assert named is not None
    assert named["id"] == "m1"
    assert read(USER, assistant(), trigger="regenerate-message").message is None
    assert read(USER, other, messageId="unknown").message == other


def test_answers() -> None:
    """Decisions and outputs of the user; what the server sent is none."""
    chat = read(
        USER,
        assistant(
            tool("a", state="approval-responded", approval={"id": "a", "approved": True}),
            tool("b", state="approval-responded", approval={"id": "b", "approved": False, "reason": "no"}),
            tool("c", state="output-available", output={"x": [1]}),
            tool("d", state="output-error", errorText="broken"),
            tool("e", state="output-available", output=1, providerExecuted=True),
            tool("f", state="output-available", output=1, preliminary=True),
            tool("g", state="input-available", input={}),
            tool("h", state="approval-responded"),
            {"type": "text", "text": "x"},
            metadata={"runId": "run_1"},
        ),
    )
    assert chat.answers == {"a": Approve(), "b": Decline("no"), "c": {"x": [1]}, "d": "broken"}
    assert type(chat.answers["c"]) is dict
    assert chat.run_id == "run_1"
    assert repr(chat) == "UiChat(id='chat-1', messages=2, trigger='submit-message')"


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"approved": True}, Approve()),
        ({"approved": False, "reason": "no"}, Decline("no")),
        ({"approved": "yes"}, {"approved": "yes"}),
        ("x", "x"),
        (Approve(), Approve()),
    ],
)
def test_decisions_of_version_5(answer: Any, decision: Any) -> None:
    assert decision_of(answer) == decision


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "role", "parts", "type", "toolCallId", "state", "approval", "text", "metadata", "runs"]
            ),
            inner | st.sampled_from(["text", "dynamic-tool", "tool-x", "assistant", "approval-responded"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_json, max_size=3), _json)
def test_any_body_is_read_or_refused(messages: list[Any], metadata: Any) -> None:
    """Whatever is posted: a chat, or a refusal; an encoder continues any message."""
    parts = [part for part in messages if isinstance(part, dict)]
    for body in (
        json.dumps({"id": "c", "messages": messages}),
        json.dumps({"id": "c", "messages": [{"role": "assistant", "parts": parts, "metadata": metadata}]}),
    ):
        try:
            chat = read_chat(body.encode(), max_messages=10, max_parts=10)
        except UiChatError:
            continue
        assert UiMessageEncoder(message=chat.message).finish()
