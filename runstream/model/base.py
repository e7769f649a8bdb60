"""The base of all wire objects: Structs that decode strictly and fast, or leniently and completely.

JSON goes in, a frozen Struct comes out; what the Struct has no typed place for is kept beside it and written
out again as it came.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Self

import msgspec
from msgspec import Struct, field, structs

from runstream.errors import DecodeError
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap, freeze, thaw

__all__ = ["Unknown", "Wire", "WireStruct", "decode_hook", "decoder", "wire_form"]


class Wire(FrozenMap):
    """A wire object as it came, nulls left out, kept only where the typed fields alone could not write it again."""

    __slots__ = ()


def decode_hook(kind: type, value: Any) -> Any:
    """``dec_hook`` for msgspec: builds the read-only containers."""
    if kind is StringMap:
        if isinstance(value, dict) and all(type(item) is str for item in value.values()):
            return StringMap(value)
        raise TypeError("Expected an object of strings")
    if kind is FrozenMap and isinstance(value, dict):
        return FrozenMap(value)
    if kind is FrozenList and isinstance(value, list):
        return FrozenList(value)
    # A `Wire` never comes from outside: the field is the library's own.
    raise TypeError(f"Expected {'an array' if kind is FrozenList else 'an object'}")


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one strict JSON decoder of a type. Any lenient reading starts where this one refuses."""
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)


def wire_form(value: Any) -> Any:
    """A value of the model as writable JSON builtins."""
    if isinstance(value, WireStruct):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [wire_form(item) for item in value]
    return thaw(value)


@cache
def _fields(kind: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    """(attribute, wire name, default) of every public field."""
    return tuple(
        (item.name, item.encode_name, item.default)
        for item in structs.fields(kind)
        if not item.name.startswith("_")
    )


class WireStruct(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True
):
    """A wire object: frozen, compared by value, hashable, with nested lists and mappings read-only.

    Unknown fields and values of an unexpected type are kept and written out again as they came.
    """

    _wire: Wire | None = field(default=None, name="$runstream.wire")

    # Wire spellings that differ between servers: {name on the wire: name of the field}.
    _aliases: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_json(cls, data: bytes | str | Mapping[str, Any]) -> Self:
        """Read the object from JSON text or from a mapping of JSON values.

        Raises:
            DecodeError: The text is not JSON, a required field is missing, or a known field has a value of the
                wrong type; the error names its path. Unknown fields, statuses and types are no error.
        """
        from runstream.model.lenient import read_strictly  # lenient reading knows the whole model

        return read_strictly(cls, data)

    def to_dict(self) -> dict[str, Any]:
        """The object as JSON builtins with the keys and values that came; absent and null are left out."""
        if self._wire is not None:
            return {key: thaw(value) for key, value in self._wire.items()}
        config = self.__struct_config__
        out: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
        for name, wire_name, default in _fields(type(self)):
            value = getattr(self, name)
            # Identity, not equality: a list that was sent empty is written, an absent one is not.
            if value is None or (value is default and (value is ABSENT_LIST or value is ABSENT_MAP)):
                continue
            out[wire_name] = wire_form(value)
        return out

    def to_json(self) -> str:
        """The object as JSON text: the keys and values that came; absent and null are left out."""
        return msgspec.json.encode(self.to_dict()).decode()

    def _completed(self) -> Self:
        """The object with fields that a dialect sends elsewhere; called by the lenient reader."""
        return self

    def extra(self) -> FrozenMap:
        """The fields that came without having a typed place here, by their wire names (read-only)."""
        if self._wire is None:
            return ABSENT_MAP
        known = {wire_name for _, wire_name, _ in _fields(type(self))} | {"type", *self._aliases}
        return FrozenMap({key: thaw(value) for key, value in self._wire.items() if key not in known})

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; everything else, unknown fields included, stays.

        Args:
            changes: New values by attribute name. An explicit ``None`` clears the field (a list or mapping
                becomes absent).

        Raises:
            TypeError: An unknown field name, or a required field set to ``None``.
        """
        fields = {name: (wire_name, default) for name, wire_name, default in _fields(type(self))}
        unknown = [name for name in changes if name not in fields]
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no field {', '.join(map(repr, unknown))}; it has {', '.join(fields)}"
            )
        for name, value in changes.items():
            default = fields[name][1]
            if value is None:
                if default is msgspec.NODEFAULT:
                    raise TypeError(f"{name!r} of {type(self).__name__} can't be cleared")
                changes[name] = default
            else:
                changes[name] = _frozen(value)
        if self._wire is None:
            return structs.replace(self, **changes)
        aliases = {target: alias for alias, target in self._aliases.items()}
        wire = {key: thaw(value) for key, value in self._wire.items()}
        for name, value in changes.items():
            wire_name, default = fields[name]
            wire.pop(aliases.get(wire_name, wire_name), None)
            wire.pop(wire_name, None)
            if value is not None and value is not ABSENT_LIST and value is not ABSENT_MAP:
                wire[wire_name] = wire_form(value)
        return structs.replace(self, _wire=Wire(wire), **changes)


def _frozen(value: Any) -> Any:
    """Lists become tuples, mappings read-only: a frozen object must not be writable through its parts."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return freeze(value)


class Unknown(WireStruct):
    """Base of the members of a tagged union that stand for a tag this library does not know."""

    raw: FrozenMap = ABSENT_MAP

    @property
    def type(self) -> str:
        """The tag as it came; empty where there was none."""
        tag = self.raw.get("type")
        return tag if isinstance(tag, str) else ""

    def to_dict(self) -> dict[str, Any]:
        """The object exactly as it came."""
        return {key: thaw(value) for key, value in self.raw.items()}

    def extra(self) -> FrozenMap:
        """Everything that came, but its type."""
        return FrozenMap({key: value for key, value in self.to_dict().items() if key != "type"})


def freeze_fields(target: Struct, names: Iterable[str]) -> None:
    """Make list and mapping fields of a Struct that is being built read-only (for ``__post_init__``)."""
    for name in names:
        value = getattr(target, name)
        if type(value) is list or type(value) is dict:
            frozen = tuple(value) if type(value) is list else StringMap(value)
            structs.force_setattr(target, name, frozen)
