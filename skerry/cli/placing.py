"""Where a grant is in place, and where it waits: what `grant`, `request create` and `request approve` say at their end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skerry.api.conditions import condition_of
from skerry.api.kinds import ACCESS_GRANT
from skerry.api.meta import Document
from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.term import program, progress, say
from skerry.errors import NotFound

if TYPE_CHECKING:
    from skerry.cli.api import Api

POLL_S = 0.3
WAIT = "10s"
UNDER_WAY = ("Applying", "Waiting", "Problem")
"""States on clusters that can be reached: they may still become Enforced."""


def await_place(api: Api, name: str, wait_s: float) -> None:
    """Say where a grant is in place; Failure (timed out) if it is not on some member that can be reached."""
    from skerry.cli.api import path_of

    until = time.monotonic() + wait_s
    with progress() as line:
        while True:
            try:
                grant = api.get(path_of(ACCESS_GRANT.plural, name))
            except NotFound:
                return  # who may give it need not be shown it
            late = under_way(grant)
            if not late or time.monotonic() >= until:
                break
            line.show(f"waiting for {late}")
            time.sleep(POLL_S)
    if late:
        raise Failure(
            f"grant {name} holds, and is not in place yet on {late}: {program()} grants {name} -o wide shows its state",
            TIMED_OUT,
        )
    say(condition_of(grant, "Enforced").message or "in place")


def under_way(grant: Document) -> str:
    """Clusters on which a grant is not in place though they can be reached, and why; empty if it is on all."""
    condition = condition_of(grant, "Enforced")
    if condition.status == "True":
        return ""
    clusters = (grant.get("status") or {}).get("clusters") or []
    late = [each for each in clusters if each.get("state", "") in ("", *UNDER_WAY)]
    if not late:  # a selector's are listed when they are looked at first
        return condition.message if condition.reason == "Applying" else ""
    named = [f"{each['name']} ({each.get('message') or each.get('state') or 'Applying'})" for each in late[:5]]
    return ", ".join(named) + (f" and {len(late) - 5} more" if len(late) > 5 else "")
