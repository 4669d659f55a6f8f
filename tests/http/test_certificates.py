"""When certificates end, read from real ones, and from bytes that are none."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from skerry.http.certificates import certificate, certificates, chain_ends, element, ends

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(subject: str, days: float, issuer: str = "", *, version_1: bool = False) -> bytes:
    """A certificate (DER) that ends so many days after NOW."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer or subject)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(KEY.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - timedelta(days=25_000))
    der = builder.not_valid_after(NOW + timedelta(days=days)).sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)
    if version_1:  # as old tools make them: without the field that says so
        start = element(der, 0)[1]
        tbs, inner, end = element(der, start)
        assert tbs == 0x30
        version = element(der, inner)[2] - inner
        body = der[inner + version : end]
        tbs_der = b"\x30\x82" + len(body).to_bytes(2, "big") + body
        rest = tbs_der + der[end:]
        return b"\x30\x82" + len(rest).to_bytes(2, "big") + rest
    return der


def pem(*ders: bytes) -> bytes:
    return "".join(map(ssl.DER_cert_to_PEM_cert, ders)).encode()


def at(days: float) -> float:
    return (NOW + timedelta(days=days)).timestamp()


@pytest.mark.parametrize("days", [-1.0, 0.0, 365.0, 8_000.0, 20_000.0, -20_000.0], ids=lambda days: f"{days:.0f} days")
@pytest.mark.parametrize("version_1", [False, True])
def test_the_end_is_that_of_the_certificate_in_either_form_of_a_time(days: float, version_1: bool) -> None:
    read = certificate(made("api", days, "ca", version_1=version_1))
    assert read.ends == at(days)
    assert read.issuer == certificate(made("ca", 1)).subject


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 60, 120])
def test_half_a_certificate_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificate(made("api", 1)[:cut])


@pytest.mark.parametrize(
    "der",
    [b"\x30\x84\xff\xff\xff\xff", b"\x30\x80" * 50, b"\x30\x03\x30\x01\x30", b"\xff" * 99, b"\x00" * 99],
    ids=["huge", "indefinite", "empty", "ff", "zero"],
)
def test_rubbish_is_none(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"certificate|time|literal"):
        certificate(der)
    assert chain_ends(der, b"") is None


def test_of_a_file_the_first_counts_and_what_is_none_is_passed_over() -> None:
    rubbish = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"
    text = b"# words\n" + rubbish + pem(made("leaf", 3, "ca"), made("ca", 1))
    assert [each.ends for each in certificates(text)] == [at(3), at(1)]
    assert ends(text) == at(3)
    assert ends(b"") is None
    assert ends(rubbish) is None
    assert ends(b"\xff\xfe") is None


@pytest.mark.parametrize(
    ("authorities", "expected"),
    [
        ([], 30),
        ([("other", 1)], 30),
        ([("ca", 90)], 30),
        ([("ca", 7)], 7),
        ([("ca", 7), ("ca", 900)], 30),
        ([("ca", 7), ("ca", 8), ("other", 1)], 8),
    ],
    ids=["none known", "another's", "ends later", "ends first", "being replaced", "the later of two"],
)
def test_a_chain_ends_with_its_first(authorities: list[tuple[str, float]], expected: float) -> None:
    bundle = pem(*[made(name, days) for name, days in authorities])
    assert chain_ends(made("api", 30, "ca"), bundle) == at(expected)
