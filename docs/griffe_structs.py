"""An extension of Griffe, which reads the docstrings for the site: constructors of msgspec Structs.

Griffe reads source without running it, and a Struct has no ``__init__`` in its source.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Final

import msgspec
from griffe import Attribute, Class, Extension, Function, Parameter, ParameterKind, Parameters

_SELF: Final = Parameter("self", kind=ParameterKind.positional_or_keyword)


def _struct(cls: Class) -> type[msgspec.Struct] | None:
    """The Struct that a class of the source is, or ``None`` if it is no Struct."""
    value: Any = importlib.import_module(cls.module.path)
    for name in cls.path.removeprefix(f"{cls.module.path}.").split("."):
        value = getattr(value, name, None)
    return value if isinstance(value, type) and issubclass(value, msgspec.Struct) else None


def _fields(cls: Class) -> dict[str, Attribute]:
    """The annotated attributes of a class and its bases, by name."""
    found: dict[str, Attribute] = {}
    for each in reversed([cls, *cls.mro()]):
        for name, member in each.members.items():
            if isinstance(member, Attribute) and member.annotation is not None:
                found[name] = member
    return found


def _constructor(cls: Class, struct: type[msgspec.Struct]) -> Function:
    """The constructor that msgspec makes for a Struct."""
    attributes = _fields(cls)
    signature = inspect.signature(struct).parameters
    parameters = []
    for field in msgspec.structs.fields(struct):
        attribute = attributes.get(field.name)
        by_keyword = signature[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        kind = ParameterKind.keyword_only if by_keyword else ParameterKind.positional_or_keyword
        default = None
        if not field.required:
            default = (attribute.value if attribute is not None else None) or repr(field.default)
        annotation = attribute.annotation if attribute is not None else None
        parameters.append(Parameter(field.name, annotation=annotation, kind=kind, default=default))
    parameters.sort(key=lambda parameter: parameter.kind is ParameterKind.keyword_only)
    return Function("__init__", parent=cls, parameters=Parameters(_SELF, *parameters), returns="None")


class StructConstructors(Extension):
    """Gives each Struct of the package its constructor."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Goes through a package that has been read."""
        self._visit(pkg, set())

    def _visit(self, item: Any, seen: set[str]) -> None:
        if item.path in seen:
            return
        seen.add(item.path)
        for member in list(item.members.values()):
            if member.is_alias:
                continue
            if member.is_module:
                self._visit(member, seen)
            elif member.is_class and "__init__" not in member.members:
                struct = _struct(member)
                if struct is not None:
                    member.set_member("__init__", _constructor(member, struct))
