"""The public names: there, sorted, documented, and no more than they should be."""

from __future__ import annotations

import inspect
import types
from typing import Any

import pytest

import runstream
import runstream.model
import runstream.testing

MODULES = [runstream, runstream.model, runstream.testing]
NAMES = [(module, name) for module in MODULES for name in module.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_names_are_there_once(module: types.ModuleType) -> None:
    """`__all__` names what exists, each once."""
    names: list[str] = module.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_class_and_function_says_what_it_is(module: types.ModuleType, name: str) -> None:
    """Public classes and functions have docstrings of their own, and so do their public members."""
    value: Any = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return
    assert value.__doc__
    for member, found in vars(value).items() if inspect.isclass(value) else ():
        if not member.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)):
            assert inspect.getdoc(found), f"{name}.{member}"


def test_every_signal_and_event_is_public() -> None:
    """Whoever matches on signals or events finds their classes at the top."""
    from runstream import events
    from runstream.core import signals

    assert {name for name in signals.__all__ if name != "action_key"} <= set(runstream.__all__)
    assert set(events.__all__) <= set(runstream.__all__)
