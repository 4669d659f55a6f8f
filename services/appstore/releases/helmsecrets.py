"""A release as its cluster has it: read from Helm's Secrets, with no Helm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from services.appstore.helm import releases
from services.appstore.helm.engine import HelmError
from services.appstore.helm.releases import Entry, ReleaseState
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.machine import Present
from services.appstore.releases.specs import Place
from skerry.api.meta import Document
from skerry.errors import BadGateway

LABEL, REVISION_LABEL = "skerry.dev/release", "skerry.dev/revision"
"""Labels of Helm's Secrets: UID and revision of the AppRelease."""
METADATA = b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class HelmSecrets(NamedTuple):
    """What Helm's Secrets of one release say by their labels."""

    entries: tuple[Entry, ...]
    """The oldest first."""
    state: ReleaseState

    @property
    def by_hand(self) -> bool:
        """True if somebody else upgraded what was put there, and well: Helm hands the labels of a revision on to the next one."""
        before, latest = self.entries[-2:] if len(self.entries) > 1 else (None, None)
        return (
            before is not None
            and latest is not None
            and (before.status, latest.status) == ("superseded", "deployed")
            and LABEL in latest.labels
            and all(before.labels.get(each) == latest.labels.get(each) for each in (LABEL, REVISION_LABEL))
        )

    def present(self, uid: str, revision: int, now: float) -> Present:
        """The same as the machine takes it, for an AppRelease and its wanted revision; `now` in seconds since the epoch."""
        latest = self.state.latest
        if latest is None:
            return Present()
        well = [each for each in reversed(self.entries) if each.status in ("deployed", "superseded")]
        earlier = next((each for each in well if _revision_of(each) != revision), None)
        return Present(
            state=self.state.state,
            ours=any(each.labels.get(LABEL) == uid for each in self.entries),
            revision=_revision_of(latest) if latest.labels.get(LABEL) == uid else 0,
            installing=latest.status == "pending-install",
            age_s=max(0.0, now - latest.changed),
            deployed=self.state.deployed.revision if self.state.deployed else 0,
            earlier=earlier.revision if earlier else 0,
        )


async def read(door: FrontDoor, access: MemberAccess, place: Place) -> HelmSecrets:
    """The Secrets of a release. StatusError."""
    answer = await door.get(access, f"{_path(place)}?labelSelector=owner%3Dhelm,name%3D{place.name}", accept=METADATA)
    items = answer.document().get("items")
    secrets: list[Document] = [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
    entries = releases.entries(secrets, place.name)
    return HelmSecrets(entries, releases.state(entries))


async def secret(door: FrontDoor, access: MemberAccess, place: Place, entry: Entry) -> bytes:
    """The Secret of a revision, as JSON. StatusError."""
    return (await door.get(access, f"{_path(place)}/{entry.secret}")).body


@contextmanager
def reading(place: Place, entry: Entry) -> Iterator[None]:
    """BadGateway for the Secret of a revision that cannot be read in this block."""
    try:
        yield
    except HelmError as error:
        raise BadGateway(
            f"Secret {place.namespace}/{entry.secret} is no revision of a Helm release that can be read: {error}"
        ) from error


def _revision_of(entry: Entry) -> int:
    text = entry.labels.get(REVISION_LABEL, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _path(place: Place) -> str:
    return f"/api/v1/namespaces/{place.namespace}/secrets"
