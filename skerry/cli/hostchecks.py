"""The checks of a host on its own machine: its processes, files and disk. Those of its bus are in skerry/checks/hostbus.py."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from skerry.checks.report import CheckResult, Outcome
from skerry.checks.run import Checks
from skerry.cli import bootstrap
from skerry.cli.keys.rotation import rotations
from skerry.cli.output import duration
from skerry.cli.plan import RunStatus
from skerry.errors import StatusError
from skerry.http import certificates
from skerry.identity import creds
from skerry.identity.federation import Authority

HOST = (
    "host.processes", "host.bus", "host.store", "host.accounts", "host.certificates", "host.keys", "host.clock",
    "host.disk",
)  # fmt: skip
"""The checks of a host, in order."""
SOON_S = 30 * 86400.0
LITTLE, LEAST = 2 << 30, 200 << 20
"""Bytes of disk below which it is warned, and failed."""
FORGOTTEN_S = 86400.0
"""After which a rotation that is open is warned of: until it is finished, the old key holds."""
_PRIVATE = 0o077


class HostChecks:
    """Of the host in the directory `host` that says of itself `status`."""

    def __init__(
        self,
        host: Path,
        status: RunStatus,
        clock: Callable[[], float] = time.time,
        free: Callable[[Path], tuple[int, int]] | None = None,
    ) -> None:
        """`free` tells bytes of a disk: all, and free ones."""
        self._host, self._status, self._clock, self._free = host, status, clock, free or _free

    async def run(self, run: Checks) -> None:
        """All that need nobody else."""
        await run.run("host.processes", self._processes)
        await run.run("host.certificates", self._certificates)
        await run.run("host.keys", self._keys)
        await run.run("host.disk", self._disk)

    async def _processes(self) -> Outcome:
        processes = self._status.processes
        if down := [each for each in processes if not each.ready]:
            names = ", ".join(f"{each.name} ({each.reason})" for each in down)
            return Outcome(f"not ready: {names}", "fail", f"skerry logs {down[0].name} says why")
        if restarted := [each for each in processes if each.restarts]:
            names = ", ".join(f"{each.name} {each.restarts} times" for each in restarted)
            return Outcome(
                f"restarted since the host is up: {names}", "warn", f"skerry logs {restarted[0].name} says why"
            )
        return Outcome(f"{', '.join(each.name for each in processes)} are ready")

    async def _certificates(self) -> Outcome:
        """Of the front door and the bus, the authority of both, and the services' users of the bus."""
        pki = self._host / "pki"
        ends = dict(_ends(path for path in (pki / "server.crt", pki / "ca.crt", self._bus_ca()) if path.exists()))
        users = {path: creds.load(path).expires for path in sorted((self._host / "creds").glob("*.creds"))}
        now = self._clock()
        renewed = "skerry down; skerry up renews it"
        if over := [path for path, end in {**ends, **users}.items() if end is not None and end <= now]:
            return Outcome(f"{over[0]} ended at {_at(ends.get(over[0]) or users.get(over[0]) or 0)}", "fail", renewed)
        if soon := [path for path, end in ends.items() if end - now < SOON_S]:
            return Outcome(f"{soon[0]} ends at {_at(ends[soon[0]])}", "warn", renewed)
        return Outcome(
            f"good until {_at(min(ends.values()))}" if ends else "there are none", "pass" if ends else "fail"
        )

    def _bus_ca(self) -> Path:
        return bootstrap.bus_ca(self._host, self._status.options)

    async def _keys(self) -> Outcome:
        directory = bootstrap.keys_of(self._host, self._status.options)
        authority = Authority.load(directory)
        own = "put it back from the safe copy; without it what is sealed in the store is lost"
        if not (secret := directory / "secrets.key").exists():
            return Outcome(f"{secret} is missing", "fail", own)
        readable = [path for path in sorted(directory.rglob("*")) if path.stat().st_mode & _PRIVATE and path.is_file()]
        if readable := [path for path in readable if path.suffix in {".nk", ".key"}]:
            return Outcome(f"others on this machine may read {readable[0]}", "fail", f"chmod go= {readable[0]}")
        root = directory / "root" / "operator.nk"
        hint = f"; the root seed lies beside them ({root}): keep it elsewhere" if root.exists() else ""
        whole = f"those of operator {authority.public.name} are whole, and nobody else may read them{hint}"
        since = rotations(directory)
        if not since:
            return Outcome(whole)
        ages = {name: max(self._clock() - began, 0.0) for name, began in since.items()}
        told = "; ".join(f"the rotation of {name} is open for {duration(age)}" for name, age in ages.items())
        result: CheckResult = "warn" if max(ages.values()) > FORGOTTEN_S else "pass"
        return Outcome(
            f"{whole}; {told}",
            result,
            f"skerry keys rotate {next(iter(since))} goes on with it, skerry keys finish ends it",
        )

    async def _disk(self) -> Outcome:
        total, free = self._free(self._host)
        space = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB are free below {self._host}"
        if free < LITTLE:
            return Outcome(space, "fail" if free < LEAST else "warn", "make room: a store that is full takes no writes")
        return Outcome(space)


def _free(path: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(path)
    return usage.total, usage.free


def _ends(paths: Iterable[Path]) -> Iterable[tuple[Path, float]]:
    for path in paths:
        end = certificates.ends(path.read_bytes())
        if end is None:
            raise StatusError(f"{path} is no certificate: put it back, or remove it and start the host again")
        yield path, end


def _at(end: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(end))
