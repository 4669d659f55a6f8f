"""The host's certificates, judged by OpenSSL in its strict mode."""

from __future__ import annotations

import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from skerry.errors import BadRequest
from skerry.identity import x509
from skerry.identity.x509 import X509KeyPair

CA = x509.create_ca("h")
ADDRESSES = ("127.0.0.1", "localhost", "host.example.com", "::1")


def handshake(server: X509KeyPair, name: str, directory: Path, ca: X509KeyPair = CA) -> None:
    (directory / "s.crt").write_bytes(server.certificate)
    (directory / "s.key").write_bytes(server.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "s.crt", directory / "s.key")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(cadata=ca.certificate.decode())
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    ours = client.wrap_bio(client_in, client_out, server_hostname=name)
    theirs = context.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(6):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            server_in.write(client_out.read())
            client_in.write(server_out.read())
    assert ours.version() == "TLSv1.3"
    assert ours.getpeercert()


@pytest.mark.parametrize("name", ADDRESSES)
def test_each_address_is_accepted_under_the_ca(name: str, tmp_path: Path) -> None:
    handshake(x509.issue_server(CA, ADDRESSES), name, tmp_path)


def test_an_address_that_is_not_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(x509.issue_server(CA, ("localhost",)), "127.0.0.1", tmp_path)


def test_another_ca_of_the_same_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(x509.issue_server(x509.create_ca("h"), ADDRESSES), "localhost", tmp_path)


def test_a_server_certificate_cannot_sign_others(tmp_path: Path) -> None:
    middle = x509.issue_server(CA, ("localhost",))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(x509.issue_server(middle, ("localhost",)), "localhost", tmp_path)


def test_a_new_address_asks_for_a_new_certificate_and_an_old_one_does_not() -> None:
    server = x509.issue_server(CA, ADDRESSES)
    assert not x509.must_reissue(CA, server, ("localhost", "127.0.0.1"))
    assert x509.must_reissue(CA, server, (*ADDRESSES, "10.0.0.1"))


def test_the_last_third_of_its_life_asks_for_a_new_certificate() -> None:
    server = x509.issue_server(CA, ADDRESSES)
    end = x509.expires(server.certificate)
    assert not x509.must_reissue(CA, server, ADDRESSES, end - datetime.timedelta(days=130))
    assert x509.must_reissue(CA, server, ADDRESSES, end - datetime.timedelta(days=120))


def test_a_certificate_of_another_ca_asks_for_a_new_one() -> None:
    assert x509.must_reissue(x509.create_ca("h"), x509.issue_server(CA, ADDRESSES), ADDRESSES)


@pytest.mark.parametrize("addresses", [(), ("a" * 70 + ".example",), ("ex..ample",)])
def test_what_is_no_address_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        x509.issue_server(CA, addresses)


def test_repr_shows_no_key() -> None:
    assert "PRIVATE" not in repr(CA)


def test_a_certificate_is_good_by_a_clock_that_is_hours_behind() -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=23)
    for pair in (CA, x509.issue_server(CA, ADDRESSES)):
        assert load_pem_x509_certificate(pair.certificate).not_valid_before_utc < yesterday
