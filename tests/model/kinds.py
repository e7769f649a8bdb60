"""All classes of the wire model, for the tests that hold for each of them."""

from __future__ import annotations

import inspect
from typing import Any, Final

import runstream.model as model
from runstream.model import Unknown, WireStruct

__all__ = ["KINDS", "UNKNOWNS", "encoded", "minimal"]


def _kinds() -> list[type[WireStruct]]:
    found = {
        item
        for item in (getattr(model, name) for name in model.__all__)
        if inspect.isclass(item) and issubclass(item, WireStruct) and not _is_base(item)
    }
    return sorted(found, key=lambda kind: kind.__name__)


def _is_base(kind: type[WireStruct]) -> bool:
    return kind.__name__ in {"WireStruct", "Tagged", "Unknown", "Fragment"}


UNKNOWNS: Final = [kind for kind in _kinds() if issubclass(kind, Unknown)]
"""The members of unions that stand for what is not known."""

KINDS: Final = [kind for kind in _kinds() if not issubclass(kind, Unknown)]
"""The classes with typed fields."""

_REQUIRED: dict[str, Any] = {
    "id": "id_1",
    "status": "queued",
    "delta": {},
    "kind": "web_search",
    "function": {"name": "f"},
    "name": "f",
    "index": 0,
    "code_interpreter": {},
    "file_search": {},
    "connected_agent": {},
    "submit_tool_outputs": {},
    "submit_tool_approval": {},
    "text": {},
    "image_file": {},
    "image_url": {},
}


def minimal(kind: type[WireStruct]) -> dict[str, Any]:
    """The least JSON object that is a ``kind``."""
    config = kind.__struct_config__
    out: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
    for item in inspect_fields(kind):
        out[item] = _REQUIRED[item]
    return out


def inspect_fields(kind: type[WireStruct]) -> list[str]:
    """The names of the required fields."""
    from msgspec.structs import fields

    return [item.encode_name for item in fields(kind) if item.required]


def encoded(value: Any) -> bytes:
    """JSON text, written by the standard library."""
    import json

    return json.dumps(value, ensure_ascii=False).encode()
