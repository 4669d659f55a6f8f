"""Kubeconfigs: choosing a context, building ours, and merging into the user's as kubectl would.

Which file is changed follows kubectl's clientcmd (ModifyConfig): an entry that exists is changed in the file that has
it; a new one goes to the first file of the KUBECONFIG list that exists, else to the last of the list, else to ~/.kube/config.
The file is guarded by `<file>.lock` as kubectl does it, replaced atomically, keeps its mode, and keeps what is not ours.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from skerry.cli.failure import Failure
from skerry.cli.plan import write_private

Config = dict[str, Any]
LOCK_WAIT_S = 5.0
_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}


class Context:
    """One context, resolved: where the host is and how to be somebody there."""

    def __init__(self, name: str, cluster: Config, user: Config, where: Path) -> None:
        self.name, self.where = name, where
        self.server = _host_of(str(cluster.get("server", "")))
        self.ca = _data(cluster, "certificate-authority", where)
        self.insecure = bool(cluster.get("insecure-skip-tls-verify"))
        self.token = _token(user, where)
        self.client_certificate = _data(user, "client-certificate", where)
        self.client_key = _data(user, "client-key", where)
        if "exec" in user and not self.token:
            raise Failure(f"context {name} in {where} uses an exec plugin: give a context with a token or certificate")

    @property
    def prefix(self) -> str:
        """The name of the host: contexts of its members are `<prefix>-<member>`."""
        return self.name


def _host_of(server: str) -> str:
    """The host API's address; a context of a member points below /clusters/<name>."""
    parts = urlsplit(server)
    path = parts.path.split("/clusters/", 1)[0].rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _data(entry: Config, key: str, where: Path) -> bytes:
    if text := entry.get(f"{key}-data"):
        return base64.b64decode(text)
    if name := entry.get(key):
        path = where.parent / Path(name).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise Failure(f"{where} names {path} as {key}, which cannot be read: {error.strerror}") from error
    return b""


def _token(user: Config, where: Path) -> str:
    if token := user.get("token"):
        return str(token)
    if name := user.get("tokenFile"):
        return (where.parent / Path(name).expanduser()).read_text().strip()
    return ""


