"""Services and names in a member with a node: kube-proxy, and a CoreDNS at the node's address, which its pods ask.

Most tests do without: both together cost half a second of CPU at their start, and minutes to build once per machine.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from skerry.localkube import binaries
from skerry.localkube.cluster import SERVICE_RANGE
from tests.clients import tools
from tests.kube import packages
from tests.kube.member import Member

PODS = "10.214.0.0/24"
START_S = 30.0


@contextmanager
def running(member: Member, directory: Path) -> Iterator[None]:
    """Both, until the block ends. tools.Unavailable, LocalKubeError where they cannot be had."""
    assert member.netns is not None, "a member with a node of ours"
    proxy = binaries.obtain([binaries.KUBE_PROXY], progress=print)[binaries.KUBE_PROXY]
    dns = tools.obtain(["coredns"], print)["coredns"]
    corefile = directory / "Corefile"
    corefile.write_text(
        f".:53 {{\n  bind {member.netns.address}\n  errors\n  ready {member.netns.address}:8181\n"
        f"  kubernetes cluster.local in-addr.arpa ip6.arpa {{\n    kubeconfig {member.kubeconfig}\n    ttl 1\n  }}\n}}\n"
    )
    commands = {
        "kube-proxy": [
            str(proxy), "--proxy-mode=iptables", f"--kubeconfig={member.kubeconfig}", f"--hostname-override={member.node}",
            f"--cluster-cidr={PODS}", "--conntrack-max-per-core=0", "--masquerade-all",
        ],
        "coredns": [str(dns), "-conf", str(corefile)],
    }  # fmt: skip
    way = [packages.required("ip"), "route"], [SERVICE_RANGE, "via", member.host_address]
    with (
        ExitStack() as ends
    ):  # who asks a Service from the node itself needs a route before kube-proxy sees it, as the API server does
        member.netns.run([*way[0], "replace", *way[1]])
        ends.callback(member.netns.run, [*way[0], "del", *way[1]])
        for name, command in commands.items():
            log = ends.enter_context((directory / f"{name}.log").open("wb"))
            process = subprocess.Popen(member.command(command), stdout=log, stderr=log)
            ends.callback(_end, process)
        _wait(member, directory)
        yield


def _wait(member: Member, directory: Path) -> None:
    """Until the name of the API server's Service is known."""
    assert member.netns is not None
    until = time.monotonic() + START_S
    asked = ["busybox", "nslookup", "kubernetes.default.svc.cluster.local", member.netns.address]
    while time.monotonic() < until:
        if b"10.0.0.1" in member.run_inside(asked).stdout:
            return
        time.sleep(0.2)
    logs = "".join(path.read_text(errors="replace")[-1500:] for path in directory.glob("*.log"))
    raise AssertionError(f"no Services and names within {START_S} s:\n{logs}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)
