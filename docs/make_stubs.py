"""Writes the stubs of the packages whose names are loaded when first used, from their tables. Run from anywhere."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import runstream
import runstream.model

PACKAGES = (runstream, runstream.model)
HEAD = "# Written by docs/make_stubs.py from the table NAMES in __init__.py: change that, then run it.\n"


def stub(package: ModuleType) -> str:
    """The stub of one package: every name imported under its own name, which is how a stub exports it.

    Args:
        package: A package with a table ``NAMES``, and maybe ``MODULES``.
    """
    imports = [(module, name) for module, names in package.NAMES.items() for name in names.split()]
    for attribute, module in getattr(package, "MODULES", {}).items():
        parent, _, name = module.rpartition(".")
        assert attribute == name, "an attribute has the name of its module"
        imports.append((parent, name))
    imports.sort(key=lambda each: each[0])
    lines = [HEAD, *[f"from {module} import {name} as {name}\n" for module, name in imports]]
    lines.append("\nNAMES: dict[str, str]\nMODULE_OF: dict[str, str]\n")
    if package is runstream:
        lines.append("MODULES: dict[str, str]\n__version__: str\n")
    return "".join(lines)


def path(package: ModuleType) -> Path:
    """Where the stub of a package stands."""
    return Path(str(package.__file__)).with_suffix(".pyi")


if __name__ == "__main__":
    for package in PACKAGES:
        path(package).write_text(stub(package), encoding="utf-8")
