"""Names of members in TLS: this host's members, and everything else of that shape, which is nobody."""

from __future__ import annotations

import pytest

from skerry.httpwire.names import member_of, server_name

UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
OTHER = "11111111-0000-0000-0000-000000000001"


def test_a_name_and_back() -> None:
    assert server_name("m1", UID) == f"m1.clusters.{UID}"
    assert member_of(server_name("m1", UID), UID) == "m1"


def test_every_name_is_a_dns_name() -> None:
    name = server_name("x" * 63, UID)
    assert len(name) <= 253
    assert all(0 < len(label) <= 63 for label in name.split("."))


def test_a_trailing_dot_means_the_same() -> None:
    assert member_of(f"m1.clusters.{UID}.", UID) == "m1"


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", "clusters.example.org", "m1.clusters.example.org", "clusters", UID,
             f"m1.{UID}", f"m1-clusters.{UID}", f"m1.clusters.{UID}.example.org", f"m1.clusters.{UID}x"],
)  # fmt: skip
def test_other_names_are_the_hosts_own(name: str) -> None:
    assert member_of(name, UID) is None


@pytest.mark.parametrize(
    "name", [f"clusters.{UID}", f".clusters.{UID}", f"m1.clusters.{OTHER}", f"clusters.{OTHER}", f"m1.clusters.{UID}.."]
)
def test_a_name_of_that_shape_that_nobody_has_is_never_the_host(name: str) -> None:
    found = member_of(name, UID)
    if name.endswith(".."):
        assert found is None
    else:
        assert found == name


@pytest.mark.parametrize("label", ["a.m1", "m1.", ".m1", "m1.clusters", "*", "xn--m1-abc", "m_1", "m1\nx"])
def test_what_stands_before_it_is_the_member_as_a_whole(label: str) -> None:
    assert member_of(f"{label}.clusters.{UID}", UID) == label


def test_a_host_without_a_uid_has_no_members_by_name() -> None:
    assert member_of(f"m1.clusters.{UID}", "") == f"m1.clusters.{UID}"
