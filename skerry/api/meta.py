"""Kubernetes' own vocabulary (meta/v1), as far as the host API speaks it.

Names and meanings are those of k8s.io/apimachinery; only the parts that Skerry reads or writes are typed. Stored
documents are kept raw (an older replica must not erase fields that it does not know): these Structs are views.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

Document = dict[str, Any]
"""An object as JSON has it: what is stored, sent and patched. Structs are views of it."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all nested Kubernetes shapes: camelCase on the wire, absent when default."""


class OwnerReference(Struct, frozen=True, kw_only=True):
    """meta/v1 OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | UnsetType = UNSET
    block_owner_deletion: bool | UnsetType = UNSET


class ObjectMeta(Struct, frozen=True, kw_only=True):
    """meta/v1 ObjectMeta. Timestamps are RFC 3339 in UTC with seconds, as Kubernetes writes them."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | UnsetType = UNSET
    deletion_grace_period_seconds: int | UnsetType = UNSET
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []
    managed_fields: list[dict[str, Any]] = []


class ListMeta(Struct, frozen=True, kw_only=True):
    """meta/v1 ListMeta; `continue` is a Python keyword, hence `continue_`."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class StatusCause(Struct, frozen=True, kw_only=True):
    """One field or reason behind a Status: `field` is a path such as `spec.ttl`."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Struct, frozen=True, kw_only=True):
    """The object of a request that failed, and why it did."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: list[StatusCause] = []
    retry_after_seconds: int = 0


class Status(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """meta/v1 Status: the one body of every error, on HTTP and on the bus."""

    kind: str = "Status"
    api_version: str = "v1"
    metadata: dict[str, Any] = {}
    status: str = "Failure"
    message: str = ""
    reason: str = ""
    details: StatusDetails | UnsetType = UNSET
    code: int = 500


class Condition(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """meta/v1 Condition: `status` is "True", "False" or "Unknown"; the transition time moves only with `status`."""

    type: str
    status: str
    reason: str
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0
