"""The switch on a real bus: who writes something of the store is refused while it is off, whatever members say, and is told why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from services.appstore import helmready
from services.appstore.helm.jail import walls
from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_CATEGORY, APP_RELEASE, APP_REPOSITORY, APP_REVIEW, APP_STORE, Kind
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import Forbidden, Invalid
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
WRITTEN: dict[Kind, Document] = {
    APP_REPOSITORY: {"metadata": {"name": "stable", "namespace": POOL}, "spec": {"url": "https://charts.example.org"}},
    APP_CATEGORY: {"metadata": {"name": "databases"}},
    APP_REVIEW: {"metadata": {"name": "r1", "namespace": POOL}, "spec": {"action": "Submit", "version": "a-1.0.0"}},
    APP_RELEASE: {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"app": "skerry-apps/stable.nginx", "version": "1.0.0", "clusters": {"names": ["m1"]}},
    },
}


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        yield running


async def test_it_is_there_and_off(store: World) -> None:
    document = await store.until(APP_STORE, STORE, "", lambda document: condition_of(document, "Usable").reason)
    assert document["spec"]["enabled"] is False
    assert condition_of(document, "Usable").reason == "HostDisabled"


@pytest.mark.parametrize("settings", [(), ("Unset",), ("Disabled",), ("Enabled",), ("Enabled", "Disabled")])
async def test_while_it_is_off_nothing_is_made_and_the_reason_is_a_cause(
    store: World, settings: tuple[str, ...]
) -> None:
    for number, setting in enumerate(settings):
        await store.member(f"m{number}", setting)
    reason = "OnlyOnMembers" if "Enabled" in settings else "HostDisabled"
    for kind, document in WRITTEN.items():
        with pytest.raises(Forbidden) as refused:
            await store.create(kind, document)
        assert [cause.reason for cause in refused.value.details.causes] == [reason]
    await store.until(APP_STORE, STORE, "", lambda document: condition_of(document, "Usable").reason == reason)


async def test_on_at_the_host_is_on_whatever_members_say_and_off_again_is_off(store: World) -> None:
    for number, setting in enumerate(("Enabled", "Disabled", "Unset")):
        await store.member(f"m{number}", setting)
    await store.enable()
    await store.create(APP_CATEGORY, WRITTEN[APP_CATEGORY])
    document = await store.until(APP_STORE, STORE, "", lambda each: condition_of(each, "Usable").status == "True")
    assert condition_of(document, "Usable").reason == "Enabled"
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
    with pytest.raises(Forbidden, match="only on member\\(s\\) m0 and not"):
        await store.patch(APP_CATEGORY, "databases", {"spec": {"order": 3}})
    answer = await store.write("delete", APP_CATEGORY, {"metadata": {"name": "databases"}})
    assert answer.gone


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"network": {"allow": ["not a host!"]}}, "spec.network.allow\\[0\\]"),
        ({"network": {"allow": ["10.0.0.1/8"]}}, "spec.network.allow\\[0\\]"),
        ({"network": {"allow": ["h"] * 101}}, "spec.network.allow"),
        ({"limits": {"packageMiB": 0}}, "spec.limits.packageMiB"),
        ({"limits": {"versions": 10**9}}, "spec.limits.versions"),
        ({"enabled": "yes"}, "spec.enabled"),
    ],
)
async def test_what_it_may_not_be(store: World, spec: Document, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        await store.patch(APP_STORE, STORE, {"spec": spec})


async def test_which_helm_does_the_work_or_how_to_get_one(
    fresh_nats_host: NatsHost, helms: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helmready, "EVERY_S", 0.2)
    monkeypatch.setenv("SKERRY_HELM", "/nowhere/helm")
    async with world(fresh_nats_host) as store:

        def ready(status: str) -> Callable[[Document], bool]:
            return lambda document: condition_of(document, "HelmReady").status == status

        document = await store.until(APP_STORE, STORE, "", ready("False"))
        assert "helm 4.2.2 or newer" in condition_of(document, "HelmReady").message
        monkeypatch.setenv("SKERRY_HELM", str(helms["helm-4"]))
        document = await store.until(APP_STORE, STORE, "", ready("True"))
        assert document["status"]["helm"]["version"] == "4.3.1"
        assert document["status"]["helm"]["walls"] == list(walls())
