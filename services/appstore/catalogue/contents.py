"""What people read of a version: its package, readme, values, schema, and its picture. It is got when somebody asks first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from services.appstore.metadata import ChartError
from services.appstore.network import policy
from services.appstore.parts import AppStoreContext
from skerry.admission import Download
from skerry.api.kinds import APP_VERSION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.errors import BadGateway, Conflict, NotFound
from skerry.http.outbound import Fetched, OutboundError, fetch

TEXTS = {"readme": "text/markdown; charset=utf-8", "values": "application/yaml", "schema": "application/json"}
ICON_BYTES = 256 * 1024
ICONS_HELD = 128
PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)
"""How files begin, and what they are. What a server says of its picture does not count."""

Act = Callable[[AppStoreContext, WriteRequest, Any], Awaitable[Download]]


async def package(context: AppStoreContext, request: WriteRequest, body: Any) -> Download:
    """The package as it is."""
    version = await _version(context, request)
    try:
        content = await context.state.packages.get(version)
    except ChartError as error:
        raise Conflict(f"{request.name}: {error.reason}: {error}") from error
    spec = version["spec"]
    return Download.of_bytes(
        content, content_type="application/gzip", attachment=f"{spec['chart']}-{spec['version']}.tgz"
    )


def text(name: str) -> Act:
    """One of TEXTS of the package."""

    async def act(context: AppStoreContext, request: WriteRequest, body: Any) -> Download:
        read = await context.state.checks.package(await _version(context, request))
        content: bytes = getattr(read, name)
        if not content:
            raise NotFound(f"{request.name} has no {name}")
        return Download.of_bytes(content, content_type=TEXTS[name])

    return act


class Icons:
    """Pictures of charts, by their address: fetched within the rules of AppStore host, and held for whoever asks next."""

    def __init__(self, fetcher: Callable[..., Awaitable[Fetched]] = fetch) -> None:
        self._fetch = fetcher
        self._held: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    async def icon(self, context: AppStoreContext, request: WriteRequest, body: Any) -> Download:
        """The picture of a version. NotFound if it names none; BadGateway if that cannot be got, or is no picture."""
        version = await _version(context, request)
        url = ((version.get("status") or {}).get("chart") or {}).get("icon")
        if not url:
            raise NotFound(f"{request.name} names no icon")
        if url not in self._held:
            self._held[url] = await self._fetched(context, url)
            while len(self._held) > ICONS_HELD:
                self._held.popitem(last=False)
        content, kind = self._held[url]
        return Download.of_bytes(content, content_type=kind)

    async def _fetched(self, context: AppStoreContext, url: str) -> tuple[bytes, str]:
        network = context.state.switch.store["spec"].get("network") or {}
        allowed = policy(network.get("allow") or (), plain_http=bool(network.get("plainHTTP")), max_bytes=ICON_BYTES)
        try:
            answer = await self._fetch(url, allowed)
        except OutboundError as error:
            raise BadGateway(f"the icon cannot be fetched: {error}") from error
        kind = picture(answer.body)
        if kind is None:
            raise BadGateway(f"what is at {url[:200]} is no picture: png, jpeg, gif, webp or svg is expected")
        return answer.body, kind


def picture(content: bytes) -> str | None:
    """The type of a picture, by its bytes; None for what is none. Pure."""
    for head, kind in PICTURES:
        if content.startswith(head) and (kind != "image/webp" or content[8:12] == b"WEBP"):
            return kind
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "image/svg+xml" if start.startswith((b"<svg", b"<?xml", b"<!--")) and b"<svg" in content[:4096] else None


async def _version(context: AppStoreContext, request: WriteRequest) -> Document:
    """NotFound."""
    return (await context.store(APP_VERSION).get(request.name, request.namespace)).document()
