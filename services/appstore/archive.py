"""Reading a chart's archive, a tar in gzip, before anything else sees a byte of it. Pure.

Every limit is held while it is read, so 200 KB that stand for 200 MB cost what the limit says. Of tar's dialects those are read
that `helm package`, GNU tar and bsdtar write for plain files (POSIX.1-2001, pax; GNU tar's type L); everything else in an
archive (links, devices, sparse files) is a reason to refuse it, and nothing is ever written to a disk. Python's tarfile reads
much more than that, some of it in quadratic time (CVE-2024-6232).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 512
MIB = 1 << 20
FREE_OF_RATIO = MIB
"""Bytes that any archive may unpack to, however small it is."""
LONGEST_HEADER = 64 * 1024
"""Bytes of a long name, or of the pax records of one file."""
PIECE = 64 * 1024
"""Bytes that are unpacked at once, at least."""


class Limits(NamedTuple):
    """What an archive may cost."""

    total: int = 32 * MIB
    """Bytes when it is unpacked."""
    ratio: int = 100
    members: int = 5000
    file: int = 5 * MIB
    path: int = 255


LIMITS = Limits()


class ArchiveError(Exception):
    """An archive that is refused: the rule as one CamelCase word, the file that breaks it if it is one, and why, for people."""

    def __init__(self, reason: str, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.reason = reason


class File(NamedTuple):
    """One file of an archive."""

    path: str
    content: bytes


class _Header(NamedTuple):
    kind: bytes
    path: str
    size: int


def files(archive: bytes, limits: Limits = LIMITS) -> Iterator[File]:
    """The files in an archive, in its order; directories are left out. ArchiveError at the first broken rule."""
    unpacked = _Unpacked(archive, limits)
    seen: set[str] = set()
    for count, header in enumerate(_headers(unpacked), 1):
        if count > limits.members:
            raise ArchiveError("TooManyFiles", f"there are more than {limits.members} files and directories")
        path = _path(header.path, limits)
        if header.kind == b"5":
            unpacked.take(header.size)
            continue
        if header.kind not in (b"0", b"\0"):
            raise ArchiveError(
                "NotAFile", f"its type is {header.kind!a}, a chart has files and directories alone", path
            )
        if path in seen:
            raise ArchiveError("DuplicateFile", "it is there twice", path)
        seen.add(path)
        if header.size > limits.file:
            raise ArchiveError("FileTooLarge", f"it has {header.size} bytes, the limit is {limits.file}", path)
        yield File(path, unpacked.take(header.size))


def _headers(unpacked: _Unpacked) -> Iterator[_Header]:
    """Those of members, with what extended headers before them say. What belongs to a member is to be taken in between."""
    path, size = "", -1
    while header := unpacked.header():
        if header.kind not in (b"x", b"g", b"L"):
            yield _Header(header.kind, path or header.path, header.size if size < 0 else size)
            path, size = "", -1
            continue
        if header.size > LONGEST_HEADER:
            raise ArchiveError("BadArchive", f"it has a header of {header.size} bytes, the limit is {LONGEST_HEADER}")
        content = unpacked.take(header.size)
        if header.kind == b"L":
            path = _text(content.rstrip(b"\0"))
        elif header.kind == b"x":
            records = dict(_records(content))
            path, size = records.get("path", path), _decimal(records.get("size", "-1"))


class _Unpacked:
    """The bytes of a tar, made as they are taken."""

    def __init__(self, archive: bytes, limits: Limits) -> None:
        self._packed, self._most = archive, min(limits.total, max(FREE_OF_RATIO, len(archive) * limits.ratio))
        self._gzip = zlib.decompressobj(wbits=31)
        self._buffer = bytearray()
        self._total = 0

    def header(self) -> _Header | None:
        """The next one; None at the end."""
        self._fill(BLOCK)
        block = bytes(self._buffer[:BLOCK])
        del self._buffer[:BLOCK]
        if not block.strip(b"\0"):
            return None
        if len(block) < BLOCK or _octal(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            raise _damaged()
        name, prefix = (part.partition(b"\0")[0] for part in (block[:100], block[345:500]))
        whole = prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name
        return _Header(block[156:157], _text(whole), _octal(block[124:136]))

    def take(self, size: int) -> bytes:
        """The next `size` bytes, without what fills up their last block."""
        if size > self._most:
            raise self._too_large()
        whole = -(-size // BLOCK) * BLOCK
        self._fill(whole)
        if len(self._buffer) < whole:
            raise ArchiveError("BadArchive", "it ends in the middle of a file")
        content = bytes(self._buffer[:size])
        del self._buffer[:whole]
        return content

    def _fill(self, size: int) -> None:
        """Have this many bytes, or all that there are."""
        while len(self._buffer) < size and (self._packed or not self._gzip.eof):
            try:
                piece = self._gzip.decompress(self._packed, max(size - len(self._buffer), PIECE))
            except zlib.error as error:
                raise _damaged() from error
            self._packed = self._gzip.unconsumed_tail
            if self._gzip.eof and self._gzip.unused_data:  # gzips may follow each other (RFC 1952, 2.2)
                self._packed, self._gzip = self._gzip.unused_data, zlib.decompressobj(wbits=31)
            elif not piece and not self._packed and not self._gzip.eof:
                raise _damaged()
            self._total += len(piece)
            if self._total > self._most:
                raise self._too_large()
            self._buffer += piece

    def _too_large(self) -> ArchiveError:
        return ArchiveError(
            "DecompressedTooLarge", f"unpacked it has more than the {self._most} bytes that it may have"
        )


def _damaged() -> ArchiveError:
    return ArchiveError("BadArchive", "it is no tar in gzip, or it is damaged; helm package makes one")


def _octal(field: bytes) -> int:
    """A number of a header; for GNU's way to write what has 8 GiB and more, damaged."""
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if digits:
            raise _damaged()
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise _damaged() from None


def _decimal(text: str) -> int:
    if text == "-1":
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise _damaged()
    return int(text)


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """Records of pax: `<length> <key>=<value>\\n`, the length that of the whole record."""
    while content:
        number, blank, _ = content[:20].partition(b" ")
        length = int(number) if number.isdigit() else 0
        record, content = content[:length], content[length:]
        key, equals, value = record[len(number) + 1 : -1].partition(b"=")
        if not blank or not equals or record[-1:] != b"\n":
            raise _damaged()
        yield _text(key), _text(value)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise ArchiveError("BadPath", f"a name is not UTF-8: {name[:80]!a}") from error


def _path(path: str, limits: Limits) -> str:
    """A path below the archive's top, without a slash at its end."""
    if len(path.encode(errors="surrogatepass")) > limits.path:
        raise ArchiveError("PathTooLong", f"it has more than {limits.path} bytes", path[:80] + "…")
    plain = path.removeprefix("./").rstrip("/")
    if not path.isprintable():
        raise ArchiveError("BadPath", f"a name has characters that do not print: {path[:80]!a}")
    if path.startswith("/") or "\\" in path or ":" in plain.split("/")[0]:
        raise ArchiveError("BadPath", "a path is below the chart's directory, with / between its parts", path)
    if any(part in ("", ".", "..") for part in plain.split("/")) and plain:
        raise ArchiveError("BadPath", "a path has no part that is empty, . or ..", path)
    return plain
