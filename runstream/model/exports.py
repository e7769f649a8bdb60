"""Public names of a package that are loaded at first use (PEP 562).

A package lists its names once, as a table from modules to names. The stub beside its ``__init__.py`` is generated
from that table by ``docs/make_stubs.py``, for type checkers and editors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["export"]


def export(
    package: str, names: Mapping[str, str], modules: Mapping[str, str]
) -> tuple[dict[str, str], Callable[[str], object], Callable[[], list[str]]]:
    """Create the module functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: The dotted name of the package.
        names: For each module, by its dotted name, its public names, separated by spaces.
        modules: For each further attribute of the package the dotted name of the module that is its value.

    Returns:
        The module of each public name; ``__getattr__``, which raises :class:`AttributeError` for any other name; and
        ``__dir__``.
    """
    module_of = {name: module for module, listed in names.items() for name in listed.split()}

    def load(name: str) -> object:
        namespace = vars(sys.modules[package])
        if name in module_of:
            # Stored, so that the next look-up does not call this function.
            value = namespace[name] = getattr(import_module(module_of[name]), name)
            return value
        if name in modules:
            return import_module(modules[name])
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return module_of, load, directory
