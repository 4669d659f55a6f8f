"""What nodes and version strings of real providers and distributions say."""

from __future__ import annotations

import pytest

from skerry.inventory import platforms


@pytest.mark.parametrize(
    ("provider_id", "provider"),
    [
        ("aws:///eu-central-1a/i-0abc", "aws"),
        ("gce://project/europe-west1-b/gke-node", "gcp"),
        ("azure:///subscriptions/x/resourceGroups/y", "azure"),
        ("hcloud://123", "hetzner"),
        ("ocid1.instance.oc1.eu-frankfurt-1.abc", "oracle"),
        ("somecloud://1", "somecloud"),
        ("k3s://node", ""),
        ("kind://docker/kind/kind-control-plane", ""),
        ("", ""),
        ("i-0abc", ""),
    ],
)
def test_the_provider_is_the_scheme_of_the_provider_id(provider_id: str, provider: str) -> None:
    assert platforms.provider(provider_id) == provider


def test_the_region_is_a_label_the_old_one_last() -> None:
    new, old = platforms.REGIONS
    assert platforms.region({new: "eu", old: "us"}) == "eu"
    assert platforms.region({old: "us", new: ""}) == "us"
    assert platforms.region({}) == ""


@pytest.mark.parametrize(
    ("version", "distribution"),
    [
        ("v1.33.1+k3s1", "k3s"),
        ("v1.33.1+rke2r1", "rke2"),
        ("v1.33.1+k0s.0", "k0s"),
        ("v1.33.1-eks-b9364f6", "eks"),
        ("v1.33.1-gke.1584000", "gke"),
        ("v1.33.1-aliyun.1", "ack"),
        ("v1.36.3", ""),
        ("", ""),
    ],
)
def test_a_distribution_marks_its_version(version: str, distribution: str) -> None:
    assert platforms.distribution_of_version(version) == distribution


def test_or_its_nodes() -> None:
    of_node = platforms.distribution_of_node
    assert of_node("kind://docker/a/b", {}, "Debian") == "kind"
    assert of_node("azure://x", {"kubernetes.azure.com/cluster": "x"}, "Ubuntu") == "aks"
    assert of_node("", {}, "Talos (v1.9)") == "talos"
    assert of_node("", {}, "Debian GNU/Linux") == ""
