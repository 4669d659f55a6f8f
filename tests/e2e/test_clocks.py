"""A member's clock is wrong: told by name, and never what its requests depend on. The agents run under libfaketime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.federation import Agent, Host, eventually
from tests.kube import packages
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host whose clock is right."""
    if packages.program("faketime") is None:
        pytest.skip(f"faketime is missing: {packages.install_line(['faketime'])}")
    with Host(tmp_path_factory.mktemp("clocks")) as made:
        made.up()
        yield made


def _agent(host: Host, member: Member, off: str, name: str, *options: str) -> Agent:
    """An agent on a machine whose clock is off by this much; what only counts seconds is right there, as everywhere."""
    clock = (packages.required("faketime"), "-f", off, "env", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    place = host.directory / f"{name}{len(host.agents)}"
    return host.agent(member, host.token(name), *options, state=place, wrapper=clock)


def test_a_clock_that_is_an_hour_off_is_a_warning(host: Host, plain_cluster: Member) -> None:
    agent = _agent(host, plain_cluster, "+3600s", "early", "--dry-run")
    assert agent.exits() == 0, agent.said()
    warning = next(line for line in agent.said().splitlines() if line.startswith("warn"))
    assert warning.split()[1] == "clock"
    assert "s ahead of the host's" in warning


def test_a_clock_that_no_certificate_is_good_by_fails_by_its_name(host: Host, plain_cluster: Member) -> None:
    agent = _agent(host, plain_cluster, "-30y", "old", "--dry-run")
    assert agent.exits() == 1, agent.said()
    failed = [line.split()[1] for line in agent.said().splitlines() if line.startswith("fail")]
    assert failed == ["bus.tls", "clock", "api.reach"]
    assert "time server" in agent.said()


@pytest.mark.parametrize("off", ["+3600s", "-3600s"])
def test_a_member_an_hour_off_joins_and_is_served_in_host_time(host: Host, plain_cluster: Member, off: str) -> None:
    agent = _agent(host, plain_cluster, off, "off")
    host.wait_ready("off", agent)
    host.kubectl("off", "create", "configmap", "timely")
    host.kubectl("off", "delete", "configmap", "timely")
    reason = {"+": "Ahead", "-": "Behind"}[off[0]]
    eventually(lambda: _condition(host, "off", "ClockSynced").get("reason") == reason, "the clock is told", 20)
    assert host.ready("off")
    eventually(lambda: host.skerry("desired", "wait", "off").returncode == 0, "the entries are in place", 60)
    host.ok("cluster", "remove", "off")


def _condition(host: Host, name: str, kind: str) -> dict[str, str]:
    found = host.cluster(name).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})
