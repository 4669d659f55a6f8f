"""A namespaced kind of a test's service: read and written by the roles of workspaces, with an action of its admins."""

from __future__ import annotations

from skerry.api import v1alpha1
from skerry.api.kinds import EVERY_VERB, Action, Kind
from skerry.api.kinds.access import OF_WORKSPACE, READ_IN_NAMESPACES, READ_ON_HOST, Tie, written_by
from skerry.api.kinds.columns import NAME
from skerry.api.meta import ObjectMeta, Struct


class BerthSpec(Struct, frozen=True, kw_only=True):
    """What is wanted of a berth."""

    ship: str = ""


class BerthStatus(Struct, frozen=True, kw_only=True):
    """What is observed of it."""

    state: str = ""


class Berth(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A place for one ship."""

    api_version: str = v1alpha1.API_VERSION
    kind: str = "Berth"
    metadata: ObjectMeta
    spec: BerthSpec = BerthSpec()
    status: BerthStatus = BerthStatus()


BERTH = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Berth",
    plural="berths",
    singular="berth",
    namespaced=True,
    owner="harbour",
    type=Berth,
    verbs=EVERY_VERB,
    columns=(NAME,),
    access=(READ_ON_HOST, READ_IN_NAMESPACES, written_by("edit", "admin")),
    actions=(
        Action(subresource="tow", verb="create", request=BerthSpec, answer=Berth, ties=(Tie(by="workspace", roles=("admin",)),)),
        Action(subresource="depth", verb="get", answer=BerthStatus, ties=(OF_WORKSPACE,)),
    ),
)  # fmt: skip
