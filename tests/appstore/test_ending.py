"""A workspace that is deleted takes along all that the App Store has in it, whatever refers to what; the pool stays."""

from __future__ import annotations

import pytest

from services.tenancy.service import SERVICE as TENANCY
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.kinds import APP, APP_INSTANCE, APP_RELEASE, APP_REPOSITORY, APP_REVIEW, APP_VERSION, WORKSPACE
from skerry.api.names import POOL
from skerry.storage import Store
from tests.appstore.world import world
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

pytestmark = pytest.mark.integration
KINDS = (APP, APP_INSTANCE, APP_RELEASE, APP_REPOSITORY, APP_REVIEW, APP_VERSION)


async def test_all_that_is_in_a_workspace_goes_with_it(fresh_nats_host: NatsHost) -> None:
    async with world(fresh_nats_host) as store, serving(fresh_nats_host, (TENANCY, TenancySettings())):
        for name in ("shop", "other"):
            await store.workspace(name)
        bucket = await store.process.bus.bucket(subjects.RESOURCES)
        for namespace in ("shop", "other", POOL):
            place = {"namespace": namespace}
            await Store(bucket, APP_REPOSITORY).create(
                {"metadata": {"name": "stable", **place}, "spec": {"url": "https://x"}}
            )
            await store.version("stable.web", "1.0.0", namespace, spec={"repository": "stable"})
            await store.version("own", "1.0.0", namespace)
            await Store(bucket, APP_REVIEW).create(
                {"metadata": {"name": "r1", **place}, "spec": {"action": "Submit", "version": "own-1.0.0"}}
            )
        spec = {"app": "own", "version": "1.0.0", "clusters": {"names": ["m1"]}}
        release = await Store(bucket, APP_RELEASE).create(
            {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}
        )
        owner = {"apiVersion": APP_RELEASE.api_version, "kind": "AppRelease", "name": "web", "uid": release.uid}
        await Store(bucket, APP_INSTANCE).create(
            {
                "metadata": {"name": "web.m1", "namespace": "shop", "ownerReferences": [owner]},
                "spec": {"release": "web", "cluster": "m1"},
            }
        )
        await store.until(APP, "own", "shop", lambda document: document["status"])
        await store.write("delete", WORKSPACE, {"metadata": {"name": "shop"}})
        informer = store.process.informer

        def left(namespace: str) -> list[str]:
            return [f"{kind.kind} {item.name}" for kind in KINDS for item in informer.list(kind, namespace)]

        def gone() -> bool:
            return not left("shop") and informer.get(WORKSPACE, "shop") is None

        try:
            await eventually(gone, 30)
        except TimeoutError:
            pytest.fail(f"left: {left('shop')}")
        for namespace in ("other", POOL):
            assert {line.split()[0] for line in left(namespace)} == {"App", "AppRepository", "AppReview", "AppVersion"}
