"""JSON Schemas of arguments: from a type, and in the form for strict servers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

__all__ = ["arguments_schema", "strict_schema"]

# The keywords that a strict schema may have; others would be refused by the server.
_STRICT_KEYWORDS: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "$ref", "$defs"),
        *("description", "title", "pattern", "format", "multipleOf", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
)
_DROPPED: Final = frozenset({"default", "title"})


def arguments_schema(
    arguments: type, fields: Iterable[inspect.Parameter], descriptions: Mapping[str, str]
) -> dict[str, Any]:
    """The JSON Schema of a type of arguments: an object, with ``$defs`` for the classes in it.

    Args:
        arguments: A ``msgspec.Struct`` class.
        fields: The parameters of its function; their defaults are part of the schema, where JSON has them.
        descriptions: Descriptions by name, for the fields that have none of their own.

    Raises:
        TypeError: A type has no JSON Schema.
    """
    (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    definitions = dict(components)
    own = reference["$ref"].rsplit("/", 1)[1]
    schema: dict[str, Any] = dict(definitions.pop(own))
    schema.pop("title", None)
    properties = {name: dict(value) for name, value in schema.get("properties", {}).items()}
    for field in fields:
        value = properties[field.name]
        value.pop("default", None)
        if field.default is not field.empty:
            try:
                value["default"] = msgspec.to_builtins(field.default)
            except TypeError:
                value.pop("default", None)
        if field.name in descriptions and "description" not in value:
            # Beside `$ref` other keywords are allowed since draft 2019-09, which is what msgspec writes.
            value["description"] = descriptions[field.name]
    schema["properties"] = properties
    schema.setdefault("required", [])
    if definitions:
        schema["$defs"] = definitions
    return schema


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as strict servers demand it: closed objects, whose properties are all required.

    A property of the arguments that is not required may be null instead.

    Returns:
        The schema; ``None`` if it has an object with unnamed properties, a class whose fields have defaults, a value
        of any type, or a keyword that strict servers do not know.
    """
    try:
        strict = _strict(schema, is_root=True)
    except _NotStrict:
        return None
    return strict


class _NotStrict(Exception):
    """The schema has no strict form."""


def _strict(schema: Any, *, is_root: bool = False) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise _NotStrict
    kept = {key: value for key, value in schema.items() if key not in _DROPPED}
    if not kept.keys() <= _STRICT_KEYWORDS or not kept.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
        raise _NotStrict
    for key in ("$defs", "properties"):
        if key in kept:
            kept[key] = {name: _strict(value) for name, value in kept[key].items()}
    if "anyOf" in kept:
        kept["anyOf"] = [_strict(value) for value in kept["anyOf"]]
    if "items" in kept:
        kept["items"] = _strict(kept["items"])
    if kept.get("type") == "array" and "items" not in kept:
        raise _NotStrict
    if kept.get("type") == "object":
        if "properties" not in kept or kept.get("additionalProperties") not in (None, False):
            raise _NotStrict
        optional = [name for name in kept["properties"] if name not in schema.get("required", ())]
        if optional and not is_root:
            raise _NotStrict
        for name in optional:
            kept["properties"][name] = _or_null(kept["properties"][name])
        kept["required"] = list(kept["properties"])
        kept["additionalProperties"] = False
    return kept


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "null" or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    description = {"description": schema["description"]} if "description" in schema else {}
    inner = {key: value for key, value in schema.items() if key != "description"}
    alternatives = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*alternatives, {"type": "null"}], **description}
