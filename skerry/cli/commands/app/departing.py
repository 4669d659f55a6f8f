"""A release on its way out. What it leaves is read from every change of its instances: they go as soon as Helm is done."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.meta import Document
from skerry.cli.commands.app.instances import phase
from skerry.cli.paths import path_in, query

if TYPE_CHECKING:
    from skerry.cli.api import Api

RETRY_S = 1.0


class Departure:
    """The instances of a release, listed before it is deleted, and followed until they are gone."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api, self._chosen = api, {"fieldSelector": f"spec.release={name}"}
        self._instances = path_in(APP_INSTANCE, namespace)
        self._name, self._releases = name, path_in(APP_RELEASE, namespace)
        self._release = path_in(APP_RELEASE, namespace, name)
        self._present: dict[str, Document] = {}
        self._stays: dict[tuple[str, str], list[str]] = {}
        self._since = self._list()

    @property
    def places(self) -> list[str]:
        """Where it still is: clusters, and what is done there."""
        return [f"{each['spec'].get('cluster')} ({phase(each)})" for each in self._present.values()]

    @property
    def leftovers(self) -> Iterator[tuple[str, str]]:
        """What stays: where and why, for people, and the command that deletes it there."""
        for (command, because), clusters in self._stays.items():
            yield f"on {', '.join(sorted(clusters))}: {because}", command

    def follow(self, wait_s: float) -> bool:
        """True as soon as it is gone, False if it is not after so long."""
        until = time.monotonic() + wait_s
        while self._present:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            self._watch(left_s)
        return self._is_gone(until)

    def _list(self) -> str:
        """See the instances as they are; from when on they are to be watched."""
        answer = self._api.get(query(self._instances, **self._chosen))
        self._present = {each["metadata"]["name"]: each for each in answer.get("items") or ()}
        for each in self._present.values():
            self._note(each)
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, left_s: float) -> None:
        """Follow changes until none is there, or the watch ends. A host that has forgotten what was is asked what is."""
        chosen = {**self._chosen, "timeoutSeconds": str(math.ceil(left_s))}
        for event in self._api.watch(query(self._instances, watch="1", resourceVersion=self._since, **chosen)):
            if event["type"] == "ERROR":
                self._since = self._list()
                break
            instance = event["object"]
            self._since = str(instance["metadata"]["resourceVersion"])
            self._note(instance)
            if event["type"] == "DELETED":
                self._present.pop(instance["metadata"]["name"], None)
            else:
                self._present[instance["metadata"]["name"]] = instance
            if not self._present:
                return
        time.sleep(min(RETRY_S, left_s))

    def _note(self, instance: Document) -> None:
        for each in (instance.get("status") or {}).get("stays") or ():
            clusters = self._stays.setdefault((each.get("command", ""), each.get("because", "")), [])
            if instance["spec"].get("cluster") not in clusters:
                clusters.append(str(instance["spec"].get("cluster")))

    def _is_gone(self, until: float) -> bool:
        """True once the release itself is gone, False if it is not in time (of the monotonic clock)."""
        from skerry.errors import NotFound

        while True:
            try:
                release = self._api.get(self._release)
            except NotFound:
                return True
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            if self._goes(str(release["metadata"]["resourceVersion"]), left_s):
                return True

    def _goes(self, since: str, left_s: float) -> bool:
        """True if a watch tells that the release went; False if that is to be asked again."""
        chosen = {"fieldSelector": f"metadata.name={self._name}", "timeoutSeconds": str(math.ceil(left_s))}
        for event in self._api.watch(query(self._releases, watch="1", resourceVersion=since, **chosen)):
            if event["type"] in ("DELETED", "ERROR"):
                return bool(event["type"] == "DELETED")
        time.sleep(min(RETRY_S, left_s))
        return False
