"""YAML of strangers is what Helm takes it for, or refused with the place and the reason."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.foreignyaml import DEEPEST, ForeignYamlError, Reader, loaded, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("Null", None), ("yes", True), ("On", True), ("TRUE", True), ("no", False), ("off", False),
        ("0", 0), ("-12", -12), ("+7", 7), ("1_000", 1000), ("010", 8), ("0o10", 8), ("0x1F", 31), ("0b101", 5), ("-0x10", -16),
        ("08", 8.0), ("1.0", 1.0), (".5", 0.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("1e999", "1e999"), ("9" * 41, "9" * 41),
        ("0o9", "0o9"), (".inf", ".inf"), ("1.2.3", "1.2.3"), ("v1", "v1"), ("2024-01-01", "2024-01-01"), ("nginx", "nginx"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_helm_takes_it_for(text: str, value: Any) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_what_is_in_quotes_is_text() -> None:
    assert loaded(b"a: '1'\nb: \"yes\"\nc: |\n  2\n") == {"a": "1", "b": "yes", "c": "2\n"}


INDEX = b"""
apiVersion: v1
serverInfo: {a: {b: [c]}, d: x}
entries:
  web:
  - {version: 1.0.0, maintainers: [{name: x}]}
  - version: 2.0.0
  redis: []
"""


def test_a_document_is_read_in_pieces() -> None:
    reader = Reader(INDEX)
    entries: dict[str, list[Any]] = {}
    for key in reader.mapping():
        if key != "entries":
            reader.skip()
            continue
        for name in reader.mapping():
            entries[name] = list(reader.sequence(10))
    reader.end()
    assert entries == {"web": [{"version": "1.0.0", "maintainers": [{"name": "x"}]}, {"version": "2.0.0"}], "redis": []}


def test_a_piece_of_another_shape_is_refused() -> None:
    with pytest.raises(ForeignYamlError, match="line 1: a mapping is expected"):
        list(Reader(b"[1]").mapping())
    with pytest.raises(ForeignYamlError, match="line 1: a sequence is expected"):
        list(Reader(b"a: 1").sequence(5))
    with pytest.raises(ForeignYamlError, match="line 2: there are more than 2 values"):
        list(Reader(b"- [1]\n- [1, 2]").sequence(2))
    with pytest.raises(ForeignYamlError, match="tags are not taken"):
        list(Reader(b"!!set [1]").sequence(5))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b"# nothing", "it is empty"),
        (b"a: 1\n---\nb: 2", "more than one document"),
        (b"a: &x [1]\nb: *x", "line 2: aliases are not taken"),
        (b"a: 1\na: 2", "line 2: 'a' is there twice"),
        (b"a: !!python/object:os.system x", "line 1: tags are not taken"),
        (b"a: !!str 1", "line 1: tags are not taken"),
        (b"a: ! 1", "line 1: tags are not taken"),
        (b"? [a]\n: 1", "line 1: keys are texts"),
        (b"a: [1", "expected"),
        (b"a: \xff", "invalid"),
        (b"a: \x00", "control characters"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "nested deeper than"),
        (b"[" + b"1," * 101 + b"]", "more than 100 values"),
        (b"\t- a", "found character"),
    ],
)
def test_what_is_not_taken_says_why(text: bytes, why: str) -> None:
    with pytest.raises(ForeignYamlError, match=why):
        loaded(text, most=120 if b"[[" in text else 100)


def test_aliases_are_found_in_what_is_gone_over() -> None:
    with pytest.raises(ForeignYamlError, match="aliases"):
        Reader(b"[&a [1], *a]").skip()


def test_two_hundred_thousand_levels_end_at_the_limit() -> None:
    with pytest.raises(ForeignYamlError):
        loaded(b"[" * 200_000)
    with pytest.raises(ForeignYamlError):
        Reader(b"[" * 5_000).skip()


@given(st.binary(max_size=300) | st.text(alphabet="ab:-[]{}&*!|>#'\"\n ,?", max_size=60).map(str.encode))
def test_bytes_are_a_value_or_an_error_of_ours(text: bytes) -> None:
    with suppress(ForeignYamlError):
        msgspec.json.encode(loaded(text))


words = st.text(alphabet="abyNn01.-_: '\"{}[]#&*!\u00e9", max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_what_json_says_is_read_alike(value: Any) -> None:
    assert loaded(msgspec.json.encode(value)) == value


def test_leniently_the_last_of_two_keys_counts_and_texts_may_be_tagged() -> None:
    assert loaded(b"a: 1\na: !!str 2\n", lenient=True) == {"a": "2"}
    with pytest.raises(ForeignYamlError, match="tags are not taken"):
        loaded(b"a: !!binary QQ==\n", lenient=True)


def test_leniently_aliases_are_filled_in() -> None:
    assert loaded(b"a: &x [1, &y two]\nb: *x\nc: *y\n", lenient=True) == {"a": [1, "two"], "b": [1, "two"], "c": "two"}
    with pytest.raises(ForeignYamlError, match="nothing is called 'x' before it"):
        loaded(b"a: *x\nb: &x 1\n", lenient=True)
    with pytest.raises(ForeignYamlError, match="nothing is called 'x' before it"):
        loaded(b"a: &x [*x]\n", lenient=True)


def test_leniently_mappings_are_merged_as_in_yaml_1_1() -> None:
    text = b"a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {<<: *b, own: 1}\n"
    value = loaded(text, lenient=True)
    assert value["c"] == {"x": 1, "y": 1, "z": 3}
    assert value["d"] == {"y": 2, "z": 2, "own": 1}
    with pytest.raises(ForeignYamlError, match="<< is for mappings"):
        loaded(b"a: {<<: [1]}\n", lenient=True)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        f"a: &a {'x' * 100_000}\nb: [{','.join(['*a'] * 1000)}]\n",
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{x: *a{n - 1}}}\n" for n in range(1, 200)),
    ],
    ids=["lists", "a-long-text", "depth"],
)
def test_aliases_count_as_what_they_stand_for(text: str) -> None:
    with pytest.raises(ForeignYamlError, match="aliases stand for more than 100000 values"):
        loaded(text.encode(), lenient=True)
