"""The Setting kind: only what is in the table, and a refusal says what that is."""

from __future__ import annotations

import pytest

from services.tenancy import hostsettings
from skerry.api.meta import Document
from skerry.errors import Invalid


def setting(name: str | None = "join.approval", value: str = "true") -> Document:
    metadata = {"generateName": "x-"} if name is None else {"name": name}
    return {"kind": "Setting", "apiVersion": "skerry.dev/v1alpha1", "metadata": metadata, "spec": {"value": value}}


@pytest.mark.parametrize("value", ["true", "false"])
def test_what_is_in_the_table_is_taken(value: str) -> None:
    assert hostsettings.admit(setting(value=value)) == setting(value=value)


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        (setting("join.aproval"), "metadata.name", 'supported values: "join.approval"'),
        (setting("x" * 10_000), "metadata.name", '"' + "x" * 100 + '": supported'),
        (setting(None), "metadata.name", 'Unsupported value: ""'),
        (setting(value=""), "spec.value", "must be true or false"),
        (setting(value="True"), "spec.value", "must be true or false"),
        (setting(value="true\x07"), "spec.value", "must be true or false"),
        (setting(value="y" * 10_000), "spec.value", '"' + "y" * 100 + '": must'),
    ],
)
def test_what_is_not_is_refused_with_what_may_be(document: Document, field: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        hostsettings.admit(document)
    (problem,) = caught.value.details.causes
    assert problem.field == field
    assert said in problem.message
