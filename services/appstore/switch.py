"""The two rules of the App Store. Pure.

Enabled on the host it is usable for every cluster, whatever the member's own setting; enabled on members alone it is usable on no
cluster, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from skerry.api.meta import StatusCause
from skerry.errors import Forbidden

NAMED = 10
"""Members that a message names at most."""


class Usable(NamedTuple):
    """Whether the App Store can be used, and if not, why: as condition Usable, and as a refusal."""

    usable: bool
    reason: Literal["Enabled", "HostDisabled", "OnlyOnMembers"]
    message: str


def usable(enabled: bool, enabled_on: Iterable[str]) -> Usable:
    """Whether it can be used, from the host's switch and the names of members that have it enabled themselves."""
    if enabled:
        return Usable(True, "Enabled", "the App Store is enabled on this host, and usable for every cluster")
    own = sorted(enabled_on)
    if not own:
        return Usable(
            False,
            "HostDisabled",
            "the App Store is disabled on this host, so it is usable on no cluster; an administrator enables it: skerry app store "
            "enable",
        )
    names = ", ".join(own[:NAMED]) + (f" and {len(own) - NAMED} more" if len(own) > NAMED else "")
    return Usable(
        False,
        "OnlyOnMembers",
        f"the App Store is enabled only on member(s) {names} and not on the host, so it is usable on no cluster; an administrator "
        "enables it: skerry app store enable",
    )


def refusal(state: Usable) -> Forbidden:
    """The answer to whoever creates or changes something of the store while it cannot be used."""
    return Forbidden(state.message, causes=(StatusCause(reason=state.reason, message=state.message),))
