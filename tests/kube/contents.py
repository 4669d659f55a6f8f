"""What is on a cluster, and how to take away what a module of tests left there: a cluster that is lent must be clean.

Read from discovery, so that no kind is forgotten. Left alone are the namespaces of the system (but for Skerry's mark on
kube-system), what a controller or the kubelet makes anew by itself, and events.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from tests.kube.member import Member

_SYSTEM = {"kube-system", "kube-public", "kube-node-lease"}
_BY_THEMSELVES = {
    "apiservices", "componentstatuses", "csinodes", "endpoints", "endpointslices", "events", "flowschemas", "ipaddresses",
    "nodes", "prioritylevelconfigurations", "servicecidrs", "storageversions",
}  # fmt: skip
_OF_A_NAMESPACE = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}
"""What each namespace is given."""
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_GONE_FIRST = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicybindings")
"""They could forbid the other deletions."""
_TIMEOUT_S = 20.0
_DELETED_S, _POLL_S = 60.0, 0.1


@dataclass(frozen=True)
class Contents:
    """Paths of all objects in the API, with their metadata."""

    objects: dict[str, dict[str, Any]]

    def left(self, before: Contents) -> list[str]:
        """What is there now and was not before."""
        added = (path for path in self.objects if path not in before.objects)
        return sorted(added, key=lambda path: not any(first in path for first in _GONE_FIRST))

    def marks(self) -> list[str]:
        """Annotations that joining has left on kube-system."""
        annotations = self.objects["/api/v1/namespaces/kube-system"].get("annotations", {})
        return [name for name in annotations if name.startswith("skerry.dev/")]


class Janitor:
    """A connection to a cluster whose token is known, from inside its network."""

    def __init__(self, member: Member) -> None:
        url = urlsplit(member.url)
        context = ssl.create_default_context(cafile=str(member.ca))
        self._connection = HTTPSConnection(url.hostname or "", url.port, context=context, timeout=_TIMEOUT_S)
        self._token = member.token
        with member.netns.entered() if member.netns else nullcontext():
            self._connection.connect()

    def contents(self) -> Contents:
        """All that is there now."""
        objects = {}
        for path in self._lists():
            for item in self._ask("GET", path, accept=_METADATA).get("items") or ():
                metadata = item["metadata"]
                namespace = metadata.get("namespace")
                if namespace in _SYSTEM or metadata["name"].startswith("system:"):
                    continue
                if namespace and (path.rpartition("/")[2], metadata["name"]) in _OF_A_NAMESPACE:
                    continue
                place = path if namespace is None else _in_namespace(path, namespace)
                objects[f"{place}/{metadata['name']}"] = metadata
        return Contents(objects)

    def remove(self, now: Contents, before: Contents) -> None:
        """Begin to delete what is left. Who calls it again takes finalizers away that nobody serves any more: those of an
        object, and of a namespace that is empty (its controller waits for long where a group of the API has just gone).
        """
        occupied = {metadata.get("namespace") for metadata in now.objects.values()}
        for path in now.left(before):
            metadata = now.objects[path]
            if metadata.get("deletionTimestamp") and metadata.get("finalizers"):
                self._ask("PATCH", path, {"metadata": {"finalizers": None}})
            elif metadata.get("deletionTimestamp") and path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
                if metadata["name"] not in occupied:
                    self._ask("PUT", f"{path}/finalize", {"metadata": {"name": metadata["name"]}, "spec": {}})
                continue
            self._ask("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})

    def unmark(self, now: Contents) -> None:
        """Take away what joining has left on kube-system."""
        if marks := now.marks():
            annotations = dict.fromkeys(marks)
            self._ask("PATCH", "/api/v1/namespaces/kube-system", {"metadata": {"annotations": annotations}})

    def dump(self) -> str:
        """All that can be listed, whole, as text; what Secrets hold in plain text too."""
        parts = []
        for path in self._lists(every=True):
            document = self._ask("GET", path)
            parts.append(json.dumps(document))
            if path == "/api/v1/secrets":
                values = [value for item in document["items"] for value in (item.get("data") or {}).values()]
                parts += [base64.b64decode(value).decode(errors="replace") for value in values]
        return "\n".join(parts)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _lists(self, *, every: bool = False) -> Iterator[str]:
        """Where each resource is listed that can be deleted, or each there is; of each group the version that it prefers."""
        for root in ("/api", "/apis"):
            for group in self._ask("GET", root, accept=_DISCOVERY)["items"]:
                named = group["metadata"].get("name")
                version = group["versions"][0]
                prefix = f"/apis/{named}/{version['version']}" if named else f"/api/{version['version']}"
                for resource in version.get("resources", ()):
                    deletable = "delete" in resource["verbs"] and resource["resource"] not in _BY_THEMSELVES
                    if "list" in resource["verbs"] and (deletable or every):
                        yield f"{prefix}/{resource['resource']}"

    def _ask(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        """The answer's document. Not found is an answer too: between a list and a deletion things go by themselves."""
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept, "Content-Type": content}
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status in (404, 409, 410):
            return {}
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {data.decode(errors='replace')}")
        return json.loads(data)


def delete_namespaces(member: Member, *names: str) -> None:
    """Delete namespaces with all that is in them, and wait for that; those that there are. Their controller alone would let each wait
    for five seconds before it looks. TimeoutError."""
    places = {f"/api/v1/namespaces/{name}" for name in names}
    janitor = Janitor(member)
    try:
        until = time.monotonic() + _DELETED_S
        while time.monotonic() < until:
            now = janitor.contents()
            others = {
                path: metadata
                for path, metadata in now.objects.items()
                if path not in places and metadata.get("namespace") not in names
            }
            if not now.left(Contents(others)):
                return
            janitor.remove(now, Contents(others))
            time.sleep(_POLL_S)
        raise TimeoutError(f"cluster {member.name} still has {now.left(Contents(others))}")
    finally:
        janitor.close()


def _in_namespace(path: str, namespace: str) -> str:
    """`/api/v1/pods` in a namespace."""
    prefix, _, resource = path.rpartition("/")
    return f"{prefix}/namespaces/{namespace}/{resource}"
