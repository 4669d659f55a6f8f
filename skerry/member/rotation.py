"""Files that somebody else renews in place: a kubeconfig and what it names, or a pod's own, read again when they change.

kubeadm and `aws eks` rewrite the kubeconfig, cert-manager and kubelet the files beside it, and nobody restarts an agent for
that (client-go: k/k #79083). What cannot be used, a certificate whose key is still being written, leaves what was read
before in place and is tried again. Whether a file changed is asked of the file system each minute, and at once when the API
server's certificate is refused, or our credential.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from skerry.api.times import rfc3339
from skerry.member import tls
from skerry.member.credentials import REREAD_S, ClientCredential
from skerry.member.kubeconfig import KubeconfigError, Target, in_cluster, load

log = logging.getLogger("skerry.member")

Mark = tuple[int, int, int]
"""Inode, size and time of change of a file: another file by this name, or another content, has another mark."""


class Rotation:
    """A target, and where it comes from. `target` is always one that could be used when it was read."""

    def __init__(
        self,
        load: Callable[[str], Target],
        context: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`load` reads the target of a context anew; "" is the one that is current at the start, and stays it.

        Raises KubeconfigError.
        """
        self._load, self._clock, self._wall = load, clock, wall
        first = load(context)
        self._context = first.context
        self._marks = _marks(_watched(first))
        self.target = load(self._context)
        self._looked, self._read = clock(), wall()
        self._problem = ""

    @classmethod
    def of(cls, file: str, context: str = "") -> Rotation:
        """A context of a kubeconfig; without a file, what kubelet gives the pod that this process runs in. KubeconfigError."""
        return cls(partial(load, file), context) if file else cls(lambda _: in_cluster(os.environ))

    @property
    def due(self) -> bool:
        """True if the last look is a minute old."""
        return self._clock() - self._looked >= REREAD_S

    @property
    def told(self) -> str:
        """For messages: which files, when they were last read, and what is wrong with what they hold since."""
        at = rfc3339(self._read)
        problem = f"; what they hold now cannot be used: {self._problem}" if self._problem else ""
        return f"{', '.join(self.target.files)}, last read at {at}{problem}"

    def look(self) -> bool:
        """Look at the files now. True: they changed, and `target` is what they hold."""
        self._looked = self._clock()
        marks = _marks(_watched(self.target))
        if marks == self._marks:
            return False
        self._marks = marks
        try:
            target = self._load(self._context)
            tls.context(target.tls, ClientCredential(certificate=target.tls.certificate, key=target.tls.key))
        except KubeconfigError as error:
            self._failed(str(error))
            return False
        self._read, self._problem = self._wall(), ""
        before, self.target = self.target, target
        if _watched(target) != _watched(before):
            self._marks = ()
        log.info("files of the API server's credential were read again", extra={"files": ", ".join(target.files)})
        return target != before or _trusts_the_system(target)

    def _failed(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("what changed in the API server's credential cannot be used", extra={"reason": problem})
        self._problem = problem


def _trusts_the_system(target: Target) -> bool:
    return target.scheme == "https" and not target.tls.ca and not target.tls.insecure


def _watched(target: Target) -> tuple[str, ...]:
    """The files of the target, and the system's authorities where these are trusted."""
    system = ssl.get_default_verify_paths().cafile
    return (*target.files, system) if system and _trusts_the_system(target) else target.files


def _marks(files: Iterable[str]) -> tuple[Mark | None, ...]:
    return tuple(_mark(file) for file in files)


def _mark(file: str) -> Mark | None:
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
