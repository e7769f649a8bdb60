"""The table of what came of the cases, by kind of fault."""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.faults.cases import Case
from tests.faults.oracle import KINDS, Verdict

__all__ = ["Report"]


class Report:
    """What came of the cases."""

    def __init__(self) -> None:
        self.failures: list[tuple[Case, list[str]]] = []
        self.total = 0
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, case: Case, verdict: Verdict) -> None:
        """Count a case: once under each kind of fault that it has."""
        self.total += 1
        for name in {fault.name for fault in case.faults} or {"none"}:
            self._counts[name][verdict.kind] += 1
        self._counts["(all cases)"][verdict.kind] += 1
        if verdict.problems:
            self.failures.append((case, verdict.problems))

    def table(self) -> str:
        """The table; a case with several faults stands in several rows."""
        lines = [f"{'fault':<14}{'cases':>8}" + "".join(f"{kind:>13}" for kind in KINDS)]
        for name in sorted(self._counts, key=lambda name: (name == "(all cases)", name)):
            counts = self._counts[name]
            lines.append(f"{name:<14}{counts.total():>8}" + "".join(f"{counts[kind]:>13}" for kind in KINDS))
        return "\n".join(lines)
