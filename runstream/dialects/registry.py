"""Dialects by name: a name or a factory enters, the decoder of one source leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.auto import AutoDialect, Choice
from runstream.dialects.base import BaseDialect, Dialect, KnownIds
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent

__all__ = [
    "COMMON_DIALECT",
    "DEFAULT_DIALECT",
    "DialectFactory",
    "DialectLike",
    "FindRun",
    "ResolvedFactory",
    "dialect_names",
    "find_dialect",
    "make_dialect",
    "recognise_dialect",
    "register_dialect",
    "resolve_dialect",
]

FindRun: TypeAlias = Callable[[str], str | None]
"""Returns the id of the run that waits for action and that an id names; see :class:`DialectFactory`."""

DEFAULT_DIALECT: Final = "auto"
"""The dialect of a source for which none is named: the first event that a dialect recognises decides."""

COMMON_DIALECT: Final = "assistants"
"""The dialect that needs no mention where it was found."""


class DialectFactory(Protocol):
    """Makes the decoder of one source. It is called with three keyword arguments::

        factory(*, continues: str | None, memory: bytes | None, find_run: FindRun | None) -> Dialect

    - ``continues``: the id of the run that the source continues, as the application knows it. It has precedence over
      each link on the wire, and names the first run that the source begins.
    - ``memory``: the :meth:`Dialect.dump` of an earlier decoder of this source, in whose place the new one goes on. A
      stream with a store passes it when a source of the same name and scope is attached after a restart.
    - ``find_run``: a function that returns the id of the run of this scope that waits for action and that an id names:
      as its own id, as the id of its last piece, or as the id of a call that it waits for. It returns ``None`` if there
      is no such run, or more than one. A dialect follows a link to an earlier request with it. Its cost does not grow
      with the number of runs. With a store, a run that is not in memory is found by its own id.

    A function or class that takes only some of them, or none, is a factory too.
    """

    def __call__(
        self, *, continues: str | None = None, memory: bytes | None = None, find_run: FindRun | None = None
    ) -> Dialect:
        """Make a decoder."""


DialectLike: TypeAlias = str | DialectFactory | Callable[[], Dialect]
"""The name of a registered dialect, a factory, or a function (or class) that is called without arguments."""


class ResolvedFactory:
    """A factory that takes every keyword argument, and passes on those that the wrapped factory takes.

    Args:
        factory: The wrapped factory.
        keywords: The keyword arguments that it takes, of ``continues``, ``memory``, ``find_run``, ``limits`` and
            ``known``.
        recognises: The :meth:`Dialect.recognises` of its dialect; ``None`` if it has none.
        name: The name under which it is registered; ``None`` if it is not.

    Attributes:
        recognises: Returns True for a raw event that is certainly one of its wire.
        name: The name under which it is registered; ``None`` if it is not.
    """

    __slots__ = ("_factory", "_keywords", "name", "recognises")

    def __init__(
        self,
        factory: Callable[..., Dialect],
        keywords: tuple[str, ...],
        recognises: Callable[[RawEvent], bool] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name
        self._factory = factory
        self._keywords = keywords
        self.recognises: Callable[[RawEvent], bool] = recognises or BaseDialect.recognises

    def __call__(
        self,
        *,
        continues: str | None = None,
        memory: bytes | None = None,
        find_run: FindRun | None = None,
        limits: Limits | None = None,
        known: KnownIds | None = None,
    ) -> Dialect:
        """Make a decoder."""
        values = {"continues": continues, "memory": memory, "find_run": find_run, "limits": limits, "known": known}
        return self._factory(**{name: values[name] for name in self._keywords})


def _make_assistants(limits: Limits | None) -> Dialect:
    return AssistantsDialect(**_bounds(limits))


def _make_responses(limits: Limits | None, **given: Any) -> Dialect:
    from runstream.dialects.responses import ResponsesDialect  # loaded when it is used

    return ResponsesDialect(**given, **_bounds(limits))


def _make_langgraph(limits: Limits | None, **given: Any) -> Dialect:
    from runstream.dialects.langgraph import LangGraphDialect  # loaded when it is used

    return LangGraphDialect(**given, **_bounds(limits))


def _make_langgraph_thread(limits: Limits | None, **given: Any) -> Dialect:
    from runstream.dialects.langgraph_thread import LangGraphThreadDialect  # loaded when it is used

    return LangGraphThreadDialect(**given, **_bounds(limits))


def _make_ag_ui(limits: Limits | None, **given: Any) -> Dialect:
    from runstream.dialects.ag_ui import AgUiDialect  # loaded when it is used

    return AgUiDialect(**given, **_bounds(limits))


def _is_responses(raw: RawEvent) -> bool:
    from runstream.dialects.responses import ResponsesDialect  # loaded when no other dialect is known to be the one

    return ResponsesDialect.recognises(raw)


def _is_langgraph(raw: RawEvent) -> bool:
    from runstream.dialects.langgraph import LangGraphDialect  # as above

    return LangGraphDialect.recognises(raw)


def _is_langgraph_thread(raw: RawEvent) -> bool:
    from runstream.dialects.langgraph_thread import LangGraphThreadDialect  # as above

    return LangGraphThreadDialect.recognises(raw)


def _is_ag_ui(raw: RawEvent) -> bool:
    from runstream.dialects.ag_ui import AgUiDialect  # likewise

    return AgUiDialect.recognises(raw)


def _make_auto(limits: Limits | None, memory: bytes | None, **given: Any) -> Dialect:
    def make(name: str, memory: bytes | None) -> Dialect:
        return _registered[name](memory=memory, limits=limits, **given)

    return AutoDialect(Choice(recognise_dialect, make, _choices), memory, **_bounds(limits))


def _bounds(limits: Limits | None) -> dict[str, Any]:
    """The bounds of a message, as arguments of a dialect."""
    if limits is None:
        return {}
    return {"max_message_bytes": limits.max_message_bytes, "max_nesting": limits.max_nesting}


def _choices() -> tuple[str, ...]:
    """The names of the dialects among which ``"auto"`` chooses."""
    return tuple(name for name in dialect_names() if name != DEFAULT_DIALECT)


def recognise_dialect(raw: RawEvent) -> str | None:
    """The name of the dialect that recognises a raw event: of the registered ones first, then of the library's."""
    for name, factory in _registered.items():
        if name not in _BUILT_IN and factory.recognises(raw):
            return name
    # No other wire has these names, so that no other dialect needs to be loaded.
    if (raw.event or "").startswith(_ASSISTANTS_NAME) or raw.data.startswith(_ASSISTANTS_ENVELOPE):
        return COMMON_DIALECT
    for name, factory in _BUILT_IN.items():
        if factory.recognises(raw):
            return name
    return None


