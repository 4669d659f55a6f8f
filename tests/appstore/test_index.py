"""The index of a repository: the newest versions of its charts, and what was left out of it, by name."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.foreignyaml import ForeignYamlError
from services.appstore.index import MOST_SKIPPED, ListedChart, Skipped, read

DIGEST = "ab" * 32


def entry(name: Any = "web", version: Any = "1.0.0", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": name,
        "version": version,
        "urls": [f"{name}-{version}.tgz"],
        "digest": DIGEST,
        **more,
    }


def index(entries: dict[str, list[Any]]) -> bytes:
    """As `helm repo index` writes it."""
    document = {"apiVersion": "v1", "entries": entries, "generated": "2026-11-27T10:00:00Z"}
    return yaml.safe_dump(document, sort_keys=False).encode()


def only(text: bytes, newest: int = 5, **more: Any) -> ListedChart:
    (chart,) = read(text, newest, **more)
    return chart


def test_the_newest_versions_are_kept_and_all_are_counted() -> None:
    versions = ["1.2.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "1.10.1"]
    listed = only(index({"web": [entry(version=each) for each in versions]}), 3)
    assert [each.chart.version for each in listed.versions] == ["2.0.0-rc.1", "1.10.1", "1.10.0"]
    assert (listed.name, listed.known, listed.skipped, len(listed.block)) == ("web", 5, (), 64)


def test_what_a_version_has() -> None:
    (version,) = only(index({"web": [entry(created="2026-01-02T03:04:05Z", digest=f"sha256:{DIGEST}")]})).versions
    assert (version.urls, version.digest, version.created) == (
        ("web-1.0.0.tgz",),
        f"sha256:{DIGEST}",
        "2026-01-02T03:04:05Z",
    )
    (version,) = only(index({"web": [entry(created=5, digest=None)]})).versions
    assert (version.digest, version.created) == ("", "")


@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        (entry(version=1.0), "BadVersion", "put it in quotes"),
        (entry(version="newest"), "BadVersion", "is no version"),
        (entry(name="other"), "BadName", "has another name"),
        (entry(name=True), "BadName", "has another name"),
        ("text", "BadName", "has another name"),
        (entry(version="2.0.0"), "DuplicateVersion", "the first one counts"),
        (entry(urls=[]), "BadMetadata", "its package is nowhere"),
        (entry(urls="x"), "BadMetadata", "a list of texts"),
        (entry(urls=["x\n"]), "BadMetadata", "a list of texts"),
        (entry(digest="md5"), "BadMetadata", "64 hexadecimal digits"),
        (entry(digest=7), "BadMetadata", "64 hexadecimal digits"),
        (entry(description=["x"]), "BadMetadata", "description: Expected `str"),
    ],
)
def test_an_entry_that_is_wrong_is_left_out_and_named(bad: Any, reason: str, message: str) -> None:
    listed = only(index({"web": [entry(version="2.0.0"), bad, entry(version="3.0.0")]}))
    assert [each.chart.version for each in listed.versions] == ["3.0.0", "2.0.0"]
    ((chart, _, told, why),) = listed.skipped
    assert (chart, told, message in why) == ("web", reason, True), why


def test_a_name_that_no_chart_may_have_has_no_versions() -> None:
    listed = only(index({"../web": [entry(name="../web") for _ in range(30)]}))
    assert (listed.versions, len(listed.skipped), listed.skipped[0].reason) == ((), MOST_SKIPPED, "BadName")


def test_charts_that_are_not_wanted_are_gone_over() -> None:
    text = index({"web": [entry()], "redis": [entry("redis")]})
    for each in (text, as_json(text)):
        assert [chart.name for chart in read(each, 5, lambda name: name == "redis")] == ["redis"]


def test_a_block_that_was_seen_is_not_read_again() -> None:
    before = {chart.name: chart.block for chart in read(index({"web": [entry()], "redis": [entry("redis")]}), 5)}
    after = index({"web": [entry()], "redis": [entry("redis"), entry("redis", "2.0.0")]})
    web, redis = read(after, 5, seen=before.values())
    assert web == ListedChart("web", before["web"], unchanged=True)
    assert (redis.unchanged, redis.known) == (False, 2)


def test_one_block_that_is_no_yaml_does_not_spoil_the_others() -> None:
    text = index({"web": [entry()], "redis": [entry("redis")]}).replace(b"name: web", b"name: [web")
    web, redis = read(text, 5)
    assert (web.name, web.versions, web.skipped[0].reason) == ("web", (), "BadYaml")
    assert len(redis.versions) == 1


def as_json(text: bytes) -> bytes:
    return msgspec.json.encode(yaml.safe_load(text))


OTHERS = {
    "json": as_json(index({"web": [entry()]})),
    "a comment between": index({"web": [entry()]}).replace(b"  web:\n", b"  web: # the best\n"),
    "a text over lines": b'entries:\n  web:\n  - name: web\n    version: 1.0.0\n    urls: [x]\n    description: "one\n  two: "\n',
    "indented entries": b"apiVersion: v1\nentries:\n    web:\n    - {name: web, version: 1.0.0, urls: [x]}\n",
    "items indented more": b"entries:\n  web:\n    - name: web\n      version: 1.0.0\n      urls:\n        - x\nserverInfo: {}\n",
    "CRLF": index({"web": [entry()]}).replace(b"\n", b"\r\n"),
    "a name in quotes": b'entries:\n  "web":\n  - {name: web, version: 1.0.0, urls: [x]}\n',
    "a comment at the top": b"entries:\n  # all of them\n  web:\n  - {name: web, version: 1.0.0, urls: [x]}\n",
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_index_that_is_written_otherwise_is_read_too(what: str) -> None:
    listed = only(OTHERS[what])
    assert (listed.name, [each.chart.version for each in listed.versions]) == ("web", ["1.0.0"]), listed


def test_an_index_without_charts_has_none() -> None:
    assert list(read(b"apiVersion: v1\nentries: {}\n", 5)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is empty"),
        (b"<html><body>Sign in</body></html>", "a mapping is expected"),
        (b"apiVersion: v1\n", "there is no key entries"),
        (b"entries: 5\n", "a mapping is expected"),
        (b"entries: {web: 5}\n", "a sequence is expected"),
        (b"a: &a [x]\nentries: *a\n", "aliases are not taken"),
        (b"entries:\n\tweb: []\n", "found character"),
        (b"entries: {}\n---\n", "more than one document"),
    ],
)
def test_what_is_no_index_says_why(text: bytes, message: str) -> None:
    with pytest.raises(ForeignYamlError, match=message):
        list(read(text, 5))


def test_an_entry_of_too_many_values_ends_its_chart() -> None:
    (web,) = read(index({"web": [entry(keywords=["x"] * 30_000)]}), 5)
    assert web.skipped[0].reason == "BadYaml"


def test_versions_beyond_those_kept_do_not_stay_in_memory() -> None:
    numbers = list(range(400))
    random.Random(3).shuffle(numbers)
    listed = only(index({"web": [entry(version=f"1.{number}.0") for number in numbers]}), 2)
    assert [each.chart.version for each in listed.versions] == ["1.399.0", "1.398.0"]
    assert listed.known == 400


names = st.sampled_from(["web", "redis", "a.b", "../x", "Y"])
entries = st.dictionaries(
    names, st.lists(st.builds(entry, names, st.sampled_from(["1.0.0", "2.0.0-a", "x", 1.0])), max_size=4), max_size=3
)


@given(entries)
def test_in_blocks_and_as_a_whole_an_index_says_the_same(charts: dict[str, list[Any]]) -> None:
    text = index(charts)
    assert [each._replace(block="") for each in read(text, 5)] == list(read(as_json(text), 5))


@given(st.text(alphabet="entris:web-\n {}[]\"'&*#\t1.0", max_size=80))
def test_any_text_is_an_index_or_none(text: str) -> None:
    for each in (text, "entries:\n  web:\n" + text):
        with suppress(ForeignYamlError):
            assert all(isinstance(chart, ListedChart) for chart in read(each.encode(), 5))


def test_skipped_is_about_one_entry() -> None:
    assert only(index({"web": [entry(version="x")]})).skipped[0] == Skipped(
        "web", "x", "BadVersion", "version: 'x' is no version: write it as 1.2.3 or 1.2.3-beta.1 (semver.org)"
    )
