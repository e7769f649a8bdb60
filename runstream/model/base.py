"""The base class of all wire objects: Structs decoded fast by a strict decoder, or completely by a lenient reader.

JSON enters, a frozen Struct leaves. Values without a typed field are kept beside the fields and written unchanged.
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

__all__ = ["Unknown", "Wire", "WireStruct", "decode_hook", "decoder", "freeze_as", "to_wire", "wire_names"]


class Wire(FrozenMap):
    """A wire object as received, kept only if the typed fields alone could not reproduce it.

    No decoder builds this type. A separate type keeps values on the wire out of the library's own fields.
    """

    __slots__ = ()


def decode_hook(kind: type, value: Any) -> Any:
    """``dec_hook`` for msgspec: builds the read-only containers."""
    if kind is StringMap:
        # The metadata may contain the usage (open-assistant-api): such an object is left to the lenient reader.
        if value == {}:
            return StringMap(value)
        if isinstance(value, dict) and "usage" not in value and all(type(item) is str for item in value.values()):
            return StringMap(value)
        raise TypeError("Expected an object of strings")
    if kind is FrozenMap and isinstance(value, dict):
        return FrozenMap(value)
    if kind is FrozenList and isinstance(value, list):
        return FrozenList(value)
    raise TypeError(f"Expected {'an array' if kind is FrozenList else 'an object'}")


_hash: Callable[[Struct], int] = Struct.__hash__


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The strict JSON decoder of a type, created once. Input that it rejects goes to the lenient reader."""
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)


