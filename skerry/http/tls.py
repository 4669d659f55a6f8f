"""TLS contexts of the front door and towards API servers.

ALPN offers http/1.1 only, because upgrades need it; peers without ALPN or SNI are served all the same (rule 1).
"""

from __future__ import annotations

import ssl
from pathlib import Path

_ALPN = ["http/1.1"]


def server_context(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's context from PEM files; with `client_ca`, client certificates are asked for and verified if given.

    Raises OSError or ssl.SSLError if the files cannot be read. No session tickets: Kubernetes clients do not resume.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(_ALPN)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(
    *, ca_file: Path | None = None, ca_data: str | bytes | None = None, verify: bool = True
) -> ssl.SSLContext:
    """A client's context. Trusts only `ca_file` or `ca_data` (PEM, or DER as bytes) if given, else the system.

    `verify` False trusts everybody: for kubeconfigs that say `insecure-skip-tls-verify`. For a client certificate,
    call `load_cert_chain` on what is returned.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None or ca_data is not None:
        context.load_verify_locations(cafile=ca_file, cadata=ca_data)
    else:
        context.load_default_certs()
    return context
