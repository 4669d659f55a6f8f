"""Condition HelmReady of AppStore host: which Helm does the work and what holds it, or how to get one."""

from __future__ import annotations

import time
from contextlib import suppress

from services.appstore.helm.lookup import HelmState
from services.appstore.parts import AppStoreContext
from skerry.api.appstore import STORE
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.kinds import APP_STORE
from skerry.api.meta import Document
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound

EVERY_S = 10.0
"""Between two looks: somebody installs one, or removes it."""


def helm_ready(context: AppStoreContext) -> Controller[str]:
    """The condition follows what is on this machine."""
    store, helm = context.store(APP_STORE, leader=True), context.state.helm

    async def reconcile(name: str) -> After:
        _, state = await helm.engine()
        with suppress(NotFound):
            await store.modify(name, lambda document: with_helm(document, state, time.time()))
        return After(EVERY_S)

    controller: Controller[str] = context.controller("helm", reconcile, leader=True)
    controller.add(STORE)
    return controller


def with_helm(document: Document, state: HelmState, now: float) -> Document | None:
    """AppStore host with the engine that is there; None if it says so already. Pure."""
    status = dict(document.get("status") or {})
    reason = "Ready" if state.ready else state.reason
    verdict = Verdict("True" if state.ready else "False", reason, state.message)
    status["conditions"] = with_condition(status.get("conditions") or [], new_condition("HelmReady", verdict, now))
    status["helm"] = {"engine": state.engine or "", "version": state.version, "walls": list(state.walls)}
    return None if status == document.get("status") else {**document, "status": status}
