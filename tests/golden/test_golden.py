"""Every case gives, section by section, what it gave when golden.json was written."""

from __future__ import annotations

import pytest

from tests.golden.cases import RECORDINGS
from tests.golden.record import ADVICE, all_cases, differences, golden


@pytest.mark.parametrize("name", sorted({*golden(), *all_cases()}))
def test_nothing_has_changed(name: str) -> None:
    """The digests of a case are those that are checked in."""
    if name not in all_cases():
        if name.startswith("recording/") and not RECORDINGS.exists():
            pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
        pytest.fail(f"golden.json has a case that is gone: {name}. {ADVICE}")
    assert name in golden(), f"golden.json lacks the case {name}. {ADVICE}"
    sections = differences(name)
    assert not sections, f"{name} differs in: {', '.join(sections)}. {ADVICE}"
