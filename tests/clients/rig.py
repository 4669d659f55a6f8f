"""A member of its own that a test may cut off, compact and change behind the host's back; its API server speaks CBOR too."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from skerry.localkube import binaries, cluster
from skerry.localkube.process import Running
from tests.clients.shore import Shore
from tests.e2e.federation import Host
from tests.kube.member import Member

READY_S = 60.0
_GATE = "--feature-gates=CBORServingAndStorage=true"


@dataclass(frozen=True)
class Rig:
    """The member as clients reach it, and what the test can do to it."""

    shore: Shore
    cluster: cluster.LocalCluster

    def cut_off(self) -> None:
        """Kill its agent: every stream breaks."""
        self.shore.host.agents[-1].stop(signal.SIGKILL)

    def come_back(self) -> None:
        """Start its agent again, and return when it is Ready."""
        self.shore.host.wait_ready("rig", self.shore.host.agent(self.shore.member, None, "--name", "rig"))

    def change(self, verb: str, config_map: str) -> None:
        """Create or delete a ConfigMap, past the host."""
        self.shore.member.kubectl(verb, "configmap", config_map)

    def compact(self) -> int:
        """Forget all revisions of its etcd but the newest; the newest."""
        newest = int(self._etcd("range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"])
        self._etcd("compaction", {"revision": newest, "physical": True})
        return newest

    def _etcd(self, call: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        pki = self.cluster.directory / "pki" / "etcd"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "client.crt", pki / "client.key")
        flag = "--advertise-client-urls="
        [url] = [each.removeprefix(flag) for spec in self.cluster.specs for each in spec.argv if each.startswith(flag)]
        request = urllib.request.Request(f"{url}/v3/kv/{call}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)
        return found


@contextmanager
def rigged(directory: Path, host: Host) -> Iterator[Rig]:
    """A member `rig` of `host`, without a node, in `directory`."""
    executables = binaries.obtain(["etcd", *binaries.CONTROL_PLANE], progress=lambda _: None)
    prepared = cluster.prepare(directory, name="rig", executables=executables)
    specs = [
        replace(spec, argv=(*spec.argv, _GATE)) if spec is prepared.api_server else spec for spec in prepared.specs
    ]
    with Running(specs) as running:
        prepared.wait_ready(running, READY_S)
        member = Member(name="rig", kubeconfig=prepared.kubeconfig, url=prepared.url, uid=prepared.uid() or "")
        with host:
            host.up()
            host.join(member, "rig")
            yield Rig(Shore(host, "rig", member, "agent"), prepared)
