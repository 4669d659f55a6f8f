"""Which requests are recorded, and how much of them: rules as an audit policy of Kubernetes has them, the first that fits.

Behind the rules of the policy `default` stand our own, so that a policy that says one thing does not leave out all others.
Semantics of a rule: k8s.io/apiserver/pkg/audit/policy (ruleMatches), and three fields that only Skerry has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import UNSET

from skerry.access.selection import selects
from skerry.api.auditpolicy import AuditPolicySpec, AuditResources, AuditRule
from skerry.audit.event import LEVELS, Level
from skerry.httpwire.requestinfo import RequestInfo

Labels = Callable[[str], Mapping[str, str] | None]
"""Labels of a cluster by its name; None if there is none."""


class AuditDecision(NamedTuple):
    """How a request is recorded."""

    level: Level = "Metadata"
    required: bool = False
    """Nothing is executed before it is recorded that it was asked for."""
    record: str = ""
    """`tty`: what a terminal showed is recorded too."""
    omits: tuple[str, ...] = ()
    """Stages that are left out."""


class Asked(NamedTuple):
    """A request, as rules see it."""

    user: str
    groups: tuple[str, ...]
    cluster: str
    """The member; empty for the host's own API."""
    info: RequestInfo


BODIES: tuple[Level, ...] = ("Request", "RequestResponse")
"""Levels that have more than who did what."""
BUILT_IN = (
    AuditRule(
        level="None",
        non_resource_urls=[
            "/",
            "/healthz*",
            "/livez*",
            "/readyz*",
            "/version",
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/openapi*",
        ],
    ),
    AuditRule(
        level="Request",
        resources=[AuditResources(resources=["pods/exec", "pods/attach", "pods/portforward"])],
    ),
    AuditRule(level="Metadata"),
)
"""Looks at what there is and probes are not recorded; what somebody ran in a pod is, with the command; all else without bodies."""

_PRIVATE = frozenset(
    (
        ("", "secrets"), ("", "configmaps"), ("authentication.k8s.io", "tokenreviews"),
        ("skerry.dev", "credentials"), ("skerry.dev", "jointokens"), ("skerry.dev", "inspectioncredentials"),
        ("skerry.dev", "eventsinks"),
    )
)  # fmt: skip
"""Kinds whose bodies hold secrets, or are answered with one: the URL of a webhook often is one."""
_REVIEWS = frozenset(("authentication.k8s.io", "authorization.k8s.io"))
_LEFT_ALONE = frozenset(("token", "proxy"))
_COMMANDS = frozenset(("exec", "attach", "portforward"))


def is_private(info: RequestInfo) -> bool:
    """True if bodies of such requests are never recorded: they may hold secrets, whatever a rule says. So may all that is
    below an object of ours: connections of clusters, secrets of releases and repositories."""
    if not info.is_resource or (info.group, info.resource) in _PRIVATE or info.group in _REVIEWS:
        return True
    if info.verb == "proxy" or info.subresource in _LEFT_ALONE:
        return True
    return info.group == "skerry.dev" and bool(info.subresource)


def is_command(info: RequestInfo) -> bool:
    """True if a request runs something in a pod, or reaches into it: its body is in its query."""
    return info.is_resource and not info.group and info.resource == "pods" and info.subresource in _COMMANDS


class Policy:
    """The rules, compiled. `labels` are asked for where a rule selects clusters by them."""

    def __init__(self, spec: AuditPolicySpec | None, labels: Labels) -> None:
        self._labels = labels
        rules = [*(spec.rules if spec is not None else ()), *BUILT_IN]
        self._rules = [_Compiled(rule, labels) for rule in rules]
        self.requires = any(rule.required for rule in rules)
        """Whether any request must be recorded before it is executed."""
        self.selects = any(rule.clusters is not UNSET and rule.clusters.selector is not UNSET for rule in rules)
        """Whether it asks for labels of clusters."""

    def decide(self, asked: Asked) -> AuditDecision:
        """The decision of the first rule that fits; the last fits all."""
        rule = next(each for each in self._rules if each.fits(asked))
        level = rule.decision.level
        if LEVELS.index(level) > LEVELS.index("Metadata") and is_private(asked.info):
            return rule.decision._replace(level="Metadata")
        return rule.decision


class _Compiled:
    """One rule."""

    def __init__(self, rule: AuditRule, labels: Labels) -> None:
        self.decision = AuditDecision(
            _level(rule.level), rule.required, "" if rule.record == "None" else rule.record, tuple(rule.omit_stages)
        )
        self._rule, self._labels = rule, labels
        self._users, self._groups = frozenset(rule.users), frozenset(rule.user_groups)
        self._verbs = frozenset(rule.verbs)
        self._names: frozenset[str] = frozenset()
        self._selected: Callable[[Mapping[str, str]], bool] | None = None
        self._everywhere = rule.clusters is UNSET
        if rule.clusters is not UNSET:
            self._names = frozenset(rule.clusters.names)
            self._selected = None if rule.clusters.selector is UNSET else selects(rule.clusters.selector)

    def fits(self, asked: Asked) -> bool:
        return self._by(asked) and self._about(asked.info) and (self._everywhere or self._reaches(asked.cluster))

    def _by(self, asked: Asked) -> bool:
        if self._users and asked.user not in self._users:
            return False
        if self._groups and self._groups.isdisjoint(asked.groups):
            return False
        return not self._verbs or asked.info.verb in self._verbs or "*" in self._verbs

    def _about(self, info: RequestInfo) -> bool:
        rule = self._rule
        if rule.namespaces or rule.resources:
            return info.is_resource and _of_resources(rule, info)
        if rule.non_resource_urls:
            return not info.is_resource and any(_of_path(each, info.path) for each in rule.non_resource_urls)
        return True

    def _reaches(self, cluster: str) -> bool:
        if not cluster:
            return False
        if self._selected is None:
            return cluster in self._names
        labels = self._labels(cluster)
        return labels is not None and self._selected(labels)


def _level(text: str) -> Level:
    return next((each for each in LEVELS if each == text), "Metadata")


def _of_resources(rule: AuditRule, info: RequestInfo) -> bool:
    if rule.namespaces and info.namespace not in rule.namespaces:
        return False
    return not rule.resources or any(_of_group(each, info) for each in rule.resources)


def _of_group(resources: AuditResources, info: RequestInfo) -> bool:
    if resources.group != info.group:
        return False
    if not resources.resources:
        return True
    if resources.resource_names and info.name not in resources.resource_names:
        return False
    whole = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    candidates = ("*", whole, f"{info.resource}/*") + ((f"*/{info.subresource}",) if info.subresource else ())
    return any(each in resources.resources for each in candidates)


def _of_path(pattern: str, path: str) -> bool:
    if pattern == "*" or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])
