"""People who show what their company has: through the front door, a real tenancy, and a provider on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.proxy.authn import REFUSED, CachedCredential, name_of
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.api.messages import Caller
from skerry.bus import Connection
from skerry.errors import StatusError
from skerry.http import Client, HttpError
from skerry.http.tls import client_context
from skerry.httpwire.head import RequestHead
from skerry.identity.x509 import X509KeyPair, create_ca
from skerry.service import Process
from skerry.storage import Store
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.proxy.auditing.audited import use
from tests.proxy.conftest import Answer, World, settings_for, world
from tests.tenancy.provider import Pages, pages
from tests.tenancy.tokens import EC, OTHER_RSA, signed

pytestmark = pytest.mark.integration

REVIEW = b"/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Company:
    """A host, its tenancy, and the provider of a company."""

    def __init__(self, host: World, tenancy: Process, pages: Pages) -> None:
        assert tenancy.bucket is not None
        self.host, self.tenancy, self.pages = host, tenancy, pages
        self.providers = Store(tenancy.bucket, IDENTITY_PROVIDER)

    def token(
        self, user: str = "alice", *, key: Any = EC, header: dict[str, Any] | None = None, **claims: Any
    ) -> bytes:
        now = time.time()
        usual = {
            "iss": self.pages.issuer,
            "aud": "skerry",
            "sub": user,
            "iat": now,
            "exp": now + 300,
            "groups": ["org:shop"],
        }
        return signed({**usual, **claims}, key=key, header=header or {"alg": "ES256", "kid": "e"}).encode()

    async def who(self, token: bytes) -> tuple[str, list[str]]:
        """Whom a token is taken for, as `kubectl auth whoami` is told."""
        question = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
        answer = await self.host.ask(
            REVIEW, b"POST", token=token, headers=[(b"content-type", b"application/json")], body=question
        )
        assert answer.status == 201, answer.body
        info = answer.json()["status"]["userInfo"]
        return info["username"], info.get("groups", [])

    async def status(self, token: bytes) -> int:
        return (await self.host.ask(b"/api", token=token)).status

    async def change(self, **spec: Any) -> None:
        await self.providers.modify("corp", lambda document: {**document, "spec": {**document["spec"], **spec}})


@pytest.fixture
async def company(fresh_nats_host: NatsHost) -> AsyncIterator[Company]:
    async with (
        pages() as served,
        world(fresh_nats_host, settings_for(fresh_nats_host)) as host,
        serving(fresh_nats_host, (SERVICE, TenancySettings())) as tenancy,
    ):
        made = Company(host, tenancy, served)
        await made.providers.create(served.document())
        await eventually(lambda: host.proxy.directory.provider("corp") is not None)
        yield made


async def test_a_token_names_a_person_until_its_provider_is_changed_and_again_after_that(company: Company) -> None:
    token = company.token()
    user, groups = await company.who(token)
    assert user == "alice"
    assert "org:shop" in groups
    asked = len(company.pages.asked)
    for _ in range(5):
        await company.who(token)
    assert len(company.pages.asked) == asked
    await company.change(groups={"claim": "groups", "prefix": "corp:"})
    async with asyncio.timeout(10):
        while (await company.who(token))[1][:1] != ["corp:org:shop"]:
            await asyncio.sleep(0.02)
    await company.change(audiences=["others"])
    async with asyncio.timeout(10):
        while await company.status(token) != 401:
            await asyncio.sleep(0.02)


async def test_what_runs_is_cut_when_the_provider_is_changed(company: Company) -> None:
    proxy = company.host.proxy
    credential = CachedCredential(
        "token:x", Caller(user="alice"), time.time() + 300, provider=proxy.directory.provider("corp")
    )
    session = proxy.sessions.enter("alice", credential, credential.expires)
    cut: list[StatusError] = []
    session.cut = cut.append
    await company.change(audiences=["others"])
    changed = time.monotonic()
    await eventually(lambda: bool(cut), 10)
    assert time.monotonic() - changed < 5  # a second on an idle machine
    assert "revoked while the request ran" in cut[0].message
    proxy.sessions.leave(session)


async def written(company: Company, plural: bytes, document: dict[str, Any]) -> Answer:
    """An object made by the host's administrator."""
    return await company.host.ask(
        b"/apis/skerry.dev/v1alpha1/" + plural,
        b"POST",
        headers=[(b"content-type", b"application/json")],
        body=json.dumps({"apiVersion": "skerry.dev/v1alpha1", **document}).encode(),
    )


