"""Releases as Helm 3 and 4 keep them on a cluster: a Secret per revision, `sh.helm.release.v1.<release>.v<revision>`. Pure.

Its labels say release, revision, status and times; the rest is one value, JSON in gzip in base64, which Kubernetes has in base64
again (pkg/storage/driver of helm.sh/helm/v4). Who may write Secrets there writes what they like into it, so nothing is taken for
granted, and unpacking ends at a limit. Helm 3 does not say how it applied (`apply_method` is empty): the client did.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import msgspec

from services.appstore.helm.failures import cleaned
from skerry.api.decode import decoded
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.api.times import rfc3339, seconds

TYPE = "helm.sh/release.v1"
SELECTOR = "owner=helm"
"""Labels of such Secrets; `name=<release>` and `status=<status>` choose among them."""
LARGEST = 48 << 20
"""Bytes of a revision when it is unpacked: a chart of 32 MiB in base64, and what it renders."""
LONGEST_NOTES = 64 * 1024
_SYSTEM_LABELS = frozenset(("name", "owner", "status", "version", "createdAt", "modifiedAt"))
_GZIP = b"\x1f\x8b\x08"

Status: TypeAlias = Literal[
    "unknown",
    "deployed",
    "uninstalled",
    "superseded",
    "failed",
    "uninstalling",
    "pending-install",
    "pending-upgrade",
    "pending-rollback",
]
STATUSES: frozenset[str] = frozenset(Status.__args__)  # type: ignore[attr-defined]
PENDING: frozenset[Status] = frozenset(("pending-install", "pending-upgrade", "pending-rollback"))


class ReleaseError(Exception):
    """A Secret that is no revision of a release, or one that cannot be read. The message says why."""


class Entry(NamedTuple):
    """A revision by the labels of its Secret: enough to know what state a release is in."""

    secret: str
    release: str
    namespace: str
    revision: int
    status: Status
    labels: dict[str, str]
    """Those that Helm did not put there itself."""
    changed: float
    """Seconds since the epoch; 0 if that is not known."""


class Hook(NamedTuple):
    """An object that Helm makes at an event and does not count to the release."""

    kind: str
    name: str
    manifest: str
    events: tuple[str, ...]
    delete_policies: tuple[str, ...]


class Revision(NamedTuple):
    """A revision as a whole. Texts are cut and print; manifest and values are as they are."""

    entry: Entry
    chart: str
    chart_version: str
    app_version: str
    description: str
    apply_method: str
    """`ssa` or `csa`; empty: the client, as Helm 3 does."""
    first_deployed: str
    """RFC 3339, or empty; as `last_deployed`."""
    last_deployed: str
    notes: str
    manifest: str
    hooks: tuple[Hook, ...]
    values: Document
    """What its user gave, which may be secret."""

    @property
    def server_side(self) -> bool:
        """True if the server applied it: then fields can be taken from other managers at the next upgrade."""
        return self.apply_method == "ssa"


State: TypeAlias = Literal["None", "Deployed", "Failed", "Pending", "Uninstalling", "Uninstalled"]


class ReleaseState(NamedTuple):
    """What state a release is in."""

    state: State
    latest: Entry | None = None
    """The newest revision."""
    deployed: Entry | None = None
    """The newest that was ever deployed well: what a rollback goes to. It may be the latest."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    version: str | None = None
    app_version: str | None = None


class _Chart(msgspec.Struct):
    metadata: _Metadata | None = None


class _ReleaseInfo(msgspec.Struct):
    first_deployed: str | None = None
    last_deployed: str | None = None
    description: str | None = None
    status: str | None = None
    notes: str | None = None


class _Hook(msgspec.Struct):
    kind: str | None = None
    name: str | None = None
    manifest: str | None = None
    events: list[str] | None = None
    delete_policies: list[str] | None = None


class _Release(msgspec.Struct):
    """As pkg/release/v1 Release has it; what is not read is left out."""

    name: str
    version: int
    info: _ReleaseInfo | None = None
    chart: _Chart | None = None
    config: dict[str, Any] | None = None
    manifest: str | None = None
    hooks: list[_Hook | None] | None = None
    apply_method: str | None = None


def entry(secret: Document) -> Entry:
    """What the labels of a Secret say; its data is not needed (PartialObjectMetadata will do). ReleaseError."""
    metadata = secret.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(labels, dict):
        raise ReleaseError("it has no labels")
    name, revision, status = (str(labels.get(key, "")) for key in ("name", "version", "status"))
    secret_name = str(metadata.get("name", ""))
    if not (revision.isascii() and revision.isdigit() and len(revision) <= 9):
        raise ReleaseError(f"its label version is {revision[:40]!r}: a number is expected")
    if secret_name != f"sh.helm.release.v1.{name}.v{int(revision)}":
        raise ReleaseError(f"{secret_name[:80]!r} is not the name of revision {revision} of release {name[:60]!r}")
    if status not in STATUSES:
        raise ReleaseError(f"its label status is {status[:40]!r}, which Helm does not know")
    own = {str(key): str(value) for key, value in labels.items() if key not in _SYSTEM_LABELS}
    changed = max((_number(labels.get(key)) for key in ("createdAt", "modifiedAt")), default=0.0)
    return Entry(
        secret_name, name, str(metadata.get("namespace", "")), int(revision), cast(Status, status), own, changed
    )


