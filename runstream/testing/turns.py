"""Turns of a scripted model: what it says, what it calls, and how the connection behaves meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = ["Model", "Question", "ScriptedCall", "ScriptedRequest", "Turn", "calls_of", "pieces_of", "turn_of"]

_PIECE: Final = 8  # characters


class ScriptedCall(Struct, frozen=True):
    """A call of a tool.

    Attributes:
        name: The name of the tool.
        arguments: The arguments: any JSON value; text is sent as it is, so that it may be no JSON.
        id: The id of the call; ``None`` for one that the server makes up.
    """

    name: str
    arguments: Any = None
    id: str | None = None

    @property
    def text(self) -> str:
        """The arguments as the wire has them."""
        if isinstance(self.arguments, str):
            return self.arguments
        return msgspec.json.encode({} if self.arguments is None else self.arguments).decode()


Calls: TypeAlias = Mapping[str, Any] | Sequence[ScriptedCall]


class Question(Struct, frozen=True):
    """An interrupt that asks the user something; AG-UI and LangGraph have them.

    Attributes:
        message: What it asks.
        schema: The JSON Schema of the answer; ``None`` for any answer.
        id: The id of the interrupt; ``None`` for one that the server makes up.
    """

    message: str
    schema: Mapping[str, Any] | None = None
    id: str | None = None


class Turn(Struct, frozen=True, kw_only=True):
    """One turn of a scripted model.

    A turn with calls, approvals or questions ends with the request for them; the next turn follows when they are
    answered. A LangGraph server executes the calls itself, so that the next turn follows at once.

    Attributes:
        text: The text of its message; "" for no message.
        reasoning: The text of its reasoning; "" for none.
        calls: Calls of functions: arguments by name, or :class:`ScriptedCall` objects.
        approvals: Calls of a remote tool that wait for an approval, likewise.
        questions: Interrupts that ask the user.
        status: How the run ends, if it does not wait.
        code: The code of the error of a failed turn.
        pause: The time between two events (seconds).
        cut_after: The number of events after which the connection breaks off; the run goes on, except in AG-UI, where
            a run ends with its connection.
        refuse: The HTTP status with which the request is refused, and nothing happens; ``None``: it is accepted.
        drop: True if the connection breaks off before the request is processed, and nothing happens.
        lose: True if the request is processed, and the connection breaks off before the response.
    """

    text: str = ""
    reasoning: str = ""
    calls: Calls = ()
    approvals: Calls = ()
    questions: Sequence[Question] = ()
    status: Literal["completed", "failed", "cancelled", "expired", "incomplete"] = "completed"
    code: str = "server_error"
    pause: float = 0.0
    cut_after: int | None = None
    refuse: int | None = None
    drop: bool = False
    lose: bool = False

    @property
    def waits(self) -> bool:
        """True if the run waits after this turn."""
        return bool(self.calls or self.approvals or self.questions)


class ScriptedRequest(Struct, frozen=True):
    """A request to the scripted model.

    Attributes:
        path: The path, without the base.
        body: The body.
        turn: The number of turns of the run before this one.
        outputs: The answers that it brings: outputs, booleans for approvals, or the answers to questions, by the id of
            the call. A LangGraph server passes the outputs of its own tools.
    """

    path: str
    body: Any
    turn: int
    outputs: Mapping[str, Any]


Model: TypeAlias = Sequence[Turn | str] | Callable[[ScriptedRequest], Turn | str]
"""The turns of each run, in order (after the last one the run ends), or a function that returns the next one. A text
stands for a turn that says it."""


def turn_of(model: Model, request: ScriptedRequest, *, has_questions: bool = True) -> Turn:
    """The next turn of a run.

    Raises:
        ValueError: It asks a question, and the protocol has none.
    """
    if callable(model):
        found = _turn(model(request))
    else:
        found = _turn(model[request.turn] if request.turn < len(model) else Turn())
    if found.questions and not has_questions:
        raise ValueError("the script has questions, and this API has no interrupts: use approvals")
    return found


def _turn(found: Turn | str) -> Turn:
    return Turn(text=found) if isinstance(found, str) else found


def calls_of(calls: Calls) -> Iterator[ScriptedCall]:
    """Calls as objects."""
    if isinstance(calls, Mapping):
        yield from (ScriptedCall(name, arguments) for name, arguments in calls.items())
    else:
        yield from calls


def pieces_of(text: str) -> Iterator[str]:
    """The deltas in which a text is sent."""
    for place in range(0, len(text), _PIECE):
        yield text[place : place + _PIECE]
