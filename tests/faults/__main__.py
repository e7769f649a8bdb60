"""``python -m tests.faults --cases 10000 --seed 1 [--source ws] [--only CASE]``: run cases, print a table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter, defaultdict

import structlog

from tests.faults.api_cases import API_FAULTS, API_SOURCES, ApiCase, generate_api
from tests.faults.api_runner import run_api_case
from tests.faults.cases import FAULTS, PAIRS, SOURCES, Case, generate
from tests.faults.oracle import KINDS, Verdict, judge
from tests.faults.process import Server, run_server
from tests.faults.runner import Leaks, run_all, run_jobs
from tests.faults.streams import PROTOCOLS


class Report:
    """The results of the cases."""

    def __init__(self) -> None:
        self.failures: list[tuple[Case | ApiCase, list[str]]] = []
        self.total = 0
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, case: Case | ApiCase, verdict: Verdict) -> None:
        """Count a case once for each kind of fault that it has."""
        self.total += 1
        names = {fault if isinstance(fault, str) else fault.name for fault in case.faults}
        for name in names or {"none"}:
            self._counts[name][verdict.kind] += 1
        self._counts["(all cases)"][verdict.kind] += 1
        if verdict.problems:
            self.failures.append((case, verdict.problems))

    def table(self) -> str:
        """The results by kind of fault; a case with several faults is counted in several rows."""
        lines = [f"{'fault':<14}{'cases':>8}" + "".join(f"{kind:>13}" for kind in KINDS)]
        for name in sorted(self._counts, key=lambda name: (name == "(all cases)", name)):
            counts = self._counts[name]
            lines.append(f"{name:<14}{counts.total():>8}" + "".join(f"{counts[kind]:>13}" for kind in KINDS))
        return "\n".join(lines)


def main() -> int:
    """Run the cases of the command line; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="number of cases, over all sources and protocols")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", choices=(*SOURCES, *API_SOURCES), action="append")
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append")
    parser.add_argument(
        "--fault",
        choices=[*FAULTS, *(name for name in API_FAULTS if name not in FAULTS)],
        action="append",
        help="only cases with these",
    )
    parser.add_argument("--only", metavar="CASE", help="one case, by its line")
    parser.add_argument("--at-once", type=int, default=40)
    args = parser.parse_args()
    pairs = [
        (source, protocol)
        for source, protocol in PAIRS
        if source in (args.source or SOURCES)
        and protocol in (args.protocol or PROTOCOLS)
        and any(source in FAULTS.get(fault, ()) for fault in args.fault or FAULTS)
    ]
    apis = [
        source
        for source, protocol in API_SOURCES.items()
        if source in (args.source or API_SOURCES)
        and protocol in (args.protocol or PROTOCOLS)
        and any(source in API_FAULTS.get(fault, ()) for fault in args.fault or API_FAULTS)
    ]
    cases: list[Case | ApiCase]
    if args.only:
        cases = [(ApiCase if args.only.partition(";")[0] in API_SOURCES else Case).parse(args.only)]
    else:
        each = args.cases // max(1, len(pairs) + len(apis))
        wanted = args.fault and [name for name in args.fault if name in FAULTS]
        cases = [case for source, protocol in pairs for case in generate(source, each, args.seed, wanted, protocol)]
        cases += [case for source in apis for case in generate_api(source, each, args.seed, args.fault)]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # failing sources are the point
    started = time.monotonic()
    report, leaks = asyncio.run(_run(cases, args.at_once))
    print(report.table())
    for case, problems in report.failures:
        print(f"\nFAILED --only '{case}'", *(problem[:600] for problem in problems[:6]), sep="\n  ")
    for problem in (*leaks.tasks, *leaks.loop_errors):
        print(f"LEFT BEHIND {problem}")
    print(f"\n{report.total} cases in {time.monotonic() - started:.0f} s, {len(report.failures)} failures")
    return 1 if report.failures or leaks.tasks or leaks.loop_errors else 0


async def _run(cases: list[Case | ApiCase], at_once: int) -> tuple[Report, Leaks]:
    report, leaks = Report(), Leaks([], [])
    streams = [case for case in cases if isinstance(case, Case)]
    with run_server() as (ports, slots):
        async for case, observed in run_all(streams, Server(ports, slots), leaks, at_once):
            report.add(case, judge(case, observed))
    apis = [case for case in cases if isinstance(case, ApiCase)]
    async for own, verdict in run_jobs(apis, run_api_case, leaks, at_once):
        report.add(own, verdict)
    return report, leaks


if __name__ == "__main__":
    sys.exit(main())
