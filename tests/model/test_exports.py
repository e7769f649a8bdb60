"""The public names of the model."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import runstream.model as model
from tests.model.kinds import KINDS, UNKNOWNS


def test_the_names_are_sorted_and_there() -> None:
    """`__all__` is sorted, and every name in it exists."""
    assert model.__all__ == sorted(set(model.__all__))
    for name in model.__all__:
        assert hasattr(model, name)


@pytest.mark.parametrize("module", ["common", "deltas", "message", "run", "step", "tool_calls", "tools"])
def test_every_module_is_exported(module: str) -> None:
    """All public names of the modules that hold wire objects can be had from the package."""
    names = importlib.import_module(f"runstream.model.{module}").__all__
    assert set(names) - {"RunKey", "error_summary", "is_code"} <= set(model.__all__)  # of the library's own


def test_the_bases_are_exported() -> None:
    """What readers may want to name in annotations is public; how reading works is not."""
    assert {"WireStruct", "FrozenMap", "FrozenList", "StringMap", "Unknown"} <= set(model.__all__)
    assert not {"Wire", "Issue", "read", "decoder", "ABSENT_LIST"} & set(model.__all__)


def test_a_base_alone_can_read() -> None:
    """A class that an application derives from the base is read where no other name of the model was used before."""
    code = """
from runstream.model import WireStruct
class Note(WireStruct, frozen=True, kw_only=True):
    id: str
assert Note.from_json('{"id": "note_1"}').id == "note_1"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_kinds_that_the_tests_go_through() -> None:
    """The tests that hold for each class see all of them."""
    assert len(KINDS) + len(UNKNOWNS) > 70
    assert {kind.__name__ for kind in UNKNOWNS} == {name for name in model.__all__ if name.startswith("Unknown")} - {
        "Unknown"
    }
