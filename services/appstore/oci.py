"""Charts in an OCI registry (opencontainers/distribution-spec 1.1; helm.sh/docs/topics/registries): listing and fetching them.

Chart.yaml is the config blob of a chart's manifest, and the digest of its one layer is the package's: so listing pulls no package.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urljoin

import msgspec

from services.appstore.semver import version
from skerry.api.decode import decoder
from skerry.http.outbound import Fetched, OutboundError, OutboundPolicy, ServerIdentity, fetch, origin_of
from skerry.httpwire.head import first

CONFIG = "application/vnd.cncf.helm.config.v1+json"
LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MANIFESTS = b"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
MOST_TAGS = 50_000
MOST_PAGES = 500
MOST_CHARTS = 2000
SMALL = 1 << 20
"""Bytes of a list of tags, a manifest, a config or a token."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')
_LINK = re.compile(r"<([^>]{1,2000})>\s*;\s*rel=\"?next\"?")

T = TypeVar("T")
Fetch = Callable[..., Awaitable[Fetched]]
"""`skerry.http.outbound.fetch`."""


class NotAChart(Exception):
    """Something in a registry that is no Helm chart. The message says what it is."""


class RegistryAccess(NamedTuple):
    """How a registry is reached."""

    policy: OutboundPolicy
    server: ServerIdentity = ServerIdentity()
    username: str = ""
    password: str = ""
    token: str = ""
    """A bearer token, instead of the two."""


class ChartManifest(NamedTuple):
    """A chart under one tag."""

    digest: str
    """Of the package."""
    config: str
    """Digest of its Chart.yaml as JSON."""
    size: int


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    digest: Annotated[str, msgspec.Meta(pattern=f"^{_DIGEST.pattern}$")]
    size: int = 0


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    config: _Descriptor
    layers: list[_Descriptor]


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


class _Catalogue(msgspec.Struct, frozen=True):
    repositories: list[str] | None = None


