"""A join that is only asked about: what the host would say to it, by the names of the checks. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.registry import joining, tokens
from skerry.api.messages import JoinRequest
from skerry.api.meta import Document
from skerry.errors import StatusError
from skerry.identity import nkey


class RegistryView(NamedTuple):
    """What the registry knows when it is asked."""

    token: Document | None
    token_uid: str
    """Of the jti that the asker's bearer has."""
    cluster: Document | None
    """The Cluster of the name that is asked for."""
    agents: frozenset[str]
    """Keys of its agents."""
    owner: str
    """Who has joined with this physical cluster."""
    evicted: float | None = None
    """When the key that asks was evicted."""


def check_request(request: JoinRequest) -> None:
    """Check that a question can be understood at all. BadRequest."""
    key = request.dry_run_nkey or nkey.create(nkey.KeyType.USER).public
    joining.check_request(msgspec.structs.replace(request, nkey=key, cluster_uid=request.cluster_uid or "unknown"))


def refusals(request: JoinRequest, known: RegistryView, now: float) -> dict[str, str]:
    """Why a join like this would be refused, by the name of the check. Of others nothing is told to who has no good token."""
    join = msgspec.structs.replace(request, nkey=request.dry_run_nkey)
    if reason := _refusal(lambda: _check_token(join, known, now)):
        return {"token": reason}
    replica = bool(known.token and known.token["spec"].get("replica"))
    reasons = {
        "host.name": _refusal(lambda: joining.check_cluster(join, known.cluster, known.agents, replica=replica)),
        "duplicate": _refusal(lambda: joining.check_uid(join, known.owner)),
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _check_token(join: JoinRequest, known: RegistryView, now: float) -> None:
    if not join.cluster_uid and known.token is not None:  # a pin cannot be judged by a UID that is not known
        join = msgspec.structs.replace(join, cluster_uid=known.token["spec"].get("clusterUID") or "")
    token = tokens.check_token(known.token, known.token_uid, join, now)
    bound = tokens.bound_at(token, join.nkey)
    if bound is not None and known.evicted is not None:
        tokens.check_repeat(join.name, bound, known.evicted)


def _refusal(judge: Callable[[], None]) -> str:
    try:
        judge()
    except StatusError as error:
        return error.message
    return ""
