"""Our entries in the user's kubeconfigs, as kubectl would put them there.

Which file is changed follows kubectl's clientcmd (ModifyConfig): an entry that exists is changed in the file that has
it; a new one goes to the first file of the KUBECONFIG list that exists, else to the last of the list, else to ~/.kube/config.
The file is guarded by `<file>.lock` as kubectl does it, replaced atomically, keeps its mode, and keeps what is not ours.

An entry is ours if its cluster carries our authority (or, where the host has a certificate that everybody trusts, its
address); of those only what we make is changed (server, name in TLS, authority, token), and what people add stays. Others'
entries are never touched, also under the same name: their token may be nowhere else. Nor is a name ever given another
meaning: a context of one member does not become one of another, or of the host.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from skerry.cli.failure import Failure
from skerry.cli.kubeconfig import Config, host_of, is_members, member, read, text
from skerry.cli.login.parameters import ParameterError, of_arguments
from skerry.identity.files import write_private
from skerry.member.kubeconfig import SECTIONS

LOCK_WAIT_S = 5.0
Configs = dict[Path, Config]


class OurEntries(NamedTuple):
    """Names of the entries that belong to one host, across all files."""

    clusters: set[str]
    contexts: set[str]
    users: set[str]


def merge(ours: Config, use: str, paths: list[Path]) -> list[Path]:
    """Put our entries into the user's files; `use` (if any) becomes the current context. Returns the files changed.

    Raises Failure, and changes nothing, if an entry of that name is somebody else's.
    """
    existing = [path for path in paths if path.exists()]
    default = existing[0] if existing else paths[-1]
    with _locked([*existing, default]):
        configs = {path: read(path) for path in existing}
        configs.setdefault(default, {"apiVersion": "v1", "kind": "Config"})
        _refuse_others(ours, configs)
        changed = {_put(configs, default, section, entry) for section in SECTIONS for entry in ours[section]}
        if use:
            owner = next((p for p, c in configs.items() if c.get("current-context")), default)
            configs[owner]["current-context"] = use
            changed.add(owner)
        for path in changed:
            _write(path, configs[path])
    return sorted(changed)


def _refuse_others(ours: Config, configs: Configs) -> None:
    """Whatever has the name of an entry of ours must be ours, and lead where ours leads; or hold the very same.

    A user whom no context has any more, because its contexts log in otherwise now, is nobody's that is known.
    """
    mine = _replaceable(ours, configs)
    taken = {
        f"{SECTIONS[section]} {entry['name']} in {path}"
        for section in SECTIONS
        for entry in ours[section]
        if entry["name"] not in getattr(mine, section)
        for path, config in configs.items()
        if any(each["name"] == entry["name"] and not _same(each, entry) for each in _entries(config, section))
    }
    if taken:
        raise Failure(
            f"not merged: these lead to another host or cluster, and what they hold may be nowhere else: "
            f"{', '.join(sorted(taken))}. Choose another name for this host's contexts with --name NAME"
        )


def _same(old: Config, new: Config) -> bool:
    """True if a user holds the same secret, or none but how to log in."""
    user, other = old.get("user") or {}, new.get("user")
    return other is not None and (user == other or (set(user) == set(other) == {"exec"} and _logs_in(user)))


def _logs_in(user: Config) -> bool:
    try:
        return of_arguments([str(word) for word in user["exec"].get("args") or ()]) is not None
    except (AttributeError, ParameterError):
        return False


def _replaceable(ours: Config, configs: Configs) -> OurEntries:
    """Entries that are the same as ours but for their content; contexts that lead nowhere too."""
    mine = _belonging(configs, _mark(ours["clusters"][0]["cluster"]))
    clusters, contexts = _first(configs, "clusters"), _first(configs, "contexts")
    members = {entry["name"]: member(entry["cluster"]) for entry in ours["clusters"]}
    return OurEntries(
        {name for name in mine.clusters if member(clusters[name]) == members.get(name)},
        {
            name
            for name, context in contexts.items()
            if context.get("cluster") not in clusters or (name in mine.contexts and context.get("cluster") == name)
        },
        mine.users,
    )


def _belonging(configs: Configs, mark: bytes) -> OurEntries:
    """What belongs to the host with this mark: clusters that carry it, contexts of those, users of these."""
    clusters = _first(configs, "clusters")
    contexts = _first(configs, "contexts")
    own = {name for name, cluster in clusters.items() if _mark(cluster) == mark}
    in_use = {name for name, context in contexts.items() if context.get("cluster") in own}
    return OurEntries(own, in_use, {str(contexts[name].get("user")) for name in in_use})


def _first(configs: Configs, section: str) -> dict[str, Config]:
    """The entries of a section by name; of several with one name the first counts, as for kubectl."""
    by_name: dict[str, Config] = {}
    for config in configs.values():
        for entry in _entries(config, section):
            by_name.setdefault(entry["name"], entry.get(SECTIONS[section]) or {})
    return by_name


def _entries(config: Config, section: str) -> list[dict[str, Any]]:
    return [entry for entry in config.get(section) or [] if isinstance(entry, dict) and "name" in entry]


def _mark(cluster: Config) -> bytes:
    """What tells hosts apart: the authority (the same bytes may be written in several ways), without one the address."""
    text = str(cluster.get("certificate-authority-data") or "")
    try:
        return base64.b64decode(text).strip() or host_of(str(cluster.get("server"))).encode()
    except binascii.Error:
        return text.encode()


def _put(configs: Configs, default: Path, section: str, entry: Config) -> Path:
    """Change the entry where it is, or add it; the file."""
    for path, config in configs.items():
        for old in _entries(config, section):
            if old["name"] == entry["name"]:
                old[SECTIONS[section]] = _renewed(old.get(SECTIONS[section]) or {}, entry[SECTIONS[section]])
                return path
    config = configs[default]
    config[section] = [*(config.get(section) or []), entry]
    return default


def _renewed(old: Config, new: Config) -> Config:
    """Ours over what was there: what people added stays, except the name of a member where we no longer give one."""
    stale = "tls-server-name" not in new and is_members(str(old.get("tls-server-name")))
    return {key: value for key, value in old.items() if not (stale and key == "tls-server-name")} | new


def remove_ours(ca: bytes, paths: list[Path]) -> list[Path]:
    """Remove entries of the host whose authority is `ca`, and nothing else. Returns the files changed."""
    existing = [path for path in paths if path.exists()]
    with _locked(existing):
        configs = {path: read(path) for path in existing}
        mine = _belonging(configs, ca.strip())
        others = {
            context.get("user") for name, context in _first(configs, "contexts").items() if name not in mine.contexts
        }
        gone = mine._replace(users=mine.users - others)
        changed = [path for path, config in configs.items() if _strip(config, gone)]
        for path in changed:
            _write(path, configs[path])
    return changed


def _strip(config: Config, gone: OurEntries) -> bool:
    """Take these entries out; whether there were any."""
    changed = False
    for section in SECTIONS:
        names = getattr(gone, section)
        others = [
            entry for entry in config.get(section) or [] if not (isinstance(entry, dict) and entry.get("name") in names)
        ]
        if len(others) != len(config.get(section) or []):
            config[section] = others
            changed = True
    if config.get("current-context") in gone.contexts:
        config["current-context"] = ""
        changed = True
    return changed


def _write(path: Path, config: Config) -> None:
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_private(target, _as_before(target, config).encode(), mode)


def _as_before(path: Path, config: Config) -> str:
    """YAML stays YAML, JSON stays JSON; a new file is YAML, as kubectl would write it."""
    if path.exists() and path.read_text().lstrip().startswith("{"):
        return text(config)
    import yaml

    return str(yaml.safe_dump(config, sort_keys=False))


@contextlib.contextmanager
def _locked(paths: list[Path]) -> Iterator[None]:
    """kubectl's lock: `<file>.lock`, made with O_EXCL, removed at the end. Always in the same order."""
    taken: list[Path] = []
    try:
        for path in sorted(set(paths)):
            taken.append(_take(path))  # noqa: PERF401 - what was taken before an error is released
        yield
    finally:
        for lock in taken:
            lock.unlink(missing_ok=True)


def _take(path: Path) -> Path:
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            return lock
        except FileExistsError:
            if time.monotonic() > deadline:
                raise Failure(f"{lock} exists: another program changes {path}; remove it if none does") from None
            time.sleep(0.05)
        except OSError as error:
            raise Failure(f"{path} cannot be changed: {error.strerror}") from error
