"""The two rules of the App Store. Pure.

Enabled on the host it is usable for every cluster, whatever the member's own setting; enabled on members alone it is usable on no
cluster, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from skerry.api.meta import StatusCause
from skerry.errors import Forbidden

Setting: TypeAlias = Literal["Enabled", "Disabled", "Unset"]
"""A member's own, by annotation on its namespace kube-system. It is shown, and has no other effect."""
NAMED = 10
"""Members that a message names at most."""


class Usable(NamedTuple):
    """Whether the App Store can be used, and if not, why: as condition Usable, and as a refusal."""

    usable: bool
    reason: Literal["Enabled", "HostDisabled", "OnlyOnMembers"]
    message: str


def usable(enabled: bool, settings: Mapping[str, Setting]) -> Usable:
    """Whether it can be used, from the host's switch and the members' own settings."""
    if enabled:
        return Usable(True, "Enabled", "the App Store is enabled on this host, and usable for every cluster")
    own = sorted(name for name, setting in settings.items() if setting == "Enabled")
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
