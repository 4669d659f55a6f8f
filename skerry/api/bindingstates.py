"""Whether what roles rest on is in place on a member: what proxies ask tenancy, for explanations."""

from __future__ import annotations

from skerry.api.messages import Message


class BindingStatesRequest(Message, frozen=True, kw_only=True):
    """A proxy asks whether what roles rest on is in place on a member: `tenancy.bindings.states`."""

    cluster: str
    scopes: tuple[tuple[str, str], ...]
    """Role, and namespace; empty for the whole cluster."""


class BindingState(Message, frozen=True, kw_only=True):
    """Whether it is in place, as a grant says it of itself in `status.clusters`."""

    state: str
    message: str = ""


class BindingStatesAnswer(Message, frozen=True, kw_only=True):
    """One for each of the scopes, in their order."""

    states: tuple[BindingState, ...] = ()
