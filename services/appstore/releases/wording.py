"""What an instance says for people: what happened, where, and what to do next. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.appstore.helm.releases import Revision
from services.appstore.releases.machine import Operate
from services.appstore.releases.specs import Place

DEFAULT = "default"
"""The namespace that commands mean by themselves."""
_UNDONE, _NOT_UNDONE = "; it was ", "; rolling it back failed: "


class ReleaseName(NamedTuple):
    """An AppRelease, as commands name it."""

    namespace: str
    name: str

    def command(self, verb: str, options: str = "") -> str:
        """What does something with it."""
        workspace = "" if self.namespace == DEFAULT else f" -w {self.namespace}"
        return f"skerry app {verb} {self.name}{options}{workspace}"

    def forget(self, cluster: str) -> str:
        """What lets it go there."""
        return self.command("uninstall", f" --forget {cluster}")


def refused(message: str, user: str, release: ReleaseName, leaves: str = "") -> str:
    """Rights did not suffice, those of whom it is worked as. `leaves`: the cluster that it is to be uninstalled from."""
    own, forget = release.command("own"), f", or leave what runs there: {release.forget(leaves)}" if leaves else ""
    return (
        f"{message} (it is worked as {user or 'nobody'}: give them the right, or take the release over: {own}{forget})"
    )


def failed(reason: str, message: str, user: str, release: ReleaseName) -> str:
    """Helm refused for good: its text, and what its user can do about it."""
    if reason == "Forbidden":
        return refused(message, user, release)
    if reason == "Conflict" and "conflict occurred while applying" in message:
        return f"{message}: leave such fields out of the values, or have them taken from who has them now: spec.conflicts: Take"
    return message


def undone(failure: str, step: Operate) -> str:
    """What was wanted failed, and was gone back from."""
    what = f"rolled back to Helm's revision {step.to}" if step.operation == "Rollback" else "uninstalled"
    return f"{_failure(failure)}{_UNDONE}{what}"


def not_undone(failure: str, message: str) -> str:
    """What was wanted failed, and going back from it did too."""
    return f"{_failure(failure)}{_NOT_UNDONE}{message}"


def upgraded_by_hand(cluster: str, revision: Revision, release: ReleaseName) -> str:
    """Somebody else upgraded what was put there."""
    chart = f"{revision.chart}-{revision.chart_version}"
    return (
        f"somebody ran helm on {cluster}: its revision {revision.entry.revision} is {chart} with values of theirs; it is left so until "
        f"the next {release.command('upgrade')}"
    )


def changed_by_hand(cluster: str, place: Place, release: ReleaseName) -> str:
    """Somebody else went back, or took it away."""
    return (
        f"somebody ran helm on {cluster}: Helm release {place.name} in namespace {place.namespace} is not what was put there; it is left "
        f"so until you want it back: {release.command('retry')}"
    )


def exists(cluster: str, place: Place) -> str:
    """Somebody else installed something by that name."""
    return (
        f"namespace {place.namespace} of {cluster} has a Helm release {place.name} that is not this AppRelease's: uninstall it "
        f"(helm uninstall -n {place.namespace} {place.name}), or set another spec.releaseName in a new one"
    )


def _failure(text: str) -> str:
    """Why it failed, without what became of going back from it."""
    return text.partition(_NOT_UNDONE)[0].partition(_UNDONE)[0]
