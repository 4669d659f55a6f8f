"""Foreign bytes: one kind of error, whatever is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.api.decode import decoded, decoder
from skerry.api.messages import Heartbeat

ROOT = Path(__file__).parents[2]
BAD = (b'{"epoch":"\xff"}', b'{"\xff":1,"epoch":"\xff"}', b'{"epoch":"\xed\xa0\x80"}', b'{"epoch":"\\ud800"}', b"{", b"", b"\xff", b'{"a":' * 5000)  # fmt: skip
OWN = {
    "skerry/api/decode.py",
    "skerry/bus/client.py",
    "skerry/cli",
    "skerry/controller/lease.py",
    "skerry/identity/federation.py",
    "skerry/identity/jwt.py",
    "skerry/identity/keyfiles.py",
    "skerry/storage/archivedobjects.py",
    "skerry/storage/archivefile.py",
    "skerry/storage/documents.py",
    "skerry/storage/sealed.py",
    "services/agent/store.py",
    "services/proxy/hostapi/yamltext.py",
    "services/registry/secrets.py",
}
"""What decodes its own bytes (a file, a bucket, a signed token), or looks for every error by itself."""


@pytest.mark.parametrize("data", BAD)
@pytest.mark.parametrize("kind", [Any, Heartbeat, dict[str, Any]])
def test_whatever_is_wrong_is_a_decode_error(data: bytes, kind: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(data, kind)
    with pytest.raises(msgspec.DecodeError):
        decoder(kind)(data)


def test_the_place_is_that_in_the_document() -> None:
    with pytest.raises(msgspec.DecodeError, match=r"JSON is not UTF-8 \(byte 7\)"):
        decoded(b'{"a": "\xff"}')


def test_what_is_right_is_decoded() -> None:
    assert decoded(b'{"a":1}') == {"a": 1}
    assert decoder(dict[str, int])(b'{"a":1}') == {"a": 1}


def test_nobody_decodes_foreign_bytes_in_another_way() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("skerry", "services")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"msgspec\.json\.(decode\(|Decoder\()", path.read_text())
    }
    assert {each for each in found if not any(each.startswith(own) for own in OWN)} == set()
