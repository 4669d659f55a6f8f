"""What another version observed and stored: it takes nothing away but itself, whatever its shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.grants import AccessGrant
from skerry.api.kinds import KINDS, Kind
from skerry.api.stored import readable, stored
from skerry.api.structural import structural

FOREIGN: tuple[Any, ...] = ("text", 7, {"a": {"b": []}}, ["text"], [{}], [[]], [{"type": 1}], None)
OBSERVED = [kind for kind in KINDS if "status" in structural(kind.type)["properties"]]
SPEC = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "view"}


def document(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "g"}, "spec": SPEC, "status": status}


def test_what_can_be_read_of_a_status_stays() -> None:
    places = [{"name": "m1", "uid": "u1"}, {"name": 7}, "m2", {"name": "m3", "uid": "u3"}]
    grant = readable(document(conditions={"Ready": True}, clusters=places), AccessGrant)
    assert [(each.name, each.uid) for each in grant.status.clusters] == [("m1", "u1"), ("m3", "u3")]
    assert (grant.status.conditions, grant.spec.role) == ([], "view")


@pytest.mark.parametrize("status", FOREIGN)
def test_a_status_that_is_none_is_absent(status: Any) -> None:
    body = msgspec.json.encode({**document(), "status": status})
    assert stored(AccessGrant)(body).status == AccessGrant.__struct_defaults__[-1]


def test_what_is_wanted_has_to_be_readable() -> None:
    for broken in ({**document(), "spec": {"subjects": 7}}, {**document(clusters=7), "spec": {}}):
        with pytest.raises(msgspec.DecodeError):
            stored(AccessGrant)(msgspec.json.encode(broken))
    with pytest.raises(msgspec.DecodeError):
        stored(AccessGrant)(b"{")


def foreign(kind: Kind) -> list[dict[str, Any]]:
    """Statuses of which one field is of no known shape."""
    fields = structural(kind.type)["properties"]["status"]["properties"]
    return [{name: value} for name in fields for value in FOREIGN]


@pytest.mark.parametrize("kind", OBSERVED, ids=lambda kind: kind.kind)
def test_each_kind_is_shown_and_told_whatever_its_status(kind: Kind) -> None:
    for status in foreign(kind):
        odd = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": "n", "uid": "u"},
            "spec": {},
            "status": status,
        }
        for column in kind.columns:
            if not column.live:
                column.read(odd)
