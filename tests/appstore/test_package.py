"""A package is taken whole, or refused by the rule that it breaks, naming the file."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from services.appstore.archive import Limits
from services.appstore.metadata import ChartError
from services.appstore.package import METADATA, README, read
from tests.appstore.charts import package, packed


def refused(archive: bytes, limits: Limits | None = None) -> tuple[str, str]:
    with pytest.raises(ChartError) as caught:
        read(archive, limits) if limits else read(archive)
    return caught.value.reason, str(caught.value)


def test_a_package_is_what_it_has() -> None:
    archive = package(
        files={
            "README.md": "# Web\n",
            "values.yaml": "a: 1\n",
            "values.schema.json": "{}",
            "templates/a.yaml": "{{ .Values }}",
        }
    )
    found = read(archive)
    assert (found.chart.name, found.chart.version) == ("web", "1.2.3")
    assert found.digest == f"sha256:{sha256(archive).hexdigest()}"
    assert (found.readme, found.values, found.schema) == (b"# Web\n", b"a: 1\n", b"{}")


def test_a_readme_is_cut() -> None:
    assert len(read(package(files={"README.md": "x" * (README + 1)})).readme) == README


def test_charts_within_are_directories_or_packages() -> None:
    common = package("common", "2.0.0")
    archive = package(
        more="dependencies: [{name: common, version: 2.x}, {name: redis, version: 1.x}]\n",
        files={
            "charts/common-2.0.0.tgz": common,
            "charts/redis/Chart.yaml": "name: redis\nversion: 1.0.0\n",
            "charts/_notes/Chart.yaml": "no chart",
            "charts/.hidden": "x",
            "charts/README.md": "x",
            "charts/templates/a.yaml": "x",
        },
    )
    assert [each.name for each in read(archive).chart.dependencies] == ["common", "redis"]


DEEP = package("c6")
for level in (5, 4, 3, 2, 1, 0):
    DEEP = package(f"c{level}", files={f"charts/c{level + 1}.tgz": DEEP})


@pytest.mark.parametrize(
    ("archive", "reason", "message"),
    [
        (b"", "BadArchive", "helm package"),
        (packed({}), "NoChart", "no Chart.yaml"),
        (packed({"web/values.yaml": ""}), "NoChart", "no Chart.yaml"),
        (packed({"Chart.yaml": "name: web\nversion: 1.0.0\n"}), "NoChart", "in one directory"),
        (
            packed({"a/Chart.yaml": "name: a\nversion: 1.0.0\n", "b/Chart.yaml": "x"}),
            "NoChart",
            "two directories at the top: a, b",
        ),
        (
            packed({"a/Chart.yaml": "name: web\nversion: 1.0.0\n"}),
            "NoChart",
            "the chart's name is web, and its directory's a",
        ),
        (packed({"../Chart.yaml": "name: web\nversion: 1.0.0\n"}), "BadPath", ".."),
        (package("web", "newest"), "BadVersion", "Chart.yaml: version: 'newest'"),
        (package(more="a: &x []\nb: *x\n"), "BadMetadata", "Chart.yaml: line 5: aliases"),
        (package(more="description: " + "x" * METADATA), "FileTooLarge", "Chart.yaml: it has"),
        (package(more="dependencies: [{name: common}, {name: redis}]\n"), "MissingDependency", "common, redis"),
        (
            package(files={"values.schema.json": '{"$ref": "file:///etc/passwd"}'}),
            "SchemaReference",
            "values.schema.json",
        ),
        (package(files={"charts/x.tgz": b"nonsense"}), "BadArchive", "charts/x.tgz: it is no tar"),
        (package(files={"charts/x.tgz": package("x", "one")}), "BadVersion", "charts/x.tgz: Chart.yaml: version"),
        (package(files={"charts/x/Chart.yaml": "name: x"}), "BadMetadata", "charts/x: Chart.yaml"),
        (
            package(files={"charts/x.tgz": package("x", files={"values.schema.json": '{"$ref": "http://x"}'})}),
            "SchemaReference",
            "charts/x.tgz: values.schema.json",
        ),
        (DEEP, "TooDeep", "more than 5 charts within each other"),
        (
            package(files={"noise": random.Random(7).randbytes(2 << 20)}),
            "ReleaseTooLarge",
            "Helm keeps a release in a Secret",
        ),
    ],
    ids=range(18),
)
def test_a_package_is_refused_by_the_rule_that_it_breaks(archive: bytes, reason: str, message: str) -> None:
    assert refused(archive)[0] == reason
    assert message in refused(archive)[1]


def test_half_a_megabyte_of_templates_is_taken() -> None:
    noise = random.Random(8).randbytes(560_000)
    assert read(package(files={"noise": noise})).chart.name == "web"


def test_limits_hold_for_all_packages_together() -> None:
    inner = {f"charts/c{number}.tgz": package(f"c{number}", files={"zeros": bytes(400_000)}) for number in range(4)}
    assert read(package(files=inner), Limits(total=2_000_000)).chart.name == "web"
    assert refused(package(files=inner), Limits(total=1_500_000))[0] == "DecompressedTooLarge"
    assert refused(package(files=inner), Limits(members=9))[0] == "TooManyFiles"
