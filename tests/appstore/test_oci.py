"""Listing and fetching charts of an OCI registry, and what a registry may not make us do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.appstore.oci import CONFIG, LAYER, ChartManifest, NotAChart, Registry, RegistryAccess
from skerry.http.outbound import Fetched, OutboundError, OutboundPolicy, ServerIdentity

DIGEST = "sha256:" + "ab" * 32
CONFIG_DIGEST = "sha256:" + "cd" * 32
POLICY = OutboundPolicy()


class Fake:
    """A registry at r.example, with its tokens at auth.r.example where `realm` says so."""

    def __init__(self, documents: dict[str, Any], *, realm: str = "", links: dict[str, str] | None = None) -> None:
        self.documents, self.realm, self.links = documents, realm, links or {}
        self.asked: list[tuple[str, str]] = []

    async def fetch(
        self,
        url: str,
        policy: OutboundPolicy,
        *,
        server: ServerIdentity = ServerIdentity(),  # noqa: B008 - as the real one
        method: bytes = b"GET",
        accept: bytes = b"",
        credentials: Sequence[tuple[bytes, bytes]] = (),
        statuses: Sequence[int] = (200,),
    ) -> Fetched:
        own = dict(credentials).get(b"authorization", b"").decode()
        self.asked.append((url, own))
        if self.realm and url.startswith(f"{self.realm}/token"):
            scope = parse_qs(urlsplit(url).query)["scope"][0]
            return Fetched([], json.dumps({"token": f"for {scope}"}).encode(), "")
        path = url.removeprefix("https://r.example/v2/")
        if self.realm and not own.startswith("Bearer for "):
            if 401 not in statuses:
                raise OutboundError("Status", "no", 401)
            challenge = f'Bearer realm="{self.realm}/token",service="r.example"'
            return Fetched([(b"www-authenticate", challenge.encode())], b"", "", 401)
        if path not in self.documents:
            raise OutboundError("Status", "no", 404)
        headers = [(b"link", self.links[path].encode())] if path in self.links else []
        found = self.documents[path]
        return Fetched(headers, found if isinstance(found, bytes) else json.dumps(found).encode(), "")


def registry(fake: Fake, url: str = "oci://r.example/team", **access: Any) -> Registry:
    return Registry(url, RegistryAccess(POLICY, **access), fake.fetch)


def manifest(config: str = CONFIG, *layers: str) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "config": {"mediaType": config, "digest": CONFIG_DIGEST, "size": 5},
        "layers": [{"mediaType": each, "digest": DIGEST, "size": 700} for each in layers or (LAYER,)],
    }


async def test_tags_are_versions_the_newest_first() -> None:
    tags = ["1.0.0", "1.10.0", "1.9.0", "latest", "2.0.0-rc.1", "1.2.3_build.5"]
    fake = Fake({"team/web/tags/list?n=1000": {"name": "team/web", "tags": tags}})
    assert await registry(fake).versions("web", 3) == (5, ["2.0.0-rc.1", "1.10.0", "1.9.0"])
    assert (await registry(fake).versions("web", 9))[1][-2:] == ["1.2.3+build.5", "1.0.0"]


async def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    fake = Fake(
        {
            "team/web/tags/list?n=1000": {"tags": ["1.0.0"]},
            "team/web/tags/list?last=1.0.0&n=1": {"tags": ["2.0.0"]},
        },
        links={"team/web/tags/list?n=1000": '</v2/team/web/tags/list?last=1.0.0&n=1>; rel="next"'},
    )
    assert await registry(fake).versions("web", 5) == (2, ["2.0.0", "1.0.0"])


async def test_a_list_that_goes_on_elsewhere_or_for_ever_is_refused() -> None:
    path = "team/web/tags/list?n=1000"
    for link in ("<https://evil.example/v2/x>; rel=next", "<http://r.example/v2/x>; rel=next", "</internal>; rel=next"):
        with pytest.raises(OutboundError, match="goes on elsewhere"):
            await registry(Fake({path: {"tags": ["1.0.0"]}}, links={path: link})).versions("web", 5)
    with pytest.raises(OutboundError, match="more than 500 pages"):
        await registry(Fake({path: {"tags": []}}, links={path: f"</v2/{path}>; rel=next"})).versions("web", 5)


async def test_more_tags_than_the_limit_are_refused() -> None:
    fake = Fake({"team/web/tags/list?n=1000": {"tags": [f"1.0.{number}" for number in range(50_001)]}})
    with pytest.raises(OutboundError, match="more than 50000 tags"):
        await registry(fake).versions("web", 5)


async def test_a_catalogue_is_that_below_the_address() -> None:
    fake = Fake({"_catalog?n=500": {"repositories": ["team/web", "team/db/redis", "other/x", "team/../x"]}})
    assert await registry(fake).charts() == ["web", "db/redis"]
    assert await registry(fake, "oci://r.example").charts() == ["team/web", "team/db/redis", "other/x"]
    many = Fake({"_catalog?n=500": {"repositories": [f"team/c{number}" for number in range(3000)]}})
    assert len(await registry(many).charts()) == 2000
    assert await registry(Fake({"_catalog?n=500": {"repositories": None}})).charts() == []


async def test_a_manifest_names_package_and_description() -> None:
    fake = Fake({"team/web/manifests/1.2.3_a": manifest(), f"team/web/blobs/{DIGEST}": b"bytes"})
    found = await registry(fake).manifest("web", "1.2.3+a")
    assert found == ChartManifest(DIGEST, CONFIG_DIGEST, 700)
    assert await registry(fake).blob("web", DIGEST) == b"bytes"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (manifest("application/vnd.oci.image.config.v1+json"), "and no Helm chart"),
        (manifest(CONFIG, "text/plain"), "has no layer of type"),
        ({"manifests": []}, "no image with one manifest"),
        (b"<html>", "no image with one manifest"),
        ({**manifest(), "config": {"mediaType": CONFIG, "digest": "sha256:../../x"}}, "no image with one manifest"),
    ],
    ids=["image", "layers", "index", "html", "digest"],
)
async def test_what_is_no_chart_says_what_it_is(document: Any, why: str) -> None:
    with pytest.raises(NotAChart, match=why):
        await registry(Fake({"team/web/manifests/1.0.0": document})).manifest("web", "1.0.0")


TAGS = {"team/web/tags/list?n=1000": {"tags": ["1.0.0"]}}


async def test_a_token_is_asked_for_once_and_the_password_goes_to_the_realm_of_the_registry() -> None:
    fake = Fake(TAGS | {"team/web/manifests/1.0.0": manifest()}, realm="https://auth.r.example")
    ours = registry(fake, "oci://r.example/team", username="me", password="secret")
    with pytest.raises(OutboundError, match="401"):
        await registry(Fake(TAGS, realm="https://auth.r.example"), token="wrong").versions("web", 1)
    await ours.versions("web", 1)
    await ours.manifest("web", "1.0.0")
    assert [url.partition("?")[0] for url, _ in fake.asked].count("https://auth.r.example/token") == 1
    assert [own for url, own in fake.asked if "/token" in url] == [""]


@pytest.mark.parametrize(
    ("url", "realm", "trusted"),
    [
        ("oci://registry-1.docker.example/team", "https://auth.docker.example", True),
        ("oci://r.example/team", "https://r.example", True),
        ("oci://r.example/team", "https://auth.other", False),
        ("oci://r.example/team", "https://evilr.example", False),
        ("oci://r.example/team", "http://r.example", False),
    ],
)
async def test_who_sees_the_password(url: str, realm: str, trusted: bool) -> None:
    fake = Fake({}, realm=realm)
    fake.documents = {"team/web/tags/list?n=1000": {"tags": ["1.0.0"]}}

    async def fetch(asked: str, *arguments: Any, **more: Any) -> Fetched:
        return await fake.fetch(asked.replace("registry-1.docker.example/v2", "r.example/v2"), *arguments, **more)

    await Registry(url, RegistryAccess(POLICY, username="me", password="secret"), fetch).versions("web", 1)
    (seen,) = [own for address, own in fake.asked if "/token" in address]
    assert seen.startswith("Basic ") == trusted


async def test_a_token_that_is_given_is_shown_and_no_other_is_asked_for() -> None:
    fake = Fake(TAGS)
    await registry(fake, token="mine").versions("web", 1)
    assert fake.asked[0][1] == "Bearer mine"
    await registry(fake, username="me", password="x").versions("web", 1)
    assert fake.asked[1][1] == "Basic bWU6eA=="


class Odd(Fake):
    """Refuses with a challenge that means nothing, or a token that is none."""

    def __init__(self, challenge: bytes, token: bytes = b"{}") -> None:
        super().__init__(TAGS)
        self.challenge, self.token = challenge, token

    async def fetch(self, url: str, policy: OutboundPolicy, **more: Any) -> Fetched:
        if "realm.example" in url:
            return Fetched([], self.token, "")
        return Fetched([(b"www-authenticate", self.challenge)], b"", "", 401)


@pytest.mark.parametrize(
    ("challenge", "token", "message"),
    [
        (b"", b"", "answered with 401"),
        (b'Basic realm="x"', b"", "answered with 401"),
        (b"Bearer nothing", b"", "is no URL|must begin with"),
        (b'Bearer realm="file:///etc/passwd"', b"", "must begin with https"),
        (b'Bearer realm="https://realm.example/t?x=y"', b"{}", "gave no token"),
        (b'Bearer realm="https://realm.example/t"', b'{"token": "a\\nb"}', "gave no token"),
        (b'Bearer realm="https://realm.example/t"', b"<html>", "not what the specification says"),
    ],
)
async def test_a_challenge_that_leads_nowhere_says_so(challenge: bytes, token: bytes, message: str) -> None:
    with pytest.raises(OutboundError, match=message):
        await registry(Odd(challenge, token)).versions("web", 1)


@pytest.mark.parametrize("chart", ["../x", "X", "a//b", "", "a/../../b", "a?b"])
async def test_a_name_that_no_repository_has_is_not_asked_for(chart: str) -> None:
    fake = Fake({})
    with pytest.raises(OutboundError, match="no name of a repository"):
        await registry(fake).versions(chart, 1)
    assert fake.asked == []


async def test_plain_http_is_said_in_the_address() -> None:
    fake = Fake({})
    plain = Registry("oci+http://r.example:5000", RegistryAccess(POLICY._replace(plain=True)), fake.fetch)
    with pytest.raises(OutboundError):
        await plain.versions("web", 1)
    assert fake.asked[0][0] == "http://r.example:5000/v2/web/tags/list?n=1000"