def entries(secrets: Iterable[Document], release: str) -> tuple[Entry, ...]:
    """The revisions of one release among Secrets, the oldest first; what is none of it is left out."""
    revisions = []
    for secret in secrets:
        with suppress(ReleaseError):
            revisions.append(entry(secret))
    return tuple(sorted((each for each in revisions if each.release == release), key=lambda each: each.revision))


def state(revisions: Iterable[Entry]) -> ReleaseState:
    """The state of a release with these revisions, in any order."""
    newest_first = sorted(revisions, key=lambda each: -each.revision)
    if not newest_first:
        return ReleaseState("None")
    latest = newest_first[0]
    deployed = next((each for each in newest_first if each.status in ("deployed", "superseded")), None)
    return ReleaseState(_STATES.get(latest.status, "Failed"), latest, deployed)


def revision(secret: Document) -> Revision:
    """A revision, unpacked. ReleaseError."""
    head = entry(secret)
    release = _unpacked(secret)
    if (release.name, release.version) != (head.release, head.revision):
        raise ReleaseError("its labels and its content are about different revisions")
    info, metadata = release.info or _ReleaseInfo(), (release.chart or _Chart()).metadata or _Metadata()
    return Revision(
        entry=head,
        chart=_word(metadata.name),
        chart_version=_word(metadata.version),
        app_version=_word(metadata.app_version),
        description=cleaned(info.description or ""),
        apply_method=release.apply_method if release.apply_method in ("ssa", "csa") else "",
        first_deployed=_time(info.first_deployed),
        last_deployed=_time(info.last_deployed),
        notes=_printable((info.notes or "")[:LONGEST_NOTES]),
        manifest=release.manifest or "",
        hooks=tuple(_hook(each) for each in release.hooks or () if each is not None),
        values=release.config or {},
    )


def revision_in(secret: bytes) -> Revision:
    """The same, from the JSON of the Secret."""
    return revision(secret_in(secret))


def secret_in(content: bytes) -> Document:
    """A Secret from its JSON. ReleaseError."""
    try:
        secret = decoded(content)
    except msgspec.DecodeError as error:
        raise ReleaseError(str(error)) from error
    if not isinstance(secret, dict):
        raise ReleaseError("it is no object")
    return secret


_STATES: dict[str, State] = {
    "deployed": "Deployed",
    "superseded": "Deployed",
    "uninstalling": "Uninstalling",
    "uninstalled": "Uninstalled",
    **dict.fromkeys(PENDING, "Pending"),
}


def _unpacked(secret: Document) -> _Release:
    content = _packed(secret)
    try:
        return decoded(_inflated(content) if content.startswith(_GZIP) else content, _Release)
    except msgspec.DecodeError as error:
        raise ReleaseError(f"data.release: {error}") from error


def _packed(secret: Document) -> bytes:
    if secret.get("type") != TYPE:
        raise ReleaseError(f"its type is not {TYPE}")
    data = secret.get("data")
    text = data.get("release") if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise ReleaseError("it has no data.release")
    try:
        return binascii.a2b_base64(binascii.a2b_base64(text))
    except (binascii.Error, ValueError) as error:
        raise ReleaseError(f"data.release is no base64: {error}") from error


def unpacks_within(secret: Document, most: int) -> bool:
    """True if a revision has so many bytes at most when it is unpacked, or cannot be."""
    try:
        content = _packed(secret)
        return (
            len(zlib.decompressobj(wbits=31).decompress(content, most + 1) if content.startswith(_GZIP) else content)
            <= most
        )
    except (ReleaseError, zlib.error):
        return True


def _inflated(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(content, LARGEST)
    except zlib.error as error:
        raise ReleaseError(f"data.release: {error}") from error
    if not unpacker.eof:
        more = "is cut" if not unpacker.unconsumed_tail else f"unpacks to more than {LARGEST >> 20} MiB"
        raise ReleaseError(f"data.release {more}")
    return plain


def _hook(hook: _Hook) -> Hook:
    return Hook(
        _word(hook.kind),
        _word(hook.name),
        hook.manifest or "",
        tuple(hook.events or ()),
        tuple(hook.delete_policies or ()),
    )


def _word(text: str | None) -> str:
    return clean(text or "", 253)


def _time(text: str | None) -> str:
    with suppress(ValueError, OverflowError, OSError):
        return rfc3339(seconds(text or ""))
    return ""


def _number(label: Any) -> float:
    text = str(label or "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 11 else 0.0


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each in "\n\t" else " " for each in text)
