"""The host's own certificate authority. The only module that imports `cryptography`: agents must not load it.

ECDSA P-256; the CA lives ten years and is what members and clients pin, the server certificate one year; it is issued
again under the same CA when an address is added or two thirds of its life are over. The extensions are those that
OpenSSL's strict mode (Python 3.13's default) asks for.
"""

from __future__ import annotations

import datetime
import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.errors import BadRequest

CA_LIFE = datetime.timedelta(days=3650)
SERVER_LIFE = datetime.timedelta(days=365)
_BACKDATE = datetime.timedelta(days=1)
"""A member whose clock is hours behind, or in another time zone, joins a host that was made just now."""


class X509KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(…)"


def create_ca(name: str) -> X509KeyPair:
    """A new authority for the host `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} host CA"[:64])])
    builder = _builder(subject, subject, key.public_key(), CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue_server(ca: X509KeyPair, addresses: tuple[str, ...], *, client: bool = False) -> X509KeyPair:
    """A server certificate for `addresses` (DNS names and IP addresses, without ports) under `ca`; with `client` for clients too,
    as the routes between nats-servers need it: each end dials and is dialled.

    BadRequest if an address is neither, or there is none.
    """
    authority, authority_key = _load(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    if not addresses:
        raise BadRequest("a server certificate needs at least one address")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0][:64])])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])]
    builder = _builder(authority.subject, subject, key.public_key(), SERVER_LIFE)
    builder = builder.add_extension(x509.SubjectAlternativeName([_name(a) for a in addresses]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(issuer_id, critical=False)
    return _pair(builder.sign(authority_key, hashes.SHA256()), key)


def must_reissue(
    ca: X509KeyPair, server: X509KeyPair, addresses: tuple[str, ...], now: datetime.datetime | None = None
) -> bool:
    """True if `server` lacks one of `addresses`, is not signed by `ca`, has less than a third of its life left, or is two
    halves: a key that was replaced and a certificate that was not yet."""
    certificate = x509.load_pem_x509_certificate(server.certificate)
    if serialization.load_pem_private_key(server.key, None).public_key() != certificate.public_key():
        return True
    now = now or datetime.datetime.now(datetime.UTC)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if {_name(a) for a in addresses} - set(names):
        return True
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))
    except Exception as e:  # noqa: BLE001 - any failure to verify means: not ours; the classes differ by key type
        del e
        return True
    return certificate.not_valid_after_utc - now < SERVER_LIFE / 3


def expires(certificate: bytes) -> datetime.datetime:
    """When the certificate ends, UTC."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), now - _BACKDATE, now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(address.encode("idna").decode())
    except (UnicodeError, ValueError) as e:
        raise BadRequest(f"{address!r} is neither a host name nor an IP address") from e


def _load(ca: X509KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(ca.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadRequest("the host's CA key is not an ECDSA key: restore it from a backup")
    return x509.load_pem_x509_certificate(ca.certificate), key


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> X509KeyPair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return X509KeyPair(certificate=certificate.public_bytes(serialization.Encoding.PEM), key=private)
