"""Reviews at work: an AppReview that is created is a step that is taken, by compare-and-set on the phase of the version.

The step stands in the version before its record is stored, so that of two people one takes it. Who died in between left a step
without a record, which is written again from there (`records`); the same request that comes again finds its step taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from services.appstore import byapp, reviewing
from services.appstore.byapp import versions_of
from services.appstore.parts import AppStoreContext
from services.appstore.reviewing import Review
from services.appstore.rules import StoreRules
from skerry.admission import Admitted
from skerry.api.kinds import APP, APP_REVIEW, APP_VERSION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.api.times import rfc3339
from skerry.errors import BadRequest, Conflict, NotFound

KEPT = 10
"""Steps that a version tells of."""

Change = Callable[[Document], Document]


class ReviewRules(StoreRules):
    """Admission of AppReviews. `now` is Unix time in seconds."""

    def __init__(self, context: AppStoreContext, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(context)
        self._informer, self._now = context.informer, now
        self._versions, self._reviews = context.store(APP_VERSION), context.store(APP_REVIEW)
        byapp.index(self._informer)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """Take the step. NotFound, Conflict, Forbidden, BadRequest, Invalid."""
        await self.switch.check()
        document = _named(document, request)
        spec, metadata = document["spec"], document["metadata"]
        if bool(spec.get("version")) == bool(spec.get("app")):
            raise BadRequest("a review is about a version or about a whole app: set one of spec.version and spec.app")
        if (recorded := await self._reviews.find(metadata["name"], request.namespace)) is not None:
            if request.request_id in recorded.writes:
                return Admitted(recorded.document())
            raise self._reviews.already_exists(metadata["name"], recorded)
        review = self._review(document, request)
        names = [spec["version"]] if spec.get("version") else self._of_app(spec["app"], request.namespace, review)
        take = partial(self._taken, review=review, document=document)
        steps = [await self._step(name, request, take) for name in names]
        first = steps[0]["status"]["reviews"][0]
        status = {key: first[key] for key in ("from", "to", "by", "at", "digest") if first.get(key)}
        return Admitted({**document, "status": {**status, **({"versions": names} if spec.get("app") else {})}})

    def _review(self, document: Document, request: WriteRequest) -> Review:
        spec, caller = document["spec"], request.caller
        return Review(
            spec["action"],
            caller.user,
            author=self.people.writes(caller, request.namespace),
            reviewer=self.people.reviews(caller),
            message=spec.get("message", ""),
        )

    def _of_app(self, app: str, namespace: str, review: Review) -> list[str]:
        """The versions of an app that an action on the whole of it changes. NotFound, Conflict, BadRequest."""
        versions = {item.name: item.document() for item in versions_of(self._informer, namespace, app)}
        if not versions:
            raise NotFound(f'apps.skerry.dev "{app}" not found', kind=APP.plural, group=APP.group, name=app)
        if review.action not in ("Suspend", "Recover"):
            raise BadRequest(
                f"{review.action} is about one version: set spec.version; a whole app is suspended or recovered"
            )
        before = reviewing.STEPS[review.action].before
        names = sorted(name for name, each in versions.items() if each["status"].get("phase") in before)
        if not names:
            phases = sorted({each["status"].get("phase", "") for each in versions.values()})
            raise Conflict(f"no version of app {app} is {' or '.join(before)}: they are {', '.join(phases)}")
        return names

    async def _step(self, name: str, request: WriteRequest, take: Change) -> Document:
        """A version after the step was taken; with a dry run as it would be."""
        while True:
            before = await self._versions.get(name, request.namespace)
            after = take(before.document())
            if request.options.dry_run or after is before.document():
                return after
            try:
                return (await self._versions.update(before, after)).document()
            except Conflict:
                continue

    def _taken(self, version: Document, *, review: Review, document: Document) -> Document:
        """A version with the step. Conflict, Forbidden, BadRequest."""
        status, name = version.get("status") or {}, document["metadata"]["name"]
        reviews = status.get("reviews") or []
        if reviews and reviews[0].get("review") == name:
            return version
        _check(version, review)
        phase = reviewing.step(
            status.get("phase", "Draft"),
            review,
            submitted_by=status.get("submittedBy", ""),
            four_eyes=self.switch.four_eyes,
        )
        taken = {
            "action": review.action,
            "from": status.get("phase", "Draft"),
            "to": phase,
            "by": review.by,
            "at": rfc3339(self._now()),
            "digest": status.get("digest", ""),
            "review": name,
            **({"message": review.message} if review.message else {}),
            **({"whole": True} if document["spec"].get("app") else {}),
        }
        submitted = {"submittedBy": review.by} if review.action == "Submit" else {}
        return {**version, "status": {**status, **submitted, "phase": phase, "reviews": [taken, *reviews][:KEPT]}}


def _check(version: Document, review: Review) -> None:
    """Conflict for a step that this version cannot take at all."""
    metadata, spec, status = version["metadata"], version["spec"], version.get("status") or {}
    if metadata["namespace"] == POOL and spec.get("origin"):
        raise Conflict(
            f"{metadata['name']} follows {spec['origin']}, where it is reviewed: -w {spec['origin'].partition('/')[0]}"
        )
    problem = status.get("problem") or {}
    if review.action in ("Submit", "Pass", "Release") and problem:
        raise Conflict(
            f"{metadata['name']} cannot be installed, so it is not reviewed: {problem.get('reason')}: {problem.get('message')}"
        )
    if review.action == "Submit" and not status.get("digest"):
        raise Conflict(f"the package of {metadata['name']} was not looked at yet: try again in a moment")


def _named(document: Document, request: WriteRequest) -> Document:
    """A review with a name that the same request has again when it comes again: what is generated is made of its id."""
    metadata = document["metadata"]
    prefix = metadata.get("generateName")
    if not prefix:
        return document
    return {**document, "metadata": {**metadata, "name": f"{prefix[:200]}{request.request_id[:12].lower()}"}}
