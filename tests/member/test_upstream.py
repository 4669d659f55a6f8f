"""The way to the API server: who is trusted, under which name, with which certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.errors import BadGateway
from skerry.http import certificates
from skerry.http.certificates import CertificateEnds
from skerry.identity import x509
from skerry.member import kubeconfig, tls
from skerry.member.credentials import ClientCredential, source
from skerry.member.kubeconfig import KubeconfigError, Target, Tls
from skerry.member.rotation import Rotation
from skerry.member.upstream import Upstream
from tests.fixtures.nats import eventually
from tests.member.apiserver import ApiServer
from tests.member.test_rotation import Disk

pytestmark = pytest.mark.integration


def target(api: ApiServer, **options: Any) -> Target:
    """The stand-in with other TLS options."""
    found = kubeconfig.load(str(api.kubeconfig()))
    return msgspec.structs.replace(found, tls=msgspec.structs.replace(found.tls, **options))


async def version(found: Target) -> int:
    upstream = Upstream(found, source(found))
    try:
        return (await upstream.call("GET", "/version")).status
    finally:
        await upstream.close()


async def test_its_own_authority_is_trusted(api: ApiServer) -> None:
    assert await version(target(api)) == 200


async def test_another_authority_is_not(api: ApiServer) -> None:
    with pytest.raises(BadGateway, match="certificate"):
        await version(target(api, ca=x509.create_ca("other").certificate))


async def test_a_name_that_the_certificate_lacks_is_refused(api: ApiServer) -> None:
    with pytest.raises(BadGateway, match="certificate"):
        await version(target(api, server_name="kubernetes"))


async def test_verification_can_be_switched_off_by_the_kubeconfig(api: ApiServer) -> None:
    assert await version(target(api, ca=b"", insecure=True, server_name="kubernetes")) == 200


async def test_the_end_of_what_a_server_shows_is_seen_on_a_new_connection(api: ApiServer) -> None:
    found = target(api)
    upstream = Upstream(found, source(found))
    try:
        assert upstream.certificate_ends == CertificateEnds()
        await upstream.call("GET", "/version")
        shown = (api.directory / "tls.pem").read_bytes()
        assert upstream.certificate_ends == CertificateEnds(certificates.ends(shown))
        upstream._server_ends = None
        await upstream.call("GET", "/version")
        assert upstream.certificate_ends.server is None, "the connection is used again"
        upstream.reconnect()
        await upstream.call("GET", "/version")
        assert upstream.certificate_ends.server is not None
    finally:
        await upstream.close()


async def test_a_path_prefix_goes_before_every_target(api: ApiServer) -> None:
    assert await version(msgspec.structs.replace(target(api), prefix="/k8s/c1")) == 404
    assert api.seen[-1].target == b"/k8s/c1/version"


class Rotating:
    """A source whose certificate the test changes."""

    def __init__(self, credential: ClientCredential) -> None:
        self.credential = credential

    async def get(self) -> ClientCredential:
        """The certificate now."""
        return self.credential

    async def renew(self, refused: ClientCredential) -> ClientCredential | None:
        """Nothing."""
        return None


async def test_of_two_requests_that_were_refused_both_are_sent_again_with_what_was_renewed(tmp_path: Path) -> None:
    """The first has the files read again; for the second they have not changed since."""
    disk = Disk(tmp_path)
    upstream = Upstream.rotating(Rotation(disk.load), connections=1)
    refused = await upstream.credential()
    assert not await upstream.renew(refused)
    disk.renew()
    assert await upstream.renew(refused)
    assert await upstream.renew(refused)
    assert not await upstream.renew(await upstream.credential())
    await upstream.close()


async def test_a_new_client_certificate_makes_a_new_pool(api: ApiServer) -> None:
    def certificate() -> ClientCredential:
        pair = x509.issue_server(api.ca, ("agent",))
        bearer = b"Bearer " + api.token.encode()
        return ClientCredential(authorization=bearer, certificate=pair.certificate, key=pair.key)

    rotating = Rotating(certificate())
    upstream = Upstream(target(api), rotating)
    for _ in range(2):
        assert (await upstream.call("GET", "/version")).status == 200
    assert api.connections == 1
    rotating.credential = certificate()
    assert (await upstream.call("GET", "/version")).status == 200
    assert api.connections == 2
    await upstream.close()
    await eventually(lambda: api.connections == 0)


def test_a_certificate_and_a_key_that_do_not_belong_together_are_refused() -> None:
    ca = x509.create_ca("x")
    one, two = x509.issue_server(ca, ("a",)), x509.issue_server(ca, ("b",))
    with pytest.raises(KubeconfigError, match="belong together"):
        tls.context(Tls(), ClientCredential(certificate=one.certificate, key=two.key))


def test_an_authority_that_is_no_certificate_is_refused() -> None:
    with pytest.raises(KubeconfigError, match="not a PEM certificate"):
        tls.context(Tls(ca=b"nonsense"), ClientCredential())


def test_a_context_is_strict_by_default() -> None:
    made = tls.context(Tls(), ClientCredential())
    assert made.check_hostname
    assert made.verify_mode is ssl.CERT_REQUIRED
