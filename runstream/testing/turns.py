"""Turns of a scripted model: what it says, what it calls, and how the connection behaves meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = ["Model", "ScriptedCall", "ScriptedRequest", "Turn", "turn_of"]


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


class Turn(Struct, frozen=True, kw_only=True):
    """One turn of a scripted model.

    A turn with calls or approvals ends with the request for them; the next turn follows when they are answered.

    Attributes:
        text: The text of its message; "" for no message.
        reasoning: The text of its reasoning; "" for none.
        calls: Calls of functions: arguments by name, or :class:`ScriptedCall` objects.
        approvals: Calls of a remote tool that wait for an approval, likewise.
        status: How the run ends, if it does not wait.
        code: The code of the error of a failed turn.
        pause: The time between two events (seconds).
        cut_after: The number of events after which the connection breaks off; the run goes on.
        refuse: The HTTP status with which the request is refused, and nothing happens; ``None``: it is accepted.
        lose: True if the request is processed, and the connection breaks off before the response.
    """

    text: str = ""
    reasoning: str = ""
    calls: Calls = ()
    approvals: Calls = ()
    status: Literal["completed", "failed", "cancelled", "expired", "incomplete"] = "completed"
    code: str = "server_error"
    pause: float = 0.0
    cut_after: int | None = None
    refuse: int | None = None
    lose: bool = False

    @property
    def waits(self) -> bool:
        """True if the run waits after this turn."""
        return bool(self.calls or self.approvals)


class ScriptedRequest(Struct, frozen=True):
    """A request to the scripted model.

    Attributes:
        path: The path, without the base.
        body: The body.
        turn: The number of turns of the run before this one.
        outputs: The answers that it brings: outputs, or booleans for approvals, by the id of the call.
    """

    path: str
    body: Any
    turn: int
    outputs: Mapping[str, Any]


Model: TypeAlias = Sequence[Turn | str] | Callable[[ScriptedRequest], Turn | str]
"""The turns of each run, in order (after the last one the run ends), or a function that returns the next one. A text
stands for a turn that says it."""


def turn_of(model: Model, request: ScriptedRequest) -> Turn:
    """The next turn of a run."""
    if not callable(model):
        turns = model
        return _turn(turns[request.turn] if request.turn < len(turns) else Turn())
    return _turn(model(request))


def _turn(found: Turn | str) -> Turn:
    return Turn(text=found) if isinstance(found, str) else found


def calls_of(calls: Calls) -> Iterator[ScriptedCall]:
    """Calls as objects."""
    if isinstance(calls, Mapping):
        yield from (ScriptedCall(name, arguments) for name, arguments in calls.items())
    else:
        yield from calls
