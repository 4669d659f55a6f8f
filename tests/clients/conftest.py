"""The programs, made when collection has ended (a fixture would build inside the first test's timeout), and the shore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients import tools
from tests.clients.rig import Rig, rigged
from tests.clients.shore import Client, Shore
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member
from tests.kube.provider import Provider

_OBTAINED = pytest.StashKey[Mapping[str, Path] | str]()
KUBECTLS = ("1.35", "1.36", "1.37")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the programs if a collected test asks for one."""
    wanted = any("programs" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not wanted or _OBTAINED in session.config.stash:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        session.config.stash[_OBTAINED] = tools.obtain(tools.PROGRAMS, reporter.write_line if reporter else print)
    except tools.Unavailable as error:
        session.config.stash[_OBTAINED] = str(error)


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Mapping[str, Path]:
    """Every client program by name; skips, or fails where clusters are required, with the reason."""
    found = request.config.stash.get(_OBTAINED, "no client program was made")
    if not isinstance(found, str):
        return found
    if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
        pytest.fail(f"SKERRY_TEST_KUBE_REQUIRED=1, but: {found}", pytrace=False)
    pytest.skip(found)


@pytest.fixture(scope="package")
def harbour(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Host]:
    """A host for all tests of this package."""
    addresses = (member_one.host_address,) if member_one.isolated else ()
    with Host(tmp_path_factory.mktemp("harbour"), addresses) as host:
        host.up()
        yield host


@pytest.fixture(scope="package", params=["agent"])
def shore(request: pytest.FixtureRequest, harbour: Host, member_one: Member) -> Shore:
    """A member with a node behind the host, in each mode."""
    harbour.join(member_one, "one")
    return Shore(harbour, "one", member_one, request.param)


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
    client.ok("create", "namespace", namespace)
    eventually(lambda: client.run("get", "serviceaccount", "default").returncode == 0, "the namespace is usable")
    return client


@pytest.fixture(scope="package")
def one_kubectl(programs: Mapping[str, Path], shore: Shore) -> Client:
    """One of them, for tests that are about something else; namespace default."""
    return Client(programs["kubectl-1.37"], shore)
