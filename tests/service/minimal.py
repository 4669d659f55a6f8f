"""The smallest whole service with a kind: what a newcomer writes, as five files. A test runs them."""

from __future__ import annotations

from collections.abc import Mapping

FILES: Mapping[str, str] = {
    "__init__.py": '"""Berths: where ships lie."""\n',
    "__main__.py": """from harbour.service import SERVICE
from skerry.service import run

run(SERVICE)
""",
    "berth.py": '''"""The kind Berth."""

from skerry.api import v1alpha1
from skerry.api.kinds import EVERY_VERB, Column, Kind
from skerry.api.meta import ObjectMeta, Struct


class BerthSpec(Struct, frozen=True, kw_only=True):
    """What is wanted of a berth."""

    ship: str = ""


class BerthStatus(Struct, frozen=True, kw_only=True):
    """What is observed of it."""

    state: str = ""


class Berth(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A place for one ship."""

    metadata: ObjectMeta
    spec: BerthSpec = BerthSpec()
    status: BerthStatus = BerthStatus()


BERTH = Kind(
    group=v1alpha1.GROUP, version=v1alpha1.VERSION, kind="Berth", plural="berths", singular="berth", owner="harbour",
    type=Berth, verbs=EVERY_VERB,
    columns=(
        Column(name="Name", path="metadata.name", format="name"),
        Column(name="State", path="status.state"),
    ),
)
''',
    "rules.py": '''"""Admission of Berths."""

from skerry.admission import Admitted, Rules
from skerry.errors import Forbidden


class BerthRules(Rules):
    """No ghost ships."""

    async def admit(self, document, request):
        if document.get("spec", {}).get("ship") == "Dutchman":
            raise Forbidden("the Flying Dutchman never lies at a berth")
        return Admitted(document)
''',
    "service.py": '''"""The service harbour."""

from harbour.berth import BERTH
from harbour.rules import BerthRules
from skerry.api.meta import Struct
from skerry.service import Context, Service
from skerry.settings import Settings


class HarbourSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the harbour needs."""

    harbour_word: str = "taken"


def moorings(context: Context):
    """Says of each berth whether a ship lies there."""
    store = context.store(BERTH)

    async def reconcile(name: str) -> None:
        berth = context.informer.get(BERTH, name)
        if berth is not None:
            state = context.settings.harbour_word if berth.document()["spec"].get("ship") else "free"
            await store.modify(name, lambda found: {**found, "status": {"state": state}})

    return context.follow(BERTH, context.controller("moorings", reconcile, workers=4))


class Count(Struct, frozen=True, kw_only=True):
    """How many berths there are."""

    berths: int = 0


async def count(context: Context, request: Struct) -> Count:
    """Answers harbour.count."""
    return Count(berths=len(context.informer.list(BERTH)))


SERVICE = Service(
    name="harbour", settings=HarbourSettings, rules={BERTH: BerthRules}, controllers=(moorings,),
    endpoints={"count": count},
)
''',
}
