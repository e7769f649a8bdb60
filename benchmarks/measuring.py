"""What the benchmarks of whole processes share: memory, open files, and a server in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["allow_open_files", "memory", "open_files", "serving"]


@contextmanager
def serving(script: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A benchmark's own server: the script again, with ``--serve``; it serves until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, script, "--serve", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            yield process
        finally:
            try:
                process.communicate(timeout=10)
            finally:
                process.kill()


def allow_open_files(count: int) -> None:
    """Raise the soft limit of open files, where there is one."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def memory() -> float:
    """Resident memory now (MB); 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        import resource
    except (OSError, ImportError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def open_files() -> int:
    """Open files and sockets of this process; 0 where the system does not report it."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0
