"""Apps behind the API servers of members, an agent's and a direct one: links lead back, cookies stay with their app."""

from __future__ import annotations

import pytest

from skerry.http import Exchange
from skerry.httpwire.head import Headers, ResponseHead
from tests.proxy.member import Recorder
from tests.proxy.members.test_direct import Near, near

__all__ = ["near"]

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("member", [b"m1", b"m2"])]
APP = b"/api/v1/namespaces/d/services/web:80/proxy"
PAGE = b'<a href="%b/login">log in</a>' % APP


class App:
    """Answers as an API server does for an app: links and redirects are its own paths."""

    def __init__(self, host: Near, member: bytes) -> None:
        self.host = host.host
        self.recorder: Recorder = host.recorder if member == b"m2" else host.host.recorder
        self.place = b"/clusters/" + member + APP
        self.recorder.routes |= {
            APP + b"/": self._page,
            APP + b"/slow": self._slow,
            APP + b"/long": self._long,
            APP + b"/packed": self._packed,
            APP + b"/go": self._go,
            b"/api/v1/pods": self._page,
        }

    async def _page(self, exchange: Exchange) -> None:
        cookies = [
            b"sid=1; Path=/; HttpOnly",
            b"all=1; Domain=example.org; Path=/",
            b"skerry_session=forged",
            b"__Host-skerry=forged; Path=/",
        ]
        headers: Headers = [(b"content-type", b"text/html"), *((b"set-cookie", cookie) for cookie in cookies)]
        await exchange.respond(200, headers, PAGE)

    async def _slow(self, exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[(b"content-type", b"text/html")]), length=None)
        for at in range(0, len(PAGE), 7):
            await exchange.write(PAGE[at : at + 7])
        await exchange.finish()

    async def _long(self, exchange: Exchange) -> None:
        await exchange.start(
            ResponseHead(status=200, headers=[(b"content-type", b"text/html")]), length=len(PAGE) * 10_000
        )
        for _ in range(100):
            await exchange.write(PAGE * 100)
        await exchange.finish()

    async def _packed(self, exchange: Exchange) -> None:
        await exchange.respond(200, [(b"content-type", b"text/html"), (b"content-encoding", b"gzip")], PAGE)

    async def _go(self, exchange: Exchange) -> None:
        await exchange.respond(302, [(b"location", b"http://10.9.8.7:6443" + APP + b"/")])

    @property
    def asked(self) -> Headers:
        """The headers of the last request that reached the API server."""
        return self.recorder.heads[-1].headers

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.asked if key == name]


@pytest.mark.parametrize(("path", "times"), [(b"/", 1), (b"/slow", 1), (b"/long", 10_000)])
async def test_links_lead_back_to_the_member_whatever_way_they_come(
    near: Near, member: bytes, path: bytes, times: int
) -> None:
    app = App(near, member)
    answer = await app.host.ask(app.place + path, headers=[(b"accept-encoding", b"gzip")])
    assert answer.body == PAGE.replace(APP, app.place) * times
    assert app.values(b"accept-encoding") == [b"identity"]
    head = await app.host.ask(app.place + b"/long", b"HEAD")
    assert (head.status, head.header(b"content-length"), head.body) == (200, None, b"")


async def test_what_cannot_be_read_and_what_is_no_apps_is_not_touched(near: Near, member: bytes) -> None:
    app = App(near, member)
    assert (await app.host.ask(app.place + b"/packed")).body == PAGE
    plain = await app.host.ask(b"/clusters/%b/api/v1/pods" % member, headers=[(b"accept-encoding", b"gzip")])
    assert plain.body == PAGE
    assert app.values(b"accept-encoding") == [b"gzip"]
    assert plain.header(b"set-cookie") is None


async def test_a_redirect_leads_back_to_the_member(near: Near, member: bytes) -> None:
    app = App(near, member)
    assert (await app.host.ask(app.place + b"/go")).header(b"location") == app.place + b"/"


async def test_cookies_pass_both_ways_below_their_app_and_the_hosts_never(near: Near, member: bytes) -> None:
    app = App(near, member)
    sent = [(b"cookie", b"sid=1; skerry_session=secret; __Host-skerry=secret")]
    answer = await app.host.ask(app.place + b"/", headers=sent)
    assert [value for name, value in answer.headers if name == b"set-cookie"] == [
        b"sid=1; Path=" + app.place + b"/; HttpOnly",
        b"all=1; Path=" + app.place + b"/",
    ]
    assert app.values(b"cookie") == [b"sid=1"]


async def test_no_cookie_reaches_the_api_server_itself(near: Near, member: bytes) -> None:
    app = App(near, member)
    for target in (b"/api/v1/pods", b"/api/v1/namespaces/d/services/web", b"/apis/x/v1/namespaces/d/services/w/proxy/"):
        await app.host.ask(b"/clusters/" + member + target, headers=[(b"cookie", b"sid=1")])
        assert app.values(b"cookie") == []
