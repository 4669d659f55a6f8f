"""The kind InspectionCredential: a look at the bus with the `nats` tool."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from skerry.api.meta import ObjectMeta, Struct
from skerry.api.structural import list_set
from skerry.api.v1alpha1 import API_VERSION, described


class InspectionCredentialSpec(Struct, frozen=True, kw_only=True):
    """Who looks, and for how long."""

    user: Annotated[str, described("Whom it is for: who makes it.")] = ""
    ttl: Annotated[str, described("How long it is valid, for example 8h; at most 24h.")] = "8h"


class InspectionCredentialStatus(Struct, frozen=True, kw_only=True):
    """The life of an inspection credential."""

    creds: Annotated[
        str | UnsetType,
        described("The secret: a .creds file, as NATS tools read it; in the answer to create alone, it is not kept."),
    ] = UNSET
    servers: Annotated[list[str] | UnsetType, list_set("Addresses of the bus, in the answer to create alone.")] = UNSET
    ca: Annotated[
        str | UnsetType, described("Certificate of the bus's authority, PEM; in the answer to create alone.")
    ] = UNSET
    inbox_prefix: Annotated[
        str | UnsetType,
        described("Where alone answers reach it, for --inbox-prefix; in the answer to create alone."),
    ] = UNSET
    expires: Annotated[str, described("After this it is refused.")] = ""


class InspectionCredential(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A credential for people with the nats tool: it sees services, objects and Events on the bus, and changes nothing."""

    api_version: str = API_VERSION
    kind: str = "InspectionCredential"
    metadata: ObjectMeta
    spec: Annotated[InspectionCredentialSpec, described("Who looks, and for how long.")] = InspectionCredentialSpec()
    status: Annotated[InspectionCredentialStatus, described("Its life.")] = InspectionCredentialStatus()