def to_wire(value: Any) -> Any:
    """Convert a value of the model to mutable JSON builtins."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, WireStruct):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_wire(item) for item in value]
    return thaw(value)


def freeze_as(kind: Any, value: Any) -> Any:
    """Convert a caller's value to the read-only container or enumeration of a field; containers are copied.

    Args:
        kind: The container or enumeration class of the field, ``None`` if it has another type.
        value: Any value; it is returned as it is if no conversion applies.
    """
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
    """A public field: attribute name, wire name, default, and the ``kind`` that ``freeze_as`` converts values to."""

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
    """The public fields by attribute name, with the container or enumeration class of each."""
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
    """All wire names that a class knows: its fields, their aliases, its tag."""
    tag_field = kind.__struct_config__.tag_field
    names = {item.wire_name for item in _fields(kind)} | {*kind._aliases}
    return frozenset(names if tag_field is None else names | {tag_field})


class WireStruct(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A wire object: frozen, compared by value, hashable, with nested lists and mappings read-only.

    Unknown fields, and values of an unexpected type, are kept and written again as received.
    """

    # The object as received, if the typed fields could not reproduce it. Nested objects have their own.
    _wire: Wire | None = field(default=None, name="$runstream.wire")

    # Names that differ between servers: {name on the wire: wire name of the field}.
    _aliases: ClassVar[Mapping[str, str]] = {}
    # Values for required fields that are absent. Such a field is required so that the strict decoder leaves the
    # object to the lenient reader, which records that the field was absent.
    _fallbacks: ClassVar[Mapping[str, Any]] = {}
    # True if `_wire` is also set when only a nested object needs it: one check then covers the whole object.
    _marks_parts: ClassVar[bool] = False

    # Reads JSON text or a mapping as an instance of the class. The reader in model/lenient.py sets it: it imports this
    # module, so this module cannot import it.
    _read: ClassVar[Callable[[type[Any], bytes | str | Mapping[str, Any]], Any]]

    @staticmethod
    def _of_text(text: str) -> dict[str, Any] | None:
        """The object that a text stands for, where some servers send the text in its place; ``None`` for none."""
        return None

    @classmethod
    def _derive(cls, values: dict[str, Any]) -> bool:
        """Add fields (by attribute name) that a dialect sends in another place.

        Returns:
            True if a field was added.
        """
        return False

    @classmethod
    def from_json(cls, data: bytes | str | Mapping[str, Any]) -> Self:
        """Read the object from JSON text or from a mapping of JSON values; a mapping is copied.

        Unknown fields, statuses and types are not errors.

        Raises:
            DecodeError: The text is not JSON, a required field is missing, or a known field has a value of the
                wrong type. The error contains the JSON path.
        """
        found: Self = cls._read(cls, data)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The object as JSON builtins, with the keys and values received; absent and null fields are omitted."""
        if self._wire is not None:
            return {key: thaw(value) for key, value in self._wire._data.items()}
        config = self.__struct_config__
        out: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
        for item in _fields(type(self)):
            value = getattr(self, item.name)
            # Identity, not equality: an empty list that was sent is written, an absent one is not.
            if value is None or value is ABSENT_LIST or value is ABSENT_MAP:
                continue
            out[item.wire_name] = to_wire(value)
        return out

    def to_json(self) -> str:
        """The object as JSON text, with the keys and values received; absent and null fields are omitted."""
        return msgspec.json.encode(self.to_dict()).decode()

    def extra(self) -> FrozenMap:
        """The received fields that have no typed field in this class, by wire name (read-only)."""
        if self._wire is None:
            return ABSENT_MAP
        known = wire_names(type(self))
        return FrozenMap({key: value for key, value in self._wire._data.items() if key not in known})

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; all other fields, unknown ones included, stay as they are.

        Args:
            changes: New values by attribute name. An explicit ``None`` clears the field (a list or mapping
                becomes absent). Lists, mappings and statuses are converted to the types of their fields.

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
            changes[name] = item.default if value is None else freeze_as(item.kind, value)
        if self._wire is None:
            return structs.replace(self, **changes)
        wire = dict(self._wire._data)
        for name, value in changes.items():
            wire_name = fields[name].wire_name
            spellings = [key for key in wire if key == wire_name or self._aliases.get(key) == wire_name]
            for key in spellings[1:]:
                del wire[key]
            key = spellings[0] if spellings else wire_name
            if value is None or value is ABSENT_LIST or value is ABSENT_MAP:
                wire.pop(key, None)
            else:
                wire[key] = to_wire(value)
        return structs.replace(self, _wire=Wire(wire), **changes)

    def __hash__(self) -> int:
        try:
            return _hash(self)
        except TypeError:
            # Built by a caller with a mutable list or mapping. It is equal to a decoded object, so the hash is too.
            fields = _typed_fields(type(self))
            frozen = {name: freeze_as(item.kind, getattr(self, name)) for name, item in fields.items()}
            return _hash(structs.replace(self, **frozen))


# msgspec reads the annotations of a base class again for each of its hundred subclasses. As types this is fast; as
# strings it took a tenth of the time of importing the core.
WireStruct.__annotations__.update(get_annotations(WireStruct, eval_str=True))


class Unknown(WireStruct, frozen=True, kw_only=True):
    """Base of the members of tagged unions that represent a tag unknown to this library.

    Attributes:
        raw: The whole object as received, ``type`` included: a read-only mapping of JSON values.
    """

    if TYPE_CHECKING:
        raw: FrozenMap
    else:
        raw: Wire  # a type that the strict decoder never builds, so no tag on the wire leads here

    def __post_init__(self) -> None:
        if type(self.raw) is not Wire:
            structs.force_setattr(self, "raw", Wire(thaw(self.raw)))

    @property
    def type(self) -> str:
        """The tag as received; empty if there was none."""
        tag = self.raw.get("type")
        return tag if isinstance(tag, str) else ""

    def to_dict(self) -> dict[str, Any]:
        """The object exactly as received."""
        return {key: thaw(value) for key, value in self.raw.items()}

    def extra(self) -> FrozenMap:
        """All received fields except ``type``."""
        return FrozenMap({key: value for key, value in self.to_dict().items() if key != "type"})
