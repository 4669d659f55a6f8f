"""Signing in with a browser: its pages are the provider's, and the answer comes to a port of this machine (RFC 8252).

The port takes one answer, the one with our state; whatever else connects gets a refusal and changes nothing. The program
that opens the browser has none of our streams: kubectl reads stdout until everybody has closed it.
"""

from __future__ import annotations

import contextlib
import html
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.login.oidc import SignedIn, authorization_url, code_of, is_answer, question, signed_in
from skerry.cli.login.provider import Provider
from skerry.cli.term import say
from skerry.errors import SkerryError

PATH = "/callback"
CONNECTION_S = 10.0
MAX_FIELDS = 50
_OPENERS = ("xdg-open", "wslview")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Skerry: {title}</title>
<style>body{{font:1.1rem system-ui,sans-serif;margin:15vh auto;max-width:36rem;padding:0 1rem}}</style>
<h1>{title}</h1><p>{text}</p></html>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}

Redirected = Callable[[Mapping[str, str]], SignedIn | None]
"""What the query of a redirect leads to: None if it is not the answer to our question. SkerryError if the login failed."""


def by_browser(provider: Provider, timeout_s: float) -> SignedIn:
    """Have somebody sign in with a browser. Failure if it is refused, or nobody does within the time."""
    parameters, discovery, challenge = provider.parameters, provider.discovery, question()
    if not discovery.authorization_endpoint:
        raise Failure(f"{parameters.issuer} has no pages to log in with a browser: use --device")

    def redirected(answer: Mapping[str, str]) -> SignedIn | None:
        if not is_answer(answer, challenge):
            return None
        grant = {"grant_type": "authorization_code", "code": code_of(answer, discovery), "redirect_uri": redirect}
        tokens = provider.tokens({**grant, "code_verifier": challenge.verifier})
        return signed_in(tokens, parameters, time.time(), nonce=challenge.nonce)

    with listening(redirected) as login:
        redirect = login.address
        url = authorization_url(discovery.authorization_endpoint, parameters, challenge, redirect)
        opened = open_page(url)
        say(f"{'If no browser has opened, log' if opened else 'Log'} in here, with a browser on this machine: {url}")
        return login.wait(timeout_s, parameters.issuer)


class BrowserLogin:
    """A login that waits for its redirect."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._result: SignedIn | SkerryError | None = None

    def answer(self, redirected: Redirected, query: Mapping[str, str]) -> tuple[int, str, str]:
        """What to tell the browser: status, title and text."""
        with self._lock:
            if self._result is not None:
                return 410, "Over", "This login is over. This page can be closed."
            try:
                self._result = redirected(query)
            except SkerryError as error:
                self._result = error
                return 400, "Not logged in", f"{error}. This page can be closed."
        if self._result is None:
            return 400, "Not logged in", "This is not the answer to the login that waits here."
        return 200, "Logged in", f"You are logged in as {self._result.name}. This page can be closed."

    def told(self) -> None:
        """The browser has its page."""
        if self._result is not None:
            self._done.set()

    def wait(self, timeout_s: float, issuer: str) -> SignedIn:
        """The result. Failure."""
        if not self._done.wait(timeout_s) or self._result is None:
            raise Failure(f"nobody logged in at {issuer} within {timeout_s:.0f} s: log in again", TIMED_OUT)
        if isinstance(self._result, SkerryError):
            raise self._result
        return self._result


class _CallbackServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Without looking up a name for the address, which may take as long as DNS likes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is no news."""


@contextlib.contextmanager
def listening(redirected: Redirected) -> Iterator[BrowserLogin]:
    """A login at a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        timeout = CONNECTION_S

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path != PATH:
                self._page(404, "Nothing here", "Only the answer to a login comes here.")
                return
            try:
                query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MAX_FIELDS))
            except ValueError:
                query = {}
            try:
                self._page(*login.answer(redirected, query))
            finally:
                login.told()

        def _page(self, status: int, title: str, text: str) -> None:
            body = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode(errors="replace")
            self.send_response(status)
            for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "skerry"

        def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 - as it is called
            """Nothing: the path has the code."""

    with _CallbackServer(("127.0.0.1", 0), Handler) as server:
        login = BrowserLogin(f"http://127.0.0.1:{server.server_port}{PATH}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield login
        finally:
            server.shutdown()
            thread.join()


def opener(environ: Mapping[str, str], platform: str, which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """The command that opens a page where somebody sees it; nothing where there is no display."""
    for each in environ.get("BROWSER", "").split(os.pathsep):
        with contextlib.suppress(ValueError):
            words = shlex.split(each)
            if words and which(words[0]):
                return words
    if platform == "darwin":
        return [] if environ.get("SSH_CONNECTION") else ["open"]
    if not any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")):
        return []
    return next(([name] for name in _OPENERS if which(name)), [])


def has_display() -> bool:
    """True if a browser can be opened where somebody sees it."""
    return bool(opener(os.environ, sys.platform))


def open_page(url: str) -> bool:
    """Open a browser, if there is one. It is not waited for."""
    words = opener(os.environ, sys.platform)
    if not words:
        return False
    command = [word.replace("%s", url) for word in words] if any("%s" in word for word in words) else [*words, url]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    threading.Thread(target=process.wait, daemon=True).start()
    return True
