"""Checks of the arguments of clients."""

from __future__ import annotations

import inspect
from typing import Final
from urllib.parse import urlsplit

__all__ = ["check_functions", "check_url"]

_ARGUMENTS: Final = {  # the names of the arguments of each function
    "approve": ("call", "run"),
    "on_tool_error": ("failure",),
    "on_unanswered": ("signal", "calls"),
}


def check_url(client: str, url: object) -> None:
    """Check that the URL of a client is an HTTP URL. No message has the URL: it may contain credentials.

    Raises:
        TypeError: It is no text.
        ValueError: It has another scheme, or no host.
    """
    takes = f"{client} takes an http:// or https:// URL"
    if not isinstance(url, str):
        raise TypeError(f"{takes}, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # the message of the standard library may contain the credentials
        raise ValueError(f"{takes}, and this is none") from None
    if parts.scheme in ("ws", "wss"):
        raise ValueError(f'{takes}; for a WebSocket: ResponsesClient("http{parts.scheme[2:]}://…", websocket=True)')
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{takes}, and this is none" + ("" if "://" in url else ': "://" is missing'))


def check_functions(**functions: object) -> None:
    """Check the functions that a client calls later.

    Raises:
        TypeError: One is no function, or does not take its arguments.
    """
    for name, function in functions.items():
        if function is None:
            continue
        if not callable(function):
            raise TypeError(f"{name} is a function, not {type(function).__name__}")
        arguments = _ARGUMENTS[name]
        try:
            signature = inspect.signature(function)
        except ValueError:
            continue  # one of a library in C
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise TypeError(f"{name} is called as {name}({', '.join(arguments)}): {error}") from error
