"""One stored workspace, writes of it, and what is said of those that are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest

from skerry.admission.prepare import Preparation
from skerry.api.kinds import WORKSPACE
from skerry.api.messages import Caller, WriteOptions, WriteRequest
from skerry.api.meta import Document
from skerry.errors import StatusError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVE: Document = {
    "apiVersion": WORKSPACE.api_version,
    "kind": "Workspace",
    "metadata": {
        "name": "n",
        "uid": "u",
        "resourceVersion": "5",
        "generation": 1,
        "creationTimestamp": "2025-01-01T00:00:00Z",
        "labels": {"a": "b"},
    },
    "spec": {"displayName": "a", "members": [{"kind": "User", "name": "a", "role": "view"}]},
}
PREPARATION = Preparation(WORKSPACE)
NAMESPACED = Preparation(replace(WORKSPACE, namespaced=True))
"""As a kind is whose objects are in namespaces."""
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Well",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
OBSERVED = {**LIVE, "status": {"conditions": [CONDITION]}}
"""The stored object, of which something was observed."""


class Refusal(NamedTuple):
    """What a client is told: the Status's code and message, of which object (plural or kind, and name), and the causes."""

    code: int
    message: str
    about: tuple[str, str, str] = ("", "", "")
    causes: tuple[tuple[str, str, str], ...] = ()


def request(body: Any, media: str = "application/json", namespace: str = "", **options: Any) -> WriteRequest:
    """A write of the object n; bytes are sent as they are."""
    return WriteRequest(
        request_id="1",
        caller=Caller(user="a"),
        namespace=namespace,
        name="n",
        content_type=media,
        body=msgspec.Raw(body if isinstance(body, bytes) else msgspec.json.encode(body)),
        options=WriteOptions(field_manager="test", **options),
    )


def live(**spec: Any) -> Document:
    """The stored object, with more in its spec."""
    document = copy.deepcopy(LIVE)
    document["spec"] |= spec
    return document


def with_meta(document: Document, **metadata: Any) -> Document:
    """`document` with more in its metadata."""
    return {**document, "metadata": {**document["metadata"], **metadata}}


def owned(manager: str, fields: Document, operation: str = "Update") -> Document:
    """What managedFields say of the fields that one owns since NOW."""
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": WORKSPACE.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "time": "2026-01-01T00:00:00Z",
    }


def refusal(call: Callable[..., Any], *arguments: Any) -> Refusal:
    """What is said of a write that is refused."""
    with pytest.raises(StatusError) as caught:
        call(*arguments)
    return said(caught.value)


def said(error: StatusError) -> Refusal:
    """What the client is told of it."""
    details = error.details
    causes = tuple((each.field, each.message, each.reason) for each in details.causes)
    return Refusal(error.code, error.message, (details.kind, details.group, details.name), causes)


MANAGED = with_meta(OBSERVED, managedFields=[owned("x", {"f:spec": {"f:displayName": {}}})])
"""The stored object, a field of which somebody owns."""
UNREADABLE = 'Workspace in version "v1alpha1" cannot be handled as a Workspace: '
UNRECOGNIZED = "the object provided is unrecognized (must be of type Workspace)"
MOVED = Refusal(
    409,
    'Operation cannot be fulfilled on workspaces.skerry.dev "n": the object has been modified; please apply your changes '
    "to the latest version and try again",
    ("workspaces", "skerry.dev", "n"),
)
UNVERSIONED = Refusal(
    422,
    'workspaces.skerry.dev "n" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    ("workspaces", "skerry.dev", "n"),
    (("metadata.resourceVersion", "Invalid value: 0: must be specified for an update", "FieldValueInvalid"),),
)
UNDETERMINED = Refusal(400, "the name of the object (n based on URL) was undeterminable: name must be provided")
ELSEWHERE = Refusal(400, "the name of the object (m) does not match the name on the URL (n)")
LABEL_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
