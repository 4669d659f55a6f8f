"""Ways: a name in TLS binds a connection to its member, whatever its paths say."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.proxy.routes import TABLE, Route, listed, open_to, path_of, route_of

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


@pytest.mark.parametrize(
    ("path", "row"),
    [
        (b"/", "/"),
        (b"/apis", "/apis"),
        (b"/apis/skerry.dev/v1alpha1", "/apis"),
        (b"/apisx", None),
        (b"/api", "/api"),
        (b"/api/", "/api"),
        (b"/healthz/", None),
        (b"/healthz/etcd", None),
        (b"//apis", None),
        (b"", None),
        (b"*", None),
        (b"/openapi/v3", "/openapi"),
        (b"/audit/sessions", "/audit/sessions"),
        (b"/audit/sessions/x", "/audit/sessions"),
        (b"/audit/sessions/x/y", "/audit/sessions"),
        (b"/audit/sessionsx/y", "/audit"),
    ],
)
def test_a_path_belongs_to_its_row_and_to_nothing_that_begins_alike(path: bytes, row: str | None) -> None:
    found = path_of(path)
    assert (found and found.path) == row


def test_only_what_tells_nothing_is_open_to_strangers() -> None:
    assert [row.path for row in TABLE if not row.credential] == ["/healthz", "/livez", "/readyz", "/version"]


def test_the_index_names_every_path_but_itself() -> None:
    assert listed() == (
        "/api", "/apis", "/audit", "/audit/sessions", "/clusters", "/events", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version",
    )  # fmt: skip


def test_rules_name_what_every_caller_may_get() -> None:
    assert open_to(()) == (
        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
    )  # fmt: skip


def test_metrics_are_for_who_monitors_the_host() -> None:
    assert "/metrics" in open_to(("skerry:monitor",))
    assert "/metrics" in open_to(("skerry:cluster-admin",))
    assert "/metrics" not in open_to(("skerry:auditor", "skerry:admin"))


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs/host-api.md").read_text()
    for row in TABLE:
        assert f"| `{row.path}` | {'yes' if row.credential else 'no'} | {row.about} |" in text
