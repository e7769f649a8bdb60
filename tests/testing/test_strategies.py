"""The Hypothesis strategies, and the package without Hypothesis."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from hypothesis import given

from runstream.testing import conversations, events_of, json_values, texts, value_events


@given(texts(5))
def test_texts_can_be_written(text: str) -> None:
    """Texts are short enough and can be encoded."""
    assert len(text) <= 5
    assert text.encode().decode() == text


def test_without_hypothesis_the_strategies_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the strategies works without Hypothesis, and they name what to install."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "hypothesis":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    import runstream.testing as package

    for module in ("strategies", "value_strategies"):
        monkeypatch.delattr(package, module, raising=False)
        monkeypatch.delitem(sys.modules, f"runstream.testing.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert events_of("Hello")
    for strategy in (conversations, json_values, value_events):
        with pytest.raises(ImportError, match="pip install hypothesis"):
            strategy()
