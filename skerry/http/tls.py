"""TLS contexts of the front door and towards API servers.

ALPN offers http/1.1 only, because upgrades need it; peers without ALPN or SNI are served all the same (rule 1).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skerry.http.certificates import element

_ALPN = ["http/1.1"]
_SAN, _CRITICAL = bytes.fromhex("0603551d11"), bytes.fromhex("0101ff")
_DNS, _ADDRESS = 0x82, 0x87


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


def names(chain: Path) -> frozenset[str]:
    """The names and addresses (lower case) of a chain's first certificate: its subjectAltName (RFC 5280, 4.2.1.6), read here
    because no X.509 library is loaded. For a file of one's own, in use already; none if they cannot be read.
    """
    try:
        return frozenset(_names(chain.read_text("ascii", "replace")))
    except (OSError, ValueError, IndexError):
        return frozenset()


def _names(text: str) -> Iterator[str]:
    end = text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
    der = ssl.PEM_cert_to_DER_cert(text[text.index(ssl.PEM_HEADER) : end])
    at = der.find(_SAN)
    if at < 0:
        return
    at += len(_SAN)
    if der[at : at + len(_CRITICAL)] == _CRITICAL:
        at += len(_CRITICAL)
    _, at, _ = element(der, at)
    _, at, last = element(der, at)
    while at < last:
        tag, start, at = element(der, at)
        if tag == _DNS:
            yield der[start:at].decode("ascii", "replace").lower()
        elif tag == _ADDRESS:
            yield str(ipaddress.ip_address(der[start:at]))


class ClientCertificate(NamedTuple):
    """A certificate that a client shows, with its chain, and its key; both in PEM."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "ClientCertificate()"

    def load(self, context: ssl.SSLContext) -> None:
        """Have `context` show it. ValueError if they cannot be read, do not belong together, or the key is encrypted.

        The ssl module reads keys from files alone: they lie in a private directory for that moment.
        """
        with tempfile.TemporaryDirectory(prefix="skerry-") as directory:
            file = Path(directory) / "client.pem"
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(f"{self.certificate.rstrip()}\n{self.key}")
            try:
                context.load_cert_chain(file, password=_no_password)
            except ssl.SSLError as error:
                raise ValueError(
                    "the client certificate and its key cannot be loaded, or do not belong together"
                ) from error


def check_authorities(pem: str) -> None:
    """ValueError unless this is certificates in PEM, and nothing else."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("use certificates in PEM (-----BEGIN CERTIFICATE-----)") from error


def _no_password() -> str:
    """Without this OpenSSL asks on the terminal for the password of an encrypted key, and the process stands still."""
    return ""


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
