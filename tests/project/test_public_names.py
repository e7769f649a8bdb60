"""The public names: there, sorted, documented, and no more than they should be."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
import types
from typing import Any

import msgspec
import pytest

import runstream
import runstream.model
import runstream.testing
from docs import make_stubs
from runstream import MODULE_OF, Signal
from runstream.model.signals import SIGNAL_TYPES

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
    from runstream.model import events, signals

    assert set(signals.__all__) <= set(runstream.__all__)
    assert set(events.__all__) <= set(runstream.__all__)


@pytest.mark.parametrize("package", make_stubs.PACKAGES, ids=lambda package: package.__name__)
def test_the_stub_is_made_from_the_table(package: types.ModuleType) -> None:
    """What type checkers see is what is loaded: the stub is the one that docs/make_stubs.py writes."""
    assert make_stubs.path(package).read_text(encoding="utf-8") == make_stubs.stub(package)
    assert sorted(package.MODULE_OF) == sorted(set(package.__all__) - {"__version__"})
    assert len(package.MODULE_OF) == sum(len(names.split()) for names in package.NAMES.values())  # each name once


@pytest.mark.parametrize("name", MODULE_OF)
def test_a_name_is_that_of_its_module(name: str) -> None:
    """Where a module says what it gives, the name is among it, and the package has the very same object."""
    module = importlib.import_module(MODULE_OF[name])
    assert name in module.__all__
    value = getattr(runstream, name)
    assert value is getattr(module, name)
    assert vars(runstream)[name] is value  # kept: the second look-up costs nothing


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing a submodule sets it on the package: a function of its name would be overwritten."""
    modules = {module.name for module in pkgutil.iter_modules(runstream.__path__)}
    assert "errors" in modules
    assert not modules & set(runstream.__all__)


def test_an_unknown_name_fails_in_the_usual_words() -> None:
    """As any module has it, and `hasattr` says no."""
    with pytest.raises(AttributeError, match=r"^module 'runstream' has no attribute 'RunStraem'$"):
        _ = runstream.RunStraem  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'RunStraem' from 'runstream'"):
        from runstream import RunStraem  # type: ignore[attr-defined] # noqa: F401
    assert not hasattr(runstream, "__wrapped__")


def test_names_are_listed_before_they_are_loaded() -> None:
    """Completion in a shell and `import *` know all of them; asking for the list loads nothing."""
    code = """
import sys
import runstream
assert set(runstream.__all__) <= set(dir(runstream))
assert "runstream.engine.engine" not in sys.modules
assert runstream.model.Run is runstream.Run
from runstream import *
assert {name for name in runstream.__all__ if name not in globals()} == set()
import runstream.engine.fold, runstream.stream.connect
assert callable(fold) and runstream.fold is fold and runstream.connect is connect
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_classes_are_pickled_by_where_they_are_held() -> None:
    """A process that has loaded nothing yet finds them."""
    data = pickle.dumps([runstream.Run, runstream.fold, runstream.RunSignal])
    code = "import pickle, sys; assert len(pickle.loads(sys.stdin.buffer.read())) == 3"
    subprocess.run([sys.executable, "-c", code], input=data, check=True, timeout=60)


MADE_BY_THE_LIBRARY = {
    "Intake",
    "MessageStatus",
    "OpenCalls",
    "OpenMessage",
    "OpenStrEnum",
    "RecordedSource",
    "RunStatus",
    "RunView",
    "ScriptedServer",
    "SourceHandle",
    "StepStatus",
    "StringMap",
    "SubscriberFailed",
}
"""Classes whose constructors no application calls."""


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_is_described(module: types.ModuleType, name: str) -> None:
    """The docstring of a function or class, which the reference of the site shows, names each parameter."""
    value: Any = getattr(module, name)
    function = value.__init__ if inspect.isclass(value) else value
    if name in MADE_BY_THE_LIBRARY or not inspect.isfunction(function):
        return
    text = f"{value.__doc__} {function.__doc__}"
    names = [name for name in inspect.signature(function).parameters if not name.startswith("_")]
    hidden = {"self", "args", "kwargs"}
    assert [name for name in names if name not in hidden and not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("kind", SIGNAL_TYPES.values(), ids=lambda kind: kind.__name__)
def test_every_field_of_a_signal_is_described(kind: type[Signal]) -> None:
    """The docstring of a signal or of a base of it describes each field."""
    text = "\n".join(base.__doc__ or "" for base in kind.__mro__ if base not in (object, msgspec.Struct))
    fields = [field.name for field in msgspec.structs.fields(kind)]
    assert [name for name in fields if not re.search(rf"^ +(?:\w+, )*{name}(?:, \w+)*:", text, re.MULTILINE)] == []
