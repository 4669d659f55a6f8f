"""Releases are read from their Secrets, of Helm 3 and 4, whoever wrote them."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.helm.releases import (
    LARGEST,
    LONGEST_NOTES,
    Entry,
    ReleaseError,
    entries,
    entry,
    revision,
    state,
)
from tests.appstore.helm.secrets import release, secret


def at(number: int, status: str) -> Entry:
    return entry(secret(b"", revision=number, status=status))


def test_a_revision_is_read_whole() -> None:
    whole = revision(secret(release(apply_method="ssa")))
    assert whole.entry == Entry(
        "sh.helm.release.v1.web.v1", "web", "shop", 1, "deployed", {"skerry.dev/release": "uid"}, 1764285540.0
    )
    assert (whole.chart, whole.chart_version, whole.app_version) == ("nginx", "1.2.3", "1.27")
    assert (whole.description, whole.notes) == ("Install complete", "Visit http://web")
    assert (whole.first_deployed, whole.last_deployed) == ("2026-11-27T23:18:58Z", "2026-11-27T23:18:58Z")
    assert whole.values == {"replicas": 2, "gone": None}
    assert "ConfigMap" in whole.manifest
    assert [(hook.kind, hook.name, hook.events, hook.delete_policies) for hook in whole.hooks] == [
        ("Job", "h", ("pre-install",), ())
    ]
    assert whole.server_side


@pytest.mark.parametrize("method", [None, "", "csa", "other"])
def test_helm_3_does_not_say_how_it_applied(method: str | None) -> None:
    whole = revision(secret(release(apply_method=method)))
    assert whole.apply_method in ("", "csa")
    assert not whole.server_side


def test_what_helm_leaves_out_is_empty() -> None:
    whole = revision(secret({"name": "web", "version": 1, "hooks": [None]}))
    assert whole[1:] == ("", "", "", "", "", "", "", "", "", (), {})
    times = {"first_deployed": "yesterday", "last_deployed": "9999-12-31T23:59:59-23:00"}
    assert revision(secret(release(info=times))).first_deployed == ""


def test_what_was_stored_before_compression_is_read_too() -> None:
    assert revision(secret(json.dumps(release()).encode())).chart == "nginx"


def test_texts_of_others_print_and_are_cut() -> None:
    info = {"description": "\x1b[31m" + "x" * 5000, "notes": "a\x00b\tc\nd" + "x" * 2 * LONGEST_NOTES}
    whole = revision(secret(release(info=info, chart={"metadata": {"name": "n\x07" * 500}})))
    assert len(whole.description) == 2000
    assert whole.description.startswith("xx")
    assert whole.notes.startswith("a b\tc\nd")
    assert len(whole.notes) == LONGEST_NOTES
    assert len(whole.chart) == 253
    assert whole.chart.isprintable()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "Opaque"}, "type"),
        ({"data": None}, "no data.release"),
        ({"data": {"release": 7}}, "no data.release"),
        ({"data": {"release": "~~~"}}, "no base64|Expecting|data.release"),
        ({"data": {"release": "QQ="}}, "no base64"),
        ({"data": {"release": "ZXlKdVlXMWxJam83ZlE9PQ=="}}, r"data\.release: "),
        ({"metadata": None}, "no labels"),
        ({"metadata": {"labels": {"version": "x"}}}, "a number is expected"),
        ({"metadata": {"labels": {"version": "²"}}}, "a number is expected"),
        ({"metadata": {"name": "other", "labels": {"version": "1", "name": "web"}}}, "not the name of revision 1"),
    ],
)
def test_what_is_no_revision_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ReleaseError, match=says):
        revision(secret(release()) | change)


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ReleaseError, match="Helm does not know"):
        at(1, "excellent")


def test_labels_and_content_are_about_one_revision() -> None:
    with pytest.raises(ReleaseError, match="different revisions"):
        revision(secret(release(revision=2)))


def test_a_bomb_ends_at_the_limit() -> None:
    bomb = gzip.compress(bytes(LARGEST + 1))
    assert len(bomb) < 100_000
    with pytest.raises(ReleaseError, match="unpacks to more than 48 MiB"):
        revision(secret(bomb))


def test_what_is_cut_or_broken_is_refused() -> None:
    packed = gzip.compress(json.dumps(release()).encode())
    with pytest.raises(ReleaseError, match="is cut"):
        revision(secret(packed[:-20]))
    with pytest.raises(ReleaseError, match=r"data.release: Error -3"):
        revision(secret(packed[:20] + b"\xff" * 20 + packed[40:]))
    with pytest.raises(ReleaseError, match="nested too deep"):
        revision(secret(b'{"name":"web","version":1,"config":' + b'{"a":' * 100_000))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.sampled_from(["metadata", "labels", "name", "version", "status", "data", "release", "type"]), inner)))  # fmt: skip
def test_whatever_is_written_there_it_is_a_release_or_refused(value: Any) -> None:
    for document in (value if isinstance(value, dict) else {}, secret(release()) | {"metadata": value}):
        with suppress(ReleaseError):
            assert revision(document).entry.release == "web"


def test_the_revisions_of_one_release_come_in_order() -> None:
    secrets = [secret(b"", revision=10), secret(b"", revision=9), secret(b"", name="other"), {"metadata": {}}]
    assert [each.revision for each in entries(secrets, "web")] == [9, 10]


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([], ("None", None, None)),
        ([(1, "deployed")], ("Deployed", 1, 1)),
        ([(2, "deployed"), (1, "superseded")], ("Deployed", 2, 2)),
        ([(1, "pending-install")], ("Pending", 1, None)),
        ([(1, "deployed"), (2, "pending-upgrade")], ("Pending", 2, 1)),
        ([(3, "failed"), (2, "superseded"), (1, "failed")], ("Failed", 3, 2)),
        ([(1, "uninstalling")], ("Uninstalling", 1, None)),
        ([(1, "uninstalled")], ("Uninstalled", 1, None)),
        ([(1, "unknown")], ("Failed", 1, None)),
    ],
)
def test_what_state_a_release_is_in(revisions: list[tuple[int, str]], expected: tuple[Any, ...]) -> None:
    answer = state(at(*each) for each in revisions)
    numbers = tuple(each and each.revision for each in answer[1:])
    assert (answer.state, *numbers) == expected
