"""What the front of the write path reads: YAML, options, warnings."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from services.proxy.hostapi import writeoptions
from services.proxy.hostapi.request import Query
from services.proxy.hostapi.writes import WriteReply
from services.proxy.hostapi.yamltext import LONGEST_BLOCK, LONGEST_YAML, read, written
from skerry.errors import BadRequest, Invalid, RequestEntityTooLarge


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"a: 1\nb: [x, 'y']\n", {"a": 1, "b": ["x", "y"]}),
        (b'{"a": 1}', {"a": 1}),
        (b"when: 2026-01-01\n", {"when": "2026-01-01"}),
        (b"a: y\nb: N\nc: 'y'\nd: yy\n", {"a": True, "b": False, "c": "y", "d": "yy"}),
        (b"a: 1e3\nb: 0o17\nc: 1e\n", {"a": 1000.0, "b": 15, "c": "1e"}),
        (b"at: 2026-01-01T00:00:00Z\n", {"at": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_yaml_becomes_json(text: bytes, value: object) -> None:
    assert msgspec.json.decode(await read(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"a: &x 1\nb: *x\n",
        b"{: [",
        b"1: a\n",
        b"a: 1\na: 2\n",
        b"a: .inf\n",
        b"a: 1e400\n",
        b"a: 1\n---\na: 1\n",
        b"!!python/object:os.system {}",
        b"\xff\xfe\xfa",
        b"[" * 5000,
    ],
)
async def test_yaml_that_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        await read(text)


@pytest.mark.parametrize("word", ["y", "n", "Y", "N", "1e3", "-1.5E-2", ".5e1", "0o17", "yes", "1_000"])
async def test_a_text_that_go_reads_as_something_else_is_written_in_quotes(word: str) -> None:
    assert await written(msgspec.json.encode({"a": word})) == f"a: '{word}'\n".encode()


async def test_yaml_has_a_limit() -> None:
    with pytest.raises(RequestEntityTooLarge, match="send it as JSON"):
        await read(b"a: " + b"x" * LONGEST_YAML)


ODD = {"a": "yes", "b": ["1", 1, None, True, 1.5], "": {}, "é\x7f\u2028": "x: y\n# z", "t": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("size", [0, LONGEST_BLOCK])
async def test_what_is_written_in_yaml_is_read_as_the_same(size: int) -> None:
    document = {**ODD, "fill": "x" * size}
    text = await written(msgspec.json.encode(document))
    assert yaml.safe_load(text) == document
    assert (text[:1] == b"{") is (size > 0)


@pytest.mark.parametrize(
    ("agent", "manager"), [("kubectl/v1.37 (linux)", "kubectl"), ("", ""), ("a\tb/1", "ab"), ("x" * 200, "x" * 128)]
)
def test_a_client_that_names_no_manager_is_its_user_agent(agent: str, manager: str) -> None:
    assert writeoptions.of_write("CreateOptions", Query(""), agent).field_manager == manager


def test_apply_needs_a_manager_and_nothing_else_takes_force() -> None:
    with pytest.raises(Invalid, match="is required for apply patch"):
        writeoptions.of_write("PatchOptions", Query(""), "kubectl", applies=True)
    with pytest.raises(Invalid, match="may not be specified for non-apply patch"):
        writeoptions.of_write("PatchOptions", Query("force=true"), "kubectl")


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        (b"", ""),
        (b'{"propagationPolicy":"Foreground"}', "Foreground"),
        (b'{"orphanDependents":true}', "Orphan"),
        (b'{"orphanDependents":false}', "Background"),
    ],
)
def test_delete_options(body: bytes, policy: str) -> None:
    assert writeoptions.of_delete(writeoptions.given(Query(""), body)).propagation_policy == policy


def test_warnings_cannot_break_out_of_their_header() -> None:
    ((_, value),) = WriteReply(200, b"", ('unknown field "a\r\nb"',)).headers()
    assert value == b'299 - "unknown field \\"a  b\\""'
