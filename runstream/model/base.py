"""The base of all wire objects: Structs that decode strictly and fast, or leniently and completely.

JSON goes in, a frozen Struct comes out; what the Struct has no typed place for is kept beside it and written
out again as it came.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from msgspec import Struct, field, inspect, structs

from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap, thaw

__all__ = ["Unknown", "Wire", "WireStruct", "decode_hook", "decoder", "frozen_as", "wire_form", "wire_names"]


class Wire(FrozenMap):
    """A wire object as it came, kept only where typed fields alone could not write it again.

    No decoder ever builds one: a type of its own is how what stands on the wire is kept out of the library's
    own fields.
    """

    __slots__ = ()


def decode_hook(kind: type, value: Any) -> Any:
    """``dec_hook`` for msgspec: builds the read-only containers."""
    if kind is StringMap:
        # Usage may travel in the metadata (open-assistant-api): the lenient reader finds it.
        if isinstance(value, dict) and "usage" not in value and all(type(item) is str for item in value.values()):
            return StringMap(value)
        raise TypeError("Expected an object of strings")
    if kind is FrozenMap and isinstance(value, dict):
        return FrozenMap(value)
    if kind is FrozenList and isinstance(value, list):
        return FrozenList(value)
    raise TypeError(f"Expected {'an array' if kind is FrozenList else 'an object'}")


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one strict JSON decoder of a type. Any lenient reading starts where this one refuses."""
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)


def wire_form(value: Any) -> Any:
    """A value of the model as writable JSON builtins."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, WireStruct):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [wire_form(item) for item in value]
    return thaw(value)


def frozen_as(kind: Any, value: Any) -> Any:
    """A value given by hand as the read-only container or enumeration that a field holds; never an alias of it."""
    if isinstance(value, Mapping):
        target = kind if kind in _MAPS else FrozenMap
        return value if isinstance(value, target) else target(thaw(value))
    if isinstance(value, list | tuple | FrozenList):
        if value is ABSENT_LIST:
            return value
        if kind is tuple:
            return tuple(value)
        return value if isinstance(value, FrozenList) else FrozenList(thaw(value))
    if type(value) is str and isinstance(kind, enum.EnumMeta):
        return kind(value)
    return value


_MAPS = (FrozenMap, StringMap, Wire)
_SCALARS = frozenset({str, int, float, bool})


class _Field(Struct, frozen=True):
    """A public field: its attribute, its wire name, its default and what ``frozen_as`` makes of a value."""

    name: str
    wire_name: str
    default: Any
    kind: Any


@cache
def _fields(kind: type[WireStruct]) -> tuple[_Field, ...]:
    return tuple(
        _Field(item.name, item.encode_name, item.default, None)
        for item in structs.fields(kind)
        if not item.name.startswith("_")
    )


@cache
def _typed_fields(kind: type[WireStruct]) -> dict[str, _Field]:
    """The public fields by attribute, with the kind of container or enumeration that each holds."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    kinds = {item.name: _container(item.type) for item in info.fields}
    return {item.name: structs.replace(item, kind=kinds[item.name]) for item in _fields(kind)}


def _container(info: inspect.Type) -> Any:
    if isinstance(info, inspect.UnionType):
        return next(filter(None, map(_container, info.types)), None)
    if isinstance(info, inspect.VarTupleType):
        return tuple
    return info.cls if isinstance(info, inspect.CustomType | inspect.EnumType) else None


@cache
def wire_names(kind: type[WireStruct]) -> frozenset[str]:
    """All names that a class knows on the wire: its fields, their other spellings, its tag."""
    tag_field = kind.__struct_config__.tag_field
    names = {item.wire_name for item in _fields(kind)} | {*kind._aliases}
    return frozenset(names if tag_field is None else names | {tag_field})


