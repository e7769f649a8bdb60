"""Answers to the calls of runs that wait: outputs, approvals, and answers to interrupts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from msgspec import Struct

from runstream.model.run import Run
from runstream.model.signal_base import AwaitedCall

__all__ = ["Approve", "ApproveFunction", "CallAnswer", "Decline", "Output"]


class Output(Struct, frozen=True):
    """The output of a call.

    Attributes:
        value: Text, or for an interrupt, a shell, or another kind than function and custom: any JSON value, in the
            form in which the protocol has it.
    """

    value: Any


class Approve(Struct, frozen=True):
    """A call may be executed; an interrupt is answered.

    Attributes:
        value: What an interrupt is answered with, as JSON; the protocol's own word for "yes" by default.
    """

    value: Any = None


class Decline(Struct, frozen=True):
    """A call may not be executed; an interrupt is answered with "no".

    Attributes:
        reason: Why, for the model.
    """

    reason: str = ""


CallAnswer: TypeAlias = Output | Approve | Decline
"""The answer to one call."""

ApproveFunction: TypeAlias = Callable[[AwaitedCall, Run], CallAnswer | Awaitable[CallAnswer | None] | None]
"""Decides about a call that waits for an approval, or an interrupt; sync or async. ``None``: the run waits on."""
