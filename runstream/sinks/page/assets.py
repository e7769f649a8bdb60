"""The page's files, and the headers that they are sent with."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["HEADERS", "SOCKET", "asset"]

SOCKET: Final = "/socket"
"""The path of the socket, relative to the page."""

_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/cards.js": ("cards.js", "text/javascript; charset=utf-8"),
    "/drawing.js": ("drawing.js", "text/javascript; charset=utf-8"),
    "/find.js": ("find.js", "text/javascript; charset=utf-8"),
    "/log.js": ("log.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS: Final[tuple[tuple[str, str], ...]] = (
    # The page's own files and its own socket only: no inline script, no other host, no frame around it.
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


def asset(path: str) -> tuple[str, bytes] | None:
    """The content type and the bytes of the file at a path; ``None`` if there is none."""
    found = _FILES.get(path)
    return (found[1], _read(found[0])) if found is not None else None


@cache
def _read(name: str) -> bytes:
    return files("runstream.sinks.page").joinpath("static", name).read_bytes()
