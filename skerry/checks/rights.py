"""Whether a credential may do one thing, as an access review tells: where trying would change something, or there is nothing to try yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

import msgspec

from skerry.api.meta import Document
from skerry.errors import BadGateway
from skerry.member.upstream import Upstream

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ReviewedRight(NamedTuple):
    """One thing that an account may do, as an access review asks for it."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""
    """Of what is no resource."""

    def attributes(self) -> Document:
        """The spec of a SelfSubjectAccessReview."""
        if self.path:
            return {"nonResourceAttributes": {"verb": self.verb, "path": self.path}}
        fields = self._asdict()
        return {"resourceAttributes": {name: value for name, value in fields.items() if value}}

    def __str__(self) -> str:
        if self.path:
            return f"{self.verb} {self.path}"
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {resource}{f'.{self.group}' if self.group else ''}{f' {self.name}' if self.name else ''}"


def rights(rules: Iterable[Document]) -> Iterator[ReviewedRight]:
    """What rules of RBAC allow, one by one; without `impersonate`, which has a check of its own."""
    for rule in rules:
        verbs = [verb for verb in rule["verbs"] if verb != "impersonate"]
        for verb, path in product(verbs, rule.get("nonResourceURLs", ())):
            yield ReviewedRight(verb, path=path)
        parts = (rule.get("apiGroups", ()), rule.get("resources", ()), rule.get("resourceNames") or ("",))
        for verb, group, resource, name in product(verbs, *parts):
            plural, _, subresource = resource.partition("/")
            yield ReviewedRight(verb, group, plural, subresource, name)


async def reviewed(upstream: Upstream, right: ReviewedRight) -> bool | None:
    """Whether the credential of `upstream` has it; None if the API server does not say. BadGateway."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": right.attributes()}
    answer = await upstream.call("POST", _REVIEWS, body=msgspec.json.encode(review))
    if answer.status in {403, 404}:
        return None
    status = answer.document().get("status")
    if answer.status != 201 or not isinstance(status, dict):
        raise BadGateway(f"{upstream.url} does not tell what the credential may do ({answer.message()}): try again")
    return status.get("allowed") is True
