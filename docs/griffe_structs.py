"""An extension of Griffe, which reads the docstrings for the site: Structs of msgspec, values of defaults, references.

Griffe reads source without running it, and a Struct has no ``__init__`` in its source. The docstring of a Struct
describes its fields in one section; here each field gets its own description, so that subclasses show it too.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from griffe import (
    Attribute,
    Class,
    Docstring,
    DocstringSectionAttributes,
    DocstringSectionParameters,
    ExprName,
    Extension,
    Function,
    NameResolutionError,
    Parameter,
    ParameterKind,
    Parameters,
)

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
        found |= {
            name: member
            for name, member in each.members.items()
            if isinstance(member, Attribute) and member.annotation is not None
        }
    return found


def _empty(default: Any) -> str | None:
    """How an empty list or mapping is written; a default that is one has the name of a constant in the source."""
    if isinstance(default, Mapping | Sequence) and not isinstance(default, str) and not default:
        return "{}" if isinstance(default, Mapping) else "()"
    return None


def _constructor(cls: Class, struct: type[msgspec.Struct]) -> Function:
    """The constructor that msgspec makes for a Struct."""
    attributes = _fields(cls)
    signature = inspect.signature(struct).parameters
    parameters = []
    for field in msgspec.structs.fields(struct):
        if field.name.startswith("_"):
            continue
        attribute = attributes.get(field.name)
        by_keyword = signature[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        kind = ParameterKind.keyword_only if by_keyword else ParameterKind.positional_or_keyword
        default = None
        if not field.required:
            default = (
                _empty(field.default) or (attribute.value if attribute is not None else None) or repr(field.default)
            )
        annotation = attribute.annotation if attribute is not None else None
        parameters.append(Parameter(field.name, annotation=annotation, kind=kind, default=default))
    parameters.sort(key=lambda parameter: parameter.kind is ParameterKind.keyword_only)
    return Function("__init__", parent=cls, parameters=Parameters(_SELF, *parameters), returns="None")


_SECTION: Final = re.compile(r"\n\n *(?:Attributes|Args):\n(?:(?: .*)?\n)*?(?=\n\S|\Z)")


def _describe_fields(cls: Class) -> None:
    """Moves the descriptions of the fields from the docstring of a Struct to its attributes."""
    if cls.docstring is None:
        return
    described = False
    for section in cls.docstring.parse("google", warnings=False):
        if isinstance(section, DocstringSectionAttributes | DocstringSectionParameters):
            for item in section.value:
                member = _fields(cls).get(item.name)
                if member is not None and member.docstring is None:
                    text = re.sub(r"(?<!\n)\n(?!\n)", " ", item.description)  # the tables show the first line
                    member.docstring = Docstring(text, parent=member)
                    described = True
    if described:
        cls.docstring.value = _SECTION.sub("", cls.docstring.value + "\n").strip()


_ROLE: Final = re.compile(r":\w+:`(~?)([\w.]+)`")


def _identifier(item: Any, name: str) -> str:
    """The path of what a docstring refers to: a member of its class, a name of its module, or a public name."""
    first, _, rest = name.partition(".")
    if first == "runstream":
        return name
    scope = item
    while scope is not None and not scope.is_module:
        if scope.is_class and first in scope.all_members:
            return f"{scope.path}.{name}"
        scope = scope.parent
    try:
        path = str(item.resolve(first))
    except NameResolutionError:
        path = f"runstream.{first}"
    return f"{path}.{rest}" if rest else path


def _link_references(item: Any) -> None:
    """Turns the references of a docstring into links; one without a place in the site becomes code."""

    def link(match: re.Match[str]) -> str:
        shown = match[2].rpartition(".")[2] if match[1] else match[2]
        return f'<autoref identifier="{_identifier(item, match[2])}" optional>`{shown}`</autoref>'

    if item.docstring is not None:
        item.docstring.value = _ROLE.sub(link, item.docstring.value)


_CONSTANT: Final = re.compile(r"_?[A-Z][A-Z0-9_]+")


def _show_values(function: Function) -> None:
    """Replaces defaults that are the names of constants of the module by their values: readers see the number."""
    for parameter in function.parameters:
        if isinstance(parameter.default, ExprName) and _CONSTANT.fullmatch(parameter.default.name):
            value = getattr(importlib.import_module(function.module.path), parameter.default.name, None)
            if isinstance(value, int | float | str):
                parameter.default = repr(value)


def _inherit_descriptions(cls: Class) -> None:
    """Gives each member without a docstring that of the member which it overrides."""
    for name, member in cls.members.items():
        if member.docstring is None and not member.is_alias and not name.startswith("_"):
            for base in cls.mro():
                overridden = base.members.get(name)
                if overridden is not None and overridden.docstring is not None:
                    member.docstring = overridden.docstring
                    break


class Structs(Extension):
    """Adds constructors and descriptions of fields to the Structs of the package, values to defaults, and links."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Goes through a package that has been read."""
        self._classes: list[Class] = []
        self._visit(pkg, set())
        for cls in self._classes:
            _inherit_descriptions(cls)

    def _visit(self, item: Any, seen: set[str]) -> None:
        if item.path in seen:
            return
        seen.add(item.path)
        for member in list(item.members.values()):
            if member.is_alias:
                continue
            if not member.is_class:
                _link_references(member)
            if member.is_module:
                self._visit(member, seen)
            elif member.is_function:
                _show_values(member)
            elif member.is_class:
                for each in member.members.values():
                    if not each.is_alias:
                        _link_references(each)
                        if each.is_function:
                            _show_values(each)
                _link_references(member)
                struct = _struct(member) if "__init__" not in member.members else None
                if struct is not None:
                    _describe_fields(member)
                    member.set_member("__init__", _constructor(member, struct))
                self._classes.append(member)
