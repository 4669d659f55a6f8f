"""Whatever a repository is or does, its condition says why it was not read, and others are read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from services.appstore.oci import CONFIG, LAYER
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.service import SERVICE
from services.appstore.settings import AppStoreSettings
from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY, APP_STORE
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.api.times import seconds
from skerry.http.outbound import fetch, resolved
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.identity.x509 import create_ca
from tests.appstore.repositories.conftest import FETCH_S
from tests.appstore.repositories.server import Answer, Asked, ChartServer, chart_server, index, tags
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
MIB = 1 << 20
NAMES = {"charts.example": ["10.0.0.5"], "rebind.example": ["127.0.0.1"], "gone.example": []}
"""What names mean that the system does not know."""
BOMB = b"apiVersion: v1\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nentries: *c\n"


class Case(NamedTuple):
    """A repository: what it is, and what is said of it. `{port}` is that of the server, `{here}` an address of its own there."""

    reason: str
    says: str = ""
    url: str = "{here}"
    spec: Document = {}


DENIED = {
    "loopback": ("https://127.0.0.2/", "127.0.0.2 is this machine itself: add 127.0.0.2/32 to"),
    "link-local": ("https://169.254.1.1/", "169.254.1.1 is link-local"),
    "metadata": ("https://169.254.169.254/", "the metadata service of a cloud"),
    "metadata-alibaba": ("https://100.100.100.200/", "the metadata service of a cloud"),
    "private": ("https://10.0.0.5/", "10.0.0.5 is private: add it to spec.network.allow of AppStore host"),
    "loopback-6": ("https://[::1]/", "this machine itself"),
    "private-6": ("https://[fd00::1]/", "private"),
    "mapped": ("https://[::ffff:10.0.0.5]/", "private"),
    "nat64": ("https://[64:ff9b::a9fe:a9fe]/", "the metadata service of a cloud"),
    "decimal": ("https://2130706434/", "2130706434 resolves to 127.0.0.2, which is this machine itself"),
    "octal": ("https://0177.0.0.2/", "0177.0.0.2 resolves to 127.0.0.2"),
    "hexadecimal": ("https://0x7f.0.0.2/", "0x7f.0.0.2 resolves to 127.0.0.2"),
    "short": ("https://127.2/", "127.2 resolves to 127.0.0.2"),
    "unspecified": ("https://0.0.0.0/", "unspecified"),
    "name": (
        "https://charts.example/",
        "charts.example resolves to 10.0.0.5, which is private: add it to spec.network.allow of AppStore host",
    ),
    "registry": ("oci://10.0.0.5/team", "10.0.0.5 is private"),
}
CASES = {
    **{name: Case("NetworkDenied", says, url) for name, (url, says) in DENIED.items()},
    "to-metadata": Case("NetworkDenied", "169.254.169.254 is the metadata service"),
    "to-private": Case("NetworkDenied", "charts.example resolves to 10.0.0.5, which is private"),
    "to-http": Case("NetworkDenied", "from https to http"),
    "to-nowhere": Case("NetworkDenied", "is no URL"),
    "to-file": Case("NotARepository", "must begin with https://"),
    "round": Case("NetworkDenied", "for more than 3 times"),
    "no-name": Case("Unreachable", "cannot be resolved", "https://gone.invalid/"),
    "nobody": Case("Unreachable", "cannot be fetched", "https://localhost:1/"),
    "wrong-ca": Case(
        "TLSError",
        "is refused: unable to get local issuer certificate",
        spec={"tls": {"caBundle": create_ca("x").certificate.decode()}},
    ),
    "401": Case("Unauthorized", "set its credential"),
    "403": Case("Unauthorized", "set its credential"),
    "404": Case("NotARepository", "index.yaml"),
    "429": Case("RateLimited", "asked again later"),
    "500": Case("Unreachable", "answered with 500"),
    "204": Case("Unreachable", "answered with 204"),
    "html": Case("NotARepository", "its index.yaml is none"),
    "empty": Case("NotARepository", "its index.yaml is none"),
    "binary": Case("NotARepository", "its index.yaml is none"),
    "aliases": Case("NotARepository", "its index.yaml is none"),
    "deep": Case("NotARepository", "its index.yaml is none"),
    "half": Case("Unreachable", "was not answered as a whole"),
    "not-http": Case("NotARepository", "not answered as HTTP/1.1"),
    "endless": Case("TooLarge", "larger than 33554432 bytes"),
    "33-mib": Case("TooLarge", "larger than 33554432 bytes"),
    "trickle": Case("Unreachable", f"within {FETCH_S:.0f} s"),
    "gzip": Case("NotARepository", "an encoding that nobody asked for"),
    "bool": Case("Synced"),
    "never-changed": Case("NotARepository", "index.yaml"),
    "image": Case("NotARepository", "and no Helm chart", "oci://localhost:{port}/image", {"charts": ["web"]}),
    "mismatch": Case("Synced", "", "oci://localhost:{port}/mismatch", {"charts": ["web"]}),
    "no-catalogue": Case("NotARepository", "name the charts", "oci://localhost:{port}/none"),
    "no-chart": Case("NotARepository", "answered with 404", "oci://localhost:{port}/none", {"charts": ["web"]}),
    "tags-for-ever": Case("TooLarge", "more than 500 pages", "oci://localhost:{port}/tags", {"charts": ["web"]}),
    "many-tags": Case("TooLarge", "more than 50000 tags", "oci://localhost:{port}/many", {"charts": ["web"]}),
    "realm": Case("NetworkDenied", "10.0.0.5 is private", "oci://localhost:{port}/realm", {"charts": ["web"]}),
    "no-json": Case(
        "NotARepository", "not what the specification says", "oci://localhost:{port}/html", {"charts": ["web"]}
    ),
}
REDIRECTS = {
    "to-metadata": "https://169.254.169.254/latest",
    "to-private": "https://charts.example/x",
    "to-http": "http://localhost/x",
    "to-nowhere": "https://[::1/x",
    "to-file": "file:///etc/passwd",
    "round": "index.yaml",
}
BODIES = {
    "html": b"<!doctype html><html><body>Please log in</body></html>",
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "aliases": BOMB,
    "deep": b"entries: " + b"[" * 100_000,
    "bool": b"apiVersion: v1\nentries:\n  on:\n  - name: true\n    version: 1.0.0\n    urls: [x.tgz]\n",
    "33-mib": b"#" * (33 * MIB),
}
CONFIG_DIGEST, LAYER_DIGEST = "sha256:" + "c" * 64, "sha256:" + "d" * 64


def manifest(config: str) -> Answer:
    document = {
        "config": {"mediaType": config, "digest": CONFIG_DIGEST},
        "layers": [{"mediaType": LAYER, "digest": LAYER_DIGEST, "size": 7}],
    }
    return Answer(200, msgspec.json.encode(document), {"docker-content-digest": "sha256:" + "e" * 64})


def registry(rest: str, port: int) -> Answer:
    name, _, path = rest.partition("/")
    if name == "tags":
        return Answer(200, tags([]), {"link": f"</v2/{rest}>; rel=next"})
    if name == "many":
        return Answer(200, tags(f"1.0.{number}" for number in range(50_001)))
    if name == "realm":
        return Answer(401, headers={"www-authenticate": 'Bearer realm="https://10.0.0.5/token",service="x"'})
    if name == "html":
        return Answer(200, b"<html>")
    if name == "none" or rest.startswith("_catalog"):
        return Answer(404)
    if "/tags/" in path:
        return Answer(200, tags(["1.0.0"]))
    if "/manifests/" in path:
        return manifest("application/vnd.docker.container.image.v1+json" if name == "image" else CONFIG)
    return Answer(200, b'{"name": "web", "version": "1.0.0", "apiVersion": "v2"}')


async def behaving(charts: ChartServer, asked: Asked, writer: asyncio.StreamWriter) -> Answer | None:
    name = asked.target.split("/")[1]
    if name == "v2":
        return registry(asked.target.removeprefix("/v2/"), charts.port)
    if name in REDIRECTS:
        return Answer(302, headers={"location": REDIRECTS[name]})
    if name in BODIES:
        return Answer(200, BODIES[name])
    if name == "gzip":
        return Answer(200, b"\x1f\x8b", {"content-encoding": "gzip"})
    if name == "never-changed":
        return Answer(404)
    if name == "429":
        return Answer(429, headers={"retry-after": "3600"})
    if name.isdigit():
        return Answer(int(name))
    await writing(name, writer)
    return None


async def writing(name: str, writer: asyncio.StreamWriter) -> None:
    if name == "not-http":
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    if name == "half":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\napiVersion: v1\n")
    if name in ("endless", "trickle"):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(
        512 if name == "endless" else 0
    ):  # four times what is read: nobody may listen any more, and nothing says so
        writer.write(b"40000\r\n" + b"#" * 0x40000 + b"\r\n")
        await writer.drain()
    while name == "trickle" and not writer.is_closing():
        writer.write(b"1\r\n#\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
    await writer.drain()


async def naming(host: str, port: int) -> Sequence[str]:
    """Names of the tests, and those of the system."""
    return NAMES[host] if host in NAMES else await resolved(host, port)


@asynccontextmanager
async def _opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
    async with SERVICE.state(context) as state:
        yield state._replace(fetch=partial(fetch, resolve=naming))


@pytest.fixture
async def strict(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    """An App Store that may reach one address of this machine alone."""
    key = fresh_nats_host.keys_dir / SECRETS_KEY
    settings = AppStoreSettings(app_store_secrets_key_file=key, app_store_fetch_s=FETCH_S)
    async with world(fresh_nats_host, settings, replace(SERVICE, state=_opened)) as running:
        network = {"allow": ["127.0.0.1/32"]}
        await running.patch(APP_STORE, STORE, {"spec": {"enabled": True, "network": network}})
        yield running


def verdict_of(store: World, name: str) -> tuple[str, str]:
    item = store.process.informer.get(APP_REPOSITORY, name, POOL)
    verdict = condition_of(item.document(), "Ready") if item is not None else condition_of({}, "Ready")
    return verdict.reason, verdict.message


async def test_whatever_it_does_its_condition_says_why(strict: World, charts: ChartServer) -> None:
    charts.answering = partial(behaving, charts)
    for name, case in CASES.items():
        url = case.url.format(port=charts.port, here=f"https://localhost:{charts.port}/{name}")
        spec = {"url": url, "tls": {"caBundle": charts.ca_pem}, **case.spec}
        await strict.create(APP_REPOSITORY, {"metadata": {"name": name, "namespace": POOL}, "spec": spec})
    waiting = ("", "Syncing", "NeverSynced")
    await eventually(lambda: all(verdict_of(strict, name)[0] not in waiting for name in CASES), 120)
    said = {name: verdict_of(strict, name) for name in CASES}
    assert {name: reason for name, (reason, _) in said.items()} == {name: case.reason for name, case in CASES.items()}
    assert {name: message for name, (_, message) in said.items() if CASES[name].says not in message} == {}
    for name, reason in (("bool", "BadName"), ("mismatch", "DigestMismatch")):
        status = (await strict.get(APP_REPOSITORY, name, POOL))["status"]
        assert [each["reason"] for each in status["skipped"]] == [reason]
    sync = (await strict.get(APP_REPOSITORY, "429", POOL))["status"]["sync"]
    assert seconds(sync["next"]) - seconds(sync["finished"]) >= 3599
    sync = (await strict.get(APP_REPOSITORY, "500", POOL))["status"]["sync"]
    assert 50 <= seconds(sync["next"]) - seconds(sync["finished"]) <= 70
    assert sync["failures"] == 1


async def test_a_name_that_means_something_else_later_is_judged_anew(
    strict: World, charts: ChartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    spec = {"url": f"https://rebind.example:{charts.port}/charts", "tls": {"insecureSkipVerify": True}}
    await strict.create(APP_REPOSITORY, {"metadata": {"name": "rebinding", "namespace": POOL}, "spec": spec})
    await eventually(lambda: verdict_of(strict, "rebinding")[0] == "Synced")
    monkeypatch.setitem(NAMES, "rebind.example", ["169.254.169.254"])
    await strict.act(APP_REPOSITORY, "rebinding", "sync", {}, namespace=POOL)
    await eventually(lambda: verdict_of(strict, "rebinding")[0] == "NetworkDenied")
    assert len(charts.asked) == 1


async def test_what_may_be_reached_by_now_is_looked_at_by_itself(strict: World) -> None:
    spec = {"url": "https://127.0.0.2:1/"}
    await strict.create(APP_REPOSITORY, {"metadata": {"name": "near", "namespace": POOL}, "spec": spec})
    await eventually(lambda: verdict_of(strict, "near")[0] == "NetworkDenied")
    await strict.patch(APP_STORE, STORE, {"spec": {"network": {"allow": ["127.0.0.0/8"]}}})
    await eventually(lambda: verdict_of(strict, "near")[0] == "Unreachable")


async def test_a_password_goes_to_the_repository_alone(strict: World, charts: ChartServer, tmp_path: Path) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    async with chart_server(tmp_path / "other") as other:
        other.index = charts.index

        async def elsewhere(asked: Asked, writer: Any) -> Answer:
            return Answer(302, headers={"location": f"https://localhost:{other.port}/charts/index.yaml"})

        charts.answering = elsewhere
        tls = {"caBundle": charts.ca_pem + other.ca_pem}
        await strict.create(
            APP_REPOSITORY,
            {
                "metadata": {"name": "moved", "namespace": POOL},
                "spec": {"url": charts.url, "tls": tls, "syncPeriod": "0s"},
            },
        )
        body = {"username": "me", "password": "secret"}
        await strict.act(APP_REPOSITORY, "moved", "credential", body, namespace=POOL, verb="update")
        await eventually(
            lambda: verdict_of(strict, "moved")[0] == "Synced" and bool(charts.asked[-1].headers.get("authorization"))
        )
        assert other.asked
        assert not any("authorization" in asked.headers for asked in other.asked)
