"""Writes of grants and workspaces through tenancy, by signed callers: whoever may not, may not by any verb, and learns nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.request import Query, Target
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from services.tenancy.writers import strong_groups
from skerry import subjects
from skerry.api.conditions import condition_of
from skerry.api.decode import decoded
from skerry.api.kinds import ACCESS_GRANT, ACCESS_REQUEST, CLUSTER, CREDENTIAL, IDENTITY_PROVIDER, WORKSPACE, Kind
from skerry.api.messages import Caller, WriteAnswer, WriteOptions
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.bus import BucketConfig
from skerry.controller.garbage import collector
from skerry.errors import Conflict, Forbidden, NotFound, StatusError
from skerry.service import Process
from skerry.storage import Store
from skerry.storage.documents import item
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

pytestmark = pytest.mark.integration

ROOT = Caller(user="root", groups=("skerry:cluster-admin",))
BOB, EVE, CAROL = (Caller(user=name) for name in ("bob", "eve", "carol"))
MERGE, PATCH, APPLY = (f"application/{name}" for name in ("merge-patch+json", "json-patch+json", "apply-patch+yaml"))


def grant(name: str, user: str = "alice", **spec: Any) -> Document:
    """A grant of view on m1, but for what `spec` says."""
    base = {"subjects": [{"kind": "User", "name": user}], "clusters": {"names": ["m1"]}, "role": "view"}
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


def workspace(**spec: Any) -> Document:
    """Workspace team, which bob is admin of and carol views, on m1."""
    members = [{"kind": "User", "name": "bob", "role": "admin"}, {"kind": "User", "name": "carol", "role": "view"}]
    base = {"members": members, "clusters": {"names": ["m1"]}}
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "team"},
        "spec": {**base, **spec},
    }


class World:
    """Tenancy, and a proxy that asks it."""

    def __init__(self, process: Process, forwarder: Forwarder) -> None:
        self._process, self._forwarder = process, forwarder

    async def write(
        self, caller: Caller, verb: str, kind: Kind, name: str, body: object = None, media: str = "application/json"
    ) -> Document:
        """The object after a write. StatusError."""
        target = Target((), kind, "", name if verb != "create" else "")
        options = WriteOptions(field_manager="test", force=media == APPLY)
        answer = await self._forwarder.ask(target, caller, verb, msgspec.json.encode(body), options, media)
        await self._process.informer.current()
        return dict(decoded(decoded(answer, WriteAnswer).object))

    def workspace(self, name: str) -> Document:
        """As it is stored."""
        stored = self._process.informer.get(WORKSPACE, name)
        return {} if stored is None else stored.document()

    def bound(self, name: str) -> list[str]:
        """UIDs of the Clusters of its namespaces, in order."""
        return [each.get("uid", "") for each in (self.workspace(name).get("status") or {}).get("namespaces") or ()]

    async def approve(self, caller: Caller, name: str, **body: str) -> Document:
        """The request after an approval. StatusError."""
        target = Target((), ACCESS_REQUEST, "", name, "approve")
        action = ACCESS_REQUEST.action("approve", "create")
        assert action is not None
        answer = await self._forwarder.act(target, action, caller, Query(""), "", msgspec.json.encode(body))
        return dict(decoded(answer))

    async def refused(self, caller: Caller, verb: str, kind: Kind, name: str, *more: Any) -> StatusError:
        """What a write is answered that must not be; of what tenancy has written a status into meanwhile, the next one."""
        with pytest.raises((Conflict, Forbidden, NotFound)) as caught:
            await self.write(caller, verb, kind, name, *more)
        if not isinstance(caught.value, Conflict):
            return caught.value
        more[0]["metadata"]["resourceVersion"] = str(await self.revision(kind, name))
        return await self.refused(caller, verb, kind, name, *more)

    async def revision(self, kind: Kind, name: str) -> int:
        """Of an object as it is now."""
        await self._process.informer.current()
        item = self._process.informer.get(kind, name)
        assert item is not None
        return item.revision


@asynccontextmanager
async def opened(host: NatsHost) -> AsyncIterator[World]:
    """With clusters m1 and m2, and the host's own."""
    async with serving(host, (SERVICE, TenancySettings())) as process, host.bus("proxy") as bus:
        async with host.open_bus("registry") as registry:
            store = Store(await registry.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
            for name in ("m1", "m2", "host"):
                spec = {"role": "host" if name == "host" else "member", "connection": {"mode": "agent"}}
                await store.create({"metadata": {"name": name}, "spec": spec})
        await bus.ready()
        yield World(process, Forwarder(bus, host.sign))


async def test_no_verb_writes_a_grant_that_gives_more_than_the_writer_has(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        await world.write(ROOT, "create", ACCESS_GRANT, "bobs", grant("bobs", "bob", role="admin"))
        await world.write(ROOT, "create", ACCESS_GRANT, "m2s", grant("m2s", "carol", clusters={"names": ["m2"]}))
        made = await world.write(BOB, "create", ACCESS_GRANT, "a", grant("a", role="admin"))
        more = {"role": "cluster-admin"}
        told = (await world.refused(BOB, "create", ACCESS_GRANT, "b", grant("b", **more))).message
        assert told == (
            'accessgrants.skerry.dev is forbidden: User "bob" may not write it: it takes cluster-admin in the whole of m1 to give '
            "cluster-admin in the whole of m1; held there: admin in the whole of m1 (AccessGrant bobs)"
        )
        attempts: list[tuple[str, str, object, str]] = [
            ("update", "a", {**made, "spec": {**made["spec"], **more}}, "application/json"),
            ("patch", "a", {"spec": more}, MERGE),
            ("patch", "a", [{"op": "replace", "path": "/spec/clusters/names", "value": ["m2"]}], PATCH),
            ("patch", "a", grant("a", **more), APPLY),
            ("patch", "new", grant("new", **more), APPLY),
        ]
        for verb, name, body, media in attempts:
            assert isinstance(await world.refused(BOB, verb, ACCESS_GRANT, name, body, media), Forbidden), (verb, media)
        assert (await world.write(BOB, "patch", ACCESS_GRANT, "a", {"spec": {"role": "edit"}}, MERGE))["spec"][
            "role"
        ] == "edit"

        for caller, name in ((BOB, "m2s"), (EVE, "a"), (EVE, "nowhere")):
            hidden: list[tuple[str, object, str]] = [
                ("update", {**made, "metadata": {**made["metadata"], "name": name}}, "application/json"),
                ("patch", [{"op": "test", "path": "/spec/role", "value": "guessed"}], PATCH),
                ("delete", None, "application/json"),
            ]
            for verb, body, media in hidden:
                error = await world.refused(caller, verb, ACCESS_GRANT, name, body, media)
                assert (
                    error.status()
                    == NotFound(
                        f'accessgrants.skerry.dev "{name}" not found',
                        kind="accessgrants",
                        group="skerry.dev",
                        name=name,
                    ).status()
                )
        assert isinstance(await world.refused(CAROL, "delete", ACCESS_GRANT, "m2s"), Forbidden)
        assert "who could: bob" in (await world.refused(EVE, "create", ACCESS_GRANT, "e", grant("e", "eve"))).message
        await world.write(BOB, "delete", ACCESS_GRANT, "a")


async def test_what_is_held_by_a_credential_is_given_for_as_long_as_it_is_good(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        ops = Caller(user="ops", groups=("skerry:admin",))
        assert isinstance(await world.refused(ops, "create", ACCESS_GRANT, "a", grant("a")), Forbidden)
        spec = {"user": "ops", "groups": ["skerry:admin"], "ttl": "1h"}
        credential = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Credential", "metadata": {}, "spec": spec}
        made = await world.write(ROOT, "create", CREDENTIAL, "", credential)
        ends = made["status"]["expires"]
        told = (await world.refused(ops, "create", ACCESS_GRANT, "a", grant("a"))).message
        assert f"it takes an end that is not after {ends}" in told
        await world.write(ops, "create", ACCESS_GRANT, "a", grant("a", expires=ends))
        told = (await world.refused(EVE, "create", ACCESS_GRANT, "e", grant("e", expires=rfc3339(4e9)))).message
        assert "who could" not in told
        told = (await world.refused(EVE, "create", ACCESS_GRANT, "e", grant("e", expires=ends))).message
        assert told.endswith("; who could: ops")


async def test_an_approval_gives_no_longer_than_the_approvers_credential_is_good(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        ops = Caller(user="ops", groups=("skerry:admin",))
        spec = {"user": "ops", "groups": ["skerry:admin"], "ttl": "1h"}
        credential = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Credential", "metadata": {}, "spec": spec}
        await world.write(ROOT, "create", CREDENTIAL, "", credential)
        wanted = {"clusters": {"names": ["m1"]}, "role": "view", "duration": "2h", "reason": "INC-1"}
        asked = {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "AccessRequest",
            "metadata": {"name": "r"},
            "spec": wanted,
        }
        await world.write(EVE, "create", ACCESS_REQUEST, "r", asked)
        with pytest.raises(Forbidden, match="it takes an end that is not after"):
            await world.approve(ops, "r")
        assert (await world.approve(ops, "r", duration="30m"))["status"]["state"] == "Approved"


async def test_a_workspaces_admins_change_it_and_cannot_widen_themselves(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        assert isinstance(await world.refused(BOB, "create", WORKSPACE, "team", workspace()), Forbidden)
        assert isinstance(await world.refused(BOB, "patch", WORKSPACE, "team", workspace(), APPLY), Forbidden)
        await world.write(ROOT, "create", WORKSPACE, "team", workspace())
        named = {"namespaces": [{"cluster": "m1", "name": "team-a"}]}
        assert (await world.write(BOB, "patch", WORKSPACE, "team", {"spec": named}, MERGE))["spec"]["namespaces"]
        for spec, why in (
            ({"clusters": {"names": ["m1", "m2"]}}, "to change its clusters"),
            ({"namespaces": [{"cluster": "m1", "name": "till"}]}, "for namespace"),
            ({"namespaces": [{"cluster": "m1", "name": "team", "adopt": True}]}, "and not adopted"),
            ({"members": [{"kind": "User", "name": "bob", "role": "edit"}]}, "its last admin: name another one first"),
        ):
            told = (await world.refused(BOB, "patch", WORKSPACE, "team", {"spec": spec}, MERGE)).message
            assert why in told
        told = (await world.refused(BOB, "delete", WORKSPACE, "team")).message
        assert "an administrator of the host to delete a workspace" in told
        told = (await world.refused(CAROL, "patch", WORKSPACE, "team", {"spec": {"displayName": "x"}}, MERGE)).message
        assert told.endswith("held there: view; who could: bob")
        for verb in ("patch", "delete"):
            assert isinstance(await world.refused(EVE, verb, WORKSPACE, "team", {"spec": {}}, MERGE), NotFound)
        assert isinstance(await world.refused(collector(ACCESS_GRANT), "patch", WORKSPACE, "team", {}, MERGE), NotFound)
        await world.write(ROOT, "delete", WORKSPACE, "team")


async def test_a_namespace_goes_to_another_cluster_of_the_name_for_who_could_name_it_anew(
    fresh_nats_host: NatsHost,
) -> None:
    async with opened(fresh_nats_host) as world, fresh_nats_host.open_bus("registry") as registry:
        clusters = Store(await registry.bucket(subjects.RESOURCES), CLUSTER)
        await registry.bucket(subjects.DESIRED_STATUS, create=BucketConfig())
        named = [{"cluster": "m1", "name": name} for name in ("team-a", "till")]
        await world.write(ROOT, "create", WORKSPACE, "team", workspace(namespaces=named))

        async def bound(*uids: str) -> None:
            await eventually(lambda: world.bound("team") == [*uids], 20)

        old = (await clusters.get("m1")).uid
        await bound(old, old)
        await clusters.delete("m1")
        new = (await clusters.create({"metadata": {"name": "m1"}})).uid
        await eventually(lambda: condition_of(world.workspace("team"), "Ready").reason == "ClusterReplaced", 20)
        assert world.bound("team") == [old, old]
        await world.write(BOB, "patch", WORKSPACE, "team", {"spec": {"displayName": "Team"}}, MERGE)
        await bound(new, old)
        await world.write(ROOT, "patch", WORKSPACE, "team", {"spec": {"displayName": "Team"}}, MERGE)
        await bound(new, new)


async def test_what_cannot_be_read_is_an_administrators_to_delete(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        broken = {"subjects": 7, "clusters": {"names": ["m1"]}}
        async with fresh_nats_host.open_bus("tenancy") as bus:
            for kind in (ACCESS_GRANT, WORKSPACE):
                store = Store(await bus.bucket(subjects.RESOURCES), kind)
                await store.create({"metadata": {"name": "broken"}, "spec": {**broken, "members": [7]}})
        for kind in (ACCESS_GRANT, WORKSPACE):
            for verb, body in (("delete", None), ("patch", {"spec": {"displayName": "x"}})):
                assert isinstance(await world.refused(BOB, verb, kind, "broken", body, MERGE), NotFound)
            await world.write(ROOT, "delete", kind, "broken")


async def test_who_administers_the_host_for_a_while_makes_nothing_that_outlasts_it(fresh_nats_host: NatsHost) -> None:
    async with opened(fresh_nats_host) as world:
        ends = rfc3339(time.time() + 3600)
        head = {"clusters": {"names": ["host"]}, "role": "cluster-admin", "expires": ends}
        await world.write(ROOT, "create", ACCESS_GRANT, "h", grant("h", "eve", **head))

        def credential(ttl: str) -> Document:
            spec = {"user": "eve", "groups": ["skerry:cluster-admin"], "ttl": ttl}
            return {"apiVersion": "skerry.dev/v1alpha1", "kind": "Credential", "metadata": {}, "spec": spec}

        told = (await world.refused(EVE, "create", CREDENTIAL, "", credential("30d"))).message
        assert told == (
            f'credentials.skerry.dev is forbidden: User "eve" may not write it: it takes an end that is not after {ends}: set '
            f"spec.ttl; held there: what is given, until {ends}"
        )
        made = await world.write(EVE, "create", CREDENTIAL, "", credential("30m"))
        assert made["status"]["expires"] < ends
        provider = {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "IdentityProvider",
            "metadata": {"name": "corp"},
            "spec": {"issuer": "https://idp.example.com", "audiences": ["skerry"]},
        }
        told = (await world.refused(EVE, "create", IDENTITY_PROVIDER, "", provider)).message
        assert "ask one who administers it without an end" in told
        await world.write(ROOT, "create", IDENTITY_PROVIDER, "", provider)
        changed = {"spec": {"audiences": ["eves"]}}
        assert "ask one" in (await world.refused(EVE, "patch", IDENTITY_PROVIDER, "corp", changed, MERGE)).message
        assert "a workspace has none" in (await world.refused(EVE, "create", WORKSPACE, "", workspace())).message
        assert isinstance(await world.refused(BOB, "create", CREDENTIAL, "", credential("5m")), Forbidden)
        await world.write(EVE, "delete", IDENTITY_PROVIDER, "corp")


async def test_what_another_version_observed_blocks_no_change_of_what_is_wanted(fresh_nats_host: NatsHost) -> None:
    """Of a rolling upgrade: by who holds something, not by an administrator alone."""
    async with opened(fresh_nats_host) as world, fresh_nats_host.open_bus("tenancy") as bus:
        await world.write(ROOT, "create", ACCESS_GRANT, "bobs", grant("bobs", "bob", role="admin"))
        await world.write(ROOT, "create", ACCESS_GRANT, "a", grant("a"))
        await world.write(ROOT, "create", WORKSPACE, "team", workspace(namespaces=[{"cluster": "m1", "name": "team"}]))
        bucket = await bus.bucket(subjects.RESOURCES)
        odd = {
            "conditions": {"Ready": True},
            "clusters": "m1",
            "namespaces": [7, {"cluster": ["m1"], "name": {}}],
            "new": 1,
        }
        for kind, name, field, values in (
            (ACCESS_GRANT, "a", "role", ("edit", "view")),
            (WORKSPACE, "team", "displayName", "TU"),
        ):
            await Store(bucket, kind).modify(name, lambda document: {**document, "status": odd})
            for caller, value in zip((BOB, ROOT), values, strict=True):
                changed = await world.write(caller, "patch", kind, name, {"spec": {field: value}}, MERGE)
                assert (changed["spec"][field], changed["status"]["new"]) == (value, 1)


def test_credentials_are_found_by_the_groups_that_let_give() -> None:
    for groups, found in ((["skerry:view"], []), (["skerry:admin", "skerry:view"], ["skerry:admin"])):
        stored = {"metadata": {"name": "c"}, "spec": {"user": "u", "groups": groups}}
        assert strong_groups(item(stored, 1)) == found