_ASSISTANTS_NAME: Final = "thread."
_ASSISTANTS_ENVELOPE: Final = b'{"event":"thread.'
_PUBLIC_KEYWORDS: Final = ("continues", "memory", "find_run")
_ALL_KEYWORDS: Final = (*_PUBLIC_KEYWORDS, "limits")
_WITH_KNOWN: Final = (*_ALL_KEYWORDS, "known")
# In the order in which they are asked: the most exact one first, and last the one that takes errors in any form.
_BUILT_IN: Final = {
    DEFAULT_DIALECT: ResolvedFactory(_make_auto, _WITH_KNOWN, None, DEFAULT_DIALECT),
    "langgraph-thread": ResolvedFactory(
        _make_langgraph_thread, _ALL_KEYWORDS, _is_langgraph_thread, "langgraph-thread"
    ),
    "langgraph": ResolvedFactory(_make_langgraph, _WITH_KNOWN, _is_langgraph, "langgraph"),
    "ag-ui": ResolvedFactory(_make_ag_ui, _WITH_KNOWN, _is_ag_ui, "ag-ui"),
    "responses": ResolvedFactory(_make_responses, _WITH_KNOWN, _is_responses, "responses"),
    COMMON_DIALECT: ResolvedFactory(_make_assistants, ("limits",), AssistantsDialect.recognises, COMMON_DIALECT),
}
_registered: dict[str, ResolvedFactory] = dict(_BUILT_IN)


