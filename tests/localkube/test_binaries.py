"""Finding binaries: which place wins, and what is said when there is none. Programs are small shell scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from skerry.localkube import binaries
from skerry.localkube.errors import BinaryMissing, BuildFailed

_GO_THAT_BUILDS = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
directory=$2
shift 2
for package; do printf '#!/bin/sh\\n' > "$directory/${package##*/}" && chmod +x "$directory/${package##*/}"; done
echo k8s.io/kubernetes/pkg/api >&2
echo built >> "$SKERRY_CACHE/calls"
"""
_GO_THAT_FAILS = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo half > "$2/kube-apiserver"; shift; done
echo 'go: download failed: no such host' >&2
exit 1
"""


class Machine:
    """An environment of its own: a PATH, a cache, and what is put there."""

    def __init__(self, directory: Path) -> None:
        self.bin, self.assets, self.cache = directory / "bin", directory / "assets", directory / "cache"
        for each in (self.bin, self.assets, self.cache):
            each.mkdir()
        self.lines: list[str] = []

    @property
    def environ(self) -> Mapping[str, str]:
        path = f"{self.bin}:/usr/bin:/bin"
        return {"PATH": path, "KUBEBUILDER_ASSETS": str(self.assets), "SKERRY_CACHE": str(self.cache)}

    @property
    def bare_environ(self) -> Mapping[str, str]:
        """The same with nothing on PATH but what a test puts there."""
        return {**self.environ, "PATH": str(self.bin)}

    @property
    def built(self) -> Path:
        return binaries.cache_dir(self.environ) / binaries.kubernetes_version()

    def put(self, path: Path, content: str = "#!/bin/sh\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
        return path

    def obtain(self, *names: str) -> dict[str, Path]:
        return binaries.obtain(names, progress=self.lines.append, environ=self.environ)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_assets_win_over_the_cache(machine: Machine) -> None:
    machine.put(machine.built / "kube-apiserver")
    expected = machine.put(machine.assets / "kube-apiserver")
    assert binaries.find("kube-apiserver", machine.environ) == expected


def test_the_cache_is_found_where_assets_have_none(machine: Machine) -> None:
    expected = machine.put(machine.built / "kube-apiserver")
    assert binaries.find("kube-apiserver", machine.environ) == expected


def test_a_file_that_cannot_be_run_is_not_found(machine: Machine) -> None:
    machine.put(machine.built / "kube-apiserver").chmod(0o644)
    assert binaries.find("kube-apiserver", machine.environ) is None


def test_kubectl_on_path_is_the_users_choice(machine: Machine) -> None:
    expected = machine.put(machine.bin / "kubectl")
    assert binaries.kubectl(environ=machine.environ) == expected


def test_tests_prefer_the_wheels_kubectl(machine: Machine) -> None:
    machine.put(machine.bin / "kubectl")
    assert binaries.kubectl(prefer_wheel=True, environ=machine.environ).parent != machine.bin


def test_the_wheels_etcd_is_the_binary_and_not_its_launcher(machine: Machine) -> None:
    found = binaries.find("etcd", machine.bare_environ)
    assert found is not None
    assert found.read_bytes()[:2] != b"#!"


def test_a_plan_says_what_would_be_built_and_how_long_it_takes(machine: Machine) -> None:
    machine.put(machine.bin / "go")
    machine.put(machine.built / "kubelet")
    plan = binaries.plan(["kubelet", "kube-apiserver"], machine.environ)
    assert (plan.to_build, list(plan.found), plan.missing) == (("kube-apiserver",), ["kubelet"], {})
    assert plan.expected_minutes >= 1


def test_without_go_the_error_names_what_is_missing_and_how_to_get_it(machine: Machine) -> None:
    with pytest.raises(BinaryMissing, match=r"kube-apiserver not found.*install Go.*KUBEBUILDER_ASSETS") as caught:
        binaries.obtain(["kube-apiserver"], progress=machine.lines.append, environ=machine.bare_environ)
    assert caught.value.exit_code == 4


def test_building_says_so_first_and_is_done_once(machine: Machine) -> None:
    machine.put(machine.bin / "go", _GO_THAT_BUILDS)
    first = machine.obtain("kube-apiserver", "kubelet")
    assert machine.obtain("kube-apiserver", "kubelet") == first
    assert machine.lines[0].startswith("building kube-apiserver, kubelet 1.")
    assert "minutes, once per machine" in machine.lines[0]
    assert all(path.is_file() for path in first.values())


def test_what_is_missing_is_built_in_one_run_that_shares_its_packages(machine: Machine) -> None:
    machine.put(machine.bin / "go", _GO_THAT_BUILDS)
    machine.put(machine.built / ".building.killed" / "kube-apiserver")
    machine.obtain("kube-apiserver", "kube-controller-manager")
    assert {path.name for path in machine.built.iterdir()} == {".lock", "kube-apiserver", "kube-controller-manager"}
    assert (machine.cache / "calls").read_text() == "built\n"


def test_a_failed_build_leaves_nothing_and_says_why(machine: Machine) -> None:
    machine.put(machine.bin / "go", _GO_THAT_FAILS)
    with pytest.raises(BuildFailed, match="no such host"):
        machine.obtain("kube-apiserver")
    assert {path.name for path in machine.built.iterdir()} == {".lock"}


def test_the_cache_is_deleted_as_a_whole_and_named(machine: Machine) -> None:
    machine.put(machine.built / "kubelet")
    assert binaries.clean_cache(machine.environ) == machine.cache / "kube"
    assert binaries.clean_cache(machine.environ) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SKERRY_CACHE": "/somewhere"}, Path("/somewhere/kube")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/skerry/kube")),
        ({}, Path.home() / ".cache" / "skerry" / "kube"),
    ],
)
def test_the_cache_lies_outside_the_tree(environ: dict[str, str], expected: Path) -> None:
    assert binaries.cache_dir(environ) == expected
