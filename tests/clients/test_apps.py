"""An app in a pod, seen through a real API server's proxy and us: its links, redirects and cookies."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.clients.shore import Shore
from tests.clients.test_wire import calling

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

SERVER = r"""
mkdir -p /tmp/www/cgi-bin
cat > /tmp/www/cgi-bin/page <<'END'
#!/bin/sh
printf 'Set-Cookie: sid=1; Path=/; Domain=example.org\r\nSet-Cookie: skerry_session=1; Path=/\r\n'
printf 'Content-Type: text/html\r\n\r\n<a href="/next">%s</a>' "$HTTP_COOKIE"
END
cat > /tmp/www/cgi-bin/moved <<'END'
#!/bin/sh
printf 'Status: 302 Found\r\nLocation: http://%s/next\r\n\r\n' "$HTTP_HOST"
END
chmod +x /tmp/www/cgi-bin/page /tmp/www/cgi-bin/moved
exec httpd -f -p 8080 -h /tmp/www
"""


@pytest.fixture(scope="module")
def app(shore: Shore) -> Iterator[str]:
    """The path of the app's own root at the API server."""
    with shore.member.busybox("cabin", SERVER) as pod:
        yield f"/api/v1/namespaces/default/pods/{pod}:8080/proxy"


@pytest.mark.parametrize("by_path", [True, False], ids=["by-path", "by-name"])
def test_links_redirects_and_cookies_of_an_app_stay_with_it(shore: Shore, app: str, by_path: bool) -> None:
    reached = replace(shore, by_path=by_path)
    prefix = urllib.parse.urlparse(reached.server).path.rstrip("/")
    place = f"{prefix}{app}"
    assert (prefix != "") is by_path
    with calling(reached) as caller:
        answer = caller.send(f"{place}/cgi-bin/page", Cookie="sid=7; skerry_session=2", Accept_Encoding="gzip")
        assert answer.status == 200
        cookies = answer.headers.get_all("set-cookie")
        if not by_path:
            assert answer.headers["content-encoding"] in (None, "gzip")
            answer.read()
            answer = caller.send(f"{place}/cgi-bin/page", Cookie="sid=7; skerry_session=2")
        assert answer.read().decode() == f'<a href="{place}/next">sid=7</a>'
        assert cookies == [f"sid=1; Path={place if by_path else ''}/"]
        moved = caller.send(f"{place}/cgi-bin/moved")
        moved.read()
        assert (moved.status, moved.headers["location"]) == (302, f"{place}/next")
