"""Who may do what where: grants, workspaces and clusters compiled to what each caller has, and the one decision. Pure.

Proxies decide every request with it, and tenancy works out from it what bindings members need and who may give what: a
grant means the same to all of them.
"""

from __future__ import annotations

from skerry.access.compiled import Access, Reach, Touched
from skerry.access.decision import EXTRA_USER, Allowed, Decision, Denied, MemberRequest, barred, decide, held
from skerry.access.holdings import keys_of

__all__ = [
    "EXTRA_USER",
    "Access",
    "Allowed",
    "Decision",
    "Denied",
    "MemberRequest",
    "Reach",
    "Touched",
    "barred",
    "decide",
    "held",
    "keys_of",
]
