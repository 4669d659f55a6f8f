"""Charts of the shapes in use, made from `charts/`, and what must hold of each on a cluster after every step.

The values of each have a `color`, so that a step is seen in what runs; a chart's version is put in when it is packed.
"""

from __future__ import annotations

import json
import re
import shlex
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.appstore.charts import packed
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

CHARTS = Path(__file__).parent / "charts"
_VERSION = re.compile(r"^version: 0\.0\.0$", re.MULTILINE)


def chart(name: str, version: str) -> bytes:
    """The package of a chart of `charts/` in a version."""
    directory = CHARTS / name
    files = {str(path.relative_to(CHARTS)): path.read_text() for path in sorted(directory.rglob("*")) if path.is_file()}
    own = f"{name}/Chart.yaml"
    return packed({own: _VERSION.sub(f"version: {version}", files.pop(own)), **files})


class Place(NamedTuple):
    """A release on a cluster: its name is its namespace's."""

    member: Member
    name: str

    def get(self, kind: str, name: str = "") -> Any:
        """An object, None if it is not there; without a name all of the kind in the namespace."""
        chosen = ("-n", self.name, "get", kind, *filter(None, (name,)), "--ignore-not-found", "-o", "json")
        text = self.member.kubectl(*chosen)
        if not text.strip():
            return None if name else []
        found = json.loads(text)
        return found if name else found["items"]

    def pods(self) -> list[Any]:
        """The pods that run and stay."""
        every = [each for each in self.get("pods") if "deletionTimestamp" not in each["metadata"]]
        return [each for each in every if each["status"]["phase"] == "Running"]

    def run(self, line: str) -> None:
        """Run a line that says kubectl on the cluster itself."""
        program, *words = shlex.split(line)
        assert program == "kubectl"
        self.member.kubectl(*words)


class Shape(Protocol):
    """A chart, and what is to hold of it. What is not said below holds of all: it is healthy, and Helm knows it."""

    name: str
    leaves: tuple[str, ...] = ()
    """The last words of the commands that delete what an uninstallation leaves, besides the namespace."""

    def prepare(self, place: Place) -> None:
        """What a cluster needs before the installation."""

    @abstractmethod
    def check(self, place: Place, color: str) -> None:
        """After each step."""

    def installed(self, host: Host) -> None:
        """On the host, after the installation."""

    def uninstalled(self, place: Place) -> None:
        """After the uninstallation, before what it left is deleted."""


class Web(Shape):
    """Its replicas are the autoscaler's: two, whatever upgrades do."""

    name = "web"

    def check(self, place: Place, color: str) -> None:
        def scaled() -> bool:
            return bool(place.get("deployment", place.name)["status"].get("availableReplicas") == 2)

        if (
            place.get("deployment", place.name)["metadata"]["generation"] < 3
        ):  # the first step: it is looked at every 15 s
            eventually(scaled, "the autoscaler has its two", 60)
        deployment = place.get("deployment", place.name)
        assert deployment["spec"]["replicas"] == 2, "no step takes what the autoscaler set"
        assert deployment["spec"]["template"]["metadata"]["annotations"]["color"] == color
        assert len(place.pods()) == 2
        assert place.get("service", place.name)["spec"]["clusterIP"]


class Database(Shape):
    """Its volume outlives upgrades and the uninstallation."""

    name = "database"
    leaves = ("app=database",)

    def prepare(self, place: Place) -> None:
        place.member.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": place.name},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1Mi"},
                    "hostPath": {
                        "path": f"{place.member.kubeconfig.parent}/volume-{place.name}",
                        "type": "DirectoryOrCreate",
                    },
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": place.name,
                },
            }
        )

    def check(self, place: Place, color: str) -> None:
        (pod,) = place.pods()
        assert pod["metadata"]["annotations"]["color"] == color
        born = place.member.kubectl("-n", place.name, "exec", pod["metadata"]["name"], "--", "cat", "/data/born")
        assert born == b"blue\n", "what the first pod wrote is there"

    def uninstalled(self, place: Place) -> None:
        (claim,) = place.get("persistentvolumeclaims")
        assert claim["status"]["phase"] == "Bound"
        assert place.get("statefulset") == []


class Watcher(Shape):
    """Its pods may read pods in their namespace, and nothing else."""

    name = "watcher"

    def check(self, place: Place, color: str) -> None:
        (pod,) = place.pods()
        assert pod["metadata"]["annotations"]["color"] == color
        assert pod["spec"]["serviceAccountName"] == place.name
        assert place.get("daemonset", place.name)["status"]["numberReady"] == 1
        assert [self._may(place, what) for what in ("pods", "secrets")] == [True, False]

    @staticmethod
    def _may(place: Place, what: str) -> bool:
        account = f"--as=system:serviceaccount:{place.name}:{place.name}"
        asked = place.member.kubectl_command("-n", place.name, "auth", "can-i", "list", what, account)
        return place.member.run_inside(asked).stdout.strip() == b"yes"


