"""Which cluster answers: the UID of namespace kube-system, asked on each new connection before anything goes over it (ADR 15).

What was true when a cluster joined need not be true for ever: a member is rebuilt, restored, or has its place behind a
balancer taken by another one, under the same address, authority and token. Nobody's request may reach that one under the
first one's name. A connection is to one server as long as it lasts, so a new connection is the moment to ask; those that
wait in a pool have been asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skerry.api.names import CLUSTER_UID
from skerry.api.text import clean
from skerry.errors import BadGateway, ServiceUnavailable
from skerry.member.role import AGENT, HOST_CLUSTER, ClientRole

KUBE_SYSTEM = "/api/v1/namespaces/kube-system"


HOST_ANNOTATION = "skerry.dev/host"
"""On namespace kube-system: UID of the host that the cluster is a member of."""
HOST_NAME_ANNOTATION = "skerry.dev/host-name"


class Expected(NamedTuple):
    """The cluster that joined."""

    uid: str
    name: str
    """Of the member, for people."""
    host_uid: str = ""
    """Of the host that it joined: one that is marked as another host's is not ours any more. Empty: nobody looks."""


class WrongCluster(ServiceUnavailable):
    """Another cluster answers than the one that joined; `found` is its UID. Nothing was executed."""

    def __init__(self, message: str, found: str) -> None:
        super().__init__(message)
        self.found = found


class TakenOver(WrongCluster):
    """The cluster that joined is marked as another host's: that one's administrator took it over. `found` is that host's UID."""


class Unproved(ServiceUnavailable):
    """The API server does not say now which cluster it is: it starts, or is overloaded. Nothing was executed."""


class RightsMissing(BadGateway):
    """Our account lacks a right, or the cluster an object, that serving needs; the message says how to give it back."""


LASTING = (RightsMissing, WrongCluster)
"""What stays until somebody mends it, though its code is that of a server which fails or is not ready."""


def other(expected: Expected, uid: str, url: str, role: ClientRole) -> WrongCluster:
    """The error for callers and for the condition Ready."""
    name = expected.name
    if role == AGENT:
        remedy = (
            "point the agent's kubeconfig at the cluster that joined; or if this one takes its place, on the host: skerry "
            f"cluster remove {name}, and join it with a new token"
        )
    elif role == HOST_CLUSTER:
        return moved(expected, uid, url)
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


def moved(expected: Expected, uid: str, url: str) -> WrongCluster:
    """The error where the host's own cluster is another one: the host was restored elsewhere, or a kubeconfig is a wrong one."""
    return WrongCluster(
        f"{url} is another cluster (kube-system UID {uid[:64]}) than the one that this host runs in ({expected.uid}): nothing is "
        "sent to it; if the host was moved there: kubectl annotate cluster "
        f"{expected.name} --overwrite {CLUSTER_UID}={clean(uid, 64)}",
        uid,
    )


APP_STORE_ANNOTATION = "skerry.dev/app-store"
"""Of a member's namespace kube-system: its own setting of the App Store, enabled or disabled. It is shown, and has no other effect."""


def app_store_of(metadata: Mapping[str, Any]) -> str:
    """A member's own setting of the App Store, from the metadata of its namespace kube-system: Enabled, Disabled or Unset."""
    annotations = metadata.get("annotations")
    value = annotations.get(APP_STORE_ANNOTATION) if isinstance(annotations, Mapping) else None
    return {"enabled": "Enabled", "disabled": "Disabled"}.get(str(value), "Unset")


def owner_of(metadata: Mapping[str, Any]) -> tuple[str, str]:
    """UID and name, for people, of the host that a cluster is marked as a member of; metadata of kube-system. Empty: of none."""
    annotations = metadata.get("annotations")
    marks = annotations if isinstance(annotations, dict) else {}
    uid, name = (str(marks.get(key) or "") for key in (HOST_ANNOTATION, HOST_NAME_ANNOTATION))
    return uid, clean(name, 64)


def taken_over(expected: Expected, host_uid: str, host: str, url: str, role: ClientRole) -> TakenOver:
    """The error for callers and for the conditions Joined and Ready."""
    if role == HOST_CLUSTER:
        return TakenOver(
            f"{url}, the cluster that this host runs in, is a member of another host, {host!r} (UID {clean(host_uid, 64)}): nothing "
            "is sent to it; have it removed there (skerry cluster remove), or do not manage it here (manageHost: false)",
            host_uid,
        )
    message = (
        f"{url} was taken over by another host, {host!r} (UID {clean(host_uid, 64)}): nothing is sent to it or written there "
        f"any more; if that is right: skerry cluster remove {expected.name}; if not, take it back with --take-over"
    )
    return TakenOver(message, host_uid)
