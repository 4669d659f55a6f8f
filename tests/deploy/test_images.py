"""What the images are made from is enough, and no more; and the images themselves, built without a network."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import context as made
from deploy.docker import install
from tests.deploy import docker as dockers

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
OURS = ("skerry", "services")
EPOCH = 1_700_000_000


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context of the images."""
    path = tmp_path_factory.mktemp("images") / "context"
    made.make(path)
    return path


def reached(root: str) -> tuple[set[str], set[str]]:
    """(modules of ours, packages of others) that `root` imports, at once or later, and those import in turn."""
    ours, others, left = set[str](), set[str](), [root]
    while left:
        name = left.pop()
        path = ROOT.joinpath(*name.split("."))
        file = next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()), None)
        if name in ours or file is None:
            continue
        ours.add(name)
        for named in imported(ast.parse(file.read_text())):
            top = named.partition(".")[0]
            if top in OURS:
                left += [named.rsplit(".", depth)[0] for depth in range(named.count(".") + 1)]
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return ours, others


def imported(tree: ast.AST) -> Iterator[str]:
    """What a module imports when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            if node.module.partition(".")[0] in OURS:
                yield from (f"{node.module}.{each.name}" for each in node.names)
        else:
            yield from imported(node)


def installed(context: Path, image: str, target: Path) -> Path:
    """What an image has, in a folder."""
    flags = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        "--find-links",
        str(context / "wheels"),
    ]
    command = [sys.executable, "-m", "pip", "install", *flags, "--requirement", str(context / f"{image}.txt")]
    subprocess.run([*command, "--target", str(target)], check=True)
    return target


def test_the_agent_imports_with_nothing_else_installed(context: Path, tmp_path: Path) -> None:
    folder = installed(context, "agent", tmp_path / "agent")
    for path in folder.rglob("*.so"):
        path.write_bytes(install.stripped(path.read_bytes()))
    ours, others = reached("services.agent.__main__")
    assert len(ours) > 100
    code = f"import sys, importlib; sys.path.insert(0, {str(folder)!r})\nfor name in {sorted(ours | others)}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_agent_has_no_wheel_that_it_could_do_without(context: Path) -> None:
    _, others = reached("services.agent.__main__")
    needed = {"PyNaCl": "nacl", "nats-py": "nats", "PyYAML": "yaml"}
    wheels = [made.read(path) for path in (context / "wheels").glob("*.whl")]
    chosen = {each.name: each for each in wheels if each.name in made.AGENT}
    direct = {each.name for each in chosen.values() if needed.get(each.metadata["Name"], each.name) in others}
    assert chosen.keys() - direct == {"skerry", "cffi", "typing-extensions"}  # of PyNaCl, and of msgspec


@pytest.mark.parametrize("image", ["agent", "host"])
def test_a_bill_of_materials_names_each_wheel_with_its_digest(context: Path, image: str) -> None:
    document = json.loads((context / f"{image}.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    wheels = {each["name"]: each for each in document["components"] if each["purl"].startswith("pkg:pypi/")}
    lines = [line.split("==") for line in (context / f"{image}.txt").read_text().split()]
    assert [[name, each["version"]] for name, each in sorted(wheels.items())] == lines
    files = {made.read(path).name: path for path in (context / "wheels").glob("*.whl")}
    for name, each in wheels.items():
        digest = hashlib.sha256(files[name].read_bytes()).hexdigest()
        assert each["hashes"] == [{"alg": "SHA-256", "content": digest}]
        assert each["licenses"], f"{name} has no licence"


def test_what_the_host_s_programs_are_linked_from_is_named_too(context: Path) -> None:
    names = {each["name"] for each in json.loads((context / "host.cdx.json").read_text())["components"]}
    assert {"helm.sh/helm/v4", "github.com/nats-io/nats-server/v2", "k8s.io/client-go"} <= names
    agent = json.loads((context / "agent.cdx.json").read_text())["components"]
    assert [each for each in agent if each["purl"].startswith("pkg:golang/")] == []


def test_no_image_has_another_s_client_of_kubernetes(context: Path) -> None:
    assert not [each for each in (context / "wheels").iterdir() if each.name.startswith(("kubernetes", "aiohttp"))]


@pytest.mark.parametrize(("image", "largest_mb"), [("agent", 40), ("host", 170)])
def test_what_an_image_has_above_its_base_is_as_small_as_it_was_aimed_to_be(
    context: Path, tmp_path: Path, image: str, largest_mb: int
) -> None:
    folder = installed(context, image, tmp_path)
    for path in folder.rglob("*.so"):
        path.write_bytes(install.stripped(path.read_bytes()))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    size += (context / "helm").stat().st_size if image == "host" else 0
    assert size / 1e6 <= largest_mb


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(60), b"#!/bin/sh"])
def test_what_is_no_library_of_64_bits_stays_as_it_is(data: bytes) -> None:
    assert install.stripped(data) == data


# Built


@pytest.fixture(scope="session")
def docker() -> Iterator[dockers.Docker]:
    """A daemon."""
    try:
        with dockers.running() as daemon:
            yield daemon
    except dockers.Unavailable as error:
        if os.environ.get("SKERRY_TEST_DOCKER_REQUIRED") == "1":
            pytest.fail(f"SKERRY_TEST_DOCKER_REQUIRED=1, but: {error}", pytrace=False)
        pytest.skip(str(error))


def build(docker: dockers.Docker, context: Path, image: str, base: str) -> str:
    """Build an image anew, without a network; its id."""
    arguments = {"BASE": base, "SOURCE_DATE_EPOCH": str(EPOCH), "VERSION": "1.2.3", "REVISION": "abc"}
    flags = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    flags += ["--network=none", "--no-cache", "--quiet", "--target", image, "--file", str(DOCKERFILE)]
    return docker("build", *flags, str(context)).splitlines()[-1]


def files(archive: Path) -> dict[str, tuple[Any, ...]]:
    """What makes each file below /opt/skerry, by its name: kind, mode, owner, time, and its content's digest or its target."""
    with tarfile.open(archive) as tar:
        return {
            each.name: (
                each.type, each.mode, each.uid, each.linkname, each.isfile() and each.mtime, _digest(tar, each),
            )
            for each in tar if each.name.startswith("opt/skerry/")
        }  # fmt: skip


