"""Which Helm there is: the one that SKERRY_HELM names, on PATH, in the cache of built programs, or as a Python package.

The first that is new enough is taken; one that is named and is not is refused, not passed over. It is looked at again when the
file is another one, so an administrator who installs Helm need not restart anything.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import Engine, EngineName, HelmError
from services.appstore.helm.jail import Wall, walls
from services.appstore.helm.rooms import sweep
from services.appstore.helm.sdk import Sdk

OLDEST = (4, 2, 2)
"""4.2.1 waits out the whole time when a hook is deleted; before 4.1.4 a chart writes outside of its directory (CVE-2026-35206)."""
HOW = (
    "install helm 4.2.2 or newer (https://helm.sh/docs/intro/install/) so that it is on PATH, name it in SKERRY_HELM, "
    "or pip install 'skerry[helm]'"
)
SDK = "helm_python"
StateReason: TypeAlias = Literal["Ready", "NotFound", "TooOld", "Unusable"]


@dataclass(frozen=True, kw_only=True)
class HelmState:
    """The engine that is used, for condition HelmReady."""

    engine: EngineName | None
    version: str = ""
    path: str = ""
    walls: tuple[Wall, ...] = ()
    reason: StateReason = "Ready"
    message: str = ""

    @property
    def ready(self) -> bool:
        """True if there is one."""
        return self.reason == "Ready"


class Lookup:
    """Finds the engine, and finds it again after it changed."""

    def __init__(
        self,
        make: Callable[[Path], Engine] = CommandLine,
        *,
        sdk: Callable[[], Engine] | None = Sdk,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`make`: the engine for a program. `sdk`: that of the Python package; None: it is not used."""
        sweep()
        self._make, self._sdk, self._environ = make, sdk, environ
        self._seen: tuple[object, ...] = ()
        self._answer: tuple[Engine | None, HelmState] = (None, HelmState(engine=None, reason="NotFound", message=HOW))

    async def engine(self) -> tuple[Engine | None, HelmState]:
        """The engine, and what it is; None where there is none that can be used. Cheap while no file changed."""
        candidates = tuple(_candidates(self._environ))
        seen = (*((path, _stamp(path)) for path, _ in candidates), self._sdk and _sdk_is_there())
        if seen != self._seen:
            self._answer, self._seen = await self._look(candidates), seen
        return self._answer

    async def required(self) -> Engine:
        """The engine. HelmError EngineMissing, which says how to get one."""
        engine, state = await self.engine()
        if engine is None:
            raise HelmError("EngineMissing", state.message)
        return engine

    async def _look(self, candidates: tuple[tuple[Path, bool], ...]) -> tuple[Engine | None, HelmState]:
        refusals = []
        for path, named in candidates:
            engine, state = await self._tried(path)
            if state.ready:
                return engine, state
            refusals.append(state)
            if named:
                return None, state
        if self._sdk is not None and _sdk_is_there():
            return await self._tried_sdk(self._sdk())
        return None, refusals[0] if refusals else HelmState(
            engine=None, reason="NotFound", message=f"no helm was found: {HOW}"
        )

    async def _tried(self, path: Path) -> tuple[Engine | None, HelmState]:
        engine = self._make(path)
        try:
            version = await engine.version()
        except HelmError as error:
            return None, HelmState(engine=None, path=str(path), reason="Unusable", message=f"{error}; {HOW}")
        if not new_enough(version):
            message = f"{path} is helm {version}, and helm 4.2.2 or a newer 4 is needed: {HOW}"
            return None, HelmState(engine=None, version=version, path=str(path), reason="TooOld", message=message)
        message = f"helm {version} at {path}"
        return engine, HelmState(engine="commandline", version=version, path=str(path), walls=walls(), message=message)

    async def _tried_sdk(self, engine: Engine) -> tuple[Engine | None, HelmState]:
        try:
            version = await engine.version()
        except HelmError as error:
            return None, HelmState(engine=None, reason="Unusable", message=f"{error}; {HOW}")
        message = f"helm-python-sdk {version}, which cannot skip hooks or CRDs, nor take fields of others"
        return engine, HelmState(engine="sdk", version=version, walls=walls(), message=message)


def new_enough(version: str) -> bool:
    """True for a Helm 4 from 4.2.2 on. One that was built without a full version says `4.3` alone: then that decides."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(-)?", version)
    if match is None:
        return False
    numbers = tuple(int(each or 0) for each in match.groups()[:3])
    return numbers[0] == OLDEST[0] and numbers >= OLDEST and not (numbers == OLDEST and match[4])


def cached(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Helms that the tests' tools have built into Skerry's cache, the newest first."""
    xdg = environ.get("XDG_CACHE_HOME")
    chosen = environ.get("SKERRY_CACHE")
    cache = Path(chosen).expanduser() if chosen else (Path(xdg) if xdg else Path.home() / ".cache") / "skerry"
    built = (path for path in (cache / "clients").glob("helm-4-*") if os.access(path, os.X_OK))
    yield from sorted(built, key=lambda path: [int(each) for each in re.findall(r"\d+", path.name)], reverse=True)


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[Path, bool]]:
    """Where Helm may be, and whether that was said: then nothing else will do."""
    if named := environ.get("SKERRY_HELM"):
        yield Path(named).expanduser().absolute(), True
        return
    if on_path := shutil.which("helm", path=environ.get("PATH", os.defpath)):
        yield Path(on_path).resolve(), False
    for path in cached(environ):
        yield path, False


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def _sdk_is_there() -> bool:
    return importlib.util.find_spec(SDK) is not None
