"""Functions of an application are checked before they are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from unittest.mock import Mock

import pytest

from runstream.model.callables import check_call


class Object:
    """Methods, and an object that can be called."""

    def method(self, one: object) -> None:
        """Takes one argument."""

    def wide(self, one: object, two: object) -> None:
        """Takes two."""

    @staticmethod
    def static(one: object) -> None:
        """Takes one."""

    def __call__(self, one: object) -> None:
        """Takes one."""


def decorated(fn: Callable[..., object]) -> Callable[[object], object]:
    """A decorator that passes a further argument."""

    @wraps(fn)
    def call(one: object) -> object:
        return fn(one, "session")

    return call


async def coroutine(one: object) -> None:
    """Takes one argument."""


TAKE_ONE: list[Callable[..., Any]] = [
    lambda one: None, lambda one, two=2: None, lambda *all: None, lambda one, *, more=1: None, lambda one, /: None,
    Object().method, Object.static, Object(), partial(Object().wide, two=2), partial(Object().wide, 1), coroutine,
    decorated(lambda one, session: None), print, [].append, dict, int, Exception, Mock(),
]  # fmt: skip
TAKE_OTHERS: list[Callable[..., Any]] = [
    lambda: None, lambda one, two: None, lambda one, *, more: None, lambda *, one: None, Object().wide,
    partial(Object().method, 1), partial(Object().wide), Object.method,
]  # fmt: skip


@pytest.mark.parametrize("fn", TAKE_ONE)
def test_a_function_of_one_argument_passes(fn: Callable[..., Any]) -> None:
    """Defaults, decorators, partial calls and functions without a signature too."""
    check_call(fn, "a handler", "the signal")


@pytest.mark.parametrize("fn", TAKE_OTHERS)
def test_a_function_of_other_arguments_is_refused(fn: Callable[..., Any]) -> None:
    """The error says what it is called with, and what does not fit."""
    with pytest.raises(TypeError, match=r"^a handler is called with the signal, and nothing else: (missing|too many)"):
        check_call(fn, "a handler", "the signal")


def test_several_arguments_are_named() -> None:
    check_call(lambda one, two: None, "approve", "the call", "the context")
    with pytest.raises(TypeError, match=r"^approve is called with the call and the context, and nothing else: "):
        check_call(lambda one: None, "approve", "the call", "the context")
