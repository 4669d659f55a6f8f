"""In the build: make /opt/skerry from the wheels of the context. `install.py agent|host`, run by the Dockerfile alone.

Two runs on the same context make the same files: modules are compiled here, by content and not by time, since nothing can be
written where they run; and every file has the time SOURCE_DATE_EPOCH. Libraries lose what only debuggers read, which is more than
half of the agent: 12 of uvloop's 14 MB.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import venv
from pathlib import Path

CONTEXT, TREE = Path("/context"), Path("/opt/skerry")


def main(image: str) -> None:
    """Install what `<image>.txt` lists, with its bill of materials, and for the host helm."""
    venv.create(TREE, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(TREE / "bin" / "python"), "--disable-pip-version-check"]
    flags = [
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--no-cache-dir",
        "--find-links",
        str(CONTEXT / "wheels"),
    ]
    subprocess.run([*pip, "install", *flags, "--requirement", str(CONTEXT / f"{image}.txt")], check=True)
    if image == "host":
        shutil.copy(CONTEXT / "helm", TREE / "bin" / "helm")
        (TREE / "bin" / "helm").chmod(0o755)
    else:
        (TREE / "bin" / "skerry").unlink()  # the command line, most of whose packages are not here
    shutil.copy(CONTEXT / f"{image}.cdx.json", TREE / "sbom.cdx.json")
    for library in (TREE / "lib").rglob("*.so"):
        library.write_bytes(stripped(library.read_bytes()))
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    compiled = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(TREE / "lib")]
    subprocess.run([str(TREE / "bin" / "python"), *compiled], check=True, env=environ)
    when = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for path in [TREE, *TREE.rglob("*")]:
        os.utime(path, (when, when), follow_symlinks=False)


def stripped(library: bytes) -> bytes:
    """A shared library without its sections: the loader reads segments alone (System V ABI, chapter 5), and behind the last one
    there are only symbols and what a debugger needs. No program is needed for it, which an image of Python has not."""
    if len(library) < _ELF_HEADER or not library.startswith(_ELF_64_LITTLE):
        return library
    (table,) = struct.unpack_from("<Q", library, 32)
    size, number = struct.unpack_from("<HH", library, 54)
    end = table + size * number
    for entry in range(table, end, size):
        offset, in_file = struct.unpack_from("<Q16xQ", library, entry + 8)
        end = max(end, offset + in_file)
    short = bytearray(library[:end])
    struct.pack_into("<Q", short, 40, 0)  # e_shoff: there is no table of sections
    struct.pack_into("<HH", short, 60, 0, 0)  # e_shnum, e_shstrndx
    return bytes(short)


_ELF_64_LITTLE, _ELF_HEADER = b"\x7fELF\x02\x01", 64

if __name__ == "__main__":
    main(sys.argv[1])
