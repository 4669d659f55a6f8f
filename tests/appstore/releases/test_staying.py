"""What an uninstallation leaves: of what could stay, what is there."""

from __future__ import annotations

from typing import Any

from services.appstore.helm import releases
from services.appstore.helm.engine import HelmError
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.observing import Inventory, Observer
from services.appstore.releases.specs import Place
from services.appstore.releases.staying import staying
from skerry.api.apprelease import AppRelease
from skerry.api.decode import decoded
from skerry.api.meta import Document
from skerry.errors import Forbidden
from tests.appstore.charts import package
from tests.appstore.helm.secrets import release, secret
from tests.appstore.releases.conftest import Member

WEB = Place("shop", "web")
RELEASE = decoded(
    b'{"metadata":{"name":"web","namespace":"shop"},"spec":{"app":"web","version":"1","clusters":{"names":["m1"]}}}',
    AppRelease,
)
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s.example.org}
"""
KEPT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}
"""
DEFINITIONS = "/apis/apiextensions.k8s.io/v1"


class Packages:
    """The part of the Operator that is asked here: the package of a release's chart, or why there is none."""

    def __init__(self, content: bytes | HelmError) -> None:
        self._content = content

    async def package(self, release: AppRelease) -> bytes:
        if isinstance(self._content, HelmError):
            raise self._content
        return self._content


def hook(name: str, event: str) -> Document:
    manifest = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: {event}}}}}\n"
    return {"kind": "Pod", "name": name, "manifest": manifest, "events": [event]}


async def stays(
    member: Member, door: FrontDoor, access: MemberAccess, chart: bytes | HelmError, *hooks: Document
) -> Any:
    made = secret(release(manifest=KEPT, hooks=list(hooks)))
    member.objects[f"/api/v1/namespaces/shop/secrets/{made['metadata']['name']}"] = made
    revision = releases.revision(made)
    inventory = Inventory(revision.entry, revision._replace(manifest="", hooks=()), ())
    operator: Any = Packages(chart)
    left = await staying(door, operator, Observer(door), access, RELEASE, WEB, inventory)
    return [each.what for each in left]


def defined(member: Member, *names: str) -> None:
    """Custom resources that the member has."""
    kind = {"name": "customresourcedefinitions", "kind": "CustomResourceDefinition", "namespaced": False}
    member.objects[DEFINITIONS] = {"resources": [kind]}
    for name in names:
        member.objects[f"{DEFINITIONS}/customresourcedefinitions/{name}.example.org"] = {"kind": kind["kind"]}


async def test_crds_of_the_chart_and_of_charts_within_it_stay_if_they_are_there(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    files = {"crds/a.yaml": CRD % "apples", "charts/more/crds/b.yaml": CRD % "bees", "crds/c.yaml": CRD % "cats"}
    defined(member, "apples", "bees")
    left = await stays(member, door, access, package(files=files))
    names = [f"CustomResourceDefinition/{each}.example.org" for each in ("apples", "bees")]
    assert sorted(left) == ["ConfigMap/kept", *names]


async def test_a_chart_that_cannot_be_had_any_more_holds_up_no_uninstallation(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    assert await stays(member, door, access, HelmError("RenderFailed", "gone")) == ["ConfigMap/kept"]
    assert await stays(member, door, access, b"no chart") == ["ConfigMap/kept"]


async def test_hooks_that_never_ran_left_nothing_and_those_of_the_end_will(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    member.objects["/api/v1/namespaces/shop/pods/before"] = {"kind": "Pod"}
    hooks = [hook("before", "pre-install"), hook("never", "pre-upgrade"), hook("end", "post-delete")]
    left = await stays(member, door, access, package(), *hooks, hook("check", "test"))
    assert left == ["ConfigMap/kept", "Pod/before", "Pod/end"]
    assert not [path for path in member.paths if path.endswith(("/end", "/check", "/kept"))]


async def test_what_the_actor_may_not_see_is_taken_to_be_there(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    defined(member)
    member.objects[f"{DEFINITIONS}/customresourcedefinitions/apples.example.org"] = Forbidden("ann may not")
    left = await stays(member, door, access, package(files={"crds/a.yaml": CRD % "apples"}))
    assert left == ["ConfigMap/kept", "CustomResourceDefinition/apples.example.org"]
