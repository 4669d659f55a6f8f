"""A network namespace per member: everything of a member lives in it, and it can only dial out.

The namespace has one veth pair, a /30, and no default route: it reaches the host's end of its own pair and nothing else.
Inbound is refused by a stateful packet filter *inside* the namespace, which accepts on the uplink only what belongs to
a connection that the member opened itself. That is what a member's own firewall or NAT does, and it holds for every port,
also those that a pod or an agent opens later; binding the API server to an address that the host has no route to would
have protected the API server only, and one `ip route add` would have undone it. iptables needs no package of its own:
the CNI plugins depend on it. IPv6 is off on the pair, because link-local addresses would be a second way in, and the host
does not forward what comes from a member, also on a machine that forwards otherwise (Docker switches that on).
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kube import packages
from tests.kube.slot import MARK, Slot, interface

_CLONE_NEWNET = 0x40000000
_MEMBERS = 64  # /30 networks of a slot: 10.213.<slot>.0 … 10.213.<slot>.252


class NamespaceFailed(Exception):
    """The kernel or a tool refused; the text has the command and what it said."""


@dataclass(frozen=True)
class Namespace:
    """A network namespace with an uplink; `address` is the member's end of it, `host_address` the host's."""

    name: str
    address: str
    host_address: str
    uplink: str
    slot: str

    @property
    def path(self) -> Path:
        """What `nsenter --net=` takes."""
        return Path("/run/netns") / self.name

    @property
    def prefix(self) -> tuple[str, ...]:
        """Before a command line, runs it inside and marks it as ours. Not `ip netns exec`: that remounts /sys and hides the cgroups."""
        return ("env", f"{MARK}={self.slot}", packages.required("nsenter"), f"--net={self.path}", "--")

    def run(self, argv: Sequence[str]) -> str:
        """Run a short command inside, return its output; raises NamespaceFailed."""
        return _run([*self.prefix, *argv])

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside for the duration: sockets made now belong to the namespace for ever."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            inside = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(inside)
            finally:
                os.close(inside)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)


def create(slot: Slot, index: int, name: str) -> Namespace:
    """Make the namespace of member `index` (0-63) of this slot, with its uplink up and its filter in place."""
    if not 0 <= index < _MEMBERS:
        raise ValueError(f"member {index}: a slot has {_MEMBERS}")
    network = f"10.213.{slot.number}"
    namespace = Namespace(
        name=f"{slot.name}-{name}",
        host_address=f"{network}.{4 * index + 1}",
        address=f"{network}.{4 * index + 2}",
        uplink="uplink",
        slot=slot.name,
    )
    outer, inner = interface(slot, f"{index}h"), interface(slot, f"{index}m")
    ip = packages.required("ip")
    _run([ip, "netns", "add", namespace.name])
    _run([ip, "link", "add", outer, "type", "veth", "peer", "name", inner])
    Path(f"/proc/sys/net/ipv6/conf/{outer}/disable_ipv6").write_text("1")
    Path(f"/proc/sys/net/ipv4/conf/{outer}/forwarding").write_text("0")
    _run([ip, "link", "set", inner, "netns", namespace.name, "name", namespace.uplink])
    _run([ip, "address", "add", f"{namespace.host_address}/30", "dev", outer])
    _fill(namespace, ip)
    _run([ip, "link", "set", outer, "up"])
    return namespace


def _fill(namespace: Namespace, ip: str) -> None:
    """The inside: filter first, then addresses, so that there is no moment in which it is open."""
    for table, rule in _filter(namespace.uplink):
        namespace.run([packages.required("iptables"), "-w", "-t", table, *rule])
    with namespace.entered():
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # for its own pods
    namespace.run([ip, "link", "set", "lo", "up"])
    namespace.run([ip, "address", "add", f"{namespace.address}/30", "dev", namespace.uplink])
    namespace.run([ip, "link", "set", namespace.uplink, "up"])


def _filter(uplink: str) -> list[tuple[str, list[str]]]:
    """Answers to what was opened from inside, nothing else; a refusal is a reset, so that no test waits for a timeout.

    Pods dial out with the member's address, as behind any cluster's NAT.
    """
    answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]
    inbound = [
        ("filter", [verb, chain, "-i", uplink, *rest])
        for chain in ("INPUT", "FORWARD")
        for verb, rest in (
            ("-A", answers),
            ("-A", ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]),
            ("-A", ["-j", "DROP"]),
        )
    ]
    return [*inbound, ("nat", ["-A", "POSTROUTING", "-o", uplink, "-j", "MASQUERADE"])]


def connects(address: str, port: int, *, source: Namespace | None = None, timeout_s: float = 2.0) -> bool:
    """Whether a TCP connection to `address:port` opens, from the host (None) or from inside a namespace."""
    if source is None:
        return _connects(address, port, timeout_s)
    with source.entered():
        return _connects(address, port, timeout_s)


def _connects(address: str, port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def listening_ports(namespace: Namespace) -> set[int]:
    """All TCP ports that anything in the namespace listens on, at any address, from the kernel's own table."""
    with namespace.entered():
        tables = [Path("/proc/thread-self/net") / table for table in ("tcp", "tcp6")]
        lines = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    listening = "0A"
    return {int(fields[1].rsplit(":", 1)[1], 16) for fields in lines if fields[3] == listening}


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise NamespaceFailed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _setns(descriptor: int) -> None:
    """setns(2) of the calling thread; os.setns comes with Python 3.12 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
