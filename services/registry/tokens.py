"""What a join token is for, and who may use it: rules, pure, with the message of each refusal.

A token is for one name, or for names of a pattern, which agents choose. Each use binds it, by compare-and-set on its object, to
the key of an agent, as often as `uses` says. The same key may repeat within the token's life and gets the same answer, because
an answer can be lost; but not after its member was removed: nobody comes back with the token that he came with.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from services.registry import clusters
from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.admission.metadata import label_problems
from skerry.admission.prepare import invalid_object
from skerry.api import duration
from skerry.api.messages import JoinRequest
from skerry.api.meta import Document
from skerry.api.patterns import matches, pattern_problem
from skerry.api.times import rfc3339, seconds
from skerry.api.v1alpha1 import JoinToken, JoinTokenSpec
from skerry.api.validation import is_label
from skerry.errors import Forbidden, Unauthorized

LONGEST = "24h"
MOST_USES = 1000
LONGEST_UID = 128
_NAME_RULE = "use a DNS label: a-z, 0-9 and -, at most 63 characters"


class NewToken(NamedTuple):
    """A token that was admitted."""

    document: Document
    jti: str
    spec: JoinTokenSpec
    expires: int


# Making one


def admit_token(document: Document, uid: uuid.UUID, now: datetime) -> NewToken:
    """The JoinToken to store: validated, defaulted, with its uid and expiry. Invalid names each wrong field."""
    spec = msgspec.convert(document, JoinToken).spec
    metadata = {**document["metadata"], "uid": str(uid), "finalizers": [clusters.FINALIZER]}
    problems = [*_problems(spec), *_metadata_problems(document["metadata"])]
    if problems:
        raise invalid_object(document, problems)
    base = spec.cluster_name or spec.pattern.replace("*", "").strip("-")
    metadata.setdefault("name", f"{base[:50].rstrip('-')}-{uid.hex[:8]}")
    expires = now + timedelta(seconds=duration.parse(spec.ttl))
    stored = {
        **document,
        "metadata": metadata,
        "spec": {"ttl": spec.ttl, **document["spec"]},
        "status": {"expires": rfc3339(expires), "used": False, "uses": 0},
    }
    return NewToken(stored, jti_of(stored), spec, int(expires.timestamp()))


def _metadata_problems(metadata: Document) -> Iterator[FieldError]:
    if metadata.get("finalizers"):
        yield forbidden("metadata.finalizers", "nobody could take them off a token again")
    if "name" in metadata and not is_label(metadata["name"]):
        yield invalid_value("metadata.name", metadata["name"], _NAME_RULE)


def _problems(spec: JoinTokenSpec) -> Iterator[FieldError]:
    yield from _pattern_problems(spec) if spec.pattern else _name_problems(spec)
    try:
        duration.bounded(spec.ttl, LONGEST)
    except ValueError as error:
        yield invalid_value("spec.ttl", spec.ttl, str(error))
    if spec.cluster_uid and (len(spec.cluster_uid) > LONGEST_UID or not spec.cluster_uid.isprintable()):
        yield invalid_value("spec.clusterUID", spec.cluster_uid[:LONGEST_UID], "use the UID of namespace kube-system")
    if spec.approval and spec.replica:
        yield forbidden("spec.approval", "a replica joins a cluster that is there: it was approved when that joined")
    if spec.labels and spec.replica:
        yield forbidden("spec.labels", "a replica joins a cluster that is there: label that")
    for key, value in sorted(spec.labels.items()):
        yield from label_problems("spec.labels", key, value)


def _name_problems(spec: JoinTokenSpec) -> Iterator[FieldError]:
    name = spec.cluster_name
    if not name:
        yield required("spec.clusterName", "say for which cluster it is, or spec.pattern for several")
    elif not is_label(name):
        yield invalid_value("spec.clusterName", name, _NAME_RULE)
    elif name == clusters.HOST:
        yield invalid_value("spec.clusterName", name, "this name belongs to the host itself")
    if spec.uses is not msgspec.UNSET:
        yield forbidden("spec.uses", "a token for one name works once: leave uses out, or say spec.pattern")


def _pattern_problems(spec: JoinTokenSpec) -> Iterator[FieldError]:
    if spec.cluster_name:
        yield forbidden("spec.pattern", "say spec.clusterName or spec.pattern, not both")
    why = pattern_problem(spec.pattern)
    if why:
        yield invalid_value("spec.pattern", spec.pattern[:100], why)
    elif matches(spec.pattern, clusters.HOST):
        example = f"for example {spec.pattern.rstrip('*')}-*" if spec.pattern.endswith("*") else "for example edge-*"
        yield invalid_value(
            "spec.pattern", spec.pattern, f"it matches {clusters.HOST}, the host's own name: narrow it, {example}"
        )
    if spec.uses is not msgspec.UNSET and not 1 <= spec.uses <= MOST_USES:
        yield invalid_value("spec.uses", spec.uses, f"must be between 1 and {MOST_USES}")
    if spec.replica:
        yield forbidden("spec.replica", "a token for one more agent names its cluster: say spec.clusterName")
    if spec.cluster_uid and uses_of(spec) > 1:
        yield forbidden("spec.clusterUID", "one cluster joins once: leave uses out")


def uses_of(spec: JoinTokenSpec) -> int:
    """How many agents may join with a token."""
    return 1 if spec.uses is msgspec.UNSET else spec.uses


# Its id on the bus


def jti_of(token: Document) -> str:
    """The id of a JoinToken on the bus."""
    return f"{token['metadata']['name']}_{token['metadata']['uid'].replace('-', '')}"


def parse_jti(jti: str) -> tuple[str, str]:
    """(name, uid in hexadecimal) of the token object that a jti stands for; empty strings for rubbish."""
    name, _, uid = jti.rpartition("_")
    return (name, uid) if is_label(name) else ("", "")


# Using it


def check_token(token: Document | None, uid: str, request: JoinRequest, now: float) -> Document:
    """The token, if it lets this agent join. Unauthorized, Forbidden; the message says which rule and what to do."""
    again = _again(request.name)
    if token is None or token["metadata"]["uid"].replace("-", "") != uid or clusters.is_leaving(token):
        raise Unauthorized(f"this host does not know the join token: it was revoked or has expired long ago; {again}")
    _check_purpose(token, request, again)
    expires, named = token["status"]["expires"], named_by(token)
    if seconds(expires) <= now:
        raise Unauthorized(f"the join token for {named!r} expired at {expires} by the host's clock; {again}")
    _check_uses(token, request, again)
    return token


def _check_purpose(token: Document, request: JoinRequest, again: str) -> None:
    spec = token["spec"]
    name, pattern, pinned = spec.get("clusterName"), spec.get("pattern"), spec.get("clusterUID")
    if name and request.name != name:
        raise Forbidden(
            f"the join token is for a cluster named {name!r}, not {request.name!r}: use --name {name}, or {again}"
        )
    if not name and not matches(pattern or "", request.name):
        raise Forbidden(
            f"the join token is for clusters named {pattern!r}, which {request.name!r} is not: use another --name, or {again}"
        )
    if request.name == clusters.HOST:
        raise Forbidden("the name 'host' belongs to the host itself: use another --name")
    if pinned and request.cluster_uid != pinned:
        raise Forbidden(
            f"the join token is for the cluster with kube-system UID {pinned}, this one has {request.cluster_uid}: use the "
            f"kubeconfig of that one, or {again}"
        )


def _check_uses(token: Document, request: JoinRequest, again: str) -> None:
    agents, named = _agents(token), named_by(token)
    mine = next((each for each in agents if each["key"] == request.nkey), None)
    if mine is not None:
        if mine["name"] != request.name:
            raise Forbidden(
                f"this agent joined as {mine['name']!r} with this token: use --name {mine['name']}, or another --state to "
                f"join {request.name!r}"
            )
        return
    uses = token["spec"].get("uses", 1)
    if len(agents) < uses:
        return
    if uses == 1:
        raise Forbidden(
            f"the join token for {named!r} was used already, by another agent (key {agents[0]['key']}): a token works once; "
            f"{again}"
        )
    raise Forbidden(f"the join token for {named!r} is exhausted: {uses} agents joined with it; {again}")


def named_by(token: Document) -> str:
    """The name or the pattern that a token is for."""
    spec = token["spec"]
    return str(spec.get("clusterName") or spec.get("pattern") or "")


def bound_at(token: Document, nkey: str) -> float | None:
    """When this key used the token first, Unix seconds; None if it did not."""
    mine = next((each for each in _agents(token) if each["key"] == nkey), None)
    return None if mine is None else seconds(mine["at"])


def bind_token(token: Document, request: JoinRequest, now: datetime) -> Document | None:
    """The token, used by this key; None if it already is. `check_token` first."""
    status, agents = token["status"], _agents(token)
    if any(each["key"] == request.nkey for each in agents):
        return None
    agents = [*agents, {"key": request.nkey, "name": request.name, "at": rfc3339(now)}]
    changed = {
        "agents": agents,
        "uses": len(agents),
        "used": len(agents) >= token["spec"].get("uses", 1),
        "usedBy": agents[0]["key"],
    }
    if not token["spec"].get("replica"):
        changed["made"] = list(dict.fromkeys(each["name"] for each in agents))
    return {**token, "status": {**status, **changed}}


def _agents(token: Document) -> list[Document]:
    """Who used it; of a token from before that was written down for each, the one that there can be."""
    status = token["status"]
    if "agents" in status or not status.get("usedBy"):
        return list(status.get("agents") or ())
    created = token["metadata"].get("creationTimestamp", rfc3339(0))
    return [{"key": status["usedBy"], "name": token["spec"].get("clusterName", ""), "at": created}]


def check_repeat(name: str, bound: float, evicted: float) -> None:
    """Check that an agent which used the token at `bound` was not removed since. Unauthorized."""
    if evicted >= bound:
        raise Unauthorized(f"cluster {name!r} was removed since this agent joined with this token: {_again(name)}")


def _again(name: str) -> str:
    return f"make a new one on the host: skerry token create {name}"
