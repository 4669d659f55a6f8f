"""Who sends requests to a member's API server: how errors name it, and what it does when its credential is refused."""

from __future__ import annotations

from typing import NamedTuple


class ClientRole(NamedTuple):
    """An agent on the member, the host itself, also towards the cluster that it runs in, or an administrator's command."""

    name: str
    remedy: str
    """What to do when the API server refuses its credential."""
    user_agent: bytes
    margin_s: float
    """Waited for a response head beyond the request's deadline: an agent lets the proxy give up first."""


AGENT = ClientRole("the agent", "the member's administrator must renew it where the agent runs", b"skerry-agent", 5.0)
HOST = ClientRole(
    "this host", "give this host a new one: skerry cluster set NAME --kubeconfig FILE", b"skerry-host", 0.0
)
HOST_CLUSTER = ClientRole(
    "this host",
    "it is the ServiceAccount of the host's pod, whose token kubelet renews, or what SKERRY_HOST_KUBECONFIG names",
    b"skerry-host",
    0.0,
)
ADMIN = ClientRole("this command", "use a kubeconfig that works with kubectl", b"skerry", 0.0)
