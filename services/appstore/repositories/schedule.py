"""When a repository is looked at. Pure: what was is in its status, times are Unix seconds.

At once when it is new, when its spec was changed, or when somebody asked; else a period after the last look, a tenth of it more or
less, so that a hundred repositories that were made together are not read together for ever. After failures 60 s × how many there
were in a row, at most ten minutes, or as long as the server asks for.
"""

from __future__ import annotations

from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.backoff import Chance
from skerry.httpwire.retryafter import seconds_of

FAILED_S, LONGEST_FAILED_S = 60.0, 600.0


def due_s(document: Document, now: float) -> float | None:
    """Seconds until an AppRepository is to be looked at; None: when somebody asks."""
    status = document.get("status") or {}
    sync = status.get("sync") or {}
    finished = _time(sync.get("finished"))
    if not finished or _time(sync.get("requested")) > finished or observed(status) != _generation(document):
        return 0.0
    coming = _time(sync.get("next"))
    return max(coming - now, 0.0) if coming else None


def observed(status: Document) -> int:
    """The generation of the spec that was synced last."""
    conditions = status.get("conditions")
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == "Ready":
            return int(each.get("observedGeneration") or 0)
    return 0


def pause_s(period_s: int, failures: int, asked: str, now: float, chance: Chance) -> float | None:
    """Seconds from a look that ended now to the next; None: when somebody asks. `failures` in a row, 0 after one that went well;
    `asked` is the header Retry-After of the server.
    """
    if not period_s:
        return None
    if not failures:
        return chance(period_s * 0.9, period_s * 1.1)
    own = min(FAILED_S * failures, LONGEST_FAILED_S)
    return max(chance(own * 0.9, own * 1.1), seconds_of(asked, now))


def _time(text: object) -> float:
    """Unix seconds; 0 for what is no time."""
    try:
        return seconds(str(text)) if text else 0.0
    except ValueError:
        return 0.0


def _generation(document: Document) -> int:
    return int(document["metadata"].get("generation") or 0)
