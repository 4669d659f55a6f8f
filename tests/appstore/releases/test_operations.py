"""What Helm is given for an operation: values from the cluster, secret ones, CRDs that are replaced; and what its failures mean."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import Engine, HelmError
from services.appstore.helm.slots import Slots
from services.appstore.releases import crds
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.machine import Operate
from services.appstore.releases.operations import Job, Operator, reason_of, values_in
from services.appstore.releases.specs import Place
from services.appstore.releases.turns import MemberTurns
from skerry.api.apprelease import AppRelease, ValuesSource
from skerry.api.decode import decoded
from skerry.api.meta import Document
from skerry.errors import BadGateway, Conflict, Forbidden, Invalid, StatusError, TooManyRequests, Unauthorized, cause
from tests.appstore.charts import package
from tests.appstore.releases.conftest import Member

WEB = Place("shop", "web")
SECRET, CONFIG = (ValuesSource(kind=kind, name="db") for kind in ("Secret", "ConfigMap"))


def encoded(text: str | bytes) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return {"data": {"values.yaml": base64.b64encode(data).decode()}}


def test_values_in_a_secret_and_in_a_config_map() -> None:
    assert values_in(SECRET, WEB, encoded("a: {b: 1}")) == {"a": {"b": 1}}
    assert values_in(CONFIG, WEB, {"data": {"values.yaml": "a: null"}}) == {"a": None}
    assert values_in(SECRET, WEB, encoded("  ")) == {}
    optional = ValuesSource(kind="Secret", name="db", key="more", optional=True)
    assert values_in(optional, WEB, encoded("a: 1")) is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "has no key 'values.yaml'"),
        ({"data": {"values.yaml": 3}}, "has no key"),
        ({"data": {"values.yaml": "%%"}}, "is no base64"),
        (encoded("hunter2"), "is no mapping of values"),
        (encoded("- hunter2"), "is no mapping of values"),
        (encoded("a: &x hunter2\nb: *x"), "is no YAML without aliases"),
        (encoded("a: [hunter2"), "is no YAML"),
        (encoded(b"\xff\xfe"), "is no YAML"),
        (encoded("a" * ((1 << 20) + 1)), "has more than"),
    ],
)
def test_values_that_are_none_are_refused_without_being_shown(document: Document, why: str) -> None:
    with pytest.raises(HelmError, match=f"valuesFrom: Secret shop/db.* {why}") as refused:
        values_in(SECRET, WEB, document)
    assert "hunter2" not in str(refused.value)


class Installed:
    """A helm that is not there."""

    async def required(self) -> Engine:
        return CommandLine(Path("/nowhere/helm"))


def operator(door: FrontDoor, slots: Slots | None = None) -> Operator:
    """One that does operations with it."""
    unused: Any = None
    return Operator(door, Installed(), unused, unused, MemberTurns(), unused, slots or Slots(1, lambda: None))


@pytest.mark.parametrize(
    "error", [Forbidden("ann may not", causes=(cause("user", "m", "Revoked"),)), Unauthorized("who?")]
)
async def test_values_that_the_actor_may_not_read_are_named(
    member: Member, door: FrontDoor, access: MemberAccess, error: StatusError
) -> None:
    """Also where the actor may read what Helm has there."""
    member.objects["/api/v1/namespaces/shop/secrets/db"] = error
    with pytest.raises(type(error)) as refused:
        await operator(door).values_below(access, WEB, [SECRET])
    reason, message, final = reason_of(refused.value)
    assert (message, final) == (f"valuesFrom: Secret shop/db cannot be read: {error.message}", True)
    assert reason == ("Revoked" if error.details.causes else "Forbidden")


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (HelmError("Immutable", "m"), "Immutable", True),
        (HelmError("HookFailed", "m"), "HookFailed", False),
        (Forbidden("m"), "Forbidden", True),
        (Forbidden("m", causes=(cause("user", "m", "Revoked"),)), "Revoked", True),
        (BadGateway("m"), "Unreachable", False),
        (TooManyRequests("m"), "Unreachable", False),
        (Conflict("m"), "Conflict", False),
    ],
)
def test_what_an_error_means(error: HelmError | StatusError, reason: str, final: bool) -> None:
    assert reason_of(error) == (reason, "m", final)


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
"""
APPLIED = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org?fieldManager=helm&force=true"


async def test_crds_are_applied_anew(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    member.objects[APPLIED] = {"kind": "CustomResourceDefinition"}
    await crds.replace(door, access, package(files={"crds/widgets.yaml": CRD, "templates/a.yaml": "{{ bad"}))
    assert [(method, path) for method, path, _, _ in member.asked] == [("PATCH", APPLIED)]
    member.objects[APPLIED] = Forbidden("ann may not")
    with pytest.raises(HelmError, match=r"CustomResourceDefinition widgets\.example\.org: ann may not") as refused:
        await crds.replace(door, access, package(files={"crds/widgets.yaml": CRD}))
    assert refused.value.reason == "Forbidden"
    member.objects[APPLIED] = Invalid("no")
    with pytest.raises(HelmError) as refused:
        await crds.replace(door, access, package(files={"crds/widgets.yaml": CRD}))
    assert refused.value.reason == "Conflict"


async def test_an_operation_waits_for_a_slot_of_all_there_are(door: FrontDoor, access: MemberAccess) -> None:
    slots = Slots(1, lambda: None)
    worker = operator(door, slots)
    release = decoded(
        b'{"metadata":{"name":"web","namespace":"shop"},"spec":{"app":"web","version":"1","clusters":{"names":["m1"]}}}',
        AppRelease,
    )
    step = Operate("Uninstall", "Uninstalling")
    job = Job(
        release=release,
        cluster="m1",
        labels={},
        kube_version="1.34",
        place=WEB,
        access=access,
        step=step,
        server_side=True,
    )
    async with slots.slot("another", 0):
        running = asyncio.create_task(worker.run(job))
        while not slots.why_waiting():
            await asyncio.sleep(0)
        assert not running.done()
        assert worker.waits(job) == "1 operations run, of 1 at most"
    with pytest.raises(HelmError, match="/nowhere/helm"):
        await running
    assert worker.waits(job) == ""
