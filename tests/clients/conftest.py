"""The shore, and the clients on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.rig import Rig, rigged
from tests.clients.shore import Client, Shore
from tests.e2e.federation import Host, eventually
from tests.fixtures.kube import lent
from tests.kube.member import Member
from tests.kube.pool import Pool
from tests.kube.provider import Provider

KUBECTLS = ("1.35", "1.36", "1.37")
"""Oldest first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every kubectl goes through an agent; how a member is reached is the same to all, so one of them goes direct. What is
    printed next door too is tried by the newest kubectl, a third of it by each of the others, and all of it by the soak.
    """
    spare = [item for item in items if _parameter(item, "shore") == "direct" and _older(_parameter(item, "kubectl"))]
    if spare:
        config.hook.pytest_deselected(items=spare)
        items[:] = [item for item in items if item not in spare]
    for item in items:
        if item.name.startswith("test_it_prints_what_it_prints_next_door[") and _older(_parameter(item, "kubectl")):
            assert isinstance(item, pytest.Function)
            if item.callspec.indices["arguments"] % len(KUBECTLS) != item.callspec.indices["kubectl"]:
                item.add_marker(pytest.mark.soak)


def _parameter(item: pytest.Item, name: str) -> object:
    found = getattr(item, "callspec", None)
    return found.params.get(name) if found is not None else None


def _older(kubectl: object) -> bool:
    return kubectl in KUBECTLS[:-1]


@pytest.fixture(scope="package")
def member_one(clusters: Pool, request: pytest.FixtureRequest) -> Iterator[Member]:
    """Lent to all tests of this package at once."""
    with lent(clusters, "member_one", request) as member:
        yield member


@pytest.fixture(scope="package")
def member_two(clusters: Pool, request: pytest.FixtureRequest) -> Iterator[Member]:
    """As `member_one`."""
    with lent(clusters, "member_two", request) as member:
        yield member


class Harbour:
    """A host, and the members that have joined it so far: pytest comes back to a mode that it has left."""

    def __init__(self, host: Host, opened: ExitStack) -> None:
        self._host = host
        self._opened = opened
        self._shores: dict[str, Shore] = {}

    def shore(self, mode: str, member: Member) -> Shore:
        """The member in this mode, joined at the first time."""
        if mode not in self._shores:
            self._join(mode, member)
            self._shores[mode] = Shore(self._host, member.name, member, mode)
        return self._shores[mode]

    def _join(self, mode: str, member: Member) -> None:
        if mode == "agent":
            self._host.join(member, member.name)
            return
        self._opened.enter_context(member.reachable())
        self._host.members[member.name] = member
        self._host.ok("cluster", "join", member.name, "--direct", "--kubeconfig", str(member.kubeconfig))
        self._host.wait_ready(member.name)


@pytest.fixture(scope="package")
def harbour(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Harbour]:
    """A host for all tests of this package."""
    addresses = (member_one.host_address,) if member_one.isolated else ()
    with ExitStack() as opened, Host(tmp_path_factory.mktemp("harbour"), addresses) as host:
        host.up()
        yield Harbour(host, opened)


@pytest.fixture(scope="package", params=["agent", "direct"])
def shore(request: pytest.FixtureRequest, harbour: Harbour) -> Shore:
    """A member with a node behind the host, in each mode."""
    name = {"agent": "member_one", "direct": "member_two"}[request.param]
    return harbour.shore(request.param, request.getfixturevalue(name))


@pytest.fixture(scope="package")
def rig(programs: Mapping[str, Path], kube: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A member that may be broken, on a host of its own."""
    host = Host(tmp_path_factory.mktemp("rig-host"))
    with rigged(tmp_path_factory.mktemp("rig"), host, programs["etcd"]) as made:
        yield made


@pytest.fixture(scope="package", params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest, programs: Mapping[str, Path], shore: Shore) -> Client:
    """Each kubectl that must work, in a namespace of its own."""
    namespace = f"kubectl-{request.param.replace('.', '-')}"
    client = Client(programs[f"kubectl-{request.param}"], shore, ("--namespace", namespace))
    client.ok("apply", "-f", "-", stdin=_namespace(namespace))
    eventually(lambda: client.run("get", "serviceaccount", "default").returncode == 0, "the namespace is usable")
    return client


@pytest.fixture(scope="package")
def one_kubectl(programs: Mapping[str, Path], shore: Shore) -> Client:
    """One of them, for tests that are about something else; namespace default."""
    return Client(programs["kubectl-1.37"], shore)


def _namespace(name: str) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).encode()


@pytest.fixture
async def connections_end() -> AsyncIterator[None]:
    """Waits for the connections of a test: aiohttp says that it is closed before its TLS connections are, and what is left
    of them would be found, as a leak, in whatever test comes later."""
    yield
    transports = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]  # of the selector's loop
    async with asyncio.timeout(10):
        while any(transport._sock is not None for transport in list(transports.values())):
            await asyncio.sleep(0.01)
