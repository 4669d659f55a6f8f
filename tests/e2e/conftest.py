"""One host for the stories that leave it as it was, and fresh ones for those that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.federation import Host
from tests.e2e.killing import Ground, ground
from tests.kube.member import Member
from tests.kube.provider import OwnClusters, Provider


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Makes hosts of their own; all are stopped at the end."""
    with ExitStack() as hosts:
        numbers = count()

        def make(*members: Member, **environment: str) -> Host:
            addresses = tuple(member.host_address for member in members if member.isolated)
            host = hosts.enter_context(Host(tmp_path / f"host-{next(numbers)}", addresses, environment))
            host.up()
            return host

        yield make


@pytest.fixture(scope="module")
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, member_one: Member, member_two: Member
) -> Iterator[Host]:
    """A host with members `one` and `two`, each behind its agent, in its own network. A module's ENVIRONMENT is laid over HURRY."""
    addresses = tuple(member.host_address for member in (member_one, member_two) if member.isolated)
    environment = getattr(request.module, "ENVIRONMENT", {})
    with Host(tmp_path_factory.mktemp("federation"), addresses, environment) as host:
        host.up()
        agents = [host.agent(member, host.token(name)) for member, name in ((member_one, "one"), (member_two, "two"))]
        for name, agent in zip(("one", "two"), agents, strict=True):
            host.wait_ready(name, agent)
        yield host


@pytest.fixture(scope="module")
def killing(kube: Provider, helms: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A host with the App Store on, and its member `m1`, all of whose processes can be killed."""
    if not isinstance(kube, OwnClusters):
        pytest.skip("the processes of a cluster that the tests did not start are not theirs to kill")
    with (
        kube.breakable(tmp_path_factory.mktemp("breakable"), "breakable") as cluster,
        ground(tmp_path_factory.mktemp("killing"), cluster, helms) as made,
    ):
        yield made
