"""What is read of X.509 certificates without an X.509 library, which would cost each process 9 MiB (ADR 5). Pure.

Nothing here decides whether a certificate is good: OpenSSL does, in the handshake. This tells people when it ends.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

_SEQUENCE, _VERSION, _UTC, _GENERALIZED = 0x30, 0xA0, 0x17, 0x18


class Certificate(NamedTuple):
    """One certificate (RFC 5280, 4.1)."""

    issuer: bytes
    subject: bytes
    """Names as they are encoded, which is how they are compared (7.1)."""
    ends: float
    """notAfter, in seconds since the epoch."""


class CertificateEnds(NamedTuple):
    """When certificates end that a connection rests on, in seconds since the epoch; None for one that there is not, or that was
    not seen."""

    server: float | None = None
    """What the server showed on the last new connection, or the authority that made it, whichever ends first."""
    client: float | None = None
    """The client certificate of the kubeconfig. That of an exec plugin is the plugin's to renew."""


def element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the DER element at `at`. IndexError if it is not whole."""
    size, start = der[at + 1], at + 2
    if size >= 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start], "big")
    if start + size > len(der):
        raise IndexError("a DER element is longer than what holds it")
    return der[at], start, start + size


def certificate(der: bytes) -> Certificate:
    """What is told of one. ValueError for bytes that are none."""
    try:
        _, at, _ = element(der, 0)
        _, at, _ = element(der, at)
        tag, _, end = element(der, at)
        if tag == _VERSION:
            at = end
        _, _, at = element(der, at)  # the serial number
        _, _, at = element(der, at)  # the algorithm
        issuer = at
        _, _, validity = element(der, issuer)
        tag, at, subject = element(der, validity)
        if tag != _SEQUENCE:
            raise ValueError("this is no certificate: it has no validity")
        _, _, at = element(der, at)  # notBefore
        tag, at, end = element(der, at)
        _, _, last = element(der, subject)
        return Certificate(der[issuer:validity], der[subject:last], _seconds(tag, der[at:end].decode("ascii")))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("this is no certificate") from error


def _seconds(tag: int, text: str) -> float:
    """Of a Time (RFC 5280, 4.1.2.5). ValueError."""
    if tag == _UTC:
        year = int(text[:2])
        text = f"{2000 + year if year < 50 else 1900 + year}{text[2:]}"
    elif tag != _GENERALIZED:
        raise ValueError("a certificate ends at no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def certificates(pem: bytes) -> Iterator[Certificate]:
    """Those in a PEM text, in order. What cannot be read is passed over."""
    for block in pem.decode("ascii", "replace").split(ssl.PEM_HEADER)[1:]:
        text, footer, _ = block.partition(ssl.PEM_FOOTER)
        try:
            yield certificate(ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}{text}{footer}\n"))
        except ValueError:
            continue


def ends(pem: bytes) -> float | None:
    """When the first certificate of a PEM text ends: the client's own. None if there is none."""
    first = next(certificates(pem), None)
    return None if first is None else first.ends


def chain_ends(der: bytes, authorities: bytes) -> float | None:
    """When the first of what a server showed and of the authorities (PEM) that made it ends; of several of one name, as while
    they are replaced, the last counts. None for what cannot be read."""
    try:
        leaf = certificate(der)
    except ValueError:
        return None
    above = max((each.ends for each in certificates(authorities) if each.subject == leaf.issuer), default=leaf.ends)
    return min(leaf.ends, above)
