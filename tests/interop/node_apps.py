"""A program for Node in a folder of its own, beside a link to the packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.interop.environments import APPS, interop_node

__all__ = ["node_command"]


def node_command(name: str, folder: Path, *packages: str) -> list[str]:
    """The command of a program; skips the test where Node or a package is missing.

    Args:
        name: The name of its file in ``apps/``.
        folder: An empty folder.
        packages: The packages that it needs.
    """
    node, installed = interop_node(*packages)
    # Packages are found from the place of the program.
    (folder / "node_modules").symlink_to(installed / "node_modules", target_is_directory=True)
    shutil.copy(APPS / name, folder / name)
    return [node, str(folder / name)]
