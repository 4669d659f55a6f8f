"""A new kind needs one declaration: what serves kinds has it from there, and no module asks which kind it has before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.proxy.authorize import HostAccess, HostRequest
from services.proxy.hostapi.discovery import Discovery
from services.proxy.hostapi.negotiate import PLAIN
from services.proxy.hostapi.openapi import OpenApi
from services.proxy.hostapi.sources import sources
from skerry.api import kinds, v1alpha1
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import (
    EVENTS,
    RESOURCES,
    SERVED,
    Access,
    Action,
    Column,
    Kind,
    Listing,
    Occurrence,
    catalog,
    reference,
)
from skerry.cli.commands import listings
from skerry.identity import services
from skerry.informer import Informer
from tests import shape

ROOT = Path(__file__).parents[3]
BERTH = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Berth",
    plural="berths",
    singular="berth",
    short_names=("bt",),
    owner="harbour",
    type=v1alpha1.JoinToken,
    verbs=("create", "get", "list", "watch"),
    access=(Access(verbs=("get", "list"), groups=("skerry:pilot",)),),
    actions=(
        Action(
            subresource="tow", verb="create", request=ClusterConnection, answer=v1alpha1.Cluster, groups=("skerry:tug",)
        ),
    ),
    columns=(Column(name="Name", path="metadata.name"),),
    selectable=("spec.clusterName",),
    events=lambda old, new: iter((Occurrence("Moored", "a ship came"),)),
    listing=Listing(command="berths", help="List berths.", empty="No berths. Build one: {skerry} berth build"),
)
ALL = catalog((*SERVED, BERTH))


def documented(parts: tuple[str, ...]) -> Any:
    document = Discovery(ALL).find(parts, PLAIN)
    assert document is not None
    return msgspec.json.decode(document.body)


def test_it_is_discovered_with_its_actions() -> None:
    listed = documented(("apis", "skerry.dev", "v1alpha1"))["resources"]
    berths = {each["name"]: each for each in listed if each["name"].startswith("berth")}
    assert berths["berths"]["shortNames"] == ["bt"]
    assert (berths["berths/tow"]["kind"], berths["berths/tow"]["verbs"]) == ("ClusterConnection", ["create"])


def test_it_is_described_with_what_its_actions_take_and_answer() -> None:
    document = OpenApi(ALL).find(("v3", "apis", "skerry.dev", "v1alpha1"))
    assert document is not None
    described = msgspec.json.decode(document.body)
    assert described["components"]["schemas"]["dev.skerry.v1alpha1.Berth"]["x-kubernetes-selectable-fields"]
    tow = described["paths"]["/apis/skerry.dev/v1alpha1/berths/{name}/tow"]["post"]
    (body,) = tow["requestBody"]["content"].values()
    assert body["schema"]["$ref"].endswith("/dev.skerry.v1alpha1.ClusterConnection")
    assert tow["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith(".v1alpha1.Cluster")


def test_who_may_is_what_it_says() -> None:
    access = HostAccess(ALL)
    asked = HostRequest("get", "skerry.dev", "berths", name="b")
    assert access.right(asked).groups == ("skerry:pilot",)
    assert access.right(asked._replace(verb="delete")).groups == ()
    assert access.right(asked._replace(verb="create", subresource="tow")).groups == ("skerry:tug",)
    tug = {(rule.verbs, rule.resources) for rule in access.rules(("skerry:tug",))}
    assert (("create",), ("berths/tow",)) in tug
    assert (("get", "list"), ("berths",)) not in tug


def test_it_is_read_from_its_bucket_and_written_by_its_owner() -> None:
    cache = Informer((*kinds.KINDS, BERTH))
    assert sources({RESOURCES: cache}, ALL)[BERTH] is cache
    assert services.endpoints_of(BERTH) == (
        ("harbour", "harbour.berths.create"),
        ("harbour", "harbour.berths.tow-create"),
    )


def test_it_is_listed_by_its_command() -> None:
    assert listings.commands(ALL)["berths"] is BERTH


def test_it_is_documented() -> None:
    assert "`skerry berths`" in reference.markdown(ALL)


def test_what_lies_in_a_bucket_that_nobody_reads_is_not_served() -> None:
    cache = Informer(kinds.KINDS)
    assert set(SERVED) - set(sources({RESOURCES: cache}, SERVED)) == {kinds.EVENT, kinds.EVENT_V1}
    assert set(sources({RESOURCES: cache, EVENTS: cache}, SERVED)) == set(SERVED)


@pytest.mark.parametrize("kind", SERVED, ids=lambda kind: f"{kind.kind}-{kind.group}")
def test_a_kind_lies_where_the_service_table_has_a_bucket(kind: Kind) -> None:
    assert kind.bucket in {"", *(bucket.name for bucket in services.BUCKETS)}


# No module asks which kind it has before it

CONSTANTS = {name for name in kinds.__all__ if isinstance(getattr(kinds, name), Kind)}
PATH_WORD = "namespaces"
"""A word of the paths of every Kubernetes API."""


def others(module: str) -> list[Kind]:
    """Kinds that a module may not ask for. An owner knows its own; those of Kubernetes are also what members have."""
    served = SERVED if module.startswith("services.proxy") else kinds.KINDS
    return [kind for kind in served if not module.startswith(f"services.{kind.owner}.")]


def conditions(tree: ast.AST) -> Iterator[ast.AST]:
    """What is compared with what. That a document has a field of some name is no question for its kind."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from node.comparators if isinstance(node.ops[0], ast.In | ast.NotIn) else (node,)
        elif isinstance(node, ast.match_case):
            yield node.pattern


def asks_for(condition: ast.AST, known: list[Kind]) -> set[str]:
    """Which of these kinds a condition spells, as text or by the name of the declaration."""
    nodes = list(ast.walk(condition))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    spelled = texts & ({name for kind in known for name in (kind.kind, kind.plural)} - {PATH_WORD})
    return spelled | {name for name in names & CONSTANTS if getattr(kinds, name) in known}


def test_no_other_module_names_a_kind_in_a_condition() -> None:
    found = [
        f"{module.name}: {', '.join(sorted(named))}"
        for module in shape.modules(ROOT, shape.ROOTS)
        if not module.name.startswith("skerry.api.")
        for condition in conditions(module.tree)
        if (named := asks_for(condition, others(module.name)))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ['kind == "Cluster"', 'plural in ("clusters", "x")', "kind is CLUSTER", "a if kind in (kinds.CREDENTIAL,) else b"],
)
def test_the_search_finds_them(text: str) -> None:
    assert any(asks_for(each, others("skerry.x")) for each in conditions(ast.parse(text)))


@pytest.mark.parametrize("text", ['"clusters" in spec', 'where = "Cluster"', 'path[0] == "namespaces"'])
def test_the_search_finds_nothing_else(text: str) -> None:
    assert not any(asks_for(each, others("skerry.x")) for each in conditions(ast.parse(text)))