class _RegistryToken(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


_manifest, _tags, _catalogue, _token = decoder(_Manifest), decoder(_Tags), decoder(_Catalogue), decoder(_RegistryToken)


class Registry:
    """One registry below one address `oci://host[:port]/path`; `oci+http://…` is asked without TLS. OutboundError where it cannot
    be asked.
    """

    def __init__(self, url: str, access: RegistryAccess, fetcher: Fetch = fetch) -> None:
        kind, _, rest = url.partition("://")
        scheme = "http" if kind == "oci+http" else "https"
        place, _, path = rest.partition("/")
        self._origin, self._path = origin_of(f"{scheme}://{place}"), path.strip("/")
        self._base = f"{scheme}://{place}/v2/"
        self._address = url.rstrip("/")
        self._access, self._fetch = access, fetcher
        self._bearer: dict[str, str] = {}
        """Tokens by what they are for."""

    async def charts(self) -> list[str]:
        """Names of the repositories below the address, where the registry lists its catalogue."""
        names: list[str] = []
        prefix = f"{self._path}/" if self._path else ""
        async for page in self._pages("_catalog?n=500", "registry:catalog:*"):
            repositories = _decoded(_catalogue, page).repositories or []
            names += [
                each.removeprefix(prefix)
                for each in repositories
                if each.startswith(prefix) and _REPOSITORY.fullmatch(each)
            ]
            if len(names) > MOST_CHARTS:
                break
        return names[:MOST_CHARTS]

    async def versions(self, chart: str, newest: int) -> tuple[int, list[str]]:
        """How many versions of a chart there are, and the newest of them, the newest first. Tags write + as _."""
        versions: list[str] = []
        async for page in self._pages(f"{self._name(chart)}/tags/list?n=1000", self._scope(chart)):
            versions += [each.replace("_", "+") for each in _decoded(_tags, page).tags or [] if _is_version(each)]
            if len(versions) > MOST_TAGS:
                raise OutboundError("TooLarge", f"{chart} has more than {MOST_TAGS} tags")
        ordered = sorted(versions, key=lambda each: version(each).precedence, reverse=True)
        return len(versions), ordered[:newest]

    async def digest(self, chart: str, version: str) -> str:
        """The digest of the manifest that a tag stands for; empty where the registry does not say it. Nothing is pulled."""
        path, scope = self._manifest(chart, version), self._scope(chart)
        answer = await self._get(path, scope, accept=MANIFESTS, method=b"HEAD")
        digest = (first(answer.headers, b"docker-content-digest") or b"").decode("latin-1")
        return digest if _DIGEST.fullmatch(digest) else ""

    async def manifest(self, chart: str, version: str) -> ChartManifest:
        """The chart that a tag stands for. NotAChart."""
        answer = await self._get(self._manifest(chart, version), self._scope(chart), accept=MANIFESTS)
        try:
            manifest = _manifest(answer.body)
        except msgspec.DecodeError as error:
            raise NotAChart(f"{chart}:{version} is no image with one manifest ({error})") from error
        if manifest.config.media_type != CONFIG:
            raise NotAChart(f"{chart}:{version} is of type {manifest.config.media_type[:80]}, and no Helm chart")
        layer = next((each for each in manifest.layers if each.media_type == LAYER), None)
        if layer is None:
            raise NotAChart(f"{chart}:{version} has no layer of type {LAYER}")
        return ChartManifest(layer.digest, manifest.config.digest, layer.size)

    async def blob(self, chart: str, digest: str, max_bytes: int = SMALL) -> bytes:
        """A blob by its digest, which is not looked at here."""
        return (await self._get(f"{self._name(chart)}/blobs/{digest}", self._scope(chart), max_bytes=max_bytes)).body

    def reference(self, chart: str, version: str) -> str:
        """The address of a chart, as Helm takes it."""
        return f"{self._address}/{chart}:{version.replace('+', '_')}"

    def _name(self, chart: str) -> str:
        name = f"{self._path}/{chart}" if self._path else chart
        if not _REPOSITORY.fullmatch(name):
            raise OutboundError("URL", f"{name[:80]!r} is no name of a repository in a registry")
        return name

    def _manifest(self, chart: str, version: str) -> str:
        return f"{self._name(chart)}/manifests/{quote(version.replace('+', '_'), safe='')}"

    def _scope(self, chart: str) -> str:
        return f"repository:{self._name(chart)}:pull"

    async def _pages(self, path: str, scope: str) -> AsyncIterator[bytes]:
        """The pages of a list, as far as their links lead within the registry."""
        for _ in range(MOST_PAGES):
            answer = await self._get(path, scope)
            yield answer.body
            link = _LINK.search((first(answer.headers, b"link") or b"").decode("latin-1"))
            if link is None:
                return
            following = urljoin(self._base + path, link[1])
            if not following.startswith(self._base):
                raise OutboundError("Redirect", f"a list of {self._base} goes on elsewhere: {following[:200]}")
            path = following.removeprefix(self._base)
        raise OutboundError("TooLarge", f"{self._base}{path[:200]} has more than {MOST_PAGES} pages")

    async def _get(
        self, path: str, scope: str, *, accept: bytes = b"*/*", max_bytes: int = SMALL, method: bytes = b"GET"
    ) -> Fetched:
        """An answer, after a token was asked for where the registry wants one."""
        url, policy = self._base + path, self._access.policy._replace(max_bytes=max_bytes)
        for last in (False, True):
            answer = await self._fetch(
                url,
                policy,
                server=self._access.server,
                method=method,
                accept=accept,
                credentials=self._credentials(scope),
                statuses=(200,) if last else (200, 401),
            )
            if answer.status == 200:
                return answer
            challenge = (first(answer.headers, b"www-authenticate") or b"").decode("latin-1")
            if not challenge.lower().startswith("bearer ") or self._access.token:
                break
            self._bearer[scope] = await self._token(dict(_CHALLENGE.findall(challenge)), scope)
        raise OutboundError("Status", f"{url} was answered with 401", 401)

    def _credentials(self, scope: str) -> list[tuple[bytes, bytes]]:
        bearer = self._access.token or self._bearer.get(scope, "")
        if bearer:
            return [(b"authorization", b"Bearer " + bearer.encode())]
        return self._basic()

    def _basic(self) -> list[tuple[bytes, bytes]]:
        if not self._access.username:
            return []
        pair = f"{self._access.username}:{self._access.password}".encode()
        return [(b"authorization", b"Basic " + base64.b64encode(pair))]

    async def _token(self, challenge: dict[str, str], scope: str) -> str:
        """A token from the realm that the registry names (distribution's token specification)."""
        realm = origin_of(challenge.get("realm", ""))
        query = urlencode({"service": challenge.get("service", ""), "scope": challenge.get("scope") or scope})
        url = f"{challenge['realm']}{'&' if b'?' in realm.target else '?'}{query}"
        trusted = self._trusts(realm.scheme, realm.host)
        answer = await self._fetch(
            url,
            self._access.policy._replace(max_bytes=SMALL, redirects=0),
            server=self._access.server if trusted else self._access.server.stranger(),
            credentials=self._basic() if trusted else (),
        )
        token = _decoded(_token, answer.body)
        bearer = token.token or token.access_token
        if not bearer or not bearer.isascii() or not bearer.isprintable():
            raise OutboundError("Protocol", f"{challenge['realm']} gave no token")
        return bearer

    def _trusts(self, scheme: str, host: str) -> bool:
        """True for a realm that may see the password: the registry itself, or a host below its parent domain."""
        if scheme != "https" and scheme != self._origin.scheme:
            return False
        parent = self._origin.host.partition(".")[2]
        return host == self._origin.host or ("." in parent and host.endswith("." + parent))


def _decoded(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise OutboundError("Protocol", f"the registry's answer is not what the specification says: {error}") from error


def _is_version(tag: str) -> bool:
    try:
        version(tag.replace("_", "+"))
    except ValueError:
        return False
    return True