async def test_a_revoked_user_is_out_within_a_second_whatever_they_show_and_comes_in_with_what_is_new(
    company: Company,
) -> None:
    old = await company.host.token("alice", "skerry:view")
    stream = asyncio.create_task(watched(company.host, old))
    token, bob = company.token(), company.token("bob")
    for each in (old, token, bob):
        await company.who(each)
    await eventually(lambda: len(company.host.proxy.sessions) > 0)
    answer = await written(company, b"revocations", {"kind": "Revocation", "spec": {"user": "alice"}})
    assert answer.status == 201, answer.body
    async with asyncio.timeout(10):
        assert await stream == "cut"
        while {await company.status(each) for each in (old, token)} != {401}:
            await asyncio.sleep(0.02)
    assert await company.status(company.token(iat=time.time() - 60)) == 401
    assert (await company.who(bob))[0] == "bob"
    spec = {"user": "alice", "groups": ["skerry:view"], "ttl": "1h"}
    made = await written(company, b"credentials", {"kind": "Credential", "spec": spec})
    fresh = made.json()["status"]["token"].encode()
    await eventually(lambda: company.host.proxy.directory.credential(name_of(fresh)) is not None)
    assert await company.status(fresh) == 200
    assert await company.status(company.token(iat=time.time() + 2)) == 200


async def test_a_disabled_user_stays_out_until_the_revocation_goes(company: Company) -> None:
    revocation = {"kind": "Revocation", "spec": {"user": "alice", "disabled": True}}
    name = (await written(company, b"revocations", revocation)).json()["metadata"]["name"]
    await eventually(lambda: company.host.proxy.directory.revoked("alice") is not None)
    assert await company.status(company.token(iat=time.time() + 30)) == 401
    refused = await written(company, b"credentials", {"kind": "Credential", "spec": {"user": "alice"}})
    assert refused.status == 409
    assert f"kubectl delete revocation {name}" in refused.json()["message"]
    assert (await written(company, b"revocations", revocation)).status == 409
    gone = await company.host.ask(b"/apis/skerry.dev/v1alpha1/revocations/" + name.encode(), b"DELETE")
    assert gone.status == 200
    async with asyncio.timeout(20):
        while await company.status(company.token()) != 200:
            await asyncio.sleep(0.05)


async def watched(host: World, token: bytes) -> str | int:
    """Watch the clusters to the end: how it ended."""
    response = await host.client.request(host.head(b"GET", b"/apis/skerry.dev/v1alpha1/clusters?watch=true", token))
    try:
        while await response.read():
            pass
    except HttpError:
        return "cut"
    finally:
        response.abort()
    return response.status


