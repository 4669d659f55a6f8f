"""Signing in with a browser: the one redirect that is ours, and everything else that comes to the port."""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.login.browser import by_browser, open_page, opener
from skerry.cli.login.oidc import SignedIn
from skerry.cli.login.provider import Provider
from tests.cli.login.standin import Form, Said, Standin

DEADLINE_S = 30.0


class Page(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


class Login:
    """A login that runs, and what its browser was sent to."""

    def __init__(self, opened: Path) -> None:
        self._opened = opened
        self.result: SignedIn | BaseException | None = None

    def run(self, standin: Standin, timeout_s: float) -> None:
        try:
            self.result = by_browser(Provider(standin.parameters), timeout_s)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - for the thread that waits
            self.result = error

    @property
    def asked(self) -> dict[str, str]:
        """The query of the page that was opened."""
        deadline = time.monotonic() + DEADLINE_S
        while not self._opened.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        query = parse_qs(urlsplit(self._opened.read_text().strip()).query)
        return {name: value for name, (value,) in query.items()}

    def visit(self, path: str = "", method: str = "GET", **query: str) -> Page:
        """Go to the port as a browser would."""
        redirect = urlsplit(self.asked["redirect_uri"])
        with closing(http.client.HTTPConnection(redirect.netloc, timeout=DEADLINE_S)) as connection:
            connection.request(method, f"{path or redirect.path}?{urlencode(query)}")
            answer = connection.getresponse()
            return Page(answer.status, answer.headers, answer.read().decode())


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file into which the browser writes what it was sent to."""
    opened, part, browser = (tmp_path / name for name in ("opened", "part", "browser"))
    browser.write_text(f'#!/bin/sh\necho noise\nprintf %s "$1" > {part} && mv {part} {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    return opened


@contextmanager
def logging_in(standin: Standin, opened: Path, timeout_s: float = DEADLINE_S) -> Iterator[Login]:
    login = Login(opened)
    thread = threading.Thread(target=login.run, args=(standin, timeout_s))
    thread.start()
    try:
        yield login
    finally:
        thread.join(2 * DEADLINE_S)
    assert not thread.is_alive()


def gives_tokens(standin: Standin, login: Login) -> None:
    """Have the provider give tokens for the code."""

    def given(form: Form) -> Said:
        token = standin.id_token(nonce=login.asked["nonce"])
        return 200, json.dumps({"id_token": token, "refresh_token": "r"}).encode()

    standin.answer("/token", given)


def test_the_answer_is_redeemed_and_the_page_says_that_it_can_be_closed(
    standin: Standin, opened: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logging_in(standin, opened) as login:
        gives_tokens(standin, login)
        page = login.visit(state=login.asked["state"], code="c", iss=standin.issuer)
    assert isinstance(login.result, SignedIn)
    assert (login.result.refresh_token, login.result.name) == ("r", "alice@example.com")
    assert (page.status, "You are logged in as alice@example.com. This page can be closed." in page.text) == (200, True)
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    (form,) = standin.forms("/token")
    verifier = form.pop("code_verifier")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert challenge == login.asked["code_challenge"]
    assert form == {
        "client_id": "skerry",
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": login.asked["redirect_uri"],
    }
    out, err = capfd.readouterr()
    assert (out, verifier in err) == ("", False)


def test_whatever_else_comes_to_the_port_changes_nothing(standin: Standin, opened: Path) -> None:
    with logging_in(standin, opened) as login:
        gives_tokens(standin, login)
        state = login.asked["state"]
        assert login.visit(state="another", code="c").status == 400
        assert login.visit(state="another", error="access_denied").status == 400
        assert login.visit(code="c").status == 400
        assert login.visit("/favicon.ico", state=state, code="c").status == 404
        assert login.visit(state=state, code="c", **{f"x{number}": "" for number in range(60)}).status == 400
        assert login.visit(method="POST", state=state, code="c").status == 501
        with socket.create_connection(("127.0.0.1", urlsplit(login.asked["redirect_uri"]).port or 0)) as idle:
            idle.sendall(b"nonsense\r\n\r\n")
            assert login.visit(state=state, code="c").status == 200
    assert isinstance(login.result, SignedIn)
    assert len(standin.forms("/token")) == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"error": "access_denied", "error_description": "<b>no</b>"}, "access_denied: <b>no</b>"),
        ({"code": "c", "iss": "https://evil"}, "came from https://evil"),
        ({}, "without a code"),
    ],
)
def test_a_refusal_is_told_on_the_page_and_by_the_command(
    standin: Standin, opened: Path, query: dict[str, str], told: str
) -> None:
    with logging_in(standin, opened) as login:
        page = login.visit(state=login.asked["state"], **query)
    assert isinstance(login.result, Failure)
    assert (login.result.code, told in login.result.message) == (FAILED, True)
    assert (page.status, html.escape(told) in page.text, "<b>" in page.text) == (400, True, False)
    assert standin.forms("/token") == []


def test_a_code_that_is_not_taken_or_a_token_for_another_login_is_a_failure(standin: Standin, opened: Path) -> None:
    standin.answer("/token", {"id_token": standin.id_token(nonce="of another")})
    with logging_in(standin, opened) as login:
        page = login.visit(state=login.asked["state"], code="c")
    assert isinstance(login.result, Failure)
    assert "not the answer to this login" in login.result.message
    assert (page.status, "Not logged in" in page.text) == (400, True)


def test_who_does_not_answer_is_waited_for_so_long(standin: Standin, opened: Path) -> None:
    with logging_in(standin, opened, 0.3) as login:
        pass
    assert isinstance(login.result, Failure)
    assert login.result.code == TIMED_OUT


def test_a_provider_without_pages_says_what_to_use(standin: Standin) -> None:
    standin.describe(authorization_endpoint=None)
    with pytest.raises(Failure, match="--device"):
        by_browser(Provider(standin.parameters), 1.0)


@pytest.mark.parametrize(
    ("environ", "platform", "there", "command"),
    [
        ({}, "linux", {"xdg-open"}, []),
        ({"DISPLAY": ":0"}, "linux", {"xdg-open"}, ["xdg-open"]),
        ({"WAYLAND_DISPLAY": "w"}, "linux", {"wslview"}, ["wslview"]),
        ({"DISPLAY": ":0"}, "linux", set(), []),
        ({}, "darwin", set(), ["open"]),
        ({"SSH_CONNECTION": "1"}, "darwin", set(), []),
        ({"BROWSER": "none:firefox --new"}, "linux", {"firefox"}, ["firefox", "--new"]),
        ({"BROWSER": "'"}, "linux", {"firefox"}, []),
    ],
    ids=range(8),
)
def test_a_browser_is_opened_where_somebody_sees_it(
    environ: dict[str, str], platform: str, there: set[str], command: list[str]
) -> None:
    assert opener(environ, platform, lambda name: name if name in there else None) == command


def test_the_address_stands_where_the_browser_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Path
) -> None:
    monkeypatch.setenv("BROWSER", f"{tmp_path / 'browser'} %s")
    assert open_page("https://a/")
    login = Login(opened)
    assert login.asked == {}
    assert opened.read_text() == "https://a/"
    monkeypatch.setenv("BROWSER", "")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert open_page("https://a/") is (sys.platform == "darwin")