class WireStruct(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A wire object: frozen, compared by value, hashable, with nested lists and mappings read-only.

    Unknown fields and values of an unexpected type are kept and written out again as they came.
    """

    # The object as it came, if the typed fields could not write it again. Parts have their own.
    _wire: Wire | None = field(default=None, name="$runstream.wire")

    # Wire spellings that differ between servers: {name on the wire: name of the field on the wire}.
    _aliases: ClassVar[Mapping[str, str]] = {}
    # What stands in for a required field that is missing. It is required so that the strict decoder leaves such
    # an object to the lenient reader, which keeps that it was absent.
    _fallbacks: ClassVar[Mapping[str, Any]] = {}
    # Whether `_wire` is set for the sake of a part too, so that one look tells whether all of the object is plain.
    _marks_parts: ClassVar[bool] = False

    # Reads JSON text or a mapping as an instance of the class. The reader in model/lenient.py sets it: it imports this
    # module, so this module cannot import it.
    _read: ClassVar[Callable[[type[Any], bytes | str | Mapping[str, Any]], Any]]

    @classmethod
    def _derive(cls, values: dict[str, Any]) -> bool:
        """Fill in fields (by attribute) that a dialect sends elsewhere; whether there were any."""
        return False

    @classmethod
    def from_json(cls, data: bytes | str | Mapping[str, Any]) -> Self:
        """Read the object from JSON text or from a mapping of JSON values (which is copied).

        Raises:
            DecodeError: The text is not JSON, a required field is missing, or a known field has a value of the
                wrong type; the error names its path. Unknown fields, statuses and types are no error.
        """
        found: Self = cls._read(cls, data)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The object as JSON builtins with the keys and values that came; absent and null are left out."""
        if self._wire is not None:
            return {key: thaw(value) for key, value in self._wire._data.items()}
        config = self.__struct_config__
        out: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
        for item in _fields(type(self)):
            value = getattr(self, item.name)
            # Identity, not equality: a list that was sent empty is written, an absent one is not.
            if value is None or value is ABSENT_LIST or value is ABSENT_MAP:
                continue
            out[item.wire_name] = wire_form(value)
        return out

    def to_json(self) -> str:
        """The object as JSON text: the keys and values that came; absent and null are left out."""
        return msgspec.json.encode(self.to_dict()).decode()

    def extra(self) -> FrozenMap:
        """The fields that came without having a typed place here, by their wire names (read-only)."""
        if self._wire is None:
            return ABSENT_MAP
        known = wire_names(type(self))
        return FrozenMap({key: value for key, value in self._wire._data.items() if key not in known})

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; everything else, unknown fields included, stays.

        Args:
            changes: New values by attribute name. An explicit ``None`` clears the field (a list or mapping
                becomes absent). Lists, mappings and statuses become what the field holds.

        Raises:
            TypeError: An unknown field name, or a required field set to ``None``.
        """
        fields = _typed_fields(type(self))
        for name, value in changes.items():
            item = fields.get(name)
            if item is None:
                unknown = ", ".join(repr(name) for name in changes if name not in fields)
                raise TypeError(f"{type(self).__name__} has no field {unknown}; it has {', '.join(fields)}")
            if value is None and item.default is msgspec.NODEFAULT:
                raise TypeError(f"{name!r} of {type(self).__name__} can't be cleared")
            changes[name] = item.default if value is None else frozen_as(item.kind, value)
        if self._wire is None:
            return structs.replace(self, **changes)
        wire = dict(self._wire._data)
        for name, value in changes.items():
            wire_name = fields[name].wire_name
            came = [key for key in wire if key == wire_name or self._aliases.get(key) == wire_name]
            for key in came[1:]:
                del wire[key]
            key = came[0] if came else wire_name
            if value is None or value is ABSENT_LIST or value is ABSENT_MAP:
                wire.pop(key, None)
            else:
                wire[key] = wire_form(value)
        return structs.replace(self, _wire=Wire(wire), **changes)

    def __hash__(self) -> int:
        try:
            return super().__hash__()
        except TypeError:
            # Built by hand with a list or mapping inside; equal to one that was decoded, so its hash must be too.
            fields = _typed_fields(type(self))
            held = {name: frozen_as(item.kind, getattr(self, name)) for name, item in fields.items()}
            return super(WireStruct, structs.replace(self, **held)).__hash__()


# msgspec reads the annotations of a base anew for each of the hundred classes under it: as types that is quick, as
# strings it was a tenth of what importing the core takes.
WireStruct.__annotations__.update(get_annotations(WireStruct, eval_str=True))


class Unknown(WireStruct, frozen=True, kw_only=True):
    """Base of the members of a tagged union that stand for a tag this library does not know."""

    if TYPE_CHECKING:
        raw: FrozenMap
    else:
        raw: Wire  # so that no tag on the wire makes the strict decoder build one

    def __post_init__(self) -> None:
        if type(self.raw) is not Wire:
            structs.force_setattr(self, "raw", Wire(thaw(self.raw)))

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
