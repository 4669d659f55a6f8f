"""kubectl, the Python client and `skerry`, whose users log in at a certified provider: by browser, by device, and without a word.

What a provider that behaves badly does is in tests/cli/login; here everything is real but the browser, which is a plain HTTP
client that goes through the provider's pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import shlex
import signal
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.tenancy import keyring
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.cli import kubeconfig
from skerry.storage import Store
from tests.clients import tools
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving
from tests.proxy import browse
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.idp import Idp, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # the program is built, once per machine

SCRIPTS = Path(sysconfig.get_path("scripts"))
DEADLINE_S = 60.0
PYTHON_CLIENT = """
import sys, kubernetes
client = kubernetes.config.new_client_from_config(sys.argv[1], context="skerry")
review = kubernetes.client.AuthenticationV1Api(client).create_self_subject_review({})
print(review.status.user_info.username)
"""


class Done(NamedTuple):
    """A program that ended."""

    code: int
    out: str
    err: str

    @property
    def user(self) -> str:
        """Of `kubectl auth whoami -o json`."""
        return str(json.loads(self.out)["status"]["userInfo"]["username"]) if self.code == 0 else ""

    @property
    def groups(self) -> set[str]:
        """The same, but for those of Kubernetes."""
        groups = json.loads(self.out)["status"]["userInfo"]["groups"]
        return {group for group in groups if not group.startswith("system:")}


class Person:
    """Somebody with a home, a kubeconfig that was handed to them, and perhaps a browser."""

    def __init__(self, name: str, home: Path, config: str) -> None:
        home.mkdir()
        self.name, self.home = name, home
        self.config = home / "config"
        self.config.write_text(config)

    def environment(self, *, browser: bool) -> dict[str, str]:
        opened = shlex.join([sys.executable, browse.__file__, self.name])
        display = {"BROWSER": opened, "BROWSER_LOG": str(self.home / "opened")} if browser else {}
        path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
        return {"HOME": str(self.home), "PATH": path, "KUBECONFIG": str(self.config), **display}

    @property
    def opened(self) -> int:
        """How often a browser was opened."""
        log = self.home / "opened"
        return log.read_text().count("opened") if log.exists() else 0

    async def run(self, *words: str, terminal: bool = True, browser: bool = True) -> Done:
        """Run a program on a terminal, whose output goes elsewhere."""
        async with self.started(*words, terminal=terminal, browser=browser) as process, asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
            return Done(process.returncode or 0, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def started(
        self, *words: str, terminal: bool = True, browser: bool = True
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A program that runs. It is killed at the end."""
        ours, theirs = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                SCRIPTS / words[0],
                *words[1:],
                stdin=theirs if terminal else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment(browser=browser),
                start_new_session=True,
            )
            try:
                yield process
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.communicate()
        finally:
            os.close(ours)
            os.close(theirs)

    async def who(self, *, terminal: bool = True, browser: bool = True) -> Done:
        """`kubectl auth whoami`."""
        return await self.run("kubectl", "auth", "whoami", "-o", "json", terminal=terminal, browser=browser)

    def with_raw_token(self) -> str:
        """The kubeconfig with the ID token that is kept in the place of the plugin."""
        (kept,) = (self.home / ".cache/skerry/login").glob("*.json")
        config = json.loads(self.config.read_text())
        config["users"][0]["user"] = {"token": json.loads(kept.read_text())["id_token"]}
        return json.dumps(config)

    def age(self) -> None:
        """What is kept ends now; the refresh token stays."""
        (kept,) = (self.home / ".cache/skerry/login").glob("*.json")
        document = json.loads(kept.read_text())
        kept.write_text(json.dumps({**document, "expires": 1.0}))


class Company:
    """A host, its provider, and people with kubeconfigs."""

    def __init__(self, host: World, idp: Idp, providers: Store, home: Path) -> None:
        self.host, self.idp, self.providers, self.home = host, idp, providers, home

    async def handed_out(self) -> str:
        """The kubeconfig that an administrator makes."""
        admin = kubeconfig.build(
            "skerry",
            [],
            server="https://127.0.0.1:{1}".format(*self.host.address),
            ca=self.host.nats.ca_pem.encode(),
            token=self.host.admin.decode(),
        )
        boss = Person("admin", self.home / "admin", kubeconfig.text(admin))
        made = await boss.run("skerry", "kubeconfig", "--login", "--context", "skerry")
        assert (made.code, self.host.admin.decode() in made.out) == (0, False), made.err
        return made.out

    async def people(self, *names: str) -> list[Person]:
        config = await self.handed_out()
        return [Person(name, self.home / f"{index}-{name}", config) for index, name in enumerate(names)]


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return tools.obtain(["idp"], print)["idp"]
    except tools.Unavailable as error:
        if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def idp(program: Path) -> Iterator[Idp]:
    with running(program) as provider:
        provider.users(alice=["org:shop", "org:dba"], bob=[])
        yield provider


