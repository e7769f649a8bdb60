"""The HTTP client of sources: ready clients, the extra, proxies and TLS."""

from __future__ import annotations

import ssl
import sys
from typing import Any

import httpx
import httpx2
import pytest

from runstream.sources import http_client
from runstream.sources.http_client import HttpClient
from runstream.sources.sse import SseSource
from tests.sources.sse_reading import (
    cut,
    failure,
    read,
    saying,
)
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.receiver import FakeReceiver


@pytest.mark.parametrize("library", [httpx2, httpx])
async def test_a_ready_client_is_used_and_left_open(library: Any) -> None:
    async with http_serving(cut) as peer, library.AsyncClient(headers={"X-Mine": "yes"}, trust_env=False) as client:
        failed = await failure(peer.url, FakeReceiver(live=True), client=client)
        assert not client.is_closed
    assert failed.reason == "the connection broke off"
    assert [request.header("X-Mine") for request in peer.requests] == ["yes"] * 4


async def test_a_ready_client_of_a_derived_class() -> None:
    class Mine(httpx2.AsyncClient):
        pass

    async with http_serving(saying(block("a"))) as peer, Mine(trust_env=False) as client:
        assert (await read(peer.url, client=client)).data == [b"a"]


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"httpx2\.AsyncClient, not a object"):
        SseSource("http://h/", client=object())  # type: ignore[arg-type]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"pip install 'runstream\[http\]'"):
        SseSource("http://h/")


async def test_a_proxy_of_the_system_is_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_serving(saying(block("by proxy"))) as proxy, http_serving(saying(block("direct"))) as peer:
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await read(peer.url, proxy=True)).data == [b"by proxy"]
        assert (await read(peer.url)).data == [b"direct"]
        assert (await read(peer.url, proxy=proxy.url)).data == [b"by proxy"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await read(peer.url, proxy=True)).data == [b"direct"]
    assert proxy.requests[0].path == f"{peer.url}/"


async def test_the_proxies_of_the_system_are_read_once_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading goes over the whole environment: three of them took a tenth of the time of a short run."""
    reads: list[str] = []

    def getproxies() -> dict[str, str]:
        reads.append("all")
        return {}

    monkeypatch.setattr(http_client, "getproxies", getproxies)
    monkeypatch.setattr(http_client, "proxy_bypass", reads.append)
    async with http_serving(saying(block("direct"))) as peer:
        assert (await read(peer.url, proxy=True)).data == [b"direct"]
        assert reads == ["all"] * len(peer.requests)


async def test_credentials_of_a_proxy_are_masked_in_the_words_of_a_server() -> None:
    async def refuse(exchange: Exchange, number: int) -> None:
        await exchange.answer(403, {"Content-Type": "text/plain"}, b"me may not: s3cret-word")

    async with http_serving(refuse) as proxy:
        failed = await failure("http://h/", FakeReceiver(), proxy=proxy.url.replace("//", "//me:s3cret-word@"))
    assert "s3cret" not in f"{failed}{failed.server_message}"
    assert "***" in failed.server_message


def test_tls_settings_are_made_once_for_all_sources() -> None:
    http = http_client.client_library()
    assert http_client._default_ssl(http) is http_client._default_ssl(http)
    assert http_client._default_ssl(http).verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_that_is_not_trusted_is_no_reason_to_try_again() -> None:
    http = http_client.client_library()
    error = http.ConnectError("s3cret")
    error.__context__ = ExceptionGroup("several", [ssl.SSLCertVerificationError(1, "certificate verify failed")])
    refused = HttpClient(proxy=None)._connect_failed("https://h/", error)
    assert refused.reason == "Could not connect to https://h/: certificate verify failed"
    assert not refused.retry
    assert HttpClient(proxy=None)._connect_failed("https://h/", http.ConnectError("s3cret")).retry
