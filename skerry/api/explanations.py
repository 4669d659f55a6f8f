"""AccessExplanation: a question to the host why somebody may do something on a cluster, or why not. Answered, never stored."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from skerry.api.corev1 import NonResourceAttributes, ResourceAttributes
from skerry.api.meta import ObjectMeta, Struct
from skerry.api.v1alpha1 import API_VERSION, Ceiling, described


class ExplanationSpec(Struct, frozen=True, kw_only=True):
    """The request that is asked about: exactly one of resourceAttributes and nonResourceAttributes."""

    cluster: Annotated[str, described("The cluster that the request would be for.")]
    user: Annotated[
        str, described("Who would make it. Absent: the caller. Of others may ask who may write their grant.")
    ] = ""
    groups: Annotated[
        list[str], described("The groups of that user, for example skerry:view or those of a provider.")
    ] = []
    resource_attributes: Annotated[ResourceAttributes | UnsetType, described("A request for a resource.")] = UNSET
    non_resource_attributes: Annotated[NonResourceAttributes | UnsetType, described("A request for a path.")] = UNSET


class ExplainedIdentity(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Who would make the request, and how it is known who that is."""

    user: Annotated[str, described("The user.")]
    groups: Annotated[list[str], described("Their groups.")] = []
    source: Annotated[
        str,
        described("Credential, Certificate, IdentityProvider or TokenReview; Asked if the question says who it is."),
    ] = ""
    provider: Annotated[str, described("The IdentityProvider.")] = ""
    expires: Annotated[str, described("When the credential ends.")] = ""


class ExplainedBasis(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An object of the host, or a built-in group, that gives something for this request."""

    kind: Annotated[str, described("AccessGrant, Workspace, or Group.")]
    name: Annotated[str, described("Its name.")]
    gives: Annotated[str, described("What it gives, for example: edit in namespace shop.")]


class ExplainedMember(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What the cluster itself says."""

    asked: Annotated[
        bool, described("Whether its API server was asked, by a SelfSubjectAccessReview as this identity.")
    ]
    allowed: Annotated[bool, described("Its answer.")] = False
    reason: Annotated[str, described("Why, or why it was not asked.")] = ""
    binding: Annotated[str, described("The binding there that the access rests on: NAME, or NAMESPACE/NAME.")] = ""
    state: Annotated[
        str, described("Whether that binding is in place: Enforced, Applying, Waiting, Problem, Away, Unknown.")
    ] = ""


class ExplanationStatus(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer."""

    allowed: Annotated[bool, described("Whether the request would be let through and done now.")]
    identity: Annotated[ExplainedIdentity, described("Who would make it.")]
    basis: Annotated[list[ExplainedBasis], described("What gives access for it.")] = []
    member: Annotated[ExplainedMember, described("What the cluster says.")] = ExplainedMember(asked=False)
    ceiling: Annotated[Ceiling, described("What the cluster's own administrator allows at most.")] = Ceiling()
    missing: Annotated[str, described("What would be needed.")] = ""
    can_grant: Annotated[list[str], described("Who could give it: at most ten users and groups.")] = []
    next: Annotated[str, described("The command to go on with.")] = ""


class AccessExplanation(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Asks why somebody may, or may not, do something on a cluster."""

    api_version: str = API_VERSION
    kind: str = "AccessExplanation"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[ExplanationSpec, described("The question.")]
    status: Annotated[ExplanationStatus | UnsetType, described("The answer.")] = UNSET
