"""URLs of an API below its base URL."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit, urlunsplit

__all__ = ["join_url"]


def join_url(base: str, *path: str, scheme: str | None = None, **query: str) -> str:
    """A URL below a base URL, whose query is kept.

    Args:
        base: The base URL.
        path: The segments of the path below it; they are quoted.
        scheme: Another scheme; ``None`` for that of the base.
        query: Parameters of the query, behind those of the base.
    """
    parts = urlsplit(base)
    whole = "/".join([parts.path.rstrip("/"), *(quote(each, safe="") for each in path)])
    values = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit((scheme or parts.scheme, parts.netloc, whole, values, ""))
