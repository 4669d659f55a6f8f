"""What a chart says of itself is typed and bounded; what is only shown is left out where it is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.metadata import MOST, MOST_DEPENDENCIES, ChartError, chart
from skerry.api.charts import ChartChange, ChartDependency, ChartImage, ChartMaintainer

LEAST = {"name": "web", "version": "1.2.3"}


def test_all_that_helm_and_artifact_hub_say_is_read() -> None:
    described = chart(
        {
            **LEAST,
            "apiVersion": "v2",
            "type": "library",
            "appVersion": "7.1",
            "description": "A web server",
            "keywords": ["http", None, "proxy"],
            "home": "https://web.example",
            "sources": ["https://git.example/web", "git@git.example:web"],
            "icon": "https://web.example/icon.svg",
            "kubeVersion": ">=1.25.0-0",
            "deprecated": True,
            "maintainers": [{"name": "Ann", "email": "ann@web.example", "url": "https://ann.example"}, None],
            "dependencies": [
                {"name": "common", "version": "2.x", "repository": "oci://r.example", "alias": "base_lib"}
            ],
            "annotations": {
                "artifacthub.io/license": "Apache-2.0",
                "artifacthub.io/category": "networking",
                "artifacthub.io/prerelease": "true",
                "artifacthub.io/containsSecurityUpdates": "true",
                "artifacthub.io/changes": "- mended a leak\n- {kind: security, description: CVE}\n- {kind: odd, description: x}\n- 5\n- {}\n",
                "artifacthub.io/images": "- {name: web, image: r.example/web:1}\n- {image: r.example/b}\n- {name: n}\n- x\n",
            },
        }
    )
    assert (described.type, described.deprecated) == ("library", True)
    assert (described.app_version, described.description, described.keywords) == (
        "7.1",
        "A web server",
        ["http", "proxy"],
    )
    assert (described.home, described.sources) == ("https://web.example", ["https://git.example/web"])
    assert (described.icon, described.kube_version) == ("https://web.example/icon.svg", ">=1.25.0-0")
    assert described.maintainers == [ChartMaintainer(name="Ann", email="ann@web.example", url="https://ann.example")]
    assert described.dependencies == [
        ChartDependency(name="common", version="2.x", repository="oci://r.example", alias="base_lib")
    ]
    assert (described.license, described.category) == ("Apache-2.0", "networking")
    assert described.prerelease, described.contains_security_updates
    assert described.changes == [
        ChartChange(description="mended a leak"),
        ChartChange(kind="security", description="CVE"),
        ChartChange(description="x"),
    ]
    assert described.images == [ChartImage(name="web", image="r.example/web:1"), ChartImage(image="r.example/b")]


def test_the_least_is_enough() -> None:
    assert msgspec.to_builtins(chart(LEAST)) == LEAST


@pytest.mark.parametrize(
    ("tree", "reason", "message"),
    [
        (None, "BadMetadata", "Expected `object`"),
        ([], "BadMetadata", "Expected `object`"),
        ({"version": "1.0.0"}, "BadMetadata", "missing required field `name`"),
        ({**LEAST, "name": True}, "BadMetadata", "name: Expected `str`, got `bool`"),
        ({**LEAST, "version": 1.0}, "BadMetadata", "version: Expected `str`, got `float`"),
        ({**LEAST, "version": "latest"}, "BadVersion", "version: 'latest' is no version"),
        ({**LEAST, "name": "."}, "BadName", "lower case letters"),
        ({**LEAST, "name": "../x"}, "BadName", "lower case letters"),
        ({**LEAST, "name": "Web"}, "BadName", "lower case letters"),
        ({**LEAST, "name": "n" * 64}, "BadName", "at most 63"),
        ({**LEAST, "name": "web\n"}, "BadName", "lower case letters"),
        ({**LEAST, "apiVersion": "v9"}, "BadMetadata", "must be v1 or v2"),
        ({**LEAST, "type": "virus"}, "BadMetadata", "application or library"),
        ({**LEAST, "kubeVersion": "newest"}, "BadMetadata", "kubeVersion: 'newest' is no range"),
        ({**LEAST, "dependencies": [{"name": "../x"}]}, "BadName", "a dependency is called '../x'"),
        ({**LEAST, "dependencies": [{"name": "x", "alias": "a/b"}]}, "BadName", "a dependency is called 'a/b'"),
        ({**LEAST, "dependencies": [{"name": "x"}] * (MOST_DEPENDENCIES + 1)}, "BadMetadata", "the limit is"),
        ({**LEAST, "keywords": {"a": "b"}}, "BadMetadata", "keywords: Expected `array"),
        ({**LEAST, "maintainers": [{"name": 5}]}, "BadMetadata", "maintainers[0].name: Expected `str`"),
    ],
)
def test_what_decides_is_refused_where_it_is_wrong(tree: Any, reason: str, message: str) -> None:
    with pytest.raises(ChartError) as caught:
        chart(tree)
    assert (caught.value.reason, message in str(caught.value)) == (reason, True), str(caught.value)


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "ftp://x", "https://a b", "https://x\n", "data:text/html,x", "https://" + "a" * 2001],
)
def test_a_link_that_is_none_for_a_browser_is_left_out(link: str) -> None:
    described = chart(
        {**LEAST, "icon": link, "home": link, "sources": [link], "maintainers": [{"name": "x", "url": link}]}
    )
    assert (described.icon, described.home, described.sources, described.maintainers[0].url) == ("", "", [], "")


@pytest.mark.parametrize("text", ["[", "5", "&a [*a]", "a: 1", "", "- {image: ''}\n- {description: ''}"])
def test_annotations_that_say_nothing_are_left_out(text: str) -> None:
    described = chart(
        {**LEAST, "annotations": {"artifacthub.io/changes": text, "artifacthub.io/images": text, "x": None}}
    )
    assert (described.changes, described.images) == ([], [])


def test_texts_are_cut_and_print() -> None:
    described = chart({**LEAST, "description": "\x1b]0;title\x07" + "x" * 5000, "keywords": ["k" * 99] * 99})
    assert described.description.isprintable()
    assert (len(described.description), len(described.keywords), len(described.keywords[0])) == (1024, MOST, 64)


words = st.text(max_size=5)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words
fields = st.sampled_from([*chart(LEAST).__struct_encode_fields__, "annotations", "apiVersion"])


@given(
    st.dictionaries(fields, leaves | st.lists(leaves | st.dictionaries(words, leaves)) | st.dictionaries(words, leaves))
)
def test_any_tree_is_a_chart_or_refused(tree: dict[str, Any]) -> None:
    for each in (tree, LEAST | {key: value for key, value in tree.items() if key not in LEAST}):
        try:
            assert chart(each).name
        except ChartError as error:
            assert str(error).isprintable()  # noqa: PT017