async def test_who_sends_a_refused_token_learns_nothing_and_the_log_everything(
    company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = {
        "its signature does not hold": company.token(key=OTHER_RSA, header={"alg": "RS256", "kid": "r"}),
        "which the provider does not use": company.token(key=b"k" * 32, header={"alg": "HS256", "kid": "r"}),
        "nobody can be called 'skerry:admin'": company.token("skerry:admin"),
        "nobody can be called 'System:masters'": company.token("System:masters"),
        "it is for 'other'": company.token(aud="other"),
        "it ended": company.token(exp=time.time() - 120),
        "no identity provider has the issuer": company.token(iss="https://evil.example"),
        "it is no JWT": b"opaque-token",
        "its header has jku": company.token(header={"alg": "ES256", "kid": "e", "jku": "https://evil.example"}),
        "which the provider does not have": company.token(header={"alg": "ES256", "kid": "unknown"}),
    }
    answers = {(await company.host.ask(b"/api", token=token)).body for token in hostile.values()}
    assert len(answers) == 1
    assert REFUSED.encode() in answers.pop()
    logged = [str(getattr(record, "reason", "")) for record in caplog.records if record.name == "skerry.proxy"]
    for reason in hostile:
        assert any(reason in each for each in logged), (reason, logged)
    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not [token for token in hostile.values() if token.decode() in text]
    assert (await company.host.ask(b"/api", token=b"a" * 17_000)).status == 401


async def test_a_flood_of_unknown_tokens_is_429_and_known_ones_work_on(company: Company) -> None:
    token = company.token()
    await company.who(token)
    answers = await asyncio.gather(*(company.status(b"unknown-%d" % number) for number in range(60)))
    assert set(answers) == {401, 429}
    assert await company.status(token) == 200


async def test_while_tenancy_is_away_known_tokens_work_and_new_ones_are_503(fresh_nats_host: NatsHost) -> None:
    async with pages() as served, world(fresh_nats_host, settings_for(fresh_nats_host)) as host:
        async with serving(fresh_nats_host, (SERVICE, TenancySettings())) as tenancy:
            company = Company(host, tenancy, served)
            await company.providers.create(served.document())
            token = company.token()
            await company.who(token)
        assert await company.status(token) == 200
        assert await company.status(company.token("bob")) == 503


# Client certificates


def certificate(ca: X509KeyPair, directory: Path, user: str, *groups: str) -> Path:
    """A client certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate(ca.certificate)
    signer = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    names = [(NameOID.COMMON_NAME, user), *((NameOID.ORGANIZATION_NAME, group) for group in groups)]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(kind, value) for kind, value in names]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .sign(signer, hashes.SHA256())
    )
    path = directory / f"{user}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_a_client_certificate_names_a_person_until_its_authority_is_replaced(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    ours, others, file = create_ca("people"), create_ca("others"), tmp_path / "clients.crt"
    file.write_bytes(ours.certificate)
    files = {
        "tls_cert_file": fresh_nats_host.directory / "tls.crt",
        "tls_key_file": fresh_nats_host.directory / "tls.key",
    }
    async with contextlib.AsyncExitStack() as stack:
        settings = settings_for(fresh_nats_host, client_ca_file=file, **files)
        host = await stack.enter_async_context(world(fresh_nats_host, settings))

        def client(path: Path) -> Client:
            context = client_context(ca_data=fresh_nats_host.ca_pem)
            context.load_cert_chain(path)
            made = Client(*host.address, context)
            stack.push_async_callback(made.close)
            return made

        async def status(shown: Client, *bearer: bytes) -> int:
            headers = [(b"authorization", b"Bearer " + token) for token in bearer]
            response = await shown.request(RequestHead(method=b"GET", target=b"/api", headers=headers))
            await response.body(1 << 20)
            return response.status

        alice = client(certificate(ours, tmp_path, "alice", "org:shop"))
        assert await status(alice) == 200
        assert await status(alice, host.admin) == 401
        assert (await host.ask(b"/api")).status == 200  # asked for, never demanded
        assert (await host.ask(b"/api", token=b"-")).status == 401
        assert await status(client(certificate(ours, tmp_path, "system:masters"))) == 401
        with pytest.raises(Exception, match=r"(?i)alert|cut|ended|reset|refused|closed"):
            await status(client(certificate(others, tmp_path, "mallory")))
        file.write_bytes(others.certificate)
        async with asyncio.timeout(10):
            while await status(alice) != 401:
                await asyncio.sleep(0.05)
        assert await status(client(certificate(others, tmp_path, "bob"))) == 200


async def test_ordinary_requests_ask_nobody_on_the_bus(company: Company) -> None:
    """Counted by the server: what the proxy's own connection sends, while people with known credentials work, on the host's API
    and on a member, granted by name or by a group of theirs. Nothing is recorded of them, since records are sent by themselves.
    """
    host = company.host
    await use(host, {"level": "None"})
    await host.grant("shop", subjects=[{"kind": "Group", "name": "org:shop"}])
    tokens = [company.token(), await host.token("alice", "skerry:view")]
    targets = (b"/clusters/m1/api/v1/pods", b"/clusters/m1/api/v1/namespaces/a/pods/p", b"/apis/skerry.dev/v1alpha1")
    asked = [(target, token) for token in tokens for target in targets]
    for target, token in asked:
        assert (await host.ask(target, token=token)).status == 200, target
    async with host.nats.connection(host.nats.system()) as system:
        before = await _sent(system)
        for target, token in asked * 50:
            assert (await host.ask(target, token=token)).status == 200
        after = await _sent(system)
    assert after - before <= 3  # the proxy asks once a minute whether its certificate is still good


async def _sent(system: Connection) -> int:
    """Messages that the proxy's connection for everything but streams has sent."""
    reply = await system.request("$SYS.REQ.SERVER.PING.CONNZ", b"{}", timeout_s=5)
    connections = json.loads(reply.data)["data"]["connections"]
    return sum(each["in_msgs"] for each in connections if each["name"] == "proxy")
