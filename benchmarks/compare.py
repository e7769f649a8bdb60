"""Everything that is compared, in one table: runstream against the handlers of the packages that people use, against
bare decoding, and against itself as streams grow.

Run: python benchmarks/compare.py [--rounds 9] [--write docs/cost.md]. Takes some minutes. Each contender's result is
checked first; the figures are ratios of CPU times, taken in turn in one process (each import in a process of
its own, the server of live rows in another one). Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import time
from pathlib import Path

from core import growth_rows, pipeline_rows
from dialects import dialect_rows
from doors import door_rows, live_rows
from pairing import Row, table
from peers import peer_rows
from recorded import recorded_rows
from responses import response_rows
from scale import import_rows, memory_rows, open_rows

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
PACKAGES = ("msgspec", "reactivex", "websockets", "openai", "azure-ai-agents")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="how often each pair is measured (default: 9)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page, between its marks")
    args = parser.parse_args()
    rounds = args.rounds
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    head = f"{platform.python_implementation()} {platform.python_version()}, {versions}; {rounds} rounds."
    rows: list[Row] = []
    for part in (
        peer_rows,
        response_rows,
        recorded_rows,
        pipeline_rows,
        dialect_rows,
        door_rows,
        live_rows,
        growth_rows,
        open_rows,
        memory_rows,
        import_rows,
    ):
        start = time.monotonic()
        rows += part(rounds)
        print(f"{part.__module__}.{part.__name__}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    text = f"{head}\n\n{table(rows)}"
    print(text)
    if args.write is not None:
        page = args.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        args.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
