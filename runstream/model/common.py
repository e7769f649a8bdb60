"""Types common to runs, steps and messages: timestamps, open enumerations, usage, errors, tagged objects."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from msgspec import Meta, structs

from runstream.errors import DecodeError
from runstream.model.base import WireStruct
from runstream.model.frozen import FrozenMap
from runstream.model.jsontext import decode_json
from runstream.model.lenient import MILLISECONDS, read

__all__ = [
    "CompletionTokensDetails",
    "ErrorObject",
    "LastError",
    "OpenStrEnum",
    "PromptTokensDetails",
    "Tagged",
    "Timestamp",
    "Usage",
    "error_summary",
    "is_code",
]

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # an error code, and not a sentence

# The bounds leave milliseconds to the lenient reader, which divides them, and what is no time at all.
Timestamp = Annotated[int, Meta(gt=-MILLISECONDS, lt=MILLISECONDS)]
"""Whole Unix seconds. Milliseconds on the wire are divided."""

# JSON text. The lenient reader reads any other value as the value that the text would contain.
JsonText = Annotated[str, Meta(extra={"form": "json"})]
# The index of an item. The lenient reader reads a string of digits too.
Index = Annotated[int, Meta(extra={"form": "index"})]
# Within these bounds a float represents every integer exactly. Other numbers are left to the lenient reader, which
# keeps them.
Number = Annotated[float, Meta(gt=-(2.0**53), lt=2.0**53)]


class OpenStrEnum(enum.StrEnum):
    """A string enumeration that accepts unknown values, because servers add statuses.

    An unknown value is a member like any other (``.value``, ``==``, hash, JSON), but ``is_known`` is false.

    Attributes:
        is_terminal: True if an object in this status never changes its status again; false for an unknown status.
    """

    # Read for every event: a plain attribute costs a quarter of a property.
    is_terminal: bool

    # A member is equal to its string, so both have the same hash; an Enum's own hash is that of its name.
    __hash__ = str.__hash__

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        # Not registered: a server that invents statuses must not make the enumeration grow.
        member._name_ = value
        member._value_ = value
        member.is_terminal = False
        return member

    @classmethod
    def _ends_with(cls, *terminal: Self) -> None:
        """Set ``is_terminal`` of all members: true for the given ones."""
        for member in cls:
            member.is_terminal = member in terminal

    @property
    def is_known(self) -> bool:
        """True if the specification defines the value."""
        return self._value_ in type(self)._value2member_map_

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[str]]:
        return (type(self), (self.value,))


class Tagged(WireStruct, frozen=True, kw_only=True, tag_field="type"):
    """Base of the objects whose ``type`` field selects their class."""

    @property
    def type(self) -> str:
        """The ``type`` on the wire."""
        return str(self.__struct_config__.tag)


class PromptTokensDetails(WireStruct, frozen=True, kw_only=True):
    """Prompt tokens of :class:`Usage` by category.

    An absent or null field is ``None``.

    Attributes:
        cached_tokens: The tokens of the prompt that came from the cache of the server (count).
        audio_tokens: The tokens of audio in the prompt (count).
    """

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionTokensDetails(WireStruct, frozen=True, kw_only=True):
    """Completion tokens of :class:`Usage` by category.

    An absent or null field is ``None``.

    Attributes:
        reasoning_tokens: The tokens of the reasoning (count).
        audio_tokens: The tokens of generated audio (count).
        accepted_prediction_tokens: The tokens of a predicted output that the answer contains (count).
        rejected_prediction_tokens: The tokens of a predicted output that the answer does not contain (count).
    """

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(WireStruct, frozen=True, kw_only=True):
    """Token counts of a run or a step, under any of the names that servers use.

    Both spellings of the prompt details, and ``input_tokens``/``output_tokens``, are read into the same fields
    (wire reference, "Dialect differences").

    An absent or null field is ``None``.

    Attributes:
        prompt_tokens: The tokens that the model read (count); ``input_tokens`` on some wires.
        completion_tokens: The tokens that the model generated (count); ``output_tokens`` on some wires.
        total_tokens: The sum as the server sends it (count).
        prompt_tokens_details: The prompt tokens by category, under either spelling.
        completion_tokens_details: The completion tokens by category.
        prompt_token_details: The same as ``prompt_tokens_details``, if the server sent this spelling. Read the other
            field.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    # The spelling that OpenAI itself sends: a separate field, so that the strict decoder accepts it.
    prompt_token_details: PromptTokensDetails | None = None

    _aliases: ClassVar[Mapping[str, str]] = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens_details": "completion_tokens_details",
    }

    def __post_init__(self) -> None:
        if self.prompt_token_details is not None and self.prompt_tokens_details is None:
            structs.force_setattr(self, "prompt_tokens_details", self.prompt_token_details)

    def to_dict(self) -> dict[str, Any]:
        """The counts as received: details sent under one spelling are not written under both."""
        out = super().to_dict()
        if self._wire is None and self.prompt_tokens_details is self.prompt_token_details:
            out.pop("prompt_tokens_details", None)
        return out

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; both spellings of the prompt details count as one field."""
        one, other = "prompt_tokens_details", "prompt_token_details"
        if (one in changes) != (other in changes) and self.prompt_token_details is not None:
            changes[one] = changes[other] = changes[one] if one in changes else changes[other]
        return super().replace(**changes)


def derive_usage(values: dict[str, Any]) -> bool:
    """Read the usage from the metadata, where open-assistant-api sends it as JSON text.

    Args:
        values: Fields by attribute name; ``usage`` is added to them.

    Returns:
        True if the usage was added.
    """
    text = values["metadata"].get("usage") if "metadata" in values else None
    if text is None or "usage" in values:
        return False
    try:
        found = decode_json(text)
    except DecodeError:
        return False
    usage = read(Usage, found, []) if isinstance(found, dict) else None
    if usage is not None:
        values["usage"] = usage
    return usage is not None


def keep_usage(owner: WireStruct, usage: Usage | None, changes: dict[str, Any]) -> None:
    """Add the usage to ``changes`` if they replace the metadata that contained it."""
    if "metadata" in changes and owner._wire is not None and "usage" not in owner._wire:
        changes.setdefault("usage", usage)


class LastError(WireStruct, frozen=True, kw_only=True):
    """The error of a failed run or step; ``code`` is an open set (``server_error``, ``rate_limit_exceeded``, …).

    An absent or null field is ``None``.

    Attributes:
        code: The code of the error: ``server_error``, ``rate_limit_exceeded``, ``invalid_prompt``, or any other.
        message: The description by the server. It can contain text of users.
    """

    code: str | None = None
    message: str | None = None


class ErrorObject(WireStruct, frozen=True, kw_only=True):
    """The data of the server's ``error`` event, flat or nested as ``{"error": {...}}``.

    An absent or null field is ``None``.

    Attributes:
        code: The code of the error, an open set; a number is kept as text.
        message: The description by the server. It can contain text of users.
        param: The name of the request field that caused the error.
        type: The class of the error, such as ``invalid_request_error``; an open set.
    """

    code: str | None = None
    message: str | None = None
    param: str | None = None
    type: str | None = None

    @classmethod
    def unwrap(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The error object itself: the inner object of ``{"error": {...}}``, else ``data``."""
        inner = data.get("error")
        return inner if isinstance(inner, dict | FrozenMap) else data


def error_summary(error: ErrorObject) -> str:
    """Return what a log may contain of a server's error: words of the library, and the code if it is a short name."""
    return f"the server sent an error ({error.code})" if is_code(error.code) else "the server sent an error"


def is_code(value: object) -> bool:
    """Return whether a server's code, type or reason is a short name: any other text may quote anything."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None
