"""The agent's objects as its chart makes them, rendered by helm into one file of the package (`make manifests`; a test holds it
current), with the settings of one installation put in. So `skerry join` needs no helm, and installs what the chart would. Pure.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from skerry.api.meta import Document
from skerry.installation import Workload

FILE = Path(__file__).with_name("agentmanifest.json")
NAMESPACE = "skerry-system"
"""The file's, which is replaced."""
STATE, TOKEN, NAME = "skerry-agent-state", "skerry-agent-token", "skerry-agent"
ROLE = "skerry:agent"


class AgentInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """What one installation is to be."""

    token: str
    namespace: str = NAMESPACE
    replicas: int = 1
    registry: str = ""
    """Of the image, for example of a mirror; empty: the nodes' default."""
    read_only: bool = False
    no_exec: bool = False
    namespaces: tuple[str, ...] = ()
    desired: str = ""
    """All, Access or None; empty: All, with `read_only` Access."""

    def settings(self) -> dict[str, str]:
        """Of the agent's ConfigMap, as far as they are not the chart's defaults."""
        return {
            "SKERRY_STATE_SECRET": f"{self.namespace}/{STATE}",
            "SKERRY_READ_ONLY": str(int(self.read_only)),
            "SKERRY_NO_EXEC": str(int(self.no_exec)),
            "SKERRY_NAMESPACES": ",".join(self.namespaces),
            "SKERRY_CEILING_DESIRED": self.desired or ("Access" if self.read_only else "All"),
        }

    def checksums(self) -> dict[str, str]:
        """Annotations of its pods: another token or setting is another template, so that the pods are replaced."""
        return {
            "checksum/settings": _digest(msgspec.json.encode(self.settings())),
            "checksum/token": _digest(self.token.encode()),
        }


def manifests(installation: AgentInstallation) -> list[Document]:
    """The objects, in the order in which they are applied."""
    documents: list[Document] = msgspec.json.decode(FILE.read_bytes())
    one = installation.replicas == 1
    return [_placed(each, installation) for each in documents if not (one and each["kind"] == "PodDisruptionBudget")]


def with_pods(documents: list[Document], workload: Workload) -> list[Document]:
    """The objects with the pods that values of the chart ask for: how large, and where they may run."""
    documents = copy.deepcopy(documents)
    for each in documents:
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            spec |= msgspec.to_builtins(workload.rules)
            spec["containers"][0]["resources"] = workload.resources
            spec |= {"priorityClassName": workload.priority_class} if workload.priority_class else {}
    return documents


def _placed(document: Document, installation: AgentInstallation) -> Document:
    placed = copy.deepcopy(document)
    for part in (placed["metadata"], *placed.get("subjects", ())):
        if part.get("namespace") == NAMESPACE:
            part["namespace"] = installation.namespace
    match placed["kind"], placed["metadata"]["name"]:
        case "ConfigMap", _:
            placed["data"] |= installation.settings()
        case "Secret", name if name == TOKEN:
            placed["data"] = {"token": base64.b64encode(installation.token.encode()).decode()}
        case "Deployment", _:
            _deployed(placed["spec"], installation)
    return placed


def _deployed(spec: dict[str, Any], installation: AgentInstallation) -> None:
    template = spec["template"]
    spec["replicas"] = installation.replicas
    template["metadata"]["annotations"] |= installation.checksums()
    if installation.registry:
        container = template["spec"]["containers"][0]
        container["image"] = f"{installation.registry.rstrip('/')}/{container['image']}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
