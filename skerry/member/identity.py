"""Which cluster answers: the UID of namespace kube-system, asked on each new connection before anything goes over it (ADR 15).

What was true when a cluster joined need not be true for ever: a member is rebuilt, restored, or has its place behind a
balancer taken by another one, under the same address, authority and token. Nobody's request may reach that one under the
first one's name. A connection is to one server as long as it lasts, so a new connection is the moment to ask; those that
wait in a pool have been asked.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.errors import BadGateway, ServiceUnavailable
from skerry.member.role import AGENT, ClientRole

KUBE_SYSTEM = "/api/v1/namespaces/kube-system"


class Expected(NamedTuple):
    """The cluster that joined."""

    uid: str
    name: str
    """Of the member, for people."""


class WrongCluster(ServiceUnavailable):
    """Another cluster answers than the one that joined; `found` is its UID. Nothing was executed."""

    def __init__(self, message: str, found: str) -> None:
        super().__init__(message)
        self.found = found


class Unproved(ServiceUnavailable):
    """The API server does not say now which cluster it is: it starts, or is overloaded. Nothing was executed."""


class RightsMissing(BadGateway):
    """Our account lacks a right, or the cluster an object, that serving needs; the message says how to give it back."""


def other(expected: Expected, uid: str, url: str, role: ClientRole) -> WrongCluster:
    """The error for callers and for the condition Ready."""
    name = expected.name
    if role == AGENT:
        remedy = (
            "point the agent's kubeconfig at the cluster that joined; or if this one takes its place, on the host: skerry "
            f"cluster remove {name}, and join it with a new token"
        )
    else:
        remedy = (
            "give this host a kubeconfig of the cluster that joined: skerry cluster set "
            f"{name} --kubeconfig FILE; or if this one takes its place: skerry cluster remove {name}, and join it anew"
        )
    message = (
        f"{url} is another cluster (kube-system UID {uid[:64]}) than the one that joined as {name!r} ({expected.uid}): "
        f"nothing is sent to it; {remedy}"
    )
    return WrongCluster(message, uid)
