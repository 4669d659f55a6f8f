"""In the build: make /opt/skerry from the wheels of the context. `install.py agent|host`, run by the Dockerfile alone.

Two runs on the same context make the same files: modules are compiled here, by content and not by time, since nothing can be
written where they run; and every file has the time SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import os
import shutil
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
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    compiled = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(TREE / "lib")]
    subprocess.run([str(TREE / "bin" / "python"), *compiled], check=True, env=environ)
    when = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for path in [TREE, *TREE.rglob("*")]:
        os.utime(path, (when, when), follow_symlinks=False)


main(sys.argv[1])
