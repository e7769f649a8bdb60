"""Docstrings in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect

import pytest

from runstream.clients.docstrings import read_docstring

GOOGLE = """
The water level of a harbour.

    The value is a mean.

Args:
    harbour: The name,
        in English.
    days (int): How many
        days.
    *rest: Ignored.

Returns:
    level: in metres
"""
NUMPY = """
The water level of a harbour.

Parameters
----------
harbour : str
    The name,
    in English.
days : int, optional
    How many
    days.

Returns
-------
level : float
    In metres.
"""
SPHINX = """
The water level of a harbour.

:param harbour: The name,
    in English.
:param int days: How many
    days.
:returns: level: in metres
:rtype: float
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_each_style(text: str) -> None:
    """The summary ends before the first section, and entries may continue on further lines."""
    summary, described = read_docstring(inspect.cleandoc(text))
    assert summary.startswith("The water level of a harbour.")
    assert "Returns" not in summary
    assert "level" not in described
    assert {name: described[name] for name in ("harbour", "days")} == {
        "harbour": "The name, in English.",
        "days": "How many days.",
    }


@pytest.mark.parametrize("text", ["", "One line.", "Args:", "Parameters\n---", "Note: a colon in a sentence."])
def test_little_text(text: str) -> None:
    """A docstring without entries describes no parameter."""
    assert read_docstring(text)[1] == {}


def test_paragraphs_of_the_summary_stay() -> None:
    """The paragraphs before the sections are the description."""
    assert read_docstring("First.\n\nSecond: more.\n\nArgs:\n    a: b")[0] == "First.\n\nSecond: more."
