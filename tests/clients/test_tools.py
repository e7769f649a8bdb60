"""Tools: schemas from signatures, arguments of calls, and what can't be a tool."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.clients.tools import LocalTool, ToolArgumentsError, ToolContext, tool, tools_by_name


class Unit(Enum):
    """A unit of temperature."""

    CELSIUS = "C"
    KELVIN = "K"


@dataclass
class Place:
    """A point on a map."""

    lat: float
    lon: float


def forecast(
    city: str, days: int = 1, unit: Unit = Unit.CELSIUS, at: Place | None = None, context: ToolContext | None = None
) -> str:
    """The forecast for a city.

    Args:
        city: The name of the city.
        days: The number of days.
    """
    return f"{city} {days} {unit.value} {at} {context.call_key if context else None}"


def test_the_schema_of_a_signature() -> None:
    """Types, defaults and descriptions are in the schema; the context is not."""
    made = LocalTool(forecast)
    assert (made.name, made.description) == ("forecast", "The forecast for a city.")
    properties = made.parameters["properties"]
    assert list(properties) == ["city", "days", "unit", "at"]
    assert properties["city"] == {"type": "string", "description": "The name of the city."}
    assert properties["days"] == {"type": "integer", "default": 1, "description": "The number of days."}
    assert properties["unit"]["default"] == "C"
    assert made.parameters["required"] == ["city"]
    assert made.parameters["additionalProperties"] is False
    assert set(made.parameters["$defs"]) == {"Place", "Unit"}


def test_the_strict_schema() -> None:
    """Strict servers demand every property, and closed objects; null stands for the default."""
    strict = LocalTool(forecast).strict_parameters
    assert strict is not None
    assert strict["required"] == ["city", "days", "unit", "at"]
    assert strict["properties"]["days"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert strict["$defs"]["Place"]["additionalProperties"] is False
    assert "default" not in msgspec.json.encode(strict).decode()


def test_values_are_converted() -> None:
    """Each argument has the type of its parameter; null and absence are the default where null is no value."""
    decoded = LocalTool(forecast).decode('{"city": "Oslo", "days": null, "unit": "K", "at": {"lat": 1, "lon": 2}}')
    assert decoded == {"city": "Oslo", "unit": Unit.KELVIN, "at": Place(1.0, 2.0)}


def test_null_is_a_value_where_the_type_has_it() -> None:
    """A parameter whose type has null gets it, and not its default."""

    def note(text: str | None = "none") -> None: ...

    assert LocalTool(note).decode('{"text": null}') == {"text": None}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"city": 1}', r"\$\.city"),
        ('{"city": "Oslo", "day": 1}', "day"),
        ("{}", "city"),
        ("[]", "object"),
        ('{"city": "Os', "truncated"),
        ('{"city": "\ud800"}', "not valid"),
        ("[" * 100_000, "not valid"),
    ],
)
def test_wrong_arguments(arguments: str, words: str) -> None:
    """The error says where the arguments are wrong, for the model."""
    with pytest.raises(ToolArgumentsError, match=words):
        LocalTool(forecast).decode(arguments)


@pytest.mark.parametrize("arguments", [None, "", "  ", "{}"])
def test_no_arguments(arguments: str | None) -> None:
    """Servers send no text, empty text or an empty object for no arguments."""

    def now() -> str:
        return "noon"

    assert LocalTool(now).decode(arguments) == {}


@given(st.text() | st.none(), st.booleans())
def test_decode_raises_nothing_else(arguments: str | None, text: bool) -> None:
    """Whatever a model sends, it is arguments or an error for the model."""
    try:
        found = LocalTool(forecast).decode(arguments, text=text)
    except ToolArgumentsError:
        return
    assert "city" in found


@given(st.dictionaries(st.sampled_from(["city", "days"]), st.text() | st.integers(-(2**62), 2**62) | st.none()))
def test_decoded_values_can_be_passed(values: dict[str, object]) -> None:
    """Decoded arguments always fit the signature."""
    try:
        found = LocalTool(forecast).decode(msgspec.json.encode(values).decode())
    except ToolArgumentsError:
        assert not isinstance(values.get("city"), str) or isinstance(values.get("days"), str)
        return
    assert forecast(**found)


def test_a_custom_tool_takes_text() -> None:
    """The text of a call of kind ``custom`` is passed to the only parameter."""

    @tool(kind="custom")
    def run_sql(statement: str) -> str:
        return statement

    assert run_sql.decode("select 1", text=True) == {"statement": "select 1"}
    with pytest.raises(ToolArgumentsError, match="plain text"):
        LocalTool(forecast).decode("select 1", text=True)
    with pytest.raises(TypeError, match="one parameter"):
        LocalTool(forecast, kind="custom")


def test_a_schema_of_the_application() -> None:
    """With ``parameters`` the arguments are passed as they are."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}

    @tool(name="square", description="Squares.", parameters=schema)
    def square(**arguments: Any) -> int:
        return int(arguments["x"]) ** 2

    assert square.parameters == schema
    assert square.strict_parameters == {**schema, "additionalProperties": False}
    assert square(**square.decode('{"x": 3}')) == 9


