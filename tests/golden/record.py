"""``golden.json``: digests in, digests out, and the comparison of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.golden.cases import bundled, generated, recorded
from tests.golden.dump import digest
from tests.golden.folds import SECTIONS, Case, dump

__all__ = ["ADVICE", "GOLDEN", "all_cases", "differences", "digests", "golden", "write"]

GOLDEN: Final = Path(__file__).with_name("golden.json")
ADVICE: Final = (
    "Full dumps for a comparison by hand: `python -m tests.golden --dump DIR`, here and at the last good commit. "
    "`python -m tests.golden --write` accepts the present behaviour: only for an intended change that CHANGELOG.md "
    "lists (see tests/golden/__init__.py)."
)


@cache
def all_cases() -> Mapping[str, Callable[[], Case]]:
    """What makes each case, by its name."""
    return {**recorded(), **bundled(), **generated()}


@cache
def golden() -> Mapping[str, Mapping[str, str]]:
    """The digests that are checked in: case, section, digest."""
    found: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


def digests(dumped: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each section of a dump."""
    return {section: digest(dumped[section]) for section in SECTIONS}


def differences(name: str) -> list[str]:
    """The sections of a case that are not as they were."""
    found, known = digests(dump(all_cases()[name]())), golden().get(name, {})
    return [section for section in SECTIONS if found[section] != known.get(section)]


def write() -> int:
    """Replace ``golden.json``, a line per case; the number of cases."""
    lines = [f"{json.dumps(name)}: {json.dumps(digests(dump(make())))}" for name, make in sorted(all_cases().items())]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return len(lines)
