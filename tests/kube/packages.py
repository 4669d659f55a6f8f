"""The system packages of the node tier, and their installation where that is wanted.

`make test` on a fresh machine does everything by itself, so as root on a machine with apt the missing packages are
listed and installed. `SKERRY_TEST_INSTALL=0` forbids it. What is decided by is the program, not the package: a Docker or
containerd that is there, from whatever source, is used and never replaced (apt runs with --no-remove).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Program -> Debian package; iptables is what containernetworking-plugins depends on.
_PROGRAMS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "iptables": "iptables",
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
}


_OTHER_TIERS = {"faketime": "faketime", "strace": "strace"}
"""Tests outside the node tier use these, and skip without them."""


class PackagesMissing(Exception):
    """System packages are missing and may not or cannot be installed; the text is the line that installs them."""


def program(name: str) -> Path | None:
    """Where a system program is; sbin is searched even when PATH lacks it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SEARCH}")
    return Path(found) if found else None


def required(name: str) -> str:
    """As `program`, but raises PackagesMissing."""
    found = program(name)
    if found is None:
        raise PackagesMissing(f"{name} is missing: {install_line([_PROGRAMS.get(name, name)])}")
    return str(found)


def cni_directory() -> Path | None:
    """The directory that has the CNI plugins which a node uses (ptp, host-local, loopback), or None."""
    plugins = ("ptp", "host-local", "loopback")
    return next((each for each in CNI_DIRECTORIES if all((each / plugin).exists() for plugin in plugins)), None)


def is_static(executable: Path) -> bool:
    """Whether a program runs alone in an image: it names no dynamic loader (its interpreter in ELF)."""
    with executable.open("rb") as handle:
        return b"/ld-linux" not in handle.read(4096)


def missing(*, everything: bool = False) -> list[str]:
    """Debian names of the packages that the node tier lacks here, sorted; `everything`: any tier."""
    wanted = _PROGRAMS | _OTHER_TIERS if everything else _PROGRAMS
    lacking = {package for name, package in wanted.items() if program(name) is None}
    busybox = program("busybox")
    if busybox is not None and not is_static(busybox):
        lacking.add("busybox-static")
    if cni_directory() is None:
        lacking.add("containernetworking-plugins")
    return sorted(lacking)


def install_line(packages: list[str]) -> str:
    """What a person would type."""
    return f"sudo apt-get install -y --no-install-recommends {' '.join(packages)}"


def ensure(say: Callable[[str], None], environ: Mapping[str, str] = os.environ, *, everything: bool = False) -> None:
    """Install what is missing, after saying what, or raise PackagesMissing with the reason and the line to type."""
    if sys.platform != "linux":
        raise PackagesMissing("a node needs Linux")
    lacking = missing(everything=everything)
    if not lacking:
        return
    refusal = _why_not_install(environ)
    if refusal:
        raise PackagesMissing(f"{refusal}: {install_line(lacking)}")
    say(f"installing system packages (SKERRY_TEST_INSTALL=0 forbids it): {' '.join(lacking)}")
    _apt("update")
    _apt("install", "-y", "--no-install-recommends", "--no-remove", *lacking)
    if still := missing(everything=everything):
        raise PackagesMissing(f"still missing after the installation: {' '.join(still)}")


def _why_not_install(environ: Mapping[str, str]) -> str | None:
    if environ.get("SKERRY_TEST_INSTALL") == "0":
        return "system packages are missing and SKERRY_TEST_INSTALL=0"
    if os.geteuid() != 0:
        return "system packages are missing and only root can install them"
    if program("apt-get") is None:
        return "system packages are missing and there is no apt here"
    return None


def _apt(*arguments: str) -> None:
    """Quiet unless it fails; services of a package are not started (policy-rc.d is the machine's business)."""
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        raise PackagesMissing(f"apt-get {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def main() -> int:
    """`python -m tests.kube.packages`: install what is missing, or say why not. Fails only where the tier is required."""
    try:
        ensure(lambda line: print(line, flush=True), everything=True)
    except PackagesMissing as error:
        print(f"tests that need them will be skipped: {error}", flush=True)
        return 1 if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
