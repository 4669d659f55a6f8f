"""Looking into packages: what is in one, whether it can be installed, and what it does with its default values.

Uploads are looked into at once, what is submitted for review before it is passed, and anything else when somebody wants to read or
install it first: to list a repository no package is fetched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from hashlib import sha256
from typing import Any

import msgspec

from services.appstore.helm.engine import Engine, HelmError, RenderRequest
from services.appstore.helm.lookup import Lookup
from services.appstore.helm.rooms import directory
from services.appstore.helm.slots import Slots
from services.appstore.inspect.client import read_package, read_risks
from services.appstore.metadata import ChartError
from services.appstore.package import Package
from services.appstore.packages import Packages
from skerry.api.conditions import Verdict, condition_of, new_condition, with_condition
from skerry.api.meta import Document
from skerry.errors import Conflict
from skerry.storage import Store

log = logging.getLogger("skerry.appstore")

CHECKED = "Checked"
"""Condition of an AppVersion: whether its package was looked into."""
NAMESPACE, RELEASE = "default", "release-name"
"""With which a chart is rendered for its risks, as `helm template` does."""
UNSURE = "Failed"
"""The reason of a failure that may be the chart's or the machine's: it is shown, and looked at again."""
HELD_BYTES = 4 * 1024 * 1024
"""Of packages' texts that are held for whoever reads them next."""
SMALLEST = 8 * 1024
"""What the rest of a package counts for."""


class Checks:
    """See the module."""

    def __init__(self, store: Store, packages: Packages, helm: Lookup, renders: Slots) -> None:
        self._store, self._packages, self._helm, self._renders = store, packages, helm, renders
        self._held: OrderedDict[str, Package] = OrderedDict()
        """By digest, the last read last."""

    async def package(self, version: Document) -> Package:
        """What is in the package of an AppVersion. Conflict, with the rule, for one that is refused; StatusError."""
        held = self._held.get(_digest(version))
        try:
            return _as_listed(version, held) if held else await self._read(version, await self._packages.get(version))
        except ChartError as error:
            raise Conflict(f"{version['metadata']['name']}: {error.reason}: {error}") from error

    async def content(self, version: Document) -> bytes:
        """The package of an AppVersion, which was looked into: Helm sees no other. ChartError for one that is refused; StatusError."""
        content = await self._packages.get(version)
        await self._read(version, content)
        return content

    async def _read(self, version: Document, content: bytes) -> Package:
        """ChartError also for another chart, or version, than was listed."""
        digest = "sha256:" + sha256(content).hexdigest()
        package = self._held.get(digest) or await read_package(content)
        self._held[digest] = package
        self._held.move_to_end(digest)
        while sum(map(_size, self._held.values())) > HELD_BYTES and len(self._held) > 1:
            self._held.popitem(last=False)
        return _as_listed(version, package)

    async def check(self, name: str, namespace: str) -> None:
        """Look into a version's package and say in its status what is there. NotFound; StatusError where that cannot be done now,
        and after the problem was said where Helm failed for a reason that may be none of the chart's.
        """
        version = (await self._store.get(name, namespace)).document()
        try:
            content = await self._packages.get(version)
            package = await self._read(version, content)
            contents: Document = {**described(package, len(content)), "risks": await self._risks(content, namespace)}
            problem = None
        except ChartError as error:
            contents, problem = {}, {"reason": error.reason, "message": str(error)}
        except HelmError as error:
            if error.reason == "EngineMissing":
                raise Conflict(str(error)) from error
            contents = described(package, len(content))
            problem = {"reason": error.reason, "message": str(error)}
        log.info("looked into a package", extra={"version": f"{namespace}/{name}", "problem": problem})
        digest = _digest(version)

        def changed(document: Document) -> Document | None:
            """None also where another package took this one's place meanwhile: it is looked into by itself."""
            return checked(document, contents, problem, time.time()) if _digest(document) == digest else None

        await self._store.modify(name, changed, namespace)
        if problem and problem["reason"] == UNSURE:
            raise Conflict(f"{name}: {problem['message']}")

    async def _risks(self, content: bytes, namespace: str) -> list[Document]:
        """HelmError; none without an engine, which condition HelmReady tells."""
        engine, _ = await self._helm.engine()
        if engine is None:
            return []
        async with self._renders.slot(namespace, engine.data):
            return await rendered_risks(engine, content)


async def rendered_risks(engine: Engine, content: bytes) -> list[Document]:
    """What a package does with its default values. HelmError."""
    with directory() as own:
        chart, manifest = own / "chart.tgz", own / "manifest.yaml"
        await asyncio.to_thread(chart.write_bytes, content)
        await engine.template(RenderRequest(chart=chart, release=RELEASE, namespace=NAMESPACE), manifest)
        every = await read_risks(manifest, NAMESPACE)
    return [{"type": each.type, "objects": list(each.objects), "count": each.total} for each in every]


def described(package: Package, size: int) -> Document:
    """What a version's status says of its package. Pure."""
    texts = {"readme": package.readme, "values": package.values, "schema": package.schema}
    return {
        "digest": package.digest,
        "size": size,
        "stored": True,
        "chart": msgspec.to_builtins(package.chart),
        "files": sorted(name for name, text in texts.items() if text),
    }


def checked(document: Document, contents: Document, problem: Document | None, now: float) -> Document | None:
    """A version after its package was looked into; None if nothing changed, or it is still not sure what is wrong. Pure."""
    if problem and problem["reason"] == UNSURE == condition_of(document, CHECKED).reason:
        return None
    status: dict[str, Any] = {**(document.get("status") or {}), **contents}
    status.pop("problem", None)
    if problem:
        status["problem"] = problem
    verdict = (
        Verdict("False", problem["reason"], problem["message"][:1024])
        if problem
        else Verdict("True", "Checked", "its package was looked into, and can be installed")
    )
    status["conditions"] = with_condition(status.get("conditions") or [], new_condition(CHECKED, verdict, now))
    return None if status == document.get("status") else {**document, "status": status}


def is_due(document: Document) -> bool:
    """True of a version that is to be looked into though nobody reads or installs it: an upload, what is under
    review, and what could not be submitted yet because its repository tells no digest. Pure."""
    status = document.get("status") or {}
    if condition_of(document, CHECKED).reason not in ("", UNSURE):
        return False
    phase = status.get("phase", "Draft")
    return bool(status.get("uploaded")) or phase == "Submitted" or (phase == "Draft" and not status.get("digest"))


def _as_listed(version: Document, package: Package) -> Package:
    """ChartError for another chart, or version, than was listed; of a version that is gone nobody knows what was."""
    spec = version.get("spec") or {}
    if spec and (package.chart.name, package.chart.version) != (spec.get("chart"), spec.get("version")):
        raise ChartError(
            "NotAsListed",
            f"its Chart.yaml says {package.chart.name} {package.chart.version}, and {spec.get('chart')} {spec.get('version')} "
            "was listed",
        )
    return package


def _digest(version: Document) -> str:
    return str((version.get("status") or {}).get("digest", ""))


def _size(package: Package) -> int:
    return SMALLEST + len(package.readme) + len(package.values) + len(package.schema)
