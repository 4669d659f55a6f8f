"""Declarations that cannot be served are refused where they stand, naming the kind and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api import v1alpha1
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import WORKSPACE, Access, Action, Column, Kind, ViewOf
from skerry.api.kinds.access import OF_WORKSPACE, subjects_at, user_at
from skerry.api.meta import ObjectMeta, Struct


class BerthSpec(Struct, frozen=True, kw_only=True):
    ship: str = ""
    cargo: dict[str, str] = {}
    crew: list[str] = []
    pilot_name: str | None = None


class Berth(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A place for one ship."""

    metadata: ObjectMeta
    spec: BerthSpec = BerthSpec()


def declared(**more: Any) -> Kind:
    fields: dict[str, Any] = {
        "group": v1alpha1.GROUP,
        "version": v1alpha1.VERSION,
        "kind": "Berth",
        "plural": "berths",
        "singular": "berth",
        "owner": "harbour",
        "type": Berth,
        "verbs": ("create", "get"),
    }
    return Kind(**fields | more)


def action(**more: Any) -> Action:
    fields: dict[str, Any] = {
        "subresource": "tow",
        "verb": "create",
        "request": ClusterConnection,
        "answer": v1alpha1.Cluster,
    }
    return Action(**fields | more)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"verbs": ("fetch",)}, "there is no verb fetch"),
        ({"columns": (Column(name="Ship", path="spec.vessel"),)}, "column Ship: Berth has no field 'spec.vessel'"),
        ({"columns": (Column(name="Pilot", path="spec.pilot_name"),)}, "Berth has no field 'spec.pilot_name'"),
        ({"columns": (Column(name="Crew", path="spec.crew.name"),)}, "Berth has no field 'spec.crew.name'"),
        ({"columns": (Column(name="Nothing"),)}, "column Nothing: Berth has no field ''"),
        ({"selectable": ("status.phase",)}, "selectable field status.phase: Berth has no such field"),
        ({"actions": (action(request=None),)}, "action tow: create has no type for its request"),
        ({"actions": (action(verb="watch"),)}, "action tow: verb watch is none of get, create, update, delete"),
        ({"actions": (action(), action())}, "action tow: create is declared twice"),
        ({"actions": (action(subresource="status", verb="update"),)}, "action status: update is declared twice, or is"),
        ({"about": "spec.port"}, "it is about spec.port: Berth has no such field"),
        ({"access": (Access(verbs=("get",)),)}, "get is allowed to nobody"),
        ({"access": (Access(verbs=("watch",), groups=("g",)),)}, "access to watch: it has no such verb"),
        ({"access": (Access(verbs=("create",), ties=(OF_WORKSPACE,)),)}, "create cannot follow from a tie"),
        (
            {"access": (Access(verbs=("create",), ties=(OF_WORKSPACE, user_at("spec.ship"))),), "namespaced": True},
            "create cannot follow from a tie",
        ),
        (
            {"actions": (action(ties=(OF_WORKSPACE,)),)},
            "action tow: no action follows from a tie but to the namespace of an object",
        ),
        (
            {"actions": (action(ties=(user_at("spec.ship"),)),), "namespaced": True},
            "action tow: no action follows from a tie but to the namespace of an object",
        ),
        ({"access": (Access(verbs=("get",), ties=(user_at(""),)),)}, "it is tied by '': Berth has no such field"),
        (
            {"access": (Access(verbs=("get",), ties=(subjects_at("spec.captains"),)),)},
            "it is tied by 'spec.captains': Berth has no such field",
        ),
        (
            {
                "access": (Access(verbs=("get",), ties=(user_at("spec.ship"),)),),
                "view_of": ViewOf(kind=WORKSPACE, convert=dict),
                "bucket": "",
            },
            "it is a view, and tied by 'spec.ship': only what is stored is looked up so",
        ),
        (
            {"view_of": ViewOf(kind=WORKSPACE, convert=dict)},
            "it is a view of Workspace, so it lies in no bucket of its own",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"kind Berth: .*") as refused:
        declared(**more)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    "path", ["metadata.name", "spec.ship", "spec.pilotName", "spec.cargo.tea", "spec.crew", "spec"]
)
def test_what_the_struct_has_may_be_shown_and_selected(path: str) -> None:
    declared(columns=(Column(name="It", path=path),), selectable=(path,))


def test_a_cell_without_a_path_is_made_of_the_whole_document() -> None:
    declared(columns=(Column(name="All", cell=str),))


def test_what_only_a_proxy_knows_needs_no_field() -> None:
    declared(columns=(Column(name="Depth", live="depth"),))


def test_an_action_is_answered_by_the_owner_unless_it_says_another() -> None:
    assert [declared().answers(action(service=name)) for name in ("", "registry")] == ["harbour", "registry"]


def test_an_action_is_found_by_subresource_and_verb() -> None:
    tow = action()
    berth = declared(actions=(tow,))
    assert berth.action("tow", "create") is tow
    assert berth.action("tow", "update") is None
    assert berth.action("", "create") is None
