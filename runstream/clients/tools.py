"""Tools: plain functions that a model may call, with the JSON Schema of their arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_type_hints, overload

import msgspec
from msgspec import UNSET, Struct, UnsetType

from runstream.clients.docstrings import read_docstring
from runstream.clients.schemas import arguments_schema, strict_schema
from runstream.errors import RunstreamError
from runstream.model.callables import is_coroutine_function
from runstream.model.run import Run

__all__ = ["LocalTool", "ToolArgumentsError", "ToolContext", "ToolLike", "tool", "tools_by_name"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_POSITIONAL: Final = inspect.Parameter.POSITIONAL_ONLY
_VARIABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ToolContext(Struct, frozen=True, kw_only=True):
    """The call that a tool executes; passed to a parameter of the tool that is annotated with this class.

    Attributes:
        call_key: The key of the call. It is the same after a restart, so that a tool can make its effect idempotent.
        call_id: The id of the call on the wire.
        run_id: The id of the run.
        thread_id: The id of its thread; ``None`` if unknown.
        run: The run as it waits.
    """

    call_key: str
    call_id: str
    run_id: str
    thread_id: str | None
    run: Run


class ToolArgumentsError(RunstreamError, ValueError):
    """The arguments of a call do not fit the tool; the message says where. It is sent to the model as the output."""


class LocalTool:
    """A function that a model may call.

    Made by :func:`tool`; clients make one of each plain function. Calling it calls the function.

    Attributes:
        name: The name for the model.
        description: The description for the model, "" for none.
        kind: ``"function"``, or ``"custom"``: the model sends plain text, which is passed to the only parameter.
        parameters: The JSON Schema of the arguments.
        strict_parameters: The schema in the form that servers demand for strict arguments: each object names all its
            properties, all are required, and those with a default may be null. ``None`` if the parameters have no
            such form, as with a ``dict``.
        timeout: The longest time of one call (seconds); ``None``: that of the client.
        fn: The function.
    """

    __slots__ = (
        "_context",
        "_decoder",
        "_nullable",
        "_text",
        "description",
        "fn",
        "kind",
        "name",
        "parameters",
        "strict_parameters",
        "timeout",
    )

    def __init__(
        self,
        fn: Callable[..., object],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        kind: Literal["function", "custom"] = "function",
        timeout: float | None = None,
    ) -> None:
        if isinstance(fn, Mapping):
            raise TypeError(
                "a tool is a function, not a dict: what the server itself executes is part of the body, "
                "run({'tools': [{...}]})"
            )
        if not callable(fn):
            raise TypeError(f"a tool is a function, not a {type(fn).__name__}")
        self.fn = fn
        self.name = _check_name(name if name is not None else getattr(fn, "__name__", type(fn).__name__))
        if timeout is not None and not 0 < timeout < float("inf"):
            raise ValueError("timeout must be a positive number of seconds")
        if kind not in ("function", "custom"):
            raise ValueError(f"kind is 'function' or 'custom', not {kind!r}")
        self.timeout = timeout
        self.kind = kind
        text, described = read_docstring(inspect.getdoc(fn) or "")
        self.description = text if description is None else description
        signature = _signature(fn, self.name)
        hints = {} if parameters is not None else _hints(fn, self.name)
        contexts = [one for one in signature if hints.get(one.name) in (ToolContext, ToolContext | None)]
        self._context = contexts[0].name if contexts else None
        self._nullable: frozenset[str] = frozenset()
        self._text: str | None = None
        if parameters is not None:
            self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any])
            self.parameters: dict[str, Any] = dict(parameters)
            self.strict_parameters: dict[str, Any] | None = strict_schema(self.parameters)
            return
        fields = [one for one in signature if one.name != self._context]
        for one in fields:
            if one.kind is _POSITIONAL or one.kind in _VARIABLE:
                raise TypeError(
                    f"tool {self.name}: the parameter {one} can't be passed by name; "
                    "use a named parameter, or pass parameters= (a JSON Schema)"
                )
        if kind == "custom" and (len(fields) != 1 or hints.get(fields[0].name, str) is not str):
            raise TypeError(f"tool {self.name}: a custom tool has one parameter, and it is a str")
        self._text = fields[0].name if len(fields) == 1 and hints.get(fields[0].name, str) is str else None
        arguments = _arguments_type(self.name, fields, hints)
        try:
            self._decoder = msgspec.json.Decoder(arguments)
            self.parameters = arguments_schema(arguments, fields, described)
        except TypeError as error:
            raise _no_schema(self.name, fields, hints, error) from error
        self.strict_parameters = strict_schema(self.parameters)
        self._nullable = frozenset(
            one.name for one in fields if one.default is not one.empty and not _allows_none(hints.get(one.name, Any))
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalTool({self.name!r})"

    @property
    def is_async(self) -> bool:
        """True if calling the function makes a coroutine."""
        return is_coroutine_function(self.fn)

    def decode(self, arguments: str | None, *, text: bool = False) -> dict[str, Any]:
        """The keyword arguments of a call, converted to the types of the parameters.

        A parameter that is left out has the default of the function; so has one that is null, where its type has no
        null (strict servers send that).

        Args:
            arguments: The arguments as the wire has them: a JSON object. Empty text stands for an empty object.
            text: True if they are plain text, for the only parameter.

        Raises:
            ToolArgumentsError: They do not fit the parameters.
        """
        if text:
            if self._text is None:
                raise ToolArgumentsError(f"{self.name} takes a JSON object, and the call has plain text")
            return {self._text: arguments or ""}
        data = (arguments or "").strip() or "{}"
        try:
            value = self._decoder.decode(self._without_nulls(data) if self._nullable else data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolArgumentsError(f"the arguments are not valid: {error}") from None
        if isinstance(value, dict):
            return value
        return {name: field for name in value.__struct_fields__ if (field := getattr(value, name)) is not UNSET}

    def bind(self, arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """The keyword arguments with the context, if the function has a parameter for it."""
        return arguments if self._context is None else {**arguments, self._context: context}

    def _without_nulls(self, data: str) -> bytes:
        value = msgspec.json.decode(data)
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if item is not None or key not in self._nullable}
        return msgspec.json.encode(value)


ToolLike: TypeAlias = LocalTool | Callable[..., object]
"""A :class:`LocalTool`, or a function that a client makes one of."""


@overload
def tool(fn: Callable[..., object], /) -> LocalTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    kind: Literal["function", "custom"] = "function",
    timeout: float | None = None,
) -> Callable[[Callable[..., object]], LocalTool]: ...
def tool(
    fn: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    kind: Literal["function", "custom"] = "function",
    timeout: float | None = None,
) -> LocalTool | Callable[[Callable[..., object]], LocalTool]:
    """Make a tool of a function, sync or async; a decorator with or without arguments.

    ::

        @tool(name="get_weather", timeout=10)
        async def weather(city: str, days: int = 1) -> dict[str, float]:
            \"\"\"The forecast for a city.

            Args:
                city: The name of the city.
                days: The number of days.
            \"\"\"

    The schema comes from the signature, and the descriptions from the docstring (Google, NumPy or Sphinx style) or
    from ``Annotated[..., msgspec.Meta(description=...)]``. A parameter that is annotated with :class:`ToolContext`
    is not part of the schema; it receives the call.

    Args:
        fn: The function.
        name: Its name for the model; that of the function by default. 1 to 64 letters, digits, ``_`` and ``-``.
        description: Its description for the model; that of the docstring by default.
        parameters: The JSON Schema of the arguments, in place of the one from the signature. The arguments are then
            passed by name as they are, without conversion.
        kind: ``"custom"`` for a tool that takes plain text.
        timeout: The longest time of one call (seconds).

    Raises:
        TypeError: The function has a parameter that can't be passed by name, or whose type is not known or can't be
            described by a schema.
        ValueError: The name or the time-out is outside its range.
    """

    def make(function: Callable[..., object]) -> LocalTool:
        return LocalTool(
            function, name=name, description=description, parameters=parameters, kind=kind, timeout=timeout
        )

    return make if fn is None else make(fn)


def tools_by_name(tools: Iterable[ToolLike]) -> dict[str, LocalTool]:
    """Tools by their names.

    Raises:
        ValueError: Two tools have one name.
        TypeError: See :func:`tool`.
    """
    if not isinstance(tools, Iterable):
        raise TypeError(f"tools is a list of functions, not {type(tools).__name__}")
    found: dict[str, LocalTool] = {}
    for one in tools:
        made = one if isinstance(one, LocalTool) else LocalTool(one)
        if found.setdefault(made.name, made).fn is not made.fn:
            raise ValueError(f"two tools have the name {made.name}")
    return found


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of a tool has 1 to 64 letters, digits, _ and -, not {name!r}; pass name=")
    return name


def _signature(fn: Callable[..., object], name: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fn).parameters.values())
    except ValueError as error:
        raise TypeError(f"tool {name}: the function has no signature; pass parameters= (a JSON Schema)") from error


def _hints(fn: Callable[..., object], name: str) -> dict[str, Any]:
    function: Any = inspect.unwrap(fn)
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"tool {name}: {error}; types of parameters are defined at the top of a module") from error


def _arguments_type(name: str, fields: Iterable[inspect.Parameter], hints: Mapping[str, Any]) -> type[Struct]:
    required = [(one.name, hints.get(one.name, Any)) for one in fields if one.default is one.empty]
    optional = [
        (one.name, hints.get(one.name, Any) | UnsetType if one.name in hints else Any, UNSET)
        for one in fields
        if one.default is not one.empty
    ]
    try:
        return msgspec.defstruct(name, [*required, *optional], kw_only=True, forbid_unknown_fields=True)
    except TypeError as error:
        raise TypeError(f"tool {name}: {error}") from error


def _no_schema(name: str, fields: Iterable[inspect.Parameter], hints: Mapping[str, Any], error: TypeError) -> TypeError:
    """The exception for a parameter whose type has no JSON Schema: which one, and what to do."""
    for one in fields:
        try:
            msgspec.json.schema(hints.get(one.name, Any))
        except TypeError:
            return TypeError(
                f"tool {name}: the type of the parameter {one.name} has no JSON Schema: use builtins, a dataclass, a "
                "TypedDict or a Struct, or pass parameters= (a JSON Schema)"
            )
    return TypeError(f"tool {name}: {error}")


def _allows_none(hint: Any) -> bool:
    return hint is Any or hint is None or type(None) in getattr(hint, "__args__", ())
