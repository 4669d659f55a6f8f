"""What an AccessRequest asks for, as the AccessGrant that would give it, and who could write that one, or one that is there. Pure."""

from __future__ import annotations

import math

import msgspec

from skerry.access.compiled import Access
from skerry.access.escalation import Refusal, Writer, grant_refusal
from skerry.api.grants import AccessGrant
from skerry.api.kinds.paths import at
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import SERVICE_ACCOUNT
from skerry.api.stored import readable
from skerry.api.times import rfc3339

_requester = at("status.requestedBy")


def asked_grant(spec: Document, user: str, ends: str) -> Document:
    """The spec of the grant that gives `user` what the spec of a request asks for, until a time in RFC 3339."""
    account = user.startswith(SERVICE_ACCOUNT)
    subject = {
        "kind": "ServiceAccount" if account else "User",
        "name": user.removeprefix(SERVICE_ACCOUNT) if account else user,
    }
    narrow = {"namespaces": spec["namespaces"]} if spec.get("namespaces") else {}
    where = {"clusters": spec["clusters"], "role": spec["role"], **narrow}
    return {"subjects": [subject], **where, "expires": ends}


def giving_refusal(
    caller: Caller, request: Document, ends: float, access: Access, now: float, *, until: float = math.inf
) -> Refusal | None:
    """Why `caller`, who has their built-in groups `until` then, could not write the grant of a request until `ends`; None if they
    could. Times are Unix seconds.
    """
    try:
        spec = asked_grant(request["spec"], str(_requester(request) or ""), rfc3339(ends))
        grant = msgspec.convert({"metadata": {"name": ""}, "spec": spec}, AccessGrant)
    except (KeyError, AttributeError, TypeError, msgspec.ValidationError):
        return Refusal("a request that can be read")
    return grant_refusal(Writer(caller, until), None, grant, access, now)


def could_give(caller: Caller, document: Document, access: Access, now: float) -> bool:
    """True if `caller` could give now, for however short, what a grant gives or a request asks for."""
    if "subjects" not in (document.get("spec") or ()):
        return giving_refusal(caller, document, now, access, now) is None
    try:
        grant = readable(document, AccessGrant)
    except msgspec.ValidationError:
        return False
    return grant_refusal(Writer(caller), grant, None, access, now) is None
