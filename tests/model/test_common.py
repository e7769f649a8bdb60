"""What runs, steps and messages have in common: open enumerations, usage, errors."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest

from runstream.model import (
    ErrorObject,
    LastError,
    MessageStatus,
    OpenStrEnum,
    PromptTokensDetails,
    RunStatus,
    StepStatus,
    Usage,
)
from runstream.model.frozen import FrozenMap

ENUMS = [RunStatus, StepStatus, MessageStatus]


@pytest.mark.parametrize("kind", ENUMS)
def test_known_members(kind: type[OpenStrEnum]) -> None:
    """Known members are singletons, as in any enumeration."""
    for member in kind:
        assert member.is_known
        assert kind(member.value) is member
        assert pickle.loads(pickle.dumps(member)) is member
        assert copy.deepcopy(member) is member
        assert member == member.value
        assert str(member) == f"{member}" == member.value


@pytest.mark.parametrize("value", ["new", "", "QUEUED", "mro", "__class__", "ű"])
@pytest.mark.parametrize("kind", ENUMS)
def test_unknown_members(kind: type[OpenStrEnum], value: str) -> None:
    """Unknown members behave like known ones, but are not remembered."""
    before = len(kind)
    member = kind(value)
    assert isinstance(member, kind)
    assert isinstance(member, enum.Enum)
    assert not member.is_known
    assert (member.value, member.name) == (value, value)
    assert member == kind(value) == value
    assert hash(member) == hash(value)
    assert str(member) == f"{member}" == value
    assert repr(member) == f"<{kind.__name__}.{value}: {value!r}>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(member, protocol)) == member
    assert copy.deepcopy(member) == copy.copy(member) == member
    assert member not in list(kind)
    assert len(kind) == before
    assert not kind(value).is_known


@pytest.mark.parametrize("value", [None, 5, b"queued", ["queued"], True])
def test_only_strings_are_members(value: Any) -> None:
    """Anything but a string is refused."""
    with pytest.raises(ValueError, match="is not a valid RunStatus"):
        RunStatus(value)


def test_terminal_statuses() -> None:
    """Each enumeration says which of its statuses are the last."""
    assert {status for status in RunStatus if status.is_terminal} == {
        "completed",
        "failed",
        "cancelled",
        "expired",
        "incomplete",
    }
    assert {status for status in StepStatus if status.is_terminal} == {"completed", "failed", "cancelled", "expired"}
    assert {status for status in MessageStatus if status.is_terminal} == {"completed", "incomplete"}
    assert not RunStatus("new").is_terminal
    assert StepStatus("completed") == RunStatus.COMPLETED.value  # strings, both


USAGES: list[dict[str, Any]] = [
    {"prompt_tokens_details": {"cached_tokens": 1}},
    {"prompt_token_details": {"cached_tokens": 1}},
    {"prompt_token_details": {"cached_tokens": 1}, "x": 1},
    {"input_tokens_details": {"cached_tokens": 1}},
    {"prompt_tokens_details": {"cached_tokens": 1}, "prompt_token_details": {"cached_tokens": 2}},
]


@pytest.mark.parametrize("data", USAGES)
def test_replacing_and_clearing_usage_details(data: dict[str, Any]) -> None:
    """Details can be replaced and cleared, whatever the spelling that they came under."""
    usage = Usage.from_json(data)
    new = PromptTokensDetails(cached_tokens=5)
    changed = usage.replace(prompt_tokens_details=new)
    assert changed.prompt_tokens_details == new
    again = Usage.from_json(changed.to_json())
    assert again == changed
    assert again.prompt_tokens_details == new
    cleared = usage.replace(prompt_tokens_details=None)
    assert cleared.prompt_tokens_details is None
    assert cleared.to_dict() == {key: item for key, item in data.items() if key == "x"}
    assert usage.replace(total_tokens=1).to_dict() == {**data, "total_tokens": 1}
    assert usage.to_dict() == data
    with pytest.raises(TypeError, match="no field"):
        usage.replace(prompt_tokens_detail=None)


def test_replacing_under_the_other_spelling() -> None:
    """The two spellings are one field for `replace` too."""
    new = PromptTokensDetails(cached_tokens=5)
    usage = Usage.from_json(USAGES[1])
    assert usage.replace(prompt_token_details=new).prompt_tokens_details == new
    assert usage.replace(prompt_token_details=new).to_dict() == {"prompt_token_details": {"cached_tokens": 5}}
    assert usage.replace(prompt_token_details=None).prompt_tokens_details is None
    assert Usage.from_json(USAGES[0]).replace(prompt_token_details=new).prompt_tokens_details != new


@pytest.mark.parametrize("data", USAGES)
def test_copies_of_usage(data: dict[str, Any]) -> None:
    """A copy is written as the original is."""
    usage = Usage.from_json(data)
    for other in (copy.copy(usage), copy.deepcopy(usage), pickle.loads(pickle.dumps(usage)), usage.replace()):
        assert other == usage
        assert hash(other) == hash(usage)
        assert other.to_dict() == data


def test_usage_built_by_hand() -> None:
    """Both spellings of a field are read from either."""
    details = PromptTokensDetails(cached_tokens=1)
    assert Usage(prompt_token_details=details).prompt_tokens_details == details
    assert Usage(prompt_tokens_details=details).to_dict() == {"prompt_tokens_details": {"cached_tokens": 1}}


def test_error_codes_are_open() -> None:
    """Any code is a code."""
    for code in ("server_error", "invalid_engine_error", ""):
        assert LastError.from_json({"code": code, "message": "m"}).code == code


@pytest.mark.parametrize(
    "data",
    [
        {"message": "m", "type": "t", "param": None, "code": None},
        {"error": {"message": "m", "type": "t", "param": None, "code": None}},
        FrozenMap({"error": {"message": "m", "type": "t"}}),
    ],
)
def test_errors_flat_and_nested(data: Any) -> None:
    """The server's error is found whether or not it is nested."""
    error = ErrorObject.from_json(ErrorObject.unwrap(data))
    assert (error.message, error.type, error.code, error.param) == ("m", "t", None, None)


def test_what_only_looks_like_a_nested_error() -> None:
    """An `error` that is no object is a field like any other."""
    data = {"error": "boom", "message": "m"}
    assert ErrorObject.unwrap(data) is data
    assert ErrorObject.from_json(data).extra() == {"error": "boom"}
