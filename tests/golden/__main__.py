"""``python -m tests.golden [--write | --dump DIR]``: compare, rewrite or write out the golden dumps."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.golden.folds import dump
from tests.golden.record import ADVICE, GOLDEN, all_cases, differences, golden, write


def main() -> int:
    """Do what the command line asks for; the exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace golden.json")
    parser.add_argument("--dump", metavar="DIR", type=Path, help="write the full dumps, a file per case")
    parser.add_argument("--only", metavar="NAME", default="", help="only cases with this in their names")
    args = parser.parse_args()
    names = [name for name in all_cases() if args.only in name]
    if args.dump is not None:
        for name in names:
            path = args.dump / f"{name.replace('/', '__')}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(dump(all_cases()[name]()), indent=1) + "\n", encoding="utf-8")
        print(f"{len(names)} dumps in {args.dump}")
        return 0
    if args.write:
        if args.only:
            parser.error("golden.json is written whole: --write takes no --only")
        if not any(name.startswith("recording/") for name in names):
            parser.error("the shared recordings are absent, and golden.json would lose their cases")
        print(f"{write()} cases in {GOLDEN}")
        return 0
    found = {name: sections for name in names if (sections := differences(name))}
    for name, sections in found.items():
        print(f"{name}: {', '.join(sections)}")
    missing = [name for name in golden() if name not in all_cases()] if not args.only else []
    for name in missing:
        print(f"{name}: no such case here")
    print(f"{len(names)} cases, {len(found)} differ, {len(missing)} absent")
    if found:
        print(ADVICE)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
