"""Admission of the App Store's kinds. While the store cannot be used, nothing of it is made or changed, by whomever; deletes go on."""

from __future__ import annotations

from services.appstore import switching
from services.appstore.parts import AppStoreContext
from services.appstore.people import People
from skerry.admission import Admitted, Rules
from skerry.admission.prepare import invalid_object
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.storage import Item


class AppStoreRules(Rules):
    """Admission of AppStore host, which alone is changed while the store is off."""

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        problems = list(switching.problems(document["spec"]))
        if problems:
            raise invalid_object(document, problems)
        return Admitted(document)


class StoreRules(Rules):
    """Admission of everything else of the store."""

    def __init__(self, context: AppStoreContext) -> None:
        super().__init__(context)
        self._context = context

    @property
    def switch(self) -> switching.Switch:
        """Whether the store can be used. The state is there before anything is asked."""
        return self._context.state.switch

    @property
    def people(self) -> People:
        """What callers may do in the store."""
        return self._context.state.people

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        await self.switch.check()
        return Admitted(document)

    async def before_change(self, current: Item, request: WriteRequest) -> None:
        """Nobody changes it while the store cannot be used."""
        await self.switch.check()
