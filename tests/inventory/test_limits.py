"""What is kept of an inventory that somebody else wrote."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.messages import Inventory
from skerry.api.v1alpha1 import APIVersions, Platform
from skerry.heartbeats import LARGEST
from skerry.inventory.limits import ARCHITECTURES, EXTRA, LONGEST, RESOURCES, bounded, nano_of

HONEST = Inventory(
    platform=Platform(provider="aws", region="eu-central-1", distribution="eks", arch=["amd64"], source="nodes"),
    nodes=3,
    nodes_ready=2,
    capacity={"cpu": "12", "memory": "24576Mi", "pods": "330", "nvidia.com/gpu": "4"},
    allocatable={"cpu": "11500m", "memory": "24000Mi", "pods": "330"},
    requested={"cpu": "1500m", "memory": "1024Mi", "pods": "3"},
    api_versions=APIVersions(count=64, digest="3f9a" * 4, extra=["gateway.networking.k8s.io/v1"]),
)


def test_what_an_honest_member_says_is_kept_as_it_is() -> None:
    assert bounded(HONEST) == HONEST
    assert bounded(Inventory()) == Inventory(platform=Platform(source="nodes"))


@pytest.mark.parametrize(
    "text", ["-1", "1e30", "9" * 40, "NaN", "Infinity", "", "many", "1\n", " 1", "1" * 100, "9223372036854775808"]
)
def test_an_amount_that_no_cluster_has_is_left_out(text: str) -> None:
    assert nano_of(text) is None
    assert bounded(Inventory(used={"cpu": text, "memory": "1Mi"})).used == {"memory": "1Mi"}


@pytest.mark.parametrize("number", [-1, 1_000_000, 10**18])
def test_a_number_that_no_cluster_has_is_left_out(number: int) -> None:
    found = bounded(Inventory(nodes=number, nodes_ready=number, api_versions=APIVersions(count=number)))
    assert (found.nodes, found.nodes_ready, found.api_versions) == (None, None, APIVersions())


@pytest.mark.parametrize("name", ["", "a b", "cpu\x1b[2J", "a/" + "b" * LONGEST, "-a", "\u202ecpu"])
def test_a_name_that_is_none_is_left_out(name: str) -> None:
    said = Inventory(
        capacity={name: "1", "cpu": "1"}, api_versions=APIVersions(extra=[name, "a/v1"], digest="no digest")
    )
    found = bounded(said)
    assert found.capacity == {"cpu": "1"}
    assert found.api_versions == APIVersions(extra=["a/v1"])


def test_too_many_are_cut_and_those_that_every_node_has_stay() -> None:
    many = {f"example.com/r{number}": "1" for number in range(1000)} | {"memory": "1Mi"}
    said = Inventory(
        platform=Platform(provider="p\r\n" * 999, arch=["a" * 999] * 999),
        capacity=many,
        api_versions=APIVersions(extra=["g.example.com/v1"] * 1000),
    )
    found = bounded(said)
    assert found.capacity is not None
    assert (len(found.capacity), "memory" in found.capacity) == (RESOURCES, True)
    assert found.api_versions is not None
    assert len(found.api_versions.extra) == EXTRA
    assert (len(found.platform.provider), found.platform.provider.isprintable()) == (LONGEST, True)
    assert [len(each) for each in found.platform.arch] == [LONGEST] * ARCHITECTURES


def test_the_largest_that_is_kept_fits_a_heartbeat() -> None:
    amounts = {("r" * (LONGEST - 4)) + f"{number:04}": "9" * 18 for number in range(RESOURCES)}
    names = [("g" * (LONGEST - 4)) + f"{number:04}" for number in range(EXTRA)]
    said = Inventory(
        platform=Platform(provider="p" * LONGEST, region="r" * LONGEST, arch=["a" * LONGEST] * ARCHITECTURES, source="nodes"),
        capacity=amounts, allocatable=amounts, requested=amounts, used=amounts,
        api_versions=APIVersions(count=1, extra=names),
    )  # fmt: skip
    assert bounded(said) == said
    assert len(msgspec.json.encode(said)) < LARGEST / 2


NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.dictionaries(st.text(max_size=120), st.text(max_size=70) | st.sampled_from(["1", "1Gi", "1e9"]), max_size=40)


@given(st.builds(Inventory, nodes=NUMBERS, nodes_ready=NUMBERS, capacity=TEXTS, used=TEXTS,
                 platform=st.builds(Platform, provider=st.text(), arch=st.lists(st.text())),
                 api_versions=st.builds(APIVersions, count=NUMBERS, digest=st.text(), extra=st.lists(st.text()))))  # fmt: skip
def test_whatever_is_said_what_is_kept_is_small_and_prints_and_is_kept_again(said: Any) -> None:
    found = bounded(said)
    assert bounded(found) == found
    text = msgspec.json.encode(found).decode()
    assert text.isprintable()
    assert len(text) < LARGEST
