"""Charts of the shapes in use, from their first version to what they leave, on members with a node: one behind its agent, one direct.

After each step Helm 3 and 4 look at the release with the member's own kubeconfig; then each of them upgrades it by hand, Skerry says
what it sees, and its next upgrade is one like any other. What each saw is written as a table to the file that SKERRY_SHAPES_RESULT
names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federation import Host
from tests.e2e.releasing import Installed, helm
from tests.e2e.shapes import SHAPES, Place, Shape, chart
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(900)]

COLUMNS = (
    "shape", "member", "by hand", "install", "upgrade", "rollback", "hand", "Skerry says", "next upgrade", "leaves",
)  # fmt: skip
HEAD = """# Charts of the shapes in use, beside Helm by hand

Written by `tests/e2e/test_chart_shapes.py` (`SKERRY_SHAPES_RESULT=bench/results/shapes.md make soak`). Member `one` is behind its agent, `two`
direct; both have a node, in a network namespace of their own. A cell is the revision and chart that Helm 3.22 and Helm 4.3 both listed on
the member after that step, with its history and values; what runs was looked at too (`tests/e2e/shapes.py`). `hand`: that Helm upgraded it
there. `leaves`: the last words of the lines that `skerry app uninstall` printed, besides the namespace's; they were run, and nothing was
left.
"""
WAIT = ("--wait", "3m")
STAYS_DEADLINE_S = 100


class Transcript:
    """What was seen, a row for each shape, member and Helm."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """One row."""
        self._rows.append(cells)

    def write(self) -> None:
        """Into the file, instead of the rows that it has of these shapes."""
        if self._path is None or not self._rows:
            return
        there = self._path.read_text().splitlines() if self._path.exists() else []
        rows = {name: [each for each in there if each.startswith(f"| {name} ")] for name in SHAPES}
        for name in {row[0] for row in self._rows}:
            rows[name] = [f"| {' | '.join(row)} |" for row in self._rows if row[0] == name]
        lines = [
            HEAD,
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *(each for name in rows for each in rows[name]),
        ]
        self._path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def transcript() -> Iterator[Transcript]:
    """Of this run."""
    made = Transcript(os.environ.get("SKERRY_SHAPES_RESULT", ""))
    yield made
    made.write()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, member_one: Member, member_two: Member) -> Iterator[Host]:
    """A host with the App Store on and members `one`, behind its agent, and `two`, direct; both have a node."""
    addresses = (member_one.host_address,) if member_one.isolated else ()
    with ExitStack() as opened:
        opened.enter_context(member_two.reachable())
        made = opened.enter_context(Host(tmp_path_factory.mktemp("shapes"), addresses))
        made.up()
        made.join(member_one, "one")
        made.members["two"] = member_two
        made.ok("cluster", "join", "two", "--direct", "--kubeconfig", str(member_two.kubeconfig))
        made.wait_ready("two")
        made.ok("app", "store", "enable")
        yield made
        for name in ("one", "two"):
            made.ok("cluster", "remove", name)


class Story:
    """One release of a shape on both members."""

    def __init__(self, host: Host, shape: Shape, places: Mapping[str, Place], helms: Mapping[str, Path]) -> None:
        self.host, self.shape, self.places, self.helms = host, shape, places, helms
        self.looks = list(product(places.values(), helms.values()))
        """Which Helm looks where."""
        self.name = shape.name
        self.installed = Installed(host, self.name)
        self.revision = 0
        """Helm's."""

    def skerry(self, *words: str) -> dict[str, Any]:
        """A command that ends with the instances: all of them healthy."""
        state: dict[str, Any] = json.loads(self.host.ok("app", *words, *WAIT, "-o", "json"))
        assert {each["status"]["phase"] for each in state["instances"]} == {"Deployed"}
        return state

    def push(self, version: str, directory: Path) -> None:
        """A version of the chart."""
        self.host.ok("app", "push", str(self.packed(version, directory)))

    def packed(self, version: str, directory: Path) -> Path:
        """Its package as a file."""
        path = directory / f"{self.name}-{version}.tgz"
        path.write_bytes(chart(self.name, version))
        return path

    def checked(self, version: str, color: str) -> str:
        """That a step of everybody's is done: on each member it runs so, and both Helms say so. What they say."""
        self.revision += 1
        for place in self.places.values():
            self.shape.check(place, color)
        for place, program in self.looks:
            self._seen(program, place, version, color)
        return f"{self.revision} {self.name}-{version}"

    def _seen(self, program: Path, place: Place, version: str, color: str) -> None:
        def ask(*words: str) -> Any:
            return helm(program, place.member, *words, "-n", place.name, "-o", "json")

        (listed,) = ask("list")
        now = {"chart": f"{self.name}-{version}", "status": "deployed"}
        assert now.items() <= listed.items()
        assert str(listed["revision"]) == str(self.revision)
        *before, last = ask("history", place.name)
        assert now.items() <= last.items()
        assert [each["status"] for each in before] == ["superseded"] * (self.revision - 1)
        assert ask("get", "values", place.name) == ({"color": color} if color != "blue" else None)

    def by_hand(self, program: str, package: Path, version: str, color: str) -> str:
        """Somebody upgrades it on the members. What they made of it."""
        for place in self.places.values():
            words = ("upgrade", place.name, str(package), "-n", place.name, "--set", f"color={color}")
            helm(self.helms[program], place.member, *words, "--wait", "--timeout", "60s")
        return self.checked(version, color)

    def told(self, version: str) -> str:
        """What Skerry says of that, as soon as it has looked."""
        for cluster in self.places:
            status = self.installed.until(
                cluster, lambda each: each["helm"]["revision"] == self.revision, "it is seen", STAYS_DEADLINE_S
            )
            assert status["helm"]["chart"] == f"{self.name}-{version}"
            assert (status["phase"], status["health"]) == ("Deployed", "Healthy")
            assert (
                f"somebody ran helm on {cluster}: its revision {self.revision} is {self.name}-{version}"
                in (status["message"])
            )
        return f"Helm's {self.revision}, by somebody"

    def uninstalled(self) -> str:
        """It is gone, and what stays goes with the lines that are printed."""
        done = self.host.skerry("app", "uninstall", self.name, *WAIT)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert sorted(line.split()[-1] for line in lines) == sorted((*self.shape.leaves, self.name)), done.stdout
        if lines:
            assert "on one, two: " in done.stderr
        for place in self.places.values():
            for program in self.helms.values():
                assert helm(program, place.member, "list", "-n", place.name, "-o", "json") == []
            self.shape.uninstalled(place)
            assert place.get("secrets") == []
            for line in lines:
                place.run(line)
            assert place.get("namespace", place.name) is None
        return ", ".join(self.shape.leaves) or "nothing"


