"""A display for programs with windows: Xvfb, which has no screen."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["display"]

_PATIENCE = 20.0  # seconds


@contextmanager
def display() -> Iterator[str]:
    """Its name, for ``DISPLAY``; the test is skipped where there is no Xvfb."""
    path = shutil.which("Xvfb")
    if path is None:
        pytest.skip("no Xvfb on this machine (apt-get install xvfb)")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [path, "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as output:
                # It takes the first number that is free, and says which.
                assert select.select([output], [], [], _PATIENCE)[0], "Xvfb does not start"
                number = output.readline().strip()
            assert number, "Xvfb has ended"
            yield f":{number}"
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            finally:
                process.kill()
