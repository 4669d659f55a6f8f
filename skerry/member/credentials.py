"""One's own credential towards an API server: fixed, from a file, or from an exec plugin.

A source answers from memory; `renew` is called after a 401 with the credential that was refused and answers None when
there is nothing newer, so one refused request causes at most one re-read or plugin run, however many requests wait.
The files of projected tokens are re-read each minute, as client-go does (transport.NewCachedFileTokenSource).
"""

from __future__ import annotations

import asyncio
import binascii
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from skerry.api.decode import decoded
from skerry.errors import SkerryError
from skerry.member.kubeconfig import ExecSpec, Target

REREAD_S = 60.0
PLUGIN_TIMEOUT_S = 60.0
RETRY_S = 5.0
"""A plugin that failed is not run again before this: a storm of requests must not become a storm of processes."""
OUTPUT_LIMIT = 1 << 20


class CredentialError(SkerryError):
    """Nobody can be proved to the API server with this; the message says why and what to do, without any secret."""


class ClientCredential(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of who asks: an Authorization value, a client certificate (PEM), or both. Never printed."""

    authorization: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    def __repr__(self) -> str:
        return "Credential(...)"


class CredentialSource(Protocol):
    """Where the credential comes from."""

    async def get(self) -> ClientCredential:
        """The current credential. Raises CredentialError."""

    async def renew(self, refused: ClientCredential) -> ClientCredential | None:
        """A newer credential than `refused`, or None when there is none. Raises CredentialError."""


def source(target: Target, clock: Callable[[], float] = time.monotonic) -> CredentialSource:
    """The source that a kubeconfig names, in client-go's order: exec, token file, token, certificate alone."""
    if target.exec is not None:
        return Plugin(target.exec, target)
    if target.token_file:
        return TokenFile(Path(target.token_file), target.tls.certificate, target.tls.key, clock)
    return Fixed(
        ClientCredential(authorization=_bearer(target.token), certificate=target.tls.certificate, key=target.tls.key)
    )


def _bearer(token: str) -> bytes:
    if not token:
        return b""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialError("the API server's token holds characters that a header cannot carry: check its file")
    return b"Bearer " + token.encode()


class Fixed:
    """A token or certificate that never changes."""

    def __init__(self, credential: ClientCredential) -> None:
        self._credential = credential

    async def get(self) -> ClientCredential:
        """The one credential."""
        return self._credential

    async def renew(self, refused: ClientCredential) -> ClientCredential | None:
        """Itself, if another one was refused: files were read again since that one was given out, for another request."""
        return None if self._credential == refused else self._credential


class TokenFile:
    """A token in a file that somebody else renews (kubelet, a sidecar, cron)."""

    def __init__(self, path: Path, certificate: bytes, key: bytes, clock: Callable[[], float]) -> None:
        self._path, self._certificate, self._key, self._clock = path, certificate, key, clock
        self._read_at = float("-inf")
        self._credential = ClientCredential()

    async def get(self) -> ClientCredential:
        """The token, at most a minute old; a file that holds none keeps the last good one, as client-go does."""
        if self._clock() - self._read_at >= REREAD_S:
            self._read_again()
        return self._credential

    async def renew(self, refused: ClientCredential) -> ClientCredential | None:
        """The token in the file now, if it is another one."""
        self._read_again()
        return None if self._credential == refused else self._credential

    def _read_again(self) -> None:
        self._read_at = self._clock()
        try:
            bearer = self._read()
        except CredentialError:
            if self._credential.authorization:
                return
            raise
        self._credential = ClientCredential(authorization=bearer, certificate=self._certificate, key=self._key)

    def _read(self) -> bytes:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise CredentialError(f"token file {self._path} cannot be read: {e}: check the path and its mode") from e
        if not token:
            raise CredentialError(f"token file {self._path} is empty")
        return _bearer(token)


class ExecStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """status of client.authentication.k8s.io ExecCredential."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class ExecCredential(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The output of an exec plugin."""

    api_version: str = ""
    kind: str = ""
    status: ExecStatus | None = None


class Plugin:
    """An exec plugin: run at need, its answer kept to its expiry, run again after a 401."""

    def __init__(self, spec: ExecSpec, target: Target, now: Callable[[], float] = time.time) -> None:
        self._spec, self._target, self._now = spec, target, now
        self._lock = asyncio.Lock()
        self._credential: ClientCredential | None = None
        self._expires = float("inf")
        self._failed_at = float("-inf")
        self._failure = ""

    async def get(self) -> ClientCredential:
        """The kept credential, or a run of the plugin when it has expired."""
        credential = self._kept()
        return credential if credential is not None else await self._locked_run(None)

    async def renew(self, refused: ClientCredential) -> ClientCredential | None:
        """Runs the plugin, unless another request did so since `refused` was given out."""
        renewed = await self._locked_run(refused)
        return None if renewed == refused else renewed

    def _kept(self) -> ClientCredential | None:
        return self._credential if self._now() < self._expires else None

    async def _locked_run(self, refused: ClientCredential | None) -> ClientCredential:
        async with self._lock:
            credential = self._kept()
            if credential is not None and credential != refused:
                return credential
            if self._now() - self._failed_at < RETRY_S:
                raise CredentialError(self._failure)
            try:
                self._credential, self._expires = await self._run()
            except CredentialError as e:
                self._failed_at, self._failure = self._now(), str(e)
                raise
            return self._credential

    async def _run(self) -> tuple[ClientCredential, float]:
        name = self._spec.command
        try:
            process = await asyncio.create_subprocess_exec(
                name,
                *self._spec.args,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=OUTPUT_LIMIT,
            )
        except OSError as e:
            raise CredentialError(f"exec plugin {name!r} cannot be run: {e.strerror}. {self._spec.install_hint}") from e
        output = await self._output(process)
        return _credential(output, name)

    async def _output(self, process: asyncio.subprocess.Process) -> bytes:
        name = self._spec.command
        try:
            async with asyncio.timeout(PLUGIN_TIMEOUT_S):
                output, _ = await process.communicate()
        except TimeoutError as e:
            raise CredentialError(f"exec plugin {name!r} did not end within {PLUGIN_TIMEOUT_S:.0f} s") from e
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise CredentialError(
                f"exec plugin {name!r} ended with code {process.returncode}: run it by hand to see why"
            )
        return output

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_") and k != "NOTIFY_SOCKET"}
        return {**inherited, **self._spec.env, "KUBERNETES_EXEC_INFO": self._info()}

    def _info(self) -> str:
        spec: dict[str, Any] = {"interactive": False}
        if self._spec.provide_cluster_info:
            tls = self._target.tls
            spec["cluster"] = {
                "server": self._target.url,
                "tls-server-name": tls.server_name,
                "insecure-skip-tls-verify": tls.insecure,
                "certificate-authority-data": binascii.b2a_base64(tls.ca, newline=False).decode(),
            }
        document = {"apiVersion": self._spec.api_version, "kind": "ExecCredential", "spec": spec}
        return msgspec.json.encode(document).decode()


def _credential(output: bytes, name: str) -> tuple[ClientCredential, float]:
    try:
        answer = decoded(output, ExecCredential)
    except msgspec.DecodeError as e:
        raise CredentialError(f"exec plugin {name!r} did not print an ExecCredential") from e
    status = answer.status
    if answer.kind != "ExecCredential" or status is None:
        raise CredentialError(f"exec plugin {name!r} printed no ExecCredential with a status")
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise CredentialError(f"exec plugin {name!r} printed neither a token nor a client certificate with its key")
    credential = ClientCredential(
        authorization=_bearer(status.token),
        certificate=status.client_certificate_data.encode(),
        key=status.client_key_data.encode(),
    )
    ends = status.expiration_timestamp
    if ends is None:
        return credential, float("inf")
    return credential, (ends if ends.tzinfo else ends.replace(tzinfo=UTC)).timestamp()
