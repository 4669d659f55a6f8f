"""Looking into packages: what is in them, what they do, and a version that cannot be installed says why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.appstore.checking import checked, is_due
from services.appstore.metadata import ChartError
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_VERSION
from skerry.api.meta import Document
from tests.appstore.charts import package
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost

CLUSTER_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
rules: []
"""


@pytest.mark.parametrize(
    ("status", "due"),
    [
        ({"uploaded": True}, True),
        ({"phase": "Submitted", "digest": "d"}, True),
        ({"phase": "Draft", "digest": "d"}, False),
        ({"phase": "Draft"}, True),
        ({"phase": "Active"}, False),
        ({"uploaded": True, "conditions": [{"type": "Checked", "status": "False", "reason": "TooLarge"}]}, False),
    ],
)
def test_what_is_looked_into_though_nobody_asks(status: Document, due: bool) -> None:
    assert is_due({"status": status}) is due


def test_a_problem_goes_with_the_package_that_had_it() -> None:
    bad = checked({"status": {"phase": "Draft"}}, {}, {"reason": "TooLarge", "message": "6 MiB"}, 1.0)
    assert bad is not None
    assert (bad["status"]["problem"]["reason"], condition_of(bad, "Checked").status) == ("TooLarge", "False")
    good = checked(bad, {"digest": "d"}, None, 2.0)
    assert good is not None
    assert "problem" not in good["status"]
    assert condition_of(good, "Checked").reason == "Checked"
    assert checked(good, {"digest": "d"}, None, 3.0) is None


def test_a_failure_that_may_be_the_machines_is_shown_once_and_looked_at_again() -> None:
    problem = {"reason": "Failed", "message": "ended by signal 9"}
    bad = checked({"status": {"uploaded": True}}, {}, problem, 1.0)
    assert bad is not None
    assert is_due(bad)
    assert checked(bad, {}, {**problem, "message": "another text"}, 2.0) is None


@pytest.fixture
async def store(
    fresh_nats_host: NatsHost, helms: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("SKERRY_HELM", str(helms["helm-4"]))
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.workspace("shop")
        yield running


async def pushed(store: World, content: bytes, **status: Any) -> Document:
    """What became of an uploaded version of chart web 1.0.0 with this package."""
    digest = await store.state.packages.put(content, uploaded=True)
    name = await store.version("web", "1.0.0", "shop", digest=digest, uploaded=True, **status)
    return await store.until(APP_VERSION, name, "shop", lambda each: condition_of(each, "Checked").reason)


@pytest.mark.integration
async def test_a_version_says_what_is_in_it_and_what_it_does(store: World) -> None:
    content = package(
        "web", "1.0.0", files={"templates/role.yaml": CLUSTER_ROLE, "README.md": "# Web", "values.yaml": "a: 1"}
    )
    version = await pushed(store, content)
    status = version["status"]
    assert status["digest"] == "sha256:" + sha256(content).hexdigest()
    assert (status["files"], status["size"], status["stored"]) == (["readme", "values"], len(content), True)
    assert {risk["type"]: risk["objects"] for risk in status["risks"]} == {
        "ClusterScoped": ["ClusterRole/all"],
        "RBAC": ["ClusterRole/all"],
    }


@pytest.mark.integration
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "BadArchive"),
        (package("other", "1.0.0"), "NotAsListed"),
        (package("web", "1.0.0", files={"templates/a.yaml": "{{ fail `never` }}"}), "RenderFailed"),
        (
            package("web", "1.0.0", files={"templates/a.yaml": "{{ range until 2000000000 }}x{{ end }}"}),
            "ResourceLimit",
        ),
        (package("web", "1.0.0", files={"templates/a.yaml": "{{ fail `connection refused` }}"}), "Unreachable"),
    ],
)
async def test_a_version_that_cannot_be_installed_says_why_and_the_store_goes_on(
    store: World, content: bytes, reason: str
) -> None:
    version = await pushed(store, content)
    assert version["status"]["problem"]["reason"] == reason, version["status"]["problem"]
    assert condition_of(version, "Checked").reason == reason
    assert not (await store.state.packages.sweep(lambda digest: True, lambda digest: True, 10**9))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("content", "reason"), [(b"no archive", "BadArchive"), (package("other", "1.0.0"), "NotAsListed")]
)
async def test_helm_sees_no_package_that_is_refused_though_nobody_looked_into_it_before(
    store: World, content: bytes, reason: str
) -> None:
    digest = await store.state.packages.put(content, uploaded=True)
    name = await store.version("web", "1.0.0", "shop", digest=digest, phase="Active")
    version = await store.get(APP_VERSION, name, "shop")
    assert condition_of(version, "Checked").reason == ""
    for _ in range(2):
        with pytest.raises(ChartError) as refused:
            await store.state.checks.content(version)
        assert refused.value.reason == reason


@pytest.mark.integration
async def test_what_was_seen_of_a_package_is_not_said_of_the_one_that_took_its_place(
    store: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (package("web", "1.0.0", files={"values.yaml": text}) for text in ("a: 1", "a: 2"))
    digest = await store.state.packages.put(second, uploaded=True)
    name = await store.version("web", "1.0.0", "shop", digest="sha256:" + sha256(first).hexdigest())

    async def got(version: Document) -> bytes:
        await store.modify(APP_VERSION, name, "shop", lambda document: document["status"].update(digest=digest))
        return first

    monkeypatch.setattr(store.state.packages, "get", got)
    await store.state.checks.check(name, "shop")
    version = await store.get(APP_VERSION, name, "shop")
    assert (version["status"]["digest"], condition_of(version, "Checked").reason) == (digest, "")
