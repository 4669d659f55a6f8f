"""Where a host listens and what it is called from outside, as the options of `up` say it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from skerry.cli.failure import USAGE, Failure
from skerry.cli.plan import UpOptions

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class ListenAddress:
    """A listening address from the command line; an empty host is every address of this machine, IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """True if it listens on all interfaces."""
        return self.host in ("", "0.0.0.0", "::")


def endpoint(text: str, option: str) -> ListenAddress:
    """`host:port` as a ListenAddress; port 0 becomes a free one. Failure (usage) if it cannot be read."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Failure(f"{option} {text!r}: use host:port, for example 127.0.0.1:8443", USAGE)
    bare = host.strip("[]")
    return ListenAddress(host=bare, port=int(port) or _free_port(bare))


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things listen and how they are called from outside."""

    listen: ListenAddress
    bus: ListenAddress
    addresses: tuple[str, ...]

    @staticmethod
    def of(options: UpOptions) -> Layout:
        """From the options: with --address both endpoints listen on all interfaces."""
        listen, bus = endpoint(options.listen, "--listen"), endpoint(options.bus, "--bus")
        addresses = tuple(_checked(address) for address in options.addresses)
        if addresses:
            listen, bus = (ListenAddress(host="", port=e.port) if _is_loopback(e.host) else e for e in (listen, bus))
        return Layout(listen=listen, bus=bus, addresses=addresses)

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the server certificate that are the host's own."""
        listening = [e.host for e in (self.listen, self.bus) if not e.is_wildcard]
        return tuple(dict.fromkeys([*self.addresses, *LOOPBACK_NAMES, *listening]))

    @property
    def api(self) -> str:
        """Base URL of the front door, as kubeconfigs name it."""
        return f"https://{ListenAddress(host=self._outside(self.listen), port=self.listen.port)}"

    @property
    def bus_public(self) -> list[str]:
        """Bus addresses that go into tokens."""
        hosts = self.addresses or (self._outside(self.bus),)
        return [f"tls://{ListenAddress(host=host, port=self.bus.port)}" for host in hosts]

    @property
    def bus_local(self) -> str:
        """Bus address for the host's own processes, host:port."""
        host = self.bus.host if not self.bus.is_wildcard else "127.0.0.1"
        return str(ListenAddress(host=host, port=self.bus.port))

    @property
    def front_door_local(self) -> str:
        """Base URL of the front door for the host's own processes."""
        host = self.listen.host if not self.listen.is_wildcard else "127.0.0.1"
        return f"https://{ListenAddress(host=host, port=self.listen.port)}"

    def _outside(self, where: ListenAddress) -> str:
        if self.addresses:
            return self.addresses[0]
        return "127.0.0.1" if where.is_wildcard else where.host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(address: str) -> str:
    bare = address.strip("[]")
    if not bare or "/" in bare or (":" in bare and not _is_ipv6(bare)) or any(c.isspace() or c == "," for c in bare):
        raise Failure(f"--address {address!r}: give a host name or an IP address, without a port", USAGE)
    return bare


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def check_ports(layout: Layout, *, own_bus: bool) -> None:
    """Raises Failure naming the port that another program has, and the option that changes it."""
    listeners = [("--listen", layout.listen)] + ([("--bus", layout.bus)] if own_bus else [])
    for option, where in listeners:
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((where.host, where.port))
            except OSError as error:
                raise Failure(
                    f"cannot listen on {where}: {error.strerror}; choose another address with {option} HOST:PORT"
                ) from error
