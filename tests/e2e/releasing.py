"""Apps on a host that runs: versions put on its shelf, releases wanted as users want them, and helm on the member's own side."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.appstore.catalogue.names import version_name
from services.appstore.packages import Packages
from skerry import subjects
from skerry.api.kinds import APP_VERSION
from skerry.bus import Bus, Settings
from skerry.identity.federation import Authority
from skerry.storage import Store
from skerry.storage.buckets import make_store
from tests.appstore.charts import package
from tests.e2e.federation import Host, eventually
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

API = "/apis/skerry.dev/v1alpha1"
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-config}
data:
  color: {{ .Values.color | quote }}
  chart: {{ .Chart.Version | quote }}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-secret}
stringData: {password: {{ .Values.password | default "none" | quote }}}
"""


def bus_of(host: Host, service: str) -> Bus:
    """The bus, as a service of the host reaches it."""
    ca = (host.state / "host" / "pki" / "ca.crt").read_text()
    authority = Authority.load(host.state / "host" / "keys")
    settings = Settings(servers=(f"tls://{host.bus}",), ca_pem=ca, name=service)
    return Bus(settings, lambda: authority.service_credentials(service))


def shelve(
    host: Host, name: str, *versions: tuple[str, Mapping[str, str | bytes]], namespace: str = "skerry-apps"
) -> None:
    """Put versions of an app into the store: (version, files of the chart)."""

    async def put() -> None:
        async with bus_of(host, "appstore") as bus:
            await bus.ready()
            packages = Packages(await make_store(bus, subjects.PACKAGES, 1), _fetch)
            store = Store(await bus.bucket(subjects.RESOURCES), APP_VERSION)
            for version, files in versions:
                digest = await packages.put(package(name, version, files=files), uploaded=True)
                await store.create(
                    {
                        "metadata": {"name": version_name(name, version), "namespace": namespace},
                        "spec": {"app": name, "version": version, "chart": name},
                        "status": {
                            "phase": "Active",
                            "digest": digest,
                            "uploaded": True,
                            "stored": True,
                            "chart": {"name": name, "version": version},
                        },
                    }
                )

    asyncio.run(put())


async def _fetch(version: Any) -> bytes:
    raise AssertionError("everything was uploaded")


def emptied(member: Member) -> None:
    """Wait until nothing is left on a cluster of what a test before had in the namespaces of these."""
    delete_namespaces(member, "apps", "shop")


class Installed:
    """One AppRelease of a host, as whoever has a kubeconfig of it."""

    def __init__(self, host: Host, name: str, namespace: str = "default", kubeconfig: Path | None = None) -> None:
        self.host, self.name, self.namespace, self._kubeconfig = host, name, namespace, kubeconfig

    def want(self, **spec: Any) -> None:
        """Create it, or change it."""
        document = {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "AppRelease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        }
        self._kubectl("apply", "-f", "-", stdin=json.dumps(document).encode())

    def patch(self, **spec: Any) -> None:
        """Change fields of its spec."""
        place = ("-n", self.namespace, "patch", "apprelease", self.name)
        self._kubectl(*place, "--type=merge", "-p", json.dumps({"spec": spec}))

    def act(self, action: str, body: Any = None, method: str = "POST") -> Any:
        """What an action answers."""
        answer = self.host.ask(method, f"{self._path}/{action}", body or {}, self._token)
        assert "code" not in answer, answer
        return answer

    def diff(self, spec: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What another spec would change, cluster by cluster."""
        clusters: list[dict[str, Any]] = self.act("diff", {"spec": spec or {}})["clusters"]
        return clusters

    def resources(self, cluster: str) -> list[dict[str, Any]]:
        """Its objects on a cluster."""
        path = f"{API}/namespaces/{self.namespace}/appinstances/{self.name}.{cluster}/resources"
        objects: list[dict[str, Any]] = (self.host.get(path) or {})["objects"]
        return objects

    @property
    def _path(self) -> str:
        return f"{API}/namespaces/{self.namespace}/appreleases/{self.name}"

    @property
    def _token(self) -> str:
        """Of whose kubeconfig it is; the administrator's by default."""
        if self._kubeconfig is None:
            return (self.host.state / "host" / "admin.token").read_text().strip()
        document = json.loads(self._kubeconfig.read_text())
        return str(document["users"][0]["user"]["token"])

    def delete(self) -> None:
        """Uninstall it; does not wait."""
        self._kubectl("-n", self.namespace, "delete", "apprelease", self.name, "--wait=false")

    def document(self) -> dict[str, Any] | None:
        """As it is now."""
        return self.host.get(self._path)

    def on(self, cluster: str) -> dict[str, Any]:
        """The status of its instance on a cluster; empty if there is none."""
        found = self.host.get(f"{API}/namespaces/{self.namespace}/appinstances/{self.name}.{cluster}")
        return (found or {}).get("status") or {}

    def until(
        self, cluster: str, holds: Callable[[dict[str, Any]], Any], what: str, deadline_s: float = 60
    ) -> dict[str, Any]:
        """The status of its instance as soon as something holds of it."""

        def look() -> dict[str, Any] | None:
            status = self.on(cluster)
            return status if holds(status) else None

        try:
            status: dict[str, Any] = eventually(look, what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.on(cluster), indent=1)}{self.host.logs()}") from None
        return status

    def deployed(self, cluster: str, revision: int, deadline_s: float = 60) -> dict[str, Any]:
        """Its instance, healthy at a revision."""

        def holds(status: dict[str, Any]) -> bool:
            return (status.get("phase"), status.get("revision"), status.get("health")) == (
                "Deployed",
                revision,
                "Healthy",
            )

        return self.until(cluster, holds, f"{self.name} is deployed on {cluster} at revision {revision}", deadline_s)

    def gone(self, deadline_s: float = 60) -> None:
        """Wait until it is no more."""
        try:
            eventually(lambda: self.document() is None, f"{self.name} is gone", deadline_s)
        except AssertionError as error:
            instances = self.host.get(f"{API}/namespaces/{self.namespace}/appinstances")
            left = json.dumps([self.document(), instances], indent=1)
            raise AssertionError(f"{error}\n{left}{self.host.logs()}") from None

    def _kubectl(self, *arguments: str, stdin: bytes | None = None) -> str:
        return self.host.kubectl(None, *arguments, stdin=stdin, kubeconfig=self._kubeconfig)


def helm(program: Path, member: Member, *arguments: str) -> Any:
    """What helm says with the member's own kubeconfig, as JSON where it can."""
    environment = {**os.environ, "KUBECONFIG": str(member.kubeconfig), "HELM_DRIVER": "secret"}
    command = member.command([str(program), *arguments])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
    return json.loads(done.stdout) if "json" in arguments else done.stdout
