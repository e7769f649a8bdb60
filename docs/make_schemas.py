"""Writes the JSON Schema and the TypeScript types of all signals, as `to_json` writes them. Run from anywhere.

Objects of a wire (runs, messages, steps, calls) stand in signals as they were received, so only their most important
fields have types here, and other fields are allowed.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

import runstream
from runstream.model.base import WireStruct
from runstream.model.run import Run, RunStatus
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import SIGNAL_TYPES

FOLDER: Final = Path(str(runstream.__file__)).parent / "model"
SCHEMA: Final = FOLDER / "signals.schema.json"
TYPES: Final = FOLDER / "signals.d.ts"

WIRE: Final[dict[str, dict[str, str]]] = {
    "Run": {
        "id": "string",
        "status": "string",
        "thread_id?": "string | null",
        "assistant_id?": "string | null",
        "model?": "string | null",
        "usage?": "object | null",
        "last_error?": "object | null",
        "required_action?": "object | null",
        "metadata?": "object | null",
    },
    "Message": {"id": "string", "role?": "string | null", "content?": "array | null", "status?": "string | null"},
    "RunStep": {"id": "string", "type?": "string | null", "status?": "string | null", "step_details?": "object | null"},
    "ToolCall": {"id?": "string | null", "type": "string"},
    "RequiredAction": {"type": "string"},
    "ErrorObject": {"code?": "string | null", "message?": "string | null"},
}
"""The typed fields of the objects of a wire; ``?``: it may be absent."""

PRIMITIVES: Final = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def wire_name(kind: Any) -> str | None:
    """The name of an object of a wire, for a class or for a union of the classes that it may have."""
    if isinstance(kind, type) and issubclass(kind, WireStruct):
        names = [name for name in WIRE if kind.__name__ == name]
        return names[0] if names else "RequiredAction" if kind.__name__.endswith("Action") else "ToolCall"
    return None


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a type of a field."""
    if kind is Any:
        return {}
    if kind in PRIMITIVES:
        return {"type": PRIMITIVES[kind]}
    if kind is RunStatus:
        return {"type": "string"}
    if kind is AwaitedCall:
        return {"$ref": "#/$defs/AwaitedCall"}
    if (name := wire_name(kind)) is not None:
        return {"$ref": f"#/$defs/{name}"}
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": schema_of(args[0])}
    if origin in (Union, types.UnionType):
        options = list({json.dumps(schema_of(each)): schema_of(each) for each in args}.values())
        return options[0] if len(options) == 1 else {"anyOf": options}
    raise TypeError(f"no schema for {kind!r}")


def fields(kind: type[Struct]) -> Iterator[tuple[str, Any]]:
    """The fields of a struct as its JSON has them."""
    hints = get_type_hints(kind)
    for name in kind.__struct_fields__:
        if not (kind is AwaitedCall and name == "call"):
            yield name, hints[name]


def described(kind: type) -> str:
    """The first sentence of the docstring."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def wire_schema(field: str) -> dict[str, Any]:
    """The schema of a field of an object of a wire."""
    kinds = field.split(" | ")
    return {"type": kinds[0] if len(kinds) == 1 else kinds}


def schema() -> dict[str, Any]:
    """The schema of a line of `to_json`."""
    definitions: dict[str, Any] = {
        name: {
            "type": "object",
            "properties": {field.rstrip("?"): wire_schema(kind) for field, kind in wire.items()},
            "required": [field for field in wire if not field.endswith("?")],
        }
        for name, wire in WIRE.items()
    }
    definitions["AwaitedCall"] = {
        "type": "object",
        "description": described(AwaitedCall),
        "properties": {name: schema_of(kind) for name, kind in fields(AwaitedCall)},
        "required": [name for name, _ in fields(AwaitedCall)],
    }
    for name, signal in SIGNAL_TYPES.items():
        properties = {"type": {"const": name}, "key": {"type": "string"}}
        properties |= {field: schema_of(kind) for field, kind in fields(signal)}
        definitions[signal.__name__] = {
            "type": "object",
            "description": described(signal),
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Signal",
        "description": "A signal of runstream, as Signal.to_json writes it.",
        "oneOf": [{"$ref": f"#/$defs/{signal.__name__}"} for signal in SIGNAL_TYPES.values()],
        "$defs": definitions,
    }


def type_of(found: dict[str, Any]) -> str:
    """A schema as a TypeScript type."""
    if "$ref" in found:
        return str(found["$ref"]).rpartition("/")[2]
    if "const" in found or "enum" in found:
        return " | ".join(json.dumps(value) for value in found.get("enum", [found.get("const")]))
    if "anyOf" in found:
        return " | ".join(type_of(each) for each in found["anyOf"])
    kind = found.get("type")
    if isinstance(kind, list):
        return " | ".join(type_of({"type": each}) for each in kind)
    if kind == "array":
        item = type_of(found.get("items", {}))
        return f"({item})[]" if " " in item else f"{item}[]"
    if kind == "object":
        return "Record<string, unknown>"
    return {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}.get(
        str(kind), "unknown"
    )


def typescript() -> str:
    """The types of all signals, and their union ``Signal``."""
    lines = ["// Written by docs/make_schemas.py from the signal classes: change those, then run it.", ""]
    for name, found in schema()["$defs"].items():
        if text := found.get("description"):
            lines.append(f"/** {text} */")
        lines.append(f"export interface {name} {{")
        for field, kind in found["properties"].items():
            optional = "" if field in found["required"] else "?"
            lines.append(f"  {field}{optional}: {type_of(kind)};")
        if found.get("additionalProperties", True):
            lines.append("  [field: string]: unknown;")
        lines += ["}", ""]
    union = "\n".join(f"  | {signal.__name__}" for signal in SIGNAL_TYPES.values())
    return "\n".join([*lines, "/** A signal, by its `type`. */", f"export type Signal =\n{union};", ""])


assert WIRE["Run"].keys() - {"id"} <= {f"{name}?" for name in Run.__struct_fields__} | {"status"}

if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    TYPES.write_text(typescript(), encoding="utf-8")
