"""Who may ask how a direct member is reached, and who may say that one answered."""

from __future__ import annotations

import pytest

from skerry import subjects
from skerry.identity import nkey, permissions, services
from skerry.identity.creds import inbox
from skerry.identity.nkey import KeyType

KEY = nkey.create(KeyType.USER).public


@pytest.mark.parametrize(("service", "may"), [("proxy", True), ("registry", False), ("tenancy", False)])
def test_only_proxies_may_ask_for_a_connection(service: str, may: bool) -> None:
    assert (subjects.CONNECTIONS in permissions.service(service, KEY).pub.allow) is may


@pytest.mark.parametrize(("service", "may"), [("proxy", False), ("registry", True), ("tenancy", False)])
def test_only_the_registry_answers_it_and_tells_that_a_member_answered(service: str, may: bool) -> None:
    granted = permissions.service(service, KEY)
    assert (subjects.CONNECTIONS in granted.sub.allow) is may
    assert (subjects.PROBES in granted.pub.allow) is may


def test_a_member_may_do_neither() -> None:
    granted = permissions.member("m1", KEY)
    assert not {subjects.CONNECTIONS, subjects.PROBES} & {*granted.pub.allow, *granted.sub.allow}


def test_a_backup_reads_what_is_archived_and_writes_nothing() -> None:
    granted = permissions.archivist(KEY, restoring=False)
    assert not [
        subject for subject in granted.pub.allow if subject.startswith(("$KV.", "$O.", "$JS.API.STREAM.CREATE"))
    ]
    assert not [subject for subject in granted.pub.allow if subject.startswith("$JS.API.STREAM.DELETE")]
    assert granted.sub.allow == (f"{inbox(KEY)}.>",)


def test_a_restore_makes_the_archived_buckets_anew_and_no_others() -> None:
    more = {*permissions.archivist(KEY, restoring=True).pub.allow} - {
        *permissions.archivist(KEY, restoring=False).pub.allow
    }
    stores = {
        subject
        for store in services.ARCHIVED_OBJECTS
        for subject in (
            f"$O.{store.name}.>",
            *(f"$JS.API.STREAM.{verb}.OBJ_{store.name}" for verb in ("CREATE", "DELETE", "PURGE")),
        )
    }
    assert more == stores | {
        subject
        for bucket in (*services.CONTENTS, *services.REVISIONS)
        for subject in (
            f"$KV.{bucket}.>",
            f"$JS.API.STREAM.CREATE.KV_{bucket}",
            f"$JS.API.STREAM.DELETE.KV_{bucket}",
        )
    }