def _digest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = tar.extractfile(member) if member.isfile() else None
    return "" if content is None else hashlib.sha256(content.read()).hexdigest()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("image", ["agent", "host"])
def test_two_builds_of_an_image_have_the_same_files_which_root_alone_can_change(
    docker: dockers.Docker, context: Path, tmp_path: Path, image: str
) -> None:
    base = dockers.base(docker)
    trees = []
    for number in range(2):
        docker.export(build(docker, context, image, base), tmp_path / f"{number}.tar")
        trees.append(files(tmp_path / f"{number}.tar"))
    assert len(trees[0]) > 500
    assert {name for name in trees[0].keys() | trees[1].keys() if trees[0].get(name) != trees[1].get(name)} == set()
    assert [
        name for name, each in trees[0].items() if each[2] != 0 or (each[0] == tarfile.REGTYPE and each[1] & 0o022)
    ] == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_images_run_as_nobody_on_a_read_only_root(docker: dockers.Docker, context: Path) -> None:
    base = dockers.base(docker)
    agent, host = (build(docker, context, image, base) for image in ("agent", "host"))
    for image, title in ((agent, "skerry-agent"), (host, "skerry")):
        config = json.loads(docker("image", "inspect", image))[0]["Config"]
        assert config["User"] == "65532:65532"
        labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
        assert (labels["title"], labels["version"], labels["revision"]) == (title, "1.2.3", "abc")
    locked = ("run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    assert "SKERRY_OPS_LISTEN" in docker(*locked, agent, "--help")
    assert docker(*locked, host, "version").startswith("skerry ")
    assert "--address" in docker(*locked, host, "bootstrap", "--help")
    for module in ("controller_manager", "tower", "registry", "tenancy", "appstore", "events", "audit", "proxy"):
        python = ("--entrypoint", "/opt/skerry/bin/python", host, "-P", "-m", f"services.{module}", "--help")
        assert "SKERRY_BUS_SERVERS" in docker(*locked, *python)
    assert "v4." in docker(*locked, "--entrypoint", "helm", host, "version")
    assert docker(*locked, "--entrypoint", "nats-server", host, "--version").startswith("nats-server: v2.")
