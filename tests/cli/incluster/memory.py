"""Secrets in memory, which the suite of `contract.py` holds against a real cluster's; and Secrets that are cut at a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from skerry.cli.incluster.secrets import Secret


class Cut(Exception):
    """The process was killed here."""


class MemorySecrets:
    """The Secrets of one cluster."""

    def __init__(self, uid: str = "uid-of-kube-system", annotations: Mapping[str, str] | None = None) -> None:
        self.uid, self.annotations = uid, dict(annotations or {})
        self.secrets: dict[str, Secret] = {}
        self.balancers: dict[str, tuple[str, ...]] = {}
        self.written: list[str] = []
        self._version = 0

    async def get(self, name: str) -> Secret | None:
        await asyncio.sleep(0)  # others may come between
        return self.secrets.get(name)

    async def create(self, name: str, files: Mapping[str, bytes]) -> bool:
        await asyncio.sleep(0)
        if name in self.secrets:
            return False
        self._put(name, files)
        return True

    async def replace(self, name: str, files: Mapping[str, bytes], version: str) -> bool:
        await asyncio.sleep(0)
        if name not in self.secrets or self.secrets[name].version != version:
            return False
        self._put(name, files)
        return True

    async def kube_system(self) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        return {"uid": self.uid, "annotations": self.annotations}

    async def balanced(self, service: str) -> tuple[str, ...] | None:
        await asyncio.sleep(0)
        return self.balancers.get(service)

    def _put(self, name: str, files: Mapping[str, bytes]) -> None:
        self._version += 1
        self.secrets[name] = Secret(dict(files), str(self._version))
        self.written.append(name)


class CutSecrets:
    """Secrets of which only so many calls are made: the next one ends the process, before it is carried out or behind it."""

    def __init__(self, secrets: MemorySecrets, calls: int, *, behind: bool) -> None:
        self._secrets, self._left, self._behind = secrets, calls, behind

    async def get(self, name: str) -> Secret | None:
        found: Secret | None = await self._counted(self._secrets.get(name))
        return found

    async def create(self, name: str, files: Mapping[str, bytes]) -> bool:
        return bool(await self._counted(self._secrets.create(name, files)))

    async def replace(self, name: str, files: Mapping[str, bytes], version: str) -> bool:
        return bool(await self._counted(self._secrets.replace(name, files, version)))

    async def kube_system(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._counted(self._secrets.kube_system())
        return answer

    async def balanced(self, service: str) -> tuple[str, ...] | None:
        answer: tuple[str, ...] | None = await self._counted(self._secrets.balanced(service))
        return answer

    async def _counted(self, call: Any) -> Any:
        self._left -= 1
        if self._left >= 0:
            return await call
        if self._behind:
            await call
        else:
            call.close()
        raise Cut
