"""Hostile archives are refused by the rule that they break, at the cost that the limits say."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.archive import LIMITS, ArchiveError, File, Limits, files


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files with these contents, and of entries as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry, io.BytesIO(bytes(entry.size)))
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            archive.addfile(info, io.BytesIO(entry[1]))
    return buffer.getvalue()


def packed(*entries: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    return gzip.compress(tar(*entries, form=form))


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def reason(archive: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ArchiveError) as caught:
        list(files(archive, limits))
    return caught.value.reason


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_of_each_dialect_are_read(form: int) -> None:
    long = "web/templates/" + "n" * 90 + "/deployment.yaml"
    archive = packed(
        special("web/", tarfile.DIRTYPE), ("web/Chart.yaml", b"name: web\n"), (long, b"x" * 700), form=form
    )
    assert list(files(archive)) == [File("web/Chart.yaml", b"name: web\n"), File(long, b"x" * 700)]


def test_a_name_beyond_ascii_is_read() -> None:
    assert [file.path for file in files(packed(("web/größe.txt", b"")))] == ["web/größe.txt"]


def test_gzips_that_follow_each_other_are_one() -> None:
    whole = tar(("web/a", b"1"), ("web/b", b"2"))
    assert [file.path for file in files(gzip.compress(whole[:700]) + gzip.compress(whole[700:]))] == ["web/a", "web/b"]


def test_records_for_all_files_and_a_leading_dot_are_gone_over() -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "made by"}
    ) as archive:
        archive.addfile(special("./web/", tarfile.DIRTYPE))
        archive.addfile(special("./web/a", tarfile.REGTYPE))
    assert [file.path for file in files(gzip.compress(buffer.getvalue()))] == ["web/a"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("../evil", "BadPath"),
        ("web/../../evil", "BadPath"),
        ("web/./a", "BadPath"),
        ("web//a", "BadPath"),
        ("/etc/passwd", "BadPath"),
        ("web\\..\\evil", "BadPath"),
        ("C:/evil", "BadPath"),
        ("web/\x1b]0;a", "BadPath"),
        ("web/a\nb", "BadPath"),
        ("web/" + "n" * 252, "PathTooLong"),
    ],
)
def test_a_path_that_leaves_the_chart_is_refused(name: str, rule: str) -> None:
    assert reason(packed((name, b"x"))) == rule


def test_a_nul_in_a_pax_path_is_refused() -> None:
    info = special("web/a", tarfile.REGTYPE)
    info.pax_headers = {"path": "web/a\0.txt"}
    assert reason(packed(info)) == "BadPath"


def test_a_name_that_is_not_utf8_is_refused() -> None:
    info = special("web/\udcff", tarfile.REGTYPE)
    assert reason(packed(info, form=tarfile.GNU_FORMAT)) == "BadPath"


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        b"S",
        b"K",
        b"?",
    ],
)
def test_what_is_no_file_is_refused(kind: bytes) -> None:
    entry = special("web/link", kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "")
    assert reason(packed(entry, form=tarfile.GNU_FORMAT)) == "NotAFile"


def test_a_file_that_is_there_twice_is_refused() -> None:
    assert reason(packed(("web/a", b"1"), ("web/a", b"2"))) == "DuplicateFile"
    assert reason(packed(("web/a", b"1"), ("./web/a", b"2"))) == "DuplicateFile"


def test_more_files_than_the_limit_are_refused() -> None:
    entries = [(f"web/{number}", b"") for number in range(12)]
    assert len(list(files(packed(*entries), Limits(members=12)))) == 12
    assert reason(packed(*entries), Limits(members=11)) == "TooManyFiles"


def test_a_file_beyond_the_limit_is_refused() -> None:
    assert reason(packed(("web/a", b"x" * 11)), Limits(file=10)) == "FileTooLarge"


def test_a_size_in_records_of_pax_counts() -> None:
    info = special("web/a", tarfile.REGTYPE)
    info.pax_headers = {"size": "6000000"}
    assert reason(packed(info)) == "FileTooLarge"
    info.pax_headers = {"size": "99999999999999999999"}
    assert reason(packed(info)) == "FileTooLarge"
    info.pax_headers = {"size": "-5"}
    assert reason(packed(info)) == "BadArchive"


def test_two_hundred_megabytes_in_two_hundred_kilobytes_cost_what_the_limit_says() -> None:
    bomb = zlib.compressobj(9, wbits=31)
    packed_bomb = bomb.compress(tar(special("web/", tarfile.DIRTYPE))[:512])
    zeros = special("web/zeros", tarfile.REGTYPE)
    zeros.size = 200 << 20
    packed_bomb += bomb.compress(zeros.tobuf())
    packed_bomb += b"".join(bomb.compress(bytes(1 << 20)) for _ in range(200)) + bomb.flush()
    assert len(packed_bomb) < 300_000
    tracemalloc.start()
    assert reason(packed_bomb, Limits(file=1 << 30)) == "DecompressedTooLarge"
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_ratio_beyond_the_limit_is_refused_where_it_says_little_of_itself() -> None:
    many = [(f"web/{number}", bytes(600_000)) for number in range(40)]
    archive = packed(*many)
    assert reason(archive) == "DecompressedTooLarge"
    assert len(list(files(archive, Limits(ratio=10_000)))) == 40


def test_an_archive_without_an_end_mark_is_read() -> None:
    assert [file.path for file in files(gzip.compress(tar(("web/a", b"1"))[:1024]))] == ["web/a"]


DAMAGED = {
    "nothing": b"",
    "text": b"hello",
    "a beginning": b"\x1f\x8b\x08",
    "no tar": gzip.compress(b"x" * 512),
    "a short header": gzip.compress(b"x" * 100),
    "cut off": packed(("web/a", random.Random(1).randbytes(2000)))[:-600],
    "cut off inside": gzip.compress(tar(("web/a", b"x" * 2000))[:1500]),
    "followed by something else": gzip.compress(tar(("web/a", b"1"))[:1024]) + b"trailing",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_refused(what: str) -> None:
    assert reason(DAMAGED[what]) == "BadArchive"


def test_an_archive_without_files_has_none() -> None:
    assert list(files(gzip.compress(b""))) == []
    assert list(files(packed())) == []


def broken(offset: int, field: bytes) -> bytes:
    """A tar whose first header has other bytes there, and the checksum that fits."""
    header = bytearray(tar(("web/a", b"1")))
    header[offset : offset + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return gzip.compress(bytes(header))


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        (124, b"\x80" + bytes(10) + b"\x09"),
        (124, b"00000000009\0"),
        (124, b"-0000000001\0"),
        (124, b"77777777777\0"),
        (156, b"x"),
    ],
)
def test_a_header_that_means_nothing_is_refused(offset: int, field: bytes) -> None:
    with pytest.raises(ArchiveError):
        list(files(broken(offset, field)))


def test_a_checksum_that_is_wrong_is_refused() -> None:
    header = bytearray(tar(("web/a", b"1")))
    header[0] = ord("v")
    assert reason(gzip.compress(bytes(header))) == "BadArchive"


def test_an_extended_header_beyond_the_limit_is_refused() -> None:
    info = special("web/a", tarfile.REGTYPE)
    info.pax_headers = {"comment": "x" * 70_000}
    assert reason(packed(info)) == "BadArchive"


@given(st.binary(max_size=2000))
def test_bytes_are_files_or_an_error_of_ours(content: bytes) -> None:
    for archive in (content, gzip.compress(content), gzip.compress(tar(("web/a", content))[:512] + content)):
        with suppress(ArchiveError):
            assert all(isinstance(file, File) for file in files(archive))
