"""An installation as a manifest has it: the objects that Helm rendered, and what their pods ask for. Pure.

What values say is a forecast (skerry/installation.py); what is rendered is what will be installed, with the pods of charts and
values that nobody here knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from skerry.api.meta import Document, Struct
from skerry.demand import Amounts, Pod, PodSpec, Texts, add, amounts, of_pod
from skerry.errors import SkerryError
from skerry.installation import MOST_REPLICAS, Installation, Where, Workload
from skerry.scheduling import PodRules

WORKLOADS = ("Deployment", "StatefulSet")
_MOST_OBJECTS = 1_000


class ManifestError(SkerryError):
    """A manifest that cannot be read; the message names the object."""


class _Template(Struct, frozen=True, kw_only=True):
    metadata: Document = {}
    spec: Document = {}


class _ClaimResources(Struct, frozen=True, kw_only=True):
    requests: Texts = {}


class _ClaimSpec(Struct, frozen=True, kw_only=True):
    resources: _ClaimResources = _ClaimResources()
    storage_class_name: str = ""


class _ClaimName(Struct, frozen=True, kw_only=True):
    name: str


class _Claim(Struct, frozen=True, kw_only=True):
    metadata: _ClaimName
    spec: _ClaimSpec = _ClaimSpec()


class _WorkloadSpec(Struct, frozen=True, kw_only=True):
    """apps/v1 DeploymentSpec and StatefulSetSpec, as far as room depends on them."""

    replicas: int = 1
    template: _Template = _Template()
    volume_claim_templates: list[_Claim] = []


class _PodRest(Struct, frozen=True, kw_only=True):
    priority_class_name: str = ""


def objects(documents: Iterable[Any]) -> list[Document]:
    """All objects, those of a List one by one; hooks of `helm test` are none. ManifestError."""
    every: list[Document] = []
    for each in _flat(documents):
        metadata = each.get("metadata")
        if not isinstance(metadata, dict) or not all(
            isinstance(name, str) and name for name in (each.get("apiVersion"), each.get("kind"), metadata.get("name"))
        ):
            raise ManifestError(
                "the manifest has an object without apiVersion, kind or metadata.name: give what helm template renders"
            )
        if len(every) == _MOST_OBJECTS:
            raise ManifestError(f"the manifest has more than {_MOST_OBJECTS} objects")
        annotations = metadata.get("annotations")
        if not isinstance(annotations, dict) or "helm.sh/hook" not in annotations:
            every.append(each)
    return every


def _flat(documents: Iterable[Any]) -> Iterator[Document]:
    for each in documents:
        if each is None:
            continue
        if not isinstance(each, dict):
            raise ManifestError("the manifest has a document that is no object: give what helm template renders")
        items = each.get("items")
        if str(each.get("kind")).endswith("List") and isinstance(items, list):
            yield from _flat(items)
        else:
            yield each


def installation_of(where: Where, documents: Iterable[Document]) -> Installation:
    """What the objects of a manifest install: workloads and the volumes that they claim. ManifestError."""
    workloads: list[Workload] = []
    claims: Amounts = {}
    storage_class = ""
    for document in documents:
        if document["kind"] not in WORKLOADS:
            continue
        name = str(document["metadata"]["name"])
        try:
            spec = msgspec.convert(document.get("spec", {}), _WorkloadSpec)
            workloads.append(_workload(name, spec, surges=document["kind"] == "Deployment"))
            for claim in spec.volume_claim_templates:
                size = amounts(claim.spec.resources.requests).get("storage", 0)
                claims |= {f"{claim.metadata.name}-{name}-{number}": size for number in range(spec.replicas)}
                storage_class = claim.spec.storage_class_name or storage_class
        except (msgspec.ValidationError, ValueError) as error:
            raise ManifestError(f"{document['kind']} {name}: {error}") from error
    return Installation(where, workloads, claims, storage_class)


def _workload(name: str, spec: _WorkloadSpec, *, surges: bool) -> Workload:
    if not 0 <= spec.replicas <= MOST_REPLICAS:
        raise ValueError(f"{spec.replicas} replicas, 0 to {MOST_REPLICAS} are possible")
    fields = {name: value for name, value in spec.template.spec.items() if value is not None}
    claims = [
        {"name": each.metadata.name, "persistentVolumeClaim": {"claimName": each.metadata.name}}
        for each in spec.volume_claim_templates
    ]
    if claims:
        fields["volumes"] = [*fields.get("volumes", []), *claims]
    pod = msgspec.convert(fields, PodSpec)
    limits: Amounts = {}
    for container in pod.containers or ():
        add(limits, amounts(container.resources.limits if container.resources else None))
    return Workload(
        name,
        spec.replicas,
        of_pod(Pod(spec=pod)),
        limits,
        msgspec.convert(fields, PodRules),
        msgspec.convert(fields, _PodRest).priority_class_name,
        surges,
        {"metadata": spec.template.metadata, "spec": fields},
    )
