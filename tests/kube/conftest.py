"""Real clusters for tests: `member_one`, `member_two` (isolated, with a node) and `plain_cluster` (loopback, no node).

The choice of the provider, and with it builds and installations that take minutes, happens when collection has ended and
only if a collected test asks for a cluster: a fixture would run inside the first test's timeout. Without a provider the
tests are skipped with the line that says how to get one; `SKERRY_TEST_KUBE_REQUIRED=1` (CI) makes that a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.kube.member import Member
from tests.kube.netns import Namespace
from tests.kube.provider import Provider, Unavailable, choose

_MEMBERS = {"member_one": "one", "member_two": "two"}
_FIXTURES = {*_MEMBERS, "plain_cluster", "kube"}
_CHOSEN = pytest.StashKey[Provider | str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Choose, and say which."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.collectonly or not _FIXTURES & _wanted(session):
        return

    def say(line: str) -> None:
        if reporter is not None:
            reporter.write_line(line)

    try:
        provider = choose(say)
        session.config.stash[_CHOSEN] = provider
        say(f"kube tier: {provider.description}")
    except Unavailable as error:
        session.config.stash[_CHOSEN] = str(error)
        say(f"kube tier: none ({error})")


@pytest.fixture(scope="session")
def kube(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """The provider of this run."""
    chosen = request.config.stash.get(_CHOSEN, "no provider was chosen")
    if isinstance(chosen, str):
        _without(chosen)
    yield chosen
    chosen.close()


@pytest.fixture(scope="session")
def member_one(kube: Provider, request: pytest.FixtureRequest) -> Member:
    """A member with a node, that nothing can connect to; it dials `host_address`."""
    return _member("member_one", kube, request)


@pytest.fixture(scope="session")
def member_two(kube: Provider, request: pytest.FixtureRequest) -> Member:
    """A second one, that cannot see the first."""
    return _member("member_two", kube, request)


@pytest.fixture(scope="session")
def plain_cluster(kube: Provider, tmp_path_factory: pytest.TempPathFactory) -> Member:
    """A cluster on loopback without a node: fast, and reachable, as a direct member is."""
    try:
        return kube.plain(tmp_path_factory.mktemp("plain"))
    except Unavailable as error:
        _without(str(error))


@pytest.fixture(scope="session")
def namespace_one(member_one: Member) -> Namespace:
    """The network of member one, for tests of isolation; skipped where clusters are just reachable."""
    return _namespace(member_one)


@pytest.fixture(scope="session")
def namespace_two(member_two: Member) -> Namespace:
    """The network of member two."""
    return _namespace(member_two)


def _namespace(member: Member) -> Namespace:
    if member.netns is None:
        pytest.skip(f"cluster {member.name} was not started by the tests: it is not isolated")
    return member.netns


def _member(fixture: str, kube: Provider, request: pytest.FixtureRequest) -> Member:
    """Members that later tests want are started along with the first one, at the same time."""
    wanted = _wanted(request.session) | {fixture}
    names = [name for each, name in _MEMBERS.items() if each in wanted]
    try:
        return kube.members(names)[_MEMBERS[fixture]]
    except Unavailable as error:
        _without(str(error))


def _wanted(session: pytest.Session) -> set[str]:
    return {name for item in session.items for name in getattr(item, "fixturenames", ())}


def _without(reason: str) -> NoReturn:
    if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
        pytest.fail(f"SKERRY_TEST_KUBE_REQUIRED=1, but: {reason}", pytrace=False)
    pytest.skip(reason)
