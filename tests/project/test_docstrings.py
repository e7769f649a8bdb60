"""The docstrings from which the API reference is made describe each field and name the unit of each number."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
import pytest

import runstream
import runstream.model
import runstream.testing
from runstream.model.base import WireStruct

PACKAGES: Final = (runstream, runstream.model, runstream.testing)
PUBLIC: Final[dict[str, Any]] = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in reversed(PACKAGES)
    for name in package.__all__
    if name != "__version__"
}
STRUCTS: Final = sorted(
    {value for value in PUBLIC.values() if inspect.isclass(value) and issubclass(value, msgspec.Struct)},
    key=lambda kind: (kind.__module__, kind.__name__),
)

_SECTION: Final = re.compile(r"^(?:Args|Attributes):\n((?:    .*\n|\n)*)", re.MULTILINE)
_ENTRY: Final = re.compile(r"    ((?:\w+, )*\w+): (.*)")


def described(docstring: str | None) -> dict[str, str]:
    """The descriptions of parameters and fields in a docstring, by name."""
    found: dict[str, str] = {}
    for section in _SECTION.findall(inspect.cleandoc(docstring or "") + "\n"):
        names: list[str] = []
        for line in section.splitlines():
            if entry := _ENTRY.fullmatch(line):
                names = entry[1].split(", ")
                found |= dict.fromkeys(names, entry[2])
            else:
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


@cache
def described_by_class(kind: type) -> dict[str, str]:
    """The descriptions of the fields and of the parameters of the constructor, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base not in (object, msgspec.Struct):
            found |= described(vars(base).get("__doc__"))
            found |= described(getattr(vars(base).get("__init__"), "__doc__", None))
    return found


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_struct_is_described(kind: type[msgspec.Struct]) -> None:
    """The docstring of a public Struct, or of a base of it, describes each public field."""
    fields = [field.name for field in msgspec.structs.fields(kind) if not field.name.startswith("_")]
    assert [name for name in fields if name not in described_by_class(kind)] == []


@pytest.mark.parametrize(
    "kind", [kind for kind in STRUCTS if issubclass(kind, WireStruct)], ids=lambda kind: kind.__name__
)
def test_the_absence_of_a_wire_field_is_described(kind: type[WireStruct]) -> None:
    """An optional field of a wire object says what ``None`` means, or its class says it for all fields."""
    if "``None``" in re.sub(r"(?s)\n *Attributes:.*", "", kind.__doc__ or ""):
        return
    texts = described_by_class(kind)
    optional = [
        field.name
        for field in msgspec.structs.fields(kind)
        if field.default is None and not field.name.startswith("_") and field.name in described(kind.__doc__)
    ]
    assert [name for name in optional if "``None``" not in texts[name]] == []


class Option(NamedTuple):
    """A parameter whose default is a number, or that is a number if it is given."""

    owner: str
    name: str
    kinds: frozenset[type]
    text: str | None


def numbers(parameter: inspect.Parameter) -> frozenset[type]:
    """The types of number that a parameter takes; none for flags and identities."""
    members = {member.strip(" '") for member in inspect.formatannotation(parameter.annotation).split("|")}
    if isinstance(parameter.default, bool) or "str" in members:
        return frozenset()
    found = {kind for kind in (int, float) if kind.__name__ in members}
    return frozenset(found | ({type(parameter.default)} & {int, float}))


def _is_ours(function: object) -> bool:
    return str(getattr(function, "__module__", None)).startswith("runstream")


def callables() -> Iterator[tuple[str, Callable[..., Any], Mapping[str, str]]]:
    """The public functions, constructors and methods, each with the descriptions of its parameters."""
    for path, value in PUBLIC.items():
        if inspect.isfunction(value):
            yield path, value, described(value.__doc__)
        elif inspect.isclass(value) and not issubclass(value, WireStruct):
            if issubclass(value, msgspec.Struct) or _is_ours(value.__init__):
                yield path, value, described_by_class(value)
            for name, member in inspect.getmembers(value, inspect.isroutine):
                if not name.startswith("_") and _is_ours(member):
                    yield f"{path}.{name}", member, described(inspect.getdoc(member))


def options() -> Iterator[Option]:
    """The options that are numbers, each once."""
    seen = set()
    for owner, function, texts in callables():
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is parameter.empty or parameter.name.startswith("_"):
                continue
            kinds = numbers(parameter)
            if kinds and (key := (owner.rpartition(".")[2], parameter.name, texts.get(parameter.name))) not in seen:
                seen.add(key)
                yield Option(owner, parameter.name, kinds, texts.get(parameter.name))


UNIT_OF_A_FLOAT: Final = re.compile(r"\bseconds\b|\ba second\b|\bfactor\b|\bshare\b", re.IGNORECASE)
UNIT_OF_AN_INT: Final = re.compile(
    r"""\b(?:
        seconds | bytes | characters | levels                                   # measured
        | number | how[ ]many | how[ ]often | attempts | highest                # counted
        | index | status | version | seed                                       # which one
    )\b
    | ^(?:[\w-]+[ ])?(?:
        batches | blockings | events | exceptions | facts | gaps | ids | items | limits | messages | packs | partitions
        | runs | signals | snapshots | sources | values
    )\b                                                                         # of a counter: what it counts
    """,
    re.VERBOSE | re.IGNORECASE,
)


def names_its_unit(option: Option) -> bool:
    """True if the description of an option names seconds, bytes or what is counted."""
    if option.text is None:
        return False
    if float in option.kinds:
        return UNIT_OF_A_FLOAT.search(option.text) is not None
    if "bytes" in option.name:
        return "bytes" in option.text
    return UNIT_OF_AN_INT.search(option.text) is not None


def test_every_number_names_its_unit() -> None:
    """A reader of the reference sees for each option that is a number what it measures or counts."""
    found = list(options())
    assert len(found) > 150
    assert [(option.owner, option.name, option.text) for option in found if not names_its_unit(option)] == []


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (Option("connect", "timeout", frozenset({float}), "The longest time (seconds)."), True),
        (Option("connect", "timeout", frozenset({float}), "The longest time."), False),
        (Option("connect", "max_bytes", frozenset({int}), "The number of messages."), False),
        (Option("connect", "buffer", frozenset({int}), "How many items wait."), True),
        (Option("connect", "buffer", frozenset({int}), "See above."), False),
        (Option("connect", "buffer", frozenset({int}), None), False),
    ],
)
def test_the_scan_of_units(option: Option, named: bool) -> None:
    """A time needs seconds, a size needs bytes, a count needs what is counted."""
    assert names_its_unit(option) is named