@pytest.fixture
async def company(fresh_nats_host: NatsHost, idp: Idp, tmp_path: Path) -> AsyncIterator[Company]:
    directory = fresh_nats_host.directory
    files = {"tls_cert_file": directory / "tls.crt", "tls_key_file": directory / "tls.key"}
    async with (
        world(fresh_nats_host, settings_for(fresh_nats_host, **files)) as host,
        serving(fresh_nats_host, (SERVICE, TenancySettings())) as tenancy,
    ):
        assert tenancy.bucket is not None
        spec = {
            "issuer": idp.issuer,
            "audiences": ["skerry"],
            "username": {"claim": "email"},
            "groups": {"claim": "groups"},
            "login": {"clientID": "skerry", "scopes": ["email", "offline_access"]},
        }
        providers = Store(tenancy.bucket, IDENTITY_PROVIDER)
        await providers.create({"metadata": {"name": "corp"}, "spec": spec})
        await eventually(lambda: host.proxy.directory.provider("corp") is not None)
        yield Company(host, idp, providers, tmp_path)


async def test_a_browser_opens_once_then_it_goes_without_a_word_and_follows_the_provider(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "AGAIN_S", 1.0)
    (alice,) = await company.people("alice")
    first = await alice.who()
    assert (first.user, first.groups) == ("alice@example.com", {"org:shop", "org:dba"}), first.err
    assert (await alice.who()).user == "alice@example.com"
    assert (await alice.who(terminal=False)).err == ""
    grants = company.idp.grants()
    assert (alice.opened, grants) == (1, {"authorization_code": 1})

    company.idp.users(alice=["org:shop"], bob=[])
    alice.age()
    after = await alice.who(terminal=False)
    assert (after.groups, after.err) == ({"org:shop"}, ""), "a group that was lost there is gone with the next token"

    company.idp.control(rotate=True, keepOld=True)
    alice.age()
    deadline = time.monotonic() + DEADLINE_S
    while not (rotated := await alice.who(terminal=False)).user and time.monotonic() < deadline:
        await asyncio.sleep(1)  # before the host asks for keys again
    assert rotated.user == "alice@example.com"
    python = await alice.run("python", "-c", PYTHON_CLIENT, str(alice.config), terminal=False)
    assert (python.out, alice.opened) == ("alice@example.com\n", 1), python.err

    raw = Person("raw", company.home / "raw", alice.with_raw_token())
    assert (await raw.who(terminal=False)).user == "alice@example.com"
    assert (await raw.run("python", "-c", PYTHON_CLIENT, str(raw.config), terminal=False)).out == "alice@example.com\n"

    company.idp.control(endLogins=True)
    alice.age()
    silent = await alice.who(terminal=False)
    assert silent.code == 1
    assert re.search(r"you are not logged in at \S+: run skerry login", silent.err)
    assert alice.opened == 1
    assert ((await alice.who()).user, alice.opened) == ("alice@example.com", 2)

    mine = await alice.run("skerry", "whoami", "-o", "json", terminal=False)
    answer = json.loads(mine.out)
    assert (answer["user"], answer["source"], answer["provider"]) == ("alice@example.com", "IdentityProvider", "corp")
    out = await alice.run("skerry", "logout", terminal=False)
    assert (out.code, out.err) == (0, "logged out\n")
    assert (await alice.who(terminal=False)).code == 1


async def test_a_code_for_another_device_logs_in_and_who_says_no_there_is_refused(company: Company) -> None:
    (alice,) = await company.people("alice")
    async with alice.started("kubectl", "auth", "whoami", "-o", "json", browser=False) as process:
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            prompt = (await process.stderr.readline()).decode()
            (code,) = re.findall(r"[B-Z]{4}-[B-Z]{4}$", prompt.strip())
            await asyncio.to_thread(browse.confirm, company.idp.issuer, "alice", code)
            out, err = await process.communicate()
    done = Done(process.returncode or 0, out.decode(), err.decode())
    assert done.code == 0, done.err

    async with alice.started(
        "skerry", "login", "--issuer", company.idp.issuer, "--client-id=skerry", "--device"
    ) as process:
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            prompt = (await process.stderr.readline()).decode()
            (code,) = re.findall(r"[B-Z]{4}-[B-Z]{4}$", prompt.strip())
            await asyncio.to_thread(browse.confirm, company.idp.issuer, "alice", code, "denied")
            _, err = await process.communicate()
    assert (process.returncode, b"access_denied" in err) == (1, True)


async def test_while_the_provider_is_away_who_has_a_token_works_and_others_are_told(company: Company, idp: Idp) -> None:
    alice, bob = await company.people("alice", "bob")
    assert (await alice.who()).user == "alice@example.com"
    company.idp.end()
    assert (await alice.who(terminal=False)).user == "alice@example.com"
    alice.age()
    for person in (alice, bob):
        told = await person.who()
        assert (told.code, "the connection is refused" in told.err, "Traceback" in told.err) == (1, True, False)


async def test_twenty_requests_of_one_and_some_of_another_are_one_login_each(company: Company) -> None:
    alice, bob = await company.people("alice", "bob")
    results = await asyncio.gather(*(alice.who() for _ in range(20)), *(bob.who() for _ in range(3)))
    assert [done.user for done in results] == ["alice@example.com"] * 20 + ["bob@example.com"] * 3
    assert (alice.opened, bob.opened, company.idp.grants()) == (1, 1, {"authorization_code": 2})
