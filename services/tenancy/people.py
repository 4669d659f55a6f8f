"""Whom a workspace or a grant names, pure."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.admission import metadata
from skerry.admission.conform import FieldError, invalid_value
from skerry.api import names
from skerry.api.meta import Document
from skerry.api.validation import is_label

NAME_RULE = (
    "use printable characters, at most 253 bytes, without a blank at either end; names that begin with skerry: or system: "
    "are nobody's"
)
ACCOUNT_RULE = "use namespace:name for a ServiceAccount, both as Kubernetes allows them"


def subject_problems(subject: Document, path: str) -> Iterator[FieldError]:
    """The faults of `{kind, name}`."""
    name = subject["name"]
    if subject["kind"] != "ServiceAccount":
        if not (names.is_user(name) if subject["kind"] == "User" else names.is_group(name)):
            yield invalid_value(f"{path}.name", name, f"{NAME_RULE}; serviceaccount: is of kind ServiceAccount")
        return
    namespace, _, account = name.partition(":")
    if not is_label(namespace) or any(metadata.name_problems(account)):
        yield invalid_value(f"{path}.name", name, ACCOUNT_RULE)
