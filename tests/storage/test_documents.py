"""How an object lies in the bucket."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.times import rfc3339, seconds
from skerry.errors import BadRequest, RequestEntityTooLarge
from skerry.storage import documents
from skerry.storage.documents import LIMIT_BYTES, decode_document, encode_document, item, pack, seal, unseal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda key: key != "metadata"), JSON),
    st.integers(1, 2**63),
    st.booleans(),
)
def test_what_is_stored_is_read_with_its_revision(rest: dict[str, Any], revision: int, deleted: bool) -> None:
    document = {**rest, "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"k": "v"}}}
    found = unseal(seal(document, writes=("w",), deleted=deleted), revision)
    assert (found.namespace, found.name, found.uid, found.labels) == ("n", "a", "u", {"k": "v"})
    assert (found.revision, found.writes, found.deleted) == (revision, ("w",), deleted)
    document["metadata"] = {**document["metadata"], "resourceVersion": str(revision)}
    assert found.document() == document


def test_the_revision_is_the_buckets_and_never_stored() -> None:
    assert b"resourceVersion" not in seal({"metadata": {"name": "a", "resourceVersion": "7"}}, writes=())


def test_a_document_is_the_readers_own() -> None:
    found = item({"metadata": {"name": "a"}}, 1)
    found.document()["metadata"]["name"] = "b"
    assert found.document()["metadata"]["name"] == "a"


def test_the_last_writes_are_kept_and_older_ones_go() -> None:
    assert unseal(seal({}, writes=("d", "c", "b", "a")), 1).writes == ("d", "c", "b")


def test_what_a_newer_replica_put_into_the_envelope_does_not_stop_an_older_one() -> None:
    value = msgspec.json.decode(seal({"metadata": {"name": "a"}}, writes=("w",)))
    assert unseal(msgspec.json.encode({**value, "fromTheFuture": 1}), 1).name == "a"


def test_an_object_has_a_limit_to_the_byte() -> None:
    empty = len(msgspec.json.encode({"a": "", "metadata": {}}))
    assert seal({"a": "x" * (LIMIT_BYTES - empty)}, writes=())
    with pytest.raises(RequestEntityTooLarge, match=f"has {LIMIT_BYTES + 1} bytes; the limit is {LIMIT_BYTES}"):
        seal({"a": "x" * (LIMIT_BYTES - empty + 1)}, writes=())


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"null", b'{"object":', b'{"object":[]}', b"\xff"])
def test_what_is_no_envelope_is_an_error_that_the_cache_expects(value: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        unseal(value, 1)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"a"', b"{", b"\xff"])
def test_a_body_that_is_no_object_is_400(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body is not a JSON object"):
        decode_document(body)


def test_times_are_in_utc_and_whole_seconds() -> None:
    moment = datetime(2026, 1, 1, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-01-01T00:00:00Z"
    assert seconds("2026-01-01T00:00:00Z") == moment.replace(microsecond=0).timestamp()
    assert documents.utc_now().utcoffset() == timedelta(0)


@given(st.dictionaries(st.sampled_from(("name", "uid", "labels", "annotations", "\"'{")), JSON), JSON, st.booleans())
def test_an_object_is_read_as_if_all_of_it_were_decoded(
    metadata: dict[str, Any], rest: Any, has_metadata: bool
) -> None:
    document = {"kind": "K", "spec": {"template": {"metadata": metadata}, "rest": rest}}
    if has_metadata:
        document |= {"metadata": metadata, "status": rest}
    value = seal(document, writes=("w",))
    whole = item(decode_document(encode_document(document)), 7, writes=("w",))
    assert unseal(value, 7) == whole
    assert unseal(value, 7, with_writes=False) == msgspec.structs.replace(whole, writes=())


def test_objects_with_the_same_labels_share_them_unless_they_are_long() -> None:
    def labels(of: str, value: str) -> dict[str, str]:
        return unseal(seal({"metadata": {"name": of, "labels": {"k": value}}}, writes=()), 1).labels

    assert labels("a", "v") is labels("b", "v")
    assert labels("a", "v") != labels("a", "w")
    long = "v" * documents.SHARED_BYTES
    assert labels("a", long) == labels("b", long) == {"k": long}
    assert labels("a", long) is not labels("b", long)


@pytest.mark.parametrize("key", ["ownerReferences", "deletionTimestamp"])
def test_an_object_with_owners_or_on_its_way_out_is_tied(key: str) -> None:
    free: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"metadata": {key: "x"}}}
    tied: dict[str, Any] = {"metadata": {"name": "a", key: "x"}}
    for document, expected in ((free, False), (tied, True)):
        assert unseal(seal(document, writes=()), 1).tied is expected
        assert item(decode_document(encode_document(document)), 1).tied is expected


@given(st.dictionaries(st.text(max_size=5), JSON), st.dictionaries(st.text(max_size=5), JSON))
def test_what_is_packed_by_another_object_is_read_as_it_was(one: dict[str, Any], other: dict[str, Any]) -> None:
    whole, like = item({**one, "metadata": {"name": "a"}}, 1), item({**other, "metadata": {"name": "b"}}, 2)
    packed = pack(whole, like)
    assert (packed.body, packed.document(), packed.name, packed.revision) == (whole.body, whole.document(), "a", 1)
    assert pack(packed, packed).body == whole.body


def test_an_object_that_is_like_the_other_is_a_small_part_of_itself() -> None:
    like, whole = (item({"metadata": {"name": name}, "spec": {"text": "words " * 40}}, 1) for name in "ab")
    assert len(pack(whole, like).content) < len(whole.body) / 4
