"""``python -m tests.cluster``: the harness at full size; the options are the fields of :class:`Plan`."""

from __future__ import annotations

import argparse
import asyncio

from msgspec import structs

from tests.cluster.harness import Harness, Plan

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.cluster", description=__doc__)
    for field in structs.fields(Plan):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, default=field.default)
    found = asyncio.run(Harness(Plan(**vars(parser.parse_args()))).run())
    print(found.report())
    raise SystemExit(0 if found.clean else 1)
