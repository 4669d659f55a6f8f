"""A browser for the pages of the test provider, over plain HTTP: it signs somebody in. `BROWSER="python browse.py USER"`.

Standard library alone: it runs where a command opens it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

PASSWORD = "open sesame"
DEADLINE_S = 30.0


class Visited(NamedTuple):
    """A page, or where it sends one."""

    status: int
    location: str
    body: bytes
    cookie: str


def visit(method: str, url: str, form: Mapping[str, str] | None = None, cookie: str = "") -> Visited:
    """One request; redirects are not followed."""
    parts = urlsplit(url)
    headers = {"cookie": cookie} if cookie else {}
    if form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=DEADLINE_S)) as connection:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, urlencode(form) if form is not None else None, headers)
        answer = connection.getresponse()
        cookie = (answer.headers.get("set-cookie") or "").partition(";")[0]
        return Visited(answer.status, answer.headers.get("location", ""), answer.read(), cookie)


def sign_in(url: str, user: str) -> str:
    """Go through the pages that an authorization URL leads to; where they lead back to."""
    issuer = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    page = visit("GET", url)
    assert page.status == 302, page.body
    request = parse_qs(urlsplit(page.location).query)["authRequestID"][0]
    form = {"username": user, "password": PASSWORD, "id": request}
    back = visit("POST", f"{issuer}/login/username", form)
    assert back.status == 302, back.body
    end = visit("GET", issuer + back.location if back.location.startswith("/") else back.location)
    assert end.status == 302, end.body
    return end.location


def confirm(issuer: str, user: str, code: str, action: str = "allowed") -> None:
    """Type in the code of a device, and say yes or no."""
    form = {"user_code": code, "username": user, "password": PASSWORD}
    page = visit("POST", f"{issuer}/device/login", form)
    assert page.status == 200, page.location
    done = visit("GET", f"{issuer}/device/confirm?action={action}", cookie=page.cookie)
    assert done.status == 200, done.location


if __name__ == "__main__":
    if opened := os.environ.get("BROWSER_LOG"):
        with open(opened, "a") as file:  # noqa: PTH123
            file.write("opened\n")
    visit("GET", sign_in(sys.argv[2], sys.argv[1]))