def files(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The user's kubeconfig files: KUBECONFIG, else ~/.kube/config."""
    named = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return list(dict.fromkeys(named)) or [Path.home() / ".kube" / "config"]


def read(path: Path) -> Config:
    """A kubeconfig as a document. Raises Failure if it cannot be read."""
    try:
        return parse(path.read_text(), path)
    except OSError as error:
        raise Failure(f"the kubeconfig {path} cannot be read: {error.strerror}") from error


def parse(text: str, where: Path) -> Config:
    """JSON or YAML. yaml is imported only when needed: our own files are JSON."""
    try:
        document = json.loads(text)
    except ValueError:
        document = _yaml(text, where)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise Failure(f"{where} is not a kubeconfig")
    return document


def _yaml(text: str, where: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Failure(f"{where} is neither JSON nor YAML: {' '.join(str(error).split())}") from error


def named(config: Config, section: str, name: str) -> Config | None:
    """The inner document of the entry `name` in clusters, users or contexts; None if there is none."""
    for entry in config.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(_SECTIONS[section]) or {}
    return None


def context(paths: list[Path], chosen: str) -> Context:
    """The context `chosen` (default: the current one) of the first file that has it.

    Raises Failure naming the contexts that there are.
    """
    configs = [(path, read(path)) for path in paths if path.exists()]
    if not configs:
        raise Failure(f"there is no kubeconfig at {', '.join(map(str, paths))}: give one with --kubeconfig FILE")
    name = chosen or next((c["current-context"] for _, c in configs if c.get("current-context")), "")
    for path, config in configs:
        found = named(config, "contexts", name)
        if found is None:
            continue
        cluster = _across(configs, "clusters", str(found.get("cluster", "")))
        user = _across(configs, "users", str(found.get("user", "")))
        if cluster is None or not cluster.get("server"):
            raise Failure(f"context {name} in {path} names no cluster with a server")
        return Context(name, cluster, user or {}, path)
    known = [str(entry.get("name")) for _, config in configs for entry in config.get("contexts") or []]
    where = ", ".join(str(path) for path, _ in configs)
    what = f"has no context {name!r}" if name else "has no current context"
    raise Failure(f"{where} {what}; it has: {', '.join(known) or 'none'}. Choose one with --context NAME")


def _across(configs: list[tuple[Path, Config]], section: str, name: str) -> Config | None:
    return next((found for _, config in configs if (found := named(config, section, name)) is not None), None)


def build(prefix: str, members: list[str], *, server: str, ca: bytes, token: str, host: bool = True) -> Config:
    """A kubeconfig with context `<prefix>` for the host API and `<prefix>-<member>` for each member."""
    targets = ([(prefix, server)] if host else []) + [(f"{prefix}-{m}", f"{server}/clusters/{m}") for m in members]
    ca_text = base64.b64encode(ca).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": url, "certificate-authority-data": ca_text}} for name, url in targets
        ],
        "users": [{"name": prefix, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": prefix}} for name, _ in targets],
        "current-context": targets[0][0] if targets else "",
    }


def text(config: Config) -> str:
    """A kubeconfig as JSON, which every reader of kubeconfigs takes."""
    return json.dumps(config, indent=2) + "\n"


def merge(ours: Config, use: str, paths: list[Path]) -> list[Path]:
    """Put our entries into the user's files; `use` (if any) becomes the current context. Returns the files changed."""
    existing = [path for path in paths if path.exists()]
    default = existing[0] if existing else paths[-1]
    with _locked([*existing, default]):
        configs = {path: read(path) for path in existing}
        configs.setdefault(default, {"apiVersion": "v1", "kind": "Config"})
        changed: set[Path] = set()
        for section in _SECTIONS:
            for entry in ours[section]:
                owner = next((p for p, c in configs.items() if named(c, section, entry["name"]) is not None), default)
                _put(configs[owner], section, entry)
                changed.add(owner)
        if use:
            owner = next((p for p, c in configs.items() if c.get("current-context")), default)
            configs[owner]["current-context"] = use
            changed.add(owner)
        for path in changed:
            _write(path, configs[path])
    return sorted(changed)


def _put(config: Config, section: str, entry: Config) -> None:
    entries = config.get(section) or []
    for index, old in enumerate(entries):
        if old.get("name") == entry["name"]:
            entries[index] = entry
            break
    else:
        entries.append(entry)
    config[section] = entries


def remove_ours(ca: bytes, paths: list[Path]) -> list[Path]:
    """Remove entries of the host whose authority is `ca`, and nothing else. Returns the files changed."""
    mark = base64.b64encode(ca).decode()
    changed = []
    for path in (path for path in paths if path.exists()):
        with _locked([path]):
            config = read(path)
            if _strip(config, mark):
                _write(path, config)
                changed.append(path)
    return changed


def _strip(config: Config, mark: str) -> bool:
    ours = {
        e["name"]
        for e in config.get("clusters") or []
        if (e.get("cluster") or {}).get("certificate-authority-data") == mark
    }
    if not ours:
        return False
    gone = [e for e in config.get("contexts") or [] if (e.get("context") or {}).get("cluster") in ours]
    kept = [e for e in config.get("contexts") or [] if e not in gone]
    in_use = {(e.get("context") or {}).get("user") for e in kept}
    users = {(e.get("context") or {}).get("user") for e in gone} - in_use
    config["contexts"] = kept
    config["clusters"] = [e for e in config["clusters"] if e["name"] not in ours]
    config["users"] = [e for e in config.get("users") or [] if e.get("name") not in users]
    if config.get("current-context") in {e["name"] for e in gone}:
        config["current-context"] = ""
    return True


def _write(path: Path, config: Config) -> None:
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
