"""One host for the stories that leave it as it was, and fresh ones for those that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.federation import Host
from tests.kube.member import Member


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Makes hosts of their own; all are stopped at the end."""
    made: list[Host] = []

    def make(*members: Member, **environment: str) -> Host:
        addresses = tuple(member.host_address for member in members if member.isolated)
        host = Host(tmp_path / f"host-{len(made)}", addresses, environment)
        made.append(host)
        host.up()
        return host

    yield make
    for host in made:
        host.down()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, member_one: Member, member_two: Member) -> Iterator[Host]:
    """A host with members `one` and `two`, each behind its agent, in its own network."""
    addresses = tuple(member.host_address for member in (member_one, member_two) if member.isolated)
    host = Host(tmp_path_factory.mktemp("federation"), addresses)
    host.up()
    agents = [host.agent(member, host.token(name)) for member, name in ((member_one, "one"), (member_two, "two"))]
    for name, agent in zip(("one", "two"), agents, strict=True):
        host.wait_ready(name, agent)
    yield host
    host.down()