class Widgets(Shape):
    """Its CRD outlives it."""

    name = "widgets"
    leaves = ("widgets.shapes.example.org",)

    def check(self, place: Place, color: str) -> None:
        assert place.get("widgets.shapes.example.org", place.name)["spec"]["color"] == color

    def uninstalled(self, place: Place) -> None:
        assert place.get("customresourcedefinition", "widgets.shapes.example.org")
        assert place.get("widgets.shapes.example.org") == []


class Guard(Shape):
    """Its Jobs ran in their order, and its webhook is asked."""

    name = "guard"
    leaves = tuple(
        f"guard-{each}"
        for each in (
            "post-delete",
            "post-install",
            "post-upgrade",
            "pre-install-first",
            "pre-install-second",
            "pre-upgrade",
        )
    )

    def check(self, place: Place, color: str) -> None:
        times = list(self._times(place))
        assert times == sorted(times), times
        upgrades = [place.get("job", f"{place.name}-{event}-upgrade") for event in ("pre", "post")]
        if all(upgrades):
            assert [each["metadata"]["annotations"]["color"] for each in upgrades] == [color, color]
            before, after = upgrades
            assert before["status"]["completionTime"] <= after["metadata"]["creationTimestamp"]
        eventually(lambda: self._is_asked(place), "the webhook is asked", 15)

    @staticmethod
    def _times(place: Place) -> Iterator[str]:
        """When each step of the installation began and ended."""
        for part in ("pre-install-first", "pre-install-second", "", "post-install"):
            if not part:
                yield place.get("configmap", place.name)["metadata"]["creationTimestamp"]
                continue
            job = place.get("job", f"{place.name}-{part}")
            yield job["metadata"]["creationTimestamp"]
            yield job["status"]["completionTime"]

    @staticmethod
    def _is_asked(place: Place) -> bool:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "guarded-"}}
        manifest["metadata"] |= {"labels": {"guarded-by": place.name}}  # type: ignore[operator]
        command = place.member.kubectl_command("-n", place.name, "create", "-f", "-")
        return b"failed calling webhook" in place.member.run_inside(command, stdin=json.dumps(manifest).encode()).stderr

    def uninstalled(self, place: Place) -> None:
        jobs = {each["metadata"]["name"] for each in place.get("jobs")}
        assert f"{place.name}-pre-delete" not in jobs, "it is deleted when it has succeeded"
        assert place.get("job", f"{place.name}-post-delete")["status"]["succeeded"] == 1
        assert not self._is_asked(place)


class Twins(Shape):
    """One subchart is there twice, each time with values of its own."""

    name = "twins"

    def check(self, place: Place, color: str) -> None:
        assert place.get("configmap", place.name)["data"]["color"] == color
        sides = {each["metadata"]["labels"]["app"]: each["metadata"]["annotations"]["side"] for each in place.pods()}
        assert sides == {f"{place.name}-left": "port", f"{place.name}-right": "starboard"}


class Strict(Shape):
    """Values that its schema does not take are refused; its notes are told."""

    name = "strict"

    def installed(self, host: Host) -> None:
        state = json.loads(host.ok("app", "status", self.name, "-o", "json"))
        assert [each["status"]["notes"] for each in state["instances"]] == [f"{self.name} is blue.\n"] * 2
        assert json.loads(host.ok("app", "show", self.name, "--schema"))["required"] == ["image", "color"]
        refused = host.skerry("app", "upgrade", self.name, "--set", "color=purple", "--wait", "30s")
        assert refused.returncode == 1
        assert "'/color': value must be one of 'blue', 'red'" in refused.stderr, refused.stderr
        assert json.loads(host.ok("app", "status", self.name, "-o", "json"))["release"]["status"]["revision"] == 1

    def check(self, place: Place, color: str) -> None:
        (pod,) = place.pods()
        assert pod["metadata"]["annotations"]["color"] == color


class Lasting(Shape):
    """Its password is made once."""

    name = "lasting"

    def __init__(self) -> None:
        self._passwords: dict[str, str] = {}

    def installed(self, host: Host) -> None:
        """What would change is rendered without a look at the cluster: it says that the password would, and is masked."""
        differs = host.skerry("app", "diff", self.name, "--all", "--exit-code")
        assert differs.returncode == 10, differs.stderr
        changed = [line for line in differs.stdout.splitlines() if line.startswith(("+ ", "- "))]
        assert changed == ["-  password: <masked, before>", "+  password: <masked, after>"] * len(self._passwords)

    def check(self, place: Place, color: str) -> None:
        secret = place.get("secret", place.name)
        assert secret["metadata"]["annotations"]["color"] == color
        assert self._passwords.setdefault(place.member.name, secret["data"]["password"]) == secret["data"]["password"]
        assert len(place.pods()) == 1


SHAPES: dict[str, type[Shape]] = {
    each.name: each for each in (Web, Database, Watcher, Widgets, Guard, Twins, Strict, Lasting)
}
