"""The switch at work: read by whoever writes something of the store, and told in condition Usable of AppStore host."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from services.appstore.network import MIB, parsed
from services.appstore.switch import Usable, refusal, usable
from skerry.admission.conform import FieldError, invalid_value
from skerry.api.appstore import STORE
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.kinds import APP_STORE, CLUSTER
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.errors import AlreadyExists, NotFound
from skerry.informer import View
from skerry.service import Context
from skerry.storage import Item, Store

OWN_SETTING = "appstore.enabled"
"""Index of Clusters: those that have it enabled themselves."""
MOST_ALLOWED = 100
DEFAULTS = {"packageMiB": 5, "storageMiB": 2048}
"""Of spec.limits, in MiB."""
LIMITS = {"packageMiB": (1, 32), "storageMiB": (64, 1_048_576), "versions": (100, 100_000)}
"""Of spec.limits: from, to."""
_ENABLED = b'"appStore":{"setting":"Enabled"}'


def enabled_itself(item: Item) -> Iterable[str]:
    """What the index has for a Cluster. Its bytes are looked at, for all members beat: inside a text a quote is never bare."""
    return (STORE,) if _ENABLED in item.body else ()


class Switch:
    """Whether the store can be used now, by what the informer holds."""

    def __init__(self, informer: View) -> None:
        self._informer = informer
        informer.index(CLUSTER, OWN_SETTING, enabled_itself)

    @property
    def store(self) -> Document:
        """AppStore host; one that is disabled while it is not there."""
        item = self._informer.get(APP_STORE, STORE)
        return {"spec": {}} if item is None else item.document()

    @property
    def four_eyes(self) -> bool:
        """Whether nobody may pass what they submitted."""
        return (self.store["spec"].get("review") or {}).get("fourEyes", True) is not False

    def limit_bytes(self, name: str) -> int:
        """One of DEFAULTS as AppStore host has it, in bytes."""
        limits = self.store["spec"].get("limits") or {}
        return int(limits.get(name, DEFAULTS[name])) * MIB

    def state(self) -> Usable:
        """Whether, and if not, why."""
        enabled = self.store["spec"].get("enabled") is True
        own = () if enabled else (item.name for item in self._informer.lookup(CLUSTER, OWN_SETTING, STORE))
        return usable(enabled, own)

    async def check(self) -> None:
        """Forbidden, with the reason, while it cannot be used; what was stored before this call counts."""
        await self._informer.current()
        state = self.state()
        if not state.usable:
            raise refusal(state)


async def ensure(store: Store) -> None:
    """Make AppStore host, disabled, unless it is there."""
    with suppress(AlreadyExists):
        await store.create({"metadata": {"name": STORE}, "spec": {"enabled": False}})


def usability(context: Context[Any, Any]) -> Controller[str]:
    """Condition Usable follows the switch and the members."""
    store, switch = context.store(APP_STORE), Switch(context.informer)

    def told(document: Document) -> Document | None:
        state = switch.state()
        verdict = Verdict("True" if state.usable else "False", state.reason, state.message)
        status = document.get("status") or {}
        conditions = with_condition(status.get("conditions") or [], new_condition("Usable", verdict, time.time()))
        if conditions == status.get("conditions"):
            return None
        return {**document, "status": {**status, "conditions": conditions}}

    async def reconcile(name: str) -> None:
        with suppress(NotFound):
            await store.modify(name, told)

    controller = context.controller("usable", reconcile)
    context.follow(CLUSTER, controller, enabled_itself)
    return context.follow(APP_STORE, controller)


def problems(spec: Document) -> Iterator[FieldError]:
    """What is wrong in the spec of an AppStore. Pure."""
    network, limits = spec.get("network") or {}, spec.get("limits") or {}
    allow = network.get("allow") or []
    if len(allow) > MOST_ALLOWED:
        yield invalid_value("spec.network.allow", len(allow), f"must have at most {MOST_ALLOWED} items")
    for number, each in enumerate(allow[:MOST_ALLOWED]):
        try:
            parsed(each)
        except ValueError as error:
            yield invalid_value(f"spec.network.allow[{number}]", each[:80], str(error))
    for name, (least, most) in LIMITS.items():
        value = limits.get(name, least)
        if not least <= value <= most:
            yield invalid_value(f"spec.limits.{name}", value, f"must be from {least} to {most}")
