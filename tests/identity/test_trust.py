"""A trust root follows another because that one says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from skerry.errors import ServiceUnavailable, Unauthorized
from skerry.identity import nkey, signedtext
from skerry.identity.farewell import make_farewell
from skerry.identity.nkey import KeyType
from skerry.identity.trust import CONTEXT, RootsFile, check_statement, is_signed, make_statement, pinned

OLD, NEW, OTHER = (nkey.create(KeyType.ACCOUNT) for _ in range(3))
BOTH = (OLD.public, NEW.public)


@pytest.mark.parametrize(
    ("signer", "believed", "taken"),
    [
        (OLD, (OLD.public,), True),
        (OLD, BOTH, True),
        (NEW, BOTH, True),
        (NEW, (OLD.public,), False),
        (OLD, (NEW.public,), False),
        (OTHER, BOTH, False),
        (OLD, (), False),
    ],
)
def test_a_statement_is_believed_by_a_root_that_is(
    signer: nkey.KeyPair, believed: tuple[str, ...], taken: bool
) -> None:
    text = make_statement(BOTH, signer.sign)
    if taken:
        assert check_statement(text, believed) == BOTH
        return
    with pytest.raises(Unauthorized, match="statement of its trust root"):
        check_statement(text, believed)


def signed(body: bytes) -> str:
    return signedtext.signed(CONTEXT, "", body, OLD.sign).decode()


@pytest.mark.parametrize(
    "roots", [[], [OLD.public] * 3, ["x"], [nkey.create(KeyType.USER).public], [OLD.public[:-1] + "é"], [""]]
)
def test_a_statement_names_one_or_two_keys(roots: list[str]) -> None:
    with pytest.raises(Unauthorized, match="names no keys"):
        check_statement(signed(msgspec.json.encode({"roots": roots})), (OLD.public,))


@pytest.mark.parametrize("text", ["", "x" * 200, signed(b'{"roots":1}'), signed(b"{}")])
def test_what_is_no_statement_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        check_statement(text, (OLD.public,))


def test_nothing_else_that_a_root_signs_is_a_statement() -> None:
    with pytest.raises(Unauthorized):
        check_statement(make_farewell("", "A", "m", OLD.sign).decode(), (OLD.public,))


def test_a_changed_statement_is_refused() -> None:
    text = make_statement((OLD.public,), OLD.sign)
    with pytest.raises(Unauthorized):
        check_statement(text.replace(OLD.public, OTHER.public), (OLD.public,))


def test_signatures_of_each_root_count() -> None:
    for key in (OLD, NEW):
        assert is_signed(pinned(*BOTH)(), b"data", key.sign(b"data"))
    assert not is_signed(BOTH, b"data", OTHER.sign(b"data"))
    assert not is_signed((), b"data", OLD.sign(b"data"))


def test_a_file_of_roots_is_read_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "trust-roots"
    roots = RootsFile(path)
    with pytest.raises(ServiceUnavailable, match="cannot be read"):
        roots()
    path.write_text(f"{OLD.public}\n")
    assert roots() == (OLD.public,)
    path.unlink()
    assert roots() == (OLD.public,)
    path.write_text(f"{OLD.public}\n{NEW.public}\n")
    assert roots() == BOTH
