"""The claim: one authority for a host in pods, whichever replica comes first and wherever another one stopped.

    skerry-root   the operator's root seed, mounted by nobody: copy it away and delete it
    skerry-keys   all other keys, the certificate authority and the host's UID, by a single create. Who made it made the host

A root without keys is of a bootstrap that was cut between the two, and is used by the next. Keys are never made again while
there are any, and never computed from anything: so the host's UID stays what it was at first, on a restored cluster too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from skerry.cli.incluster.secrets import Secrets
from skerry.errors import Conflict, InternalError, NotFound
from skerry.identity import nkey, x509
from skerry.identity.federation import Authority
from skerry.identity.files import write_private
from skerry.identity.keyfiles import NAMES, ROOTS, SECRETS_KEY
from skerry.identity.nkey import KeyType
from skerry.member.identity import owner_of

ROOT, KEYS = "skerry-root", "skerry-keys"
ROOT_FILE, UID_FILE = "operator.nk", "host-uid"
FILES = ("authority.json", *(f"{name}.nk" for name in NAMES), SECRETS_KEY, ROOTS, "ca.crt", "ca.key", UID_FILE)
"""All files of the keys."""
REGISTRY_FILES = tuple(name for name in FILES if name not in ("ca.crt", "ca.key", UID_FILE))
"""Those that the registry works with."""


async def claimed(secrets: Secrets, name: str, existing: str = "") -> Mapping[str, bytes]:
    """The files of the host's keys, made if there are none; with `existing` those of that Secret, which somebody else made.

    Conflict: the cluster is a member of another host. NotFound, InternalError: there are no such keys, or not all of them.
    """
    metadata = await secrets.kube_system()
    keys = await secrets.get(existing or KEYS)
    if keys is None and existing:
        raise NotFound(
            f"Secret {existing}, which keys.existingSecret names, is not there: make it with {', '.join(FILES)}"
        )
    files = _whole(keys.files, existing or KEYS) if keys is not None else None
    uid = files[UID_FILE].decode().strip() if files is not None else str(metadata["uid"])
    owner, host = owner_of(metadata)
    if owner not in ("", uid):
        raise Conflict(
            f"this cluster is a member of the host {host!r} (UID {owner[:64]}): it cannot be a host too. Remove it there first: "
            "skerry cluster remove NAME"
        )
    return files if files is not None else await _make(secrets, name, uid)


async def _make(secrets: Secrets, name: str, uid: str) -> Mapping[str, bytes]:
    root = await secrets.get(ROOT)
    if root is None:
        await secrets.create(ROOT, {ROOT_FILE: nkey.create(KeyType.OPERATOR).seed})
        root = await secrets.get(ROOT)
    if root is None or not root.files.get(ROOT_FILE):
        raise InternalError(f"Secret {ROOT} has no {ROOT_FILE}: delete it, as long as there is no Secret {KEYS}")
    await secrets.create(KEYS, new_keys(name, uid, root.files[ROOT_FILE]))
    keys = await secrets.get(KEYS)  # whoever was faster
    if keys is None:
        raise InternalError(f"Secret {KEYS} was deleted while it was made: start again")
    return _whole(keys.files, KEYS)


def new_keys(name: str, uid: str, root: bytes) -> dict[str, bytes]:
    """The files of new keys under the root seed `root`."""
    authority, ca = Authority.create(name, nkey.from_seed(root)), x509.create_ca(name)
    with TemporaryDirectory(prefix="skerry-keys-") as directory:
        authority.save(Path(directory))
        files = {path.name: path.read_bytes() for path in Path(directory).iterdir() if path.is_file()}
    return {**files, "ca.crt": ca.certificate, "ca.key": ca.key, UID_FILE: uid.encode()}


def lay(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files into a directory, for their owner alone."""
    for name, data in files.items():
        write_private(directory / name, data, durable=False)


def _whole(files: Mapping[str, bytes], secret: str) -> Mapping[str, bytes]:
    if missing := [name for name in FILES if not files.get(name)]:
        raise InternalError(
            f"Secret {secret} lacks {', '.join(missing)}: it is not the keys of a host. Put them back from the safe copy"
        )
    return files