def test_the_context_is_passed_if_it_is_asked_for() -> None:
    """A parameter of the class `ToolContext` receives the call, whatever its name."""

    def pay(cents: int, call: ToolContext) -> None: ...

    context = object()
    assert LocalTool(pay).bind({"cents": 1}, context) == {"cents": 1, "call": context}  # type: ignore[arg-type]
    assert "call" not in LocalTool(pay).parameters["properties"]


class Meter:
    """An object with tools."""

    async def read(self, number: Annotated[int, msgspec.Meta(description="Its number.", ge=1)]) -> int:
        """The value of a meter."""
        return number

    def __call__(self, number: int) -> int:
        """The same, called."""
        return number


def test_methods_partials_and_callable_objects() -> None:
    """Anything that can be called by name is a tool."""
    read = LocalTool(Meter().read)
    assert read.name == "read"
    assert read.is_async
    assert read.parameters["properties"]["number"] == {"type": "integer", "minimum": 1, "description": "Its number."}
    assert LocalTool(Meter()).name == "Meter"
    partial = LocalTool(functools.partial(forecast, days=3), name="three_days")
    assert partial.decode('{"city": "Oslo"}') == {"city": "Oslo"}
    assert partial.parameters["properties"]["days"]["default"] == 3


@pytest.mark.parametrize(
    "hint",
    [dict[str, int], Any, list[Any], dict],
    ids=["free keys", "any", "a list of any", "an object"],
)
def test_no_strict_form(hint: Any) -> None:
    """Parameters whose values have no named fields have no strict form, and a schema all the same."""

    def keep(value: Any) -> None: ...

    keep.__annotations__["value"] = hint
    made = LocalTool(keep)
    assert made.strict_parameters is None
    assert "value" in made.parameters["properties"]


def test_a_class_with_defaults_has_no_strict_form() -> None:
    """Null would not be a value of such a field."""

    class Options(msgspec.Struct):
        size: int = 1

    def scale(options: Options) -> None: ...

    scale.__annotations__["options"] = Options
    assert LocalTool(scale).strict_parameters is None


def test_what_can_not_be_a_tool() -> None:
    """The error names the tool and the remedy."""
    with pytest.raises(TypeError, match="parameters="):
        LocalTool(lambda *args: None, name="rest")
    with pytest.raises(ValueError, match="pass name="):
        LocalTool(lambda: None)
    with pytest.raises(TypeError, match="a tool is a function"):
        LocalTool("date")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        LocalTool(forecast, timeout=0)

    def when(at: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="top of a module"):
        LocalTool(when)

    def call(fn: Meter) -> None: ...

    with pytest.raises(TypeError, match="tool call"):
        LocalTool(call)


def test_names_are_unique() -> None:
    """Two tools with one name are an error; one tool twice is not."""
    assert list(tools_by_name([forecast, forecast])) == ["forecast"]
    with pytest.raises(ValueError, match="forecast"):
        tools_by_name([forecast, tool(name="forecast")(lambda: None)])


def test_dates_and_literals() -> None:
    """Values are converted as msgspec converts them."""

    def book(day: date, seat: Literal["aisle", "window"] = "aisle") -> None: ...

    made = LocalTool(book)
    assert made.decode('{"day": "2026-03-01"}') == {"day": date(2026, 3, 1)}
    with pytest.raises(ToolArgumentsError, match="seat"):
        made.decode('{"day": "2026-03-01", "seat": "roof"}')
