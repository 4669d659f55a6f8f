"""How a repository is reached: by what its spec says, what AppStore host allows, and the credential that is kept for it. Pure."""

from __future__ import annotations

import base64
from typing import NamedTuple

from services.appstore.credentials import KeptCredential
from services.appstore.network import DEADLINE_S, policy
from services.appstore.oci import RegistryAccess
from services.appstore.repositories.spec import RepositorySpec
from skerry.api.appstore import RepositoryCredential
from skerry.api.meta import Document
from skerry.http.outbound import OutboundPolicy, ServerIdentity
from skerry.http.tls import ClientCertificate

INDEX_BYTES = 32 << 20


class RepositoryAccess(NamedTuple):
    """How a repository is reached."""

    policy: OutboundPolicy
    server: ServerIdentity
    credential: RepositoryCredential | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that its own origin alone is sent."""
        shown = self.credential
        if shown is None or not (shown.token or shown.username):
            return []
        if shown.token:
            return [(b"authorization", b"Bearer " + shown.token.encode())]
        pair = f"{shown.username}:{shown.password}".encode()
        return [(b"authorization", b"Basic " + base64.b64encode(pair))]

    @property
    def registry(self) -> RegistryAccess:
        """The same for a registry."""
        shown = self.credential or RepositoryCredential()
        return RegistryAccess(
            self.policy, self.server, username=shown.username, password=shown.password, token=shown.token
        )


def access_to(
    spec: RepositorySpec, store: Document, kept: KeptCredential | None, deadline_s: float = DEADLINE_S
) -> RepositoryAccess:
    """How the repository with this spec is reached; `store` is AppStore host. A credential that is for another place is not shown.

    OutboundError for an address that is none.
    """
    network = (store.get("spec") or {}).get("network") or {}
    allowed = policy(
        network.get("allow") or (),
        plain_http=network.get("plainHTTP") is True,
        max_bytes=INDEX_BYTES,
        deadline_s=deadline_s,
    )
    credential = kept.credential if kept is not None and tuple(kept.place) == spec.origin.place else None
    certificate = None
    if credential is not None and credential.certificate:
        certificate = ClientCertificate(credential.certificate, credential.key)
    server = ServerIdentity(spec.ca_bundle, spec.verify, certificate)
    return RepositoryAccess(allowed, server, credential)
