"""Ways: a name in TLS binds a connection to its member, whatever its paths say."""

from __future__ import annotations

import pytest

from services.proxy.routes import Route, route_of

UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"


@pytest.mark.parametrize("server_name", ["", "localhost", "127.0.0.1", "clusters.example.org"])
def test_a_connection_for_the_host_chooses_by_path(server_name: str) -> None:
    assert route_of(server_name, UID, b"/clusters/m1/api?a") == Route("m1", b"/api?a", b"/clusters/m1")
    assert route_of(server_name, UID, b"/clusters/m1") == Route("m1", b"/", b"/clusters/m1")
    assert route_of(server_name, UID, b"/api") is None


@pytest.mark.parametrize(
    "target", [b"/", b"/api", b"/version", b"/metrics", b"/clusters/m2/api", b"/%63lusters/m2/", b"*"]
)
def test_a_connection_for_a_member_stays_with_it(target: bytes) -> None:
    assert route_of(f"m1.clusters.{UID}", UID, target) == Route("m1", target, b"")