@pytest.fixture
def story(
    request: pytest.FixtureRequest, host: Host, member_one: Member, member_two: Member, helms: Mapping[str, Path]
) -> Iterator[Story]:
    """Of the shape that the test names."""
    shape = SHAPES[request.param]()
    places = {name: Place(member, shape.name) for name, member in (("one", member_one), ("two", member_two))}
    for place in places.values():
        shape.prepare(place)
    yield Story(host, shape, places, helms)
    for place in places.values():
        place.member.kubectl("delete", "persistentvolume", shape.name, "--ignore-not-found", "--wait=false")


def _installed(story: Story, directory: Path) -> str:
    story.push("1.0.0", directory)
    clusters = [part for name in story.places for part in ("--cluster", name)]
    story.skerry("install", story.name, story.name, *clusters, "-n", story.name, "--create-namespace")
    said = story.checked("1.0.0", "blue")
    story.shape.installed(story.host)
    return said


def _upgraded(story: Story, version: str, color: str, directory: Path) -> str:
    story.push(version, directory)
    change = ("--version", version, "--set", f"color={color}")
    diff = story.host.skerry("app", "diff", story.name, *change, "--all", "--exit-code")
    assert diff.returncode == 10, diff.stderr
    assert re.search(rf"^\+ *color: {color}$", diff.stdout, re.MULTILINE), diff.stdout
    story.skerry("upgrade", story.name, *change)
    return story.checked(version, color)


@pytest.mark.parametrize("story", ["database"], indirect=True)
def test_a_chart_lives_its_whole_life(story: Story, tmp_path: Path) -> None:
    """A sample of the test below: each Helm looks at one member, and nothing waits until what was done by hand is seen."""
    story.looks = list(zip(story.places.values(), story.helms.values(), strict=True))
    _installed(story, tmp_path)
    _upgraded(story, "1.1.0", "red", tmp_path)
    story.skerry("rollback", story.name)
    story.checked("1.0.0", "blue")
    story.by_hand("helm-4", story.packed("1.2.0", tmp_path), "1.2.0", "green")
    _upgraded(story, "1.3.0", "amber", tmp_path)
    story.uninstalled()


@pytest.mark.soak
@pytest.mark.parametrize("story", SHAPES, indirect=True)
def test_every_shape_on_every_member_beside_every_helm(story: Story, transcript: Transcript, tmp_path: Path) -> None:
    installed = _installed(story, tmp_path)
    upgraded = _upgraded(story, "1.1.0", "red", tmp_path)
    story.skerry("rollback", story.name)
    back = story.checked("1.0.0", "blue")
    hands = {}
    for program, ours, theirs in (("helm-4", ("1.3.0", "amber"), ("1.2.0", "green")),
                                  ("helm-3", ("1.5.0", "black"), ("1.4.0", "white"))):  # fmt: skip
        by_hand = story.by_hand(program, story.packed(theirs[0], tmp_path), *theirs)
        hands[program] = by_hand, story.told(theirs[0]), _upgraded(story, *ours, tmp_path)
    leaves = story.uninstalled()
    for member in story.places:
        for program, (by_hand, told, after) in hands.items():
            transcript.add(story.name, member, program, installed, upgraded, back, by_hand, told, after, leaves)
