"""A process of a group: ``python -m tests.cluster.group_process BROKER KIND API LOG hangs|returns``.

It executes the tools of runs, and writes the beginning and the end of each execution, with its call key, to the log.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from runstream.cluster.groups import HandlerGroup
from tests.cluster.protocols import PROTOCOLS, Functions


def main(broker: str, kind: str, url: str, log: str, mode: str) -> None:
    """Run the group until the process is killed."""

    def note(word: str, key: str) -> None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{word} {key}\n")

    def work(key: str) -> None:
        note("begins", key)
        if mode == "hangs":
            time.sleep(600)
        note("ends", key)

    async def run() -> None:
        protocol = PROTOCOLS[kind]
        group = HandlerGroup(broker, "tools", pin_timeout=1.0)
        group.answer(protocol.client(url, Functions(work)), request=protocol.request)
        print("ready", flush=True)
        await group.run()

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
