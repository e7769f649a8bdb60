"""Who may connect."""

from __future__ import annotations

import pytest

from runstream.sinks.page.origins import OriginPolicy, is_loopback


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", None),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("LOCALHOST:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("192.168.1.7:8000", "http://192.168.1.7:8000"),
        ("dash.localhost", "https://dash.localhost"),
        ("named.example:8000", "http://named.example:8000"),
        ("127.0.0.1:8000", "https://friend.example"),
        ("friend.example", "https://friend.example"),
        ("friend.example", None),
    ],
)
def test_its_own_page_and_those_on_the_list_may(host: str, origin: str | None) -> None:
    access = OriginPolicy(["https://Friend.example/"], ["named.example"])
    assert access.refusal(host, origin) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        ("", "http://127.0.0.1:8000"),
        ("127.0.0.1:8000", "http://evil.example"),
        ("127.0.0.1:8000", "http://127.0.0.1:9000"),
        ("127.0.0.1:8000", "http://127.0.0.1"),
        ("127.0.0.1:8000", "null"),
        ("127.0.0.1:8000", ""),
        ("127.0.0.1:8000", "file://127.0.0.1:8000"),
        ("127.0.0.1:8000", "http://friend.example"),
        ("127.0.0.1:8000", "https://friend.example.evil.example"),
        ("evil.example:8000", "http://evil.example:8000"),  # a name that was made to point here
        ("evil.example:8000", None),
        ("127.0.0.1.evil.example", None),
        ("localhost.evil.example", None),
        ("[::1", None),
        ("user@evil.example", None),
    ],
)
def test_nobody_else_may(host: str | None, origin: str | None) -> None:
    assert OriginPolicy(["https://friend.example"]).refusal(host, origin) is not None


def test_the_application_may_take_any_host_but_not_any_origin() -> None:
    access = OriginPolicy((), None)
    assert access.refusal("any.example", "https://any.example") is None
    assert access.refusal("any.example", "https://evil.example") is not None


@pytest.mark.parametrize("origin", ["friend.example", "*", "null", "ws://friend.example", "https://a.example/path", ""])
def test_what_is_no_origin_is_refused_at_once(origin: str) -> None:
    with pytest.raises(ValueError, match="an origin is written https://host"):
        OriginPolicy([origin])


def test_one_string_is_no_list() -> None:
    with pytest.raises(ValueError, match="a list of origins"):
        OriginPolicy("https://friend.example")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_what_only_this_machine_can_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
