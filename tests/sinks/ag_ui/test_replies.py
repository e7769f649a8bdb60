"""Answers in the input of an AG-UI run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runstream.clients.answers import Approve, Decline, Output
from runstream.model.actions import CallsAction
from runstream.model.run import Run, RunStatus
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.model.tool_calls import GenericToolCall
from runstream.sinks.ag_ui.replies import read_replies
from runstream.sinks.ag_ui.run_input import AgUiInput, AgUiInputError, read_input
from tests.sinks.ag_ui.posting import run_input


def asking(*calls: tuple[str, str]) -> ActionRequired:
    """A request for calls: their ids and kinds. Two of one id have different keys."""
    seen: list[str] = []
    found = []
    for id, kind in calls:
        again = f"~{seen.count(id) + 1}" if id in seen else ""
        seen.append(id)
        call = GenericToolCall(id=id, type=kind, name="x")
        found.append(AwaitedCall(id, "x", None, None, None, call, f"run_1/call/{id}{again}", kind))
    action = CallsAction()
    run = Run(id="run_1", status=RunStatus("requires_action"), required_action=action)
    return ActionRequired("run_1", None, "", 1.0, run, action, tuple(found), "request")


def given(**fields: Any) -> AgUiInput:
    """An input."""
    return read_input(msgspec.json.encode(run_input(**fields)))


def tool_message(id: str, content: Any, **fields: Any) -> list[Any]:
    """A history that ends with a result."""
    return [*run_input()["messages"], {"id": f"r-{id}", "role": "tool", "toolCallId": id, "content": content, **fields}]


@pytest.mark.parametrize(
    ("kind", "payload", "answer"),
    [
        ("approval", {"approved": True}, Approve()),
        ("approval", True, Approve()),
        ("approval", {"approved": False, "reason": "too much"}, Decline("too much")),
        ("approval", False, Decline()),
        ("interrupt", {"approved": False}, Output({"approved": False})),
        ("interrupt", "blue", Output("blue")),
        ("interrupt", None, Approve()),
        ("function", {"a": 1}, Output('{"a":1}')),
        ("function", "text", Output("text")),
        ("shell", {"output": []}, Output({"output": []})),
    ],
)
def test_a_payload_answers_by_the_kind_of_the_call(kind: str, payload: Any, answer: Any) -> None:
    """A decision, a value, or an output."""
    entry = {"interruptId": "c", "status": "resolved", "payload": payload}
    assert read_replies(given(resume=[entry]), asking(("c", kind))) == {"run_1/call/c": answer}


@pytest.mark.parametrize("payload", [None, {}, "yes", 1, {"approved": "true"}])
def test_only_a_clear_yes_approves(payload: Any) -> None:
    """Anything else but a clear no is refused."""
    with pytest.raises(AgUiInputError, match="approved"):
        read_replies(given(resume=[{"interruptId": "c", "payload": payload}]), asking(("c", "approval")))


def test_a_cancelled_entry_declines() -> None:
    """Whatever its payload says."""
    entry = {"interruptId": "c", "status": "cancelled", "payload": {"approved": True}}
    assert read_replies(given(resume=[entry]), asking(("c", "approval"))) == {"run_1/call/c": Decline("cancelled")}


@pytest.mark.parametrize(
    ("content", "fields", "output"),
    [
        ("sunny", {}, "sunny"),
        ([{"type": "text", "text": "sun"}, {"type": "text", "text": "ny"}], {}, "sunny"),
        ("", {"error": "no map"}, "no map"),
        ("", {}, ""),
    ],
)
def test_a_message_answers_its_call(content: Any, fields: Any, output: str) -> None:
    """With its text, or its error."""
    messages = tool_message("c", content, **fields)
    assert read_replies(given(messages=messages), asking(("c", "function"))) == {"run_1/call/c": Output(output)}


def test_a_message_may_decide() -> None:
    """Its content is JSON then."""
    messages = tool_message("c", '{"approved": true}')
    assert read_replies(given(messages=messages), asking(("c", "approval"))) == {"run_1/call/c": Approve()}


def test_calls_of_one_id_are_distinct() -> None:
    """By the names that the front end has: the second one is `c~2`; interrupts have the keys of the calls."""
    signal = asking(("c", "function"), ("c", "function"))
    assert read_replies(given(messages=tool_message("c~2", "two")), signal) == {"run_1/call/c~2": Output("two")}
    entry = {"interruptId": "run_1/call/c", "payload": "one"}
    assert read_replies(given(resume=[entry]), signal) == {"run_1/call/c": Output("one")}


def test_results_of_earlier_calls_answer_nothing() -> None:
    """The history has them."""
    assert read_replies(given(messages=tool_message("old", "x")), asking(("c", "function"))) == {}
    assert read_replies(given(messages=tool_message("old", "x")), None) == {}


@pytest.mark.parametrize(
    ("resume", "answers"),
    [
        ({"approved": True}, {"a": Approve(), "b": Approve()}),
        ({"a": {"approved": True}, "b": {"approved": False}}, {"a": Approve(), "b": Decline()}),
        ({"a": {"approved": True}}, {"a": Approve()}),
    ],
)
def test_an_older_front_end_answers_by_a_command(resume: Any, answers: dict[str, Any]) -> None:
    """One value for all, or one for each."""
    found = read_replies(
        given(forwardedProps={"command": {"resume": resume}}), asking(("a", "approval"), ("b", "approval"))
    )
    assert found == {f"run_1/call/{id}": answer for id, answer in answers.items()}


def test_a_question_without_a_call_may_be_answered_too() -> None:
    """The application does the rest."""
    assert read_replies(given(resume=[{"interruptId": "request"}]), asking()) == {}


def test_the_text_of_the_user_is_the_last_one() -> None:
    """Parts are joined."""
    parts = [{"type": "text", "text": "a"}, {"type": "image", "source": {}}, {"type": "text", "text": "b"}]
    messages = [*run_input()["messages"], {"id": "u2", "role": "user", "content": parts}]
    assert given(messages=messages).text == "ab"
    assert given(messages=[]).text == ""
