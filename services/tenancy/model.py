"""Rules of the Credential kind, pure.

A credential is a bearer token of 256 random bits; its object is named by the token's digest and holds no secret, so
looking the digest up is the whole check, anywhere, without asking anybody.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

import msgspec

from skerry.admission.writes import invalid
from skerry.api import duration
from skerry.api.delegations import LABEL
from skerry.api.kinds import CREDENTIAL
from skerry.api.kinds.access import BUILT_IN, CLUSTER_ADMIN, HOST_GROUPS
from skerry.api.meta import Document
from skerry.api.names import TOKEN_PREFIX, is_group, is_user
from skerry.api.times import rfc3339, seconds
from skerry.api.v1alpha1 import Credential
from skerry.errors import Invalid

SECRET_CHARACTERS = 43
"""256 bits in base64url."""
LONGEST = "30d"
LONGEST_S = duration.parse(LONGEST)
DEFAULT_TTL = "8h"
ADMIN = "admin"
MAX_GROUPS = 64

_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{{SECRET_CHARACTERS}}}\Z")
_NAME_RULE = (
    "printable characters, at most 253 bytes, without a blank at either end, and without the beginnings skerry:, system: and, "
    "for a user, serviceaccount:"
)


def is_token(text: str) -> bool:
    """True if `text` has the form of a bearer token."""
    return _TOKEN.match(text) is not None


def name_of(token: str) -> str:
    """The name of the token's Credential: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def admit(document: Document, token: str, now: datetime) -> Document:
    """The Credential to store for `token`: validated, defaulted, with its expiry.

    Invalid names the field, the value and what is allowed.
    """
    view = msgspec.convert(document, Credential)
    metadata, spec = document["metadata"], view.spec
    if spec.delegation is not msgspec.UNSET or LABEL in (metadata.get("labels") or {}):
        field = "metadata.labels" if spec.delegation is msgspec.UNSET else "spec.delegation"
        raise _invalid(field, f"services of the host alone have delegations; leave out it and the label {LABEL}", "")
    name = name_of(token)
    if metadata.get("name", name) != name or metadata.get("generateName"):
        raise _invalid("metadata.name", "must be left out: it is the digest of the secret", metadata.get("name", ""))
    if not is_user(spec.user):
        raise _invalid("spec.user", f"use {_NAME_RULE}", spec.user)
    groups = _groups(spec.groups)
    ttl_s = _ttl(spec.ttl)
    carried = {key: value for key, value in metadata.items() if key in ("labels", "annotations")}
    return {
        **document,
        "metadata": {**carried, "name": name},
        "spec": {**document["spec"], "groups": groups, "ttl": spec.ttl},
        "status": {"expires": rfc3339(now + timedelta(seconds=ttl_s))},
    }


def _groups(groups: list[str]) -> list[str]:
    if len(groups) > MAX_GROUPS:
        raise _invalid("spec.groups", f"at most {MAX_GROUPS} groups", len(groups))
    known = (*BUILT_IN, *HOST_GROUPS)
    for index, group in enumerate(groups):
        if group not in known and not is_group(group):
            raise _invalid(f"spec.groups[{index}]", f"use one of {', '.join(known)}, or {_NAME_RULE}", group)
    return list(dict.fromkeys(groups))


def _ttl(text: str) -> int:
    try:
        return duration.bounded(text, LONGEST)
    except ValueError as error:
        raise _invalid("spec.ttl", str(error), text) from error


def reveal(stored: Document, token: str) -> Document:
    """A Credential with its token, as its creator sees it, once."""
    return {**stored, "status": {**stored.get("status", {}), "token": token}}


def administrator(token: str, created: datetime) -> Document:
    """The Credential of the host's own administrator, whose token was made at `created` on the host's machine."""
    spec = {"user": ADMIN, "groups": [CLUSTER_ADMIN], "ttl": LONGEST}
    return admit({"metadata": {}, "spec": spec}, token, created)


def expires(document: Document) -> float:
    """Seconds since the epoch at which a stored Credential ends; 0 (long ago) if it cannot be read."""
    try:
        return seconds(document["status"]["expires"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def _invalid(field: str, message: str, value: object) -> Invalid:
    return invalid(CREDENTIAL, "", field, message, value)
