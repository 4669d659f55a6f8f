"""Values from files and options, as Helm puts them together; secrets from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.commands.app.given import GivenValues, document, given, upgraded
from skerry.cli.failure import Failure


def test_later_files_count_more_and_options_more_than_files(tmp_path: Path) -> None:
    one, two, secret, cert = (tmp_path / name for name in ("one.yaml", "two.yaml", "secret", "cert"))
    one.write_text("a: 1\nb: {x: 1, y: 2}\nc: old\n")
    two.write_text("b: {y: 3}\nd: null\n")
    secret.write_text("s3cret\n")
    cert.write_text("LINE 1\nLINE 2\n")
    result = given(
        [str(one), str(two)], ["c=new,e=1"], ["f=1"], [f"g={cert}"], [f"db.password=@{secret}"], [f"m1={one}"]
    )
    assert result.values == {
        "a": 1,
        "b": {"x": 1, "y": 3},
        "c": "new",
        "d": None,
        "e": 1,
        "f": "1",
        "g": "LINE 1\nLINE 2\n",
    }
    assert result.overrides == [{"clusters": {"names": ["m1"]}, "values": document(one.read_text(), "")}]
    assert result.secrets == {"db.password": "s3cret"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"secrets": ["a=plain"]}, "a secret is no argument"),
        ({"secrets": ["a"]}, "K=@FILE"),
        ({"secrets": ["a[x]=@/dev/null"]}, "no place in a list"),
        ({"files": ["/nowhere"]}, "No such file"),
        ({"contents": ["a=/nowhere"]}, "No such file"),
        ({"for_clusters": ["m1"]}, "CLUSTER=FILE"),
        ({"sets": ["a"]}, "has no value"),
    ],
)
def test_what_is_no_option(options: dict[str, list[str]], text: str) -> None:
    every = dict.fromkeys(("files", "sets", "strings", "contents", "secrets", "for_clusters"))
    with pytest.raises(Failure, match=text) as refused:
        given(**{**every, **options})
    assert refused.value.code == 2
    assert "plain" not in refused.value.message


@pytest.mark.parametrize("text", ["[1, 2]", "a: {", "1: 2", "text", "a: !!python/object:os.system {}"])
def test_what_is_no_document_of_values(text: str) -> None:
    with pytest.raises(Failure, match="-f x"):
        document(text, "-f x")


def test_an_upgrade_merges_into_what_is_stored() -> None:
    stored = {
        "spec": {
            "version": "1.0.0",
            "values": {"a": 1, "b": {"x": 1}},
            "overrides": [{"clusters": {"names": ["m1"]}, "values": {"c": 1}}],
        }
    }
    more = GivenValues({"b": {"y": None}}, [{"clusters": {"names": ["m1"]}, "values": {"d": 2}}], {})
    changed = upgraded(stored, "1.1.0", more, reset=False)["spec"]
    assert changed == {
        "version": "1.1.0",
        "values": {"a": 1, "b": {"x": 1, "y": None}},
        "overrides": [{"clusters": {"names": ["m1"]}, "values": {"c": 1, "d": 2}}],
    }
    assert stored["spec"]["values"] == {"a": 1, "b": {"x": 1}}
    assert upgraded(stored, "", GivenValues({}, [], {}), reset=True)["spec"]["values"] == {}
