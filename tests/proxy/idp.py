"""A certified OpenID provider as a process (tests/clients/go/idp), and people who sign in there over plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.proxy.browse import PASSWORD, sign_in

CALLBACK = "http://127.0.0.1:1/callback"
DEADLINE_S = 20.0


class Signed(NamedTuple):
    """What signing in gives."""

    id_token: str
    refresh_token: str


class Idp:
    """A provider that runs, whose users, lifetimes and keys a test says."""

    def __init__(self, issuer: str, process: subprocess.Popen[str]) -> None:
        self.issuer = issuer
        self._process = process
        self._address = urlsplit(issuer).netloc
        configuration = json.loads(self._request("GET", "/.well-known/openid-configuration")[2])
        self._authorize, self._token = (
            urlsplit(configuration[f"{name}_endpoint"]).path for name in ("authorization", "token")
        )

    def control(self, **wanted: Any) -> None:
        """Change what is named: users, lifetimeS, rotate, keepOld, endLogins."""
        status, _, body = self._request("POST", "/control", json.dumps(wanted))
        assert status == 200, body

    def grants(self) -> dict[str, int]:
        """How many grants of each type were asked for."""
        counted: dict[str, int] = json.loads(self._request("GET", "/control")[2])
        return counted

    def users(self, **groups: list[str]) -> None:
        """Exactly these users, with their groups."""
        self.control(
            users=[
                {
                    "id": name, "name": name, "password": PASSWORD, "groups": listed,
                    "email": f"{name}@example.com", "emailVerified": True,
                }
                for name, listed in groups.items()
            ]
        )  # fmt: skip

    def end(self) -> None:
        """It goes away."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # it ends by itself
        self._process.wait(DEADLINE_S)

    def sign_in(self, user: str) -> Signed:
        """Walk through the pages as a browser would: code with PKCE."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": "skerry", "redirect_uri": CALLBACK, "response_type": "code", "state": "s", "nonce": "n",
            "scope": "openid email offline_access", "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        end = sign_in(f"{self.issuer}{self._authorize}?{urlencode(query)}", user)
        assert end.startswith(CALLBACK)
        code = parse_qs(urlsplit(end).query)["code"][0]
        return self._tokens(
            {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": verifier}
        )

    def refreshed(self, signed: Signed) -> Signed:
        """Another token without a word."""
        return self._tokens({"grant_type": "refresh_token", "refresh_token": signed.refresh_token})

    def _tokens(self, form: Mapping[str, str]) -> Signed:
        status, _, body = self._request("POST", self._token, {"client_id": "skerry", **form})
        assert status == 200, body
        answer = json.loads(body)
        return Signed(answer["id_token"], answer["refresh_token"])

    def _request(self, method: str, path: str, form: Mapping[str, str] | str | None = None) -> tuple[int, str, bytes]:
        body = urlencode(form) if isinstance(form, Mapping) else form
        headers = {"content-type": "application/x-www-form-urlencoded"} if isinstance(form, Mapping) else {}
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=DEADLINE_S)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("location", ""), answer.read()


@contextlib.contextmanager
def running(program: Path) -> Iterator[Idp]:
    """A provider of one's own."""
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        provider = Idp(process.stdout.readline().strip(), process)
        try:
            yield provider
        finally:
            provider.end()