def register_dialect(name: str, factory: DialectFactory | Callable[[], Dialect]) -> None:
    """Register a dialect under a name, by which sources, :func:`fold` and the command line then find it.

    ::

        runstream.register_dialect("mine", MyDialect)
        runstream.connect(url, dialect="mine")

    A later registration of a name replaces an earlier one, for sources that are attached afterwards.

    Args:
        name: The name.
        factory: Called for each source, as :class:`DialectFactory` says: with the keyword arguments ``continues``,
            ``memory`` and ``find_run``, or with those of them that it takes, or without arguments. A factory that has
            a parameter ``limits`` also receives the :class:`Limits` of the stream.

    Raises:
        ValueError: The name is empty, or is that of a dialect of the library.
        TypeError: The factory can't be called so.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a dialect is a string, not {type(name).__name__}")
    if not name:
        raise ValueError("the name of a dialect is not empty")
    if name in _BUILT_IN:
        raise ValueError(f"{name!r} is a dialect of the library: register yours under another name")
    if isinstance(factory, str):
        raise TypeError("register_dialect() takes a factory, not the name of another dialect")
    found = find_dialect(factory)
    _registered[name] = ResolvedFactory(found._factory, found._keywords, found.recognises, name)


def dialect_names() -> tuple[str, ...]:
    """The names of all registered dialects, sorted."""
    return tuple(sorted(_registered))


def find_dialect(dialect: DialectLike) -> ResolvedFactory:
    """The factory of a dialect.

    Args:
        dialect: A name, or a factory.

    Raises:
        ValueError: The name is not registered; the message has the names that are.
        TypeError: The factory can't be called as a factory is, or is none.
    """
    if isinstance(dialect, ResolvedFactory):
        return dialect
    if isinstance(dialect, str):
        found = _registered.get(dialect)
        if found is None:
            names = ", ".join(map(repr, dialect_names()))
            raise ValueError(
                f"{dialect!r} is not a registered dialect. Registered: {names}. "
                "runstream.register_dialect(name, factory) adds another one"
            )
        return found
    if not callable(dialect):
        kind = type(dialect).__name__
        raise TypeError(f"a dialect is a name or a function that makes a decoder for each source, not {kind}")
    made = getattr(dialect, "func", dialect)  # of a partial call
    return ResolvedFactory(dialect, _keywords_of(dialect), getattr(made, "recognises", None))


def make_dialect(
    dialect: DialectLike | Dialect | None = None,
    *,
    continues: str | None = None,
    memory: bytes | None = None,
    find_run: FindRun | None = None,
    limits: Limits | None = None,
    known: KnownIds | None = None,
) -> Dialect:
    """The decoder of one source.

    Args:
        dialect: A name, a factory, or a decoder that is used as it is; ``None`` for the default dialect.
        continues: The id of the run that the source continues.
        memory: The memory of an earlier decoder of this source.
        find_run: Returns the waiting run that an id names.
        limits: The bounds, for factories that have a parameter of this name.
        known: What the runs of the scope have, for dialects of the library.

    Raises:
        ValueError: The name is not registered.
        TypeError: The factory can't be called as a factory is.
    """
    return resolve_dialect(dialect)(continues=continues, memory=memory, find_run=find_run, limits=limits, known=known)


def resolve_dialect(dialect: DialectLike | Dialect | None) -> ResolvedFactory:
    """The factory of a dialect. That of a decoder returns this decoder.

    Args:
        dialect: A name, a factory, or a decoder; ``None`` for the default dialect.

    Raises:
        ValueError: The name is not registered.
        TypeError: The factory can't be called as a factory is.
    """
    if dialect is None:
        dialect = DEFAULT_DIALECT
    if isinstance(dialect, str) or callable(dialect):
        return find_dialect(dialect)
    decoder = dialect
    return ResolvedFactory(lambda: decoder, ())


def _keywords_of(factory: Callable[..., Any]) -> tuple[str, ...]:
    """The keyword arguments that a factory takes, of those that may be passed to it."""
    import inspect  # only here: most programs use a name

    try:
        signature = inspect.signature(factory)
    except ValueError:
        return ()  # of a builtin that does not say
    found: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            found += [name for name in _PUBLIC_KEYWORDS if name not in found]
        elif parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name in (*_PUBLIC_KEYWORDS, "limits"):
            found.append(parameter.name)
    try:
        signature.bind(**dict.fromkeys(found))
    except TypeError as error:
        raise TypeError(
            f"a dialect factory is called with `continues`, `memory` and `find_run`, or without arguments: {error}"
        ) from None
    return tuple(found)
