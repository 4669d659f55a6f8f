"""What is to be written, from what is listed and what is stored."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.appstore.index import Listed, Skipped
from services.appstore.repositories.planning import (
    MANIFEST,
    ChartMemory,
    Forgotten,
    Plan,
    Source,
    Stored,
    app_of,
    missing,
    package_urls,
    plan,
)
from services.appstore.repositories.reading import ChartReading, VersionReading
from skerry.api.charts import Chart
from skerry.api.conditions import condition_of
from skerry.api.meta import Document
from skerry.storage import Item
from skerry.storage.documents import item

NOW = 1_800_000_000.0
SOURCE = Source("skerry-apps", "stable", "u1", "https://charts.example/stable", active=True)
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def version(text: str, digest: str = DIGEST, urls: tuple[str, ...] = ("x.tgz",), manifest: str = "") -> VersionReading:
    return VersionReading(text, Listed(Chart(name="nginx", version=text), urls, digest, ""), manifest)


def reading(*versions: VersionReading, name: str = "nginx", block: str = "") -> ChartReading:
    return ChartReading(name, block, len(versions), versions)


def stored(*documents: Document, charts: Mapping[str, ChartMemory] = {}, budget: int = 100) -> Stored:
    items = [item({**each, "metadata": {**each["metadata"]}}, 1) for each in documents]
    names: dict[str, Item] = {each.name: each for each in items}
    return Stored(names, charts, budget, set(names))


def planned(*readings: ChartReading, before: Stored | None = None, source: Source = SOURCE) -> Plan:
    return plan(source, readings, before or stored(), NOW)


def after(document: Document, *readings: ChartReading, source: Source = SOURCE) -> Document | None:
    """The document as it is to be; None if it is not to be changed."""
    made = planned(*readings, before=stored(document), source=source)
    assert not made.creations
    changed = [change(document) for name, change in made.changes if name == document["metadata"]["name"]]
    return changed[0] if changed else None


def made(*versions: VersionReading, source: Source = SOURCE) -> Document:
    document = planned(reading(*versions), source=source).creations[0]
    return {**document, "apiVersion": "skerry.dev/v1alpha1", "kind": "AppVersion"}


def test_what_is_there_as_it_is_listed_is_not_written() -> None:
    assert after(made(version("1.0.0")), reading(version("1.0.0"))) is None


def test_what_is_not_listed_any_more_is_to_go() -> None:
    gone = planned(reading(), before=stored(made(version("1.0.0")))).gone
    assert [each.name for each in gone] == ["stable.nginx-1.0.0"]


def test_an_unchanged_chart_is_taken_from_memory_and_costs_nothing() -> None:
    memory = {"nginx": ChartMemory("b", 7, frozenset({"stable.nginx-1.0.0"}), (Skipped("nginx", "0", "Bad", ""),))}
    before = stored(made(version("1.0.0")), charts=memory)
    result = planned(ChartReading("nginx", unchanged=True), before=before)
    assert (result.creations, result.changes, result.gone) == ([], [], [])
    assert result.charts == memory


def test_what_is_not_as_it_was_remembered_is_read_anew() -> None:
    memory = {"nginx": ChartMemory("b", 7, frozenset({"stable.nginx-1.0.0"}), ())}
    for before in (stored(charts=memory), stored(made(version("1.0.0")))):
        with pytest.raises(Forgotten):
            planned(ChartReading("nginx", unchanged=True), before=before)
    with pytest.raises(Forgotten):
        planned(reading(VersionReading("1.0.0", None)))
    full = stored(made(version("1.0.0")), charts=memory, budget=1)
    with pytest.raises(Forgotten):
        planned(ChartReading("nginx", unchanged=True), reading(version("1.0.0"), name="redis"), before=full)


def test_of_too_many_versions_each_chart_has_its_newest() -> None:
    charts = [reading(version("2.0.0"), version("1.0.0"), name=name) for name in ("a", "b", "c")]
    result = planned(*charts, before=stored(budget=4))
    assert [each["metadata"]["name"] for each in result.creations] == [
        "stable.a-2.0.0",
        "stable.a-1.0.0",
        "stable.b-2.0.0",
        "stable.c-2.0.0",
    ]
    assert result.dropped == 2
    assert planned(*charts, before=stored(budget=-5)).dropped == 6


def test_two_versions_that_could_have_one_name_have_two() -> None:
    result = planned(reading(version("1-2.0.0")), reading(version("2.0.0"), name="nginx-1"))
    first, second = (each["metadata"]["name"] for each in result.creations)
    assert first == "stable.nginx-1-2.0.0"
    assert second.startswith("stable.nginx-1-2.0.0-")
    taken = stored()._replace(taken={first, second})
    result = planned(reading(version("1-2.0.0")), reading(version("2.0.0"), name="nginx-1"), before=taken)
    assert [each.reason for each in result.charts["nginx-1"].skipped] == ["NameTaken"]


def test_a_digest_that_changed_changes_nothing_else_and_is_said_once() -> None:
    document = made(version("1.0.0"))
    changed = after(document, reading(version("1.0.0", OTHER, ("elsewhere.tgz",))))
    assert changed is not None
    assert condition_of(changed, "Upstream").reason == "DigestChanged"
    assert {key: each for key, each in changed["status"].items() if key != "conditions"} == document["status"]
    assert after(changed, reading(version("1.0.0", OTHER, ("elsewhere.tgz",)))) is None
    well = after(changed, reading(version("1.0.0")))
    assert well is not None
    assert condition_of(well, "Upstream").reason == "Listed"


def test_a_digest_that_is_told_later_pins_and_one_that_is_told_no_more_stays() -> None:
    document = made(version("1.0.0", ""))
    assert document["status"]["pinned"] is False
    computed = {**document, "status": {**document["status"], "digest": DIGEST}}
    assert after(computed, reading(version("1.0.0", ""))) is None
    pinned = after(computed, reading(version("1.0.0")))
    assert pinned is not None
    assert pinned["status"]["pinned"] is True
    assert after(pinned, reading(version("1.0.0", ""))) is None


def test_a_draft_that_nobody_reviewed_becomes_active_where_no_review_is_wanted() -> None:
    waiting = made(version("1.0.0"), source=SOURCE._replace(active=False))
    assert waiting["status"]["phase"] == "Draft"
    active = after(waiting, reading(version("1.0.0")))
    assert active is not None
    assert active["status"]["phase"] == "Active"
    reviewed = {**waiting, "status": {**waiting["status"], "reviews": [{"action": "Cancel"}]}}
    assert after(reviewed, reading(version("1.0.0"))) is None


def test_what_an_earlier_repository_of_the_name_had_is_its_own_by_then() -> None:
    adopted = after(made(version("1.0.0"), source=SOURCE._replace(uid="u0")), reading(version("1.0.0")))
    assert adopted is not None
    assert [owner["uid"] for owner in adopted["metadata"]["ownerReferences"]] == ["u1"]


def test_a_tag_is_noted_and_one_that_stands_for_the_same_is_not_looked_at() -> None:
    document = made(version("1.0.0", manifest="nginx@m1"))
    assert document["metadata"]["annotations"] == {MANIFEST: "nginx@m1"}
    assert after(document, reading(VersionReading("1.0.0", None, "nginx@m1"))) is None
    moved = after(document, reading(version("1.0.0", manifest="nginx@m2")))
    assert moved is not None
    assert moved["metadata"]["annotations"][MANIFEST] == "nginx@m2"


def test_a_package_that_is_nowhere_is_left_out() -> None:
    result = planned(reading(version("1.0.0", urls=("javascript:alert(1)", "https://[::1/x"))))
    assert result.creations == []
    assert [each.reason for each in result.charts["nginx"].skipped] == ["BadMetadata"]


def test_where_packages_are() -> None:
    base = "https://charts.example/stable/"
    urls = ["nginx.tgz", "/other/nginx.tgz", "https://cdn.example/n.tgz", "oci://r.example/team/nginx:1", "oci-x/n.tgz"]
    assert package_urls(base, urls) == [
        "https://charts.example/stable/nginx.tgz",
        "https://charts.example/other/nginx.tgz",
        "https://cdn.example/n.tgz",
        "oci://r.example/team/nginx:1",
        "https://charts.example/stable/oci-x/n.tgz",
    ]


def test_charts_that_lie_deeper_have_names_of_their_own() -> None:
    assert app_of("r", "nginx") == "r.nginx"
    assert app_of("r", "db/redis").startswith("r.db-redis-")
    assert app_of("r", "db/redis") != app_of("r", "db_redis")


def test_one_that_is_missing_says_so_once() -> None:
    document = missing(made(version("1.0.0")), NOW)
    assert document is not None
    assert condition_of(document, "Upstream").reason == "Missing"
    assert missing(document, NOW + 5) is None
