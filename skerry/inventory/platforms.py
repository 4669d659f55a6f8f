"""What a cluster runs on, as its nodes and its version string tell. Pure.

Providers put their mark on nodes (`spec.providerID`, labels) and distributions on versions (`v1.33.1+k3s1`), for their own
controllers to find: nothing here asks anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS = {
    "aws": "aws",
    "azure": "azure",
    "baremetalhost": "metal3",
    "digitalocean": "digitalocean",
    "equinixmetal": "equinix",
    "exoscale": "exoscale",
    "gce": "gcp",
    "hcloud": "hetzner",
    "ibm": "ibm",
    "ibmcloud": "ibm",
    "linode": "linode",
    "metal3": "metal3",
    "nutanix": "nutanix",
    "oci": "oracle",
    "openstack": "openstack",
    "proxmox": "proxmox",
    "scaleway": "scaleway",
    "upcloud": "upcloud",
    "vsphere": "vsphere",
    "vultr": "vultr",
}
"""Scheme of a providerID -> provider. Others are shown as they are, except those that name a distribution."""
_LOCAL = frozenset(("harvester", "k3s", "kind", "kubevirt", "rke2"))
_IN_VERSION = (
    ("+k3s", "k3s"),
    ("+rke2", "rke2"),
    ("+k0s", "k0s"),
    ("-eks-", "eks"),
    ("-gke.", "gke"),
    ("-aliyun.", "ack"),
    ("-tke.", "tke"),
    ("+vmware", "tkg"),
    ("+iks", "iks"),
    ("-mirantis", "mke"),
)
_BY_LABEL = {
    "node.openshift.io/os_id": "openshift",
    "eks.amazonaws.com/nodegroup": "eks",
    "eks.amazonaws.com/compute-type": "eks",
    "cloud.google.com/gke-nodepool": "gke",
    "kubernetes.azure.com/cluster": "aks",
    "doks.digitalocean.com/node-id": "doks",
    "lke.linode.com/pool-id": "lke",
    "minikube.k8s.io/name": "minikube",
    "microk8s.io/cluster": "microk8s",
}
_BY_IMAGE = (("Red Hat Enterprise Linux CoreOS", "openshift"), ("Talos", "talos"))
REGIONS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")


def provider(provider_id: str) -> str:
    """Who runs a node, by its providerID; empty if nobody says."""
    scheme, separator, _ = provider_id.partition("://")
    if not separator:
        return "oracle" if provider_id.startswith("ocid1.") else ""
    return "" if scheme in _LOCAL else PROVIDERS.get(scheme, scheme)


def region(labels: Mapping[str, str]) -> str:
    """Where a node is, by its labels; empty if they do not say."""
    return next((labels[label] for label in REGIONS if labels.get(label)), "")


def distribution_of_node(provider_id: str, labels: Mapping[str, str], os_image: str) -> str:
    """Which Kubernetes put this node up; empty if it left no mark."""
    if provider_id.startswith("kind://"):
        return "kind"
    marks = (name for label, name in _BY_LABEL.items() if label in labels)
    images = (name for start, name in _BY_IMAGE if os_image.startswith(start))
    return next(marks, "") or next(images, "")


def distribution_of_version(version: str) -> str:
    """Which Kubernetes this is, by its version string; empty for one that is as it was released."""
    text = version.lower()
    return next((name for mark, name in _IN_VERSION if mark in text), "")
