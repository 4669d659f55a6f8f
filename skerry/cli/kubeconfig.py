"""Kubeconfigs: reading the user's, choosing a context, and building ours (`skerry.cli.merging` puts ours into the user's)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from skerry.cli.failure import Failure
from skerry.cli.login.parameters import LoginParameters, ParameterError, of_arguments
from skerry.httpwire.names import member_of, server_name
from skerry.member.kubeconfig import KubeconfigError, document, entries

Config = dict[str, Any]


class KubeContext:
    """One context, resolved: where the host is and how to be somebody there."""

    def __init__(self, name: str, cluster: Config, user: Config, where: Path, user_name: str = "") -> None:
        self.name, self.where, self.user_name = name, where, user_name
        self.member = member(cluster)
        self.server = host_of(str(cluster.get("server", "")))
        self.ca = _data(cluster, "certificate-authority", where)
        name = str(cluster.get("tls-server-name") or "")
        self.server_name = "" if is_members(name) else name
        """What to ask for in TLS instead of the server's own name; the name of a member would lead to the member."""
        self.insecure = bool(cluster.get("insecure-skip-tls-verify"))
        self._token = _token(user, where)
        self.login = None if self._token else _login(user, self.name, where)
        """How its user logs in, if by our exec plugin."""
        self.client_certificate = _data(user, "client-certificate", where)
        self.client_key = _data(user, "client-key", where)
        if "exec" in user and not self._token and self.login is None:
            raise Failure(
                f"context {self.name} in {where} uses an exec plugin: give a context with a token or certificate, or one of "
                "skerry kubeconfig --login"
            )

    @property
    def token(self) -> str:
        """The bearer token; of who logs in one that is good now, for which they may be asked. Failure."""
        if self.login is None:
            return self._token
        from skerry.cli.login.asking import asking, on_terminal
        from skerry.cli.login.signin import cache_of, token

        ask = asking(self.login.flow) if on_terminal() else None
        return token(self.login, cache_of(self.login), ask).id_token

    @property
    def prefix(self) -> str:
        """The name of the host: contexts of its members are `<prefix>-<member>`. Failure for one whose name says nothing."""
        if not self.member:
            return self.name
        if not self.name.endswith(f"-{self.member}"):
            raise Failure(
                f"context {self.name} is of member {self.member}: say what names of contexts begin with: --name NAME"
            )
        return self.name.removesuffix(f"-{self.member}")


def member(cluster: Config) -> str:
    """The member to which a cluster entry of ours leads, by name or by path; "" for a host."""
    name = str(cluster.get("tls-server-name") or "")
    if is_members(name):
        return name.lower().partition(".")[0]
    return urlsplit(str(cluster.get("server") or "")).path.partition("/clusters/")[2].partition("/")[0]


def is_members(name: str) -> bool:
    """True if a `tls-server-name` is the name of a member of some host."""
    return member_of(name.lower(), "") is not None


def host_of(server: str) -> str:
    """The host API's address; a context of a member may point below /clusters/<name>."""
    parts = urlsplit(server)
    path = parts.path.split("/clusters/", 1)[0].rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _data(entry: Config, key: str, where: Path) -> bytes:
    if text := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(text)
        except (TypeError, ValueError) as error:
            raise Failure(f"{key}-data in {where} is not base64: {error}") from error
    return _named_file(entry, key, where)


def _token(user: Config, where: Path) -> str:
    if token := user.get("token"):
        return str(token)
    return _named_file(user, "tokenFile", where).decode(errors="replace").strip()


def _login(user: Config, context: str, where: Path) -> LoginParameters | None:
    """How a user logs in; None if not by our exec plugin. Failure."""
    plugin = user.get("exec")
    if not isinstance(plugin, dict):
        return None
    try:
        return of_arguments([str(word) for word in plugin.get("args") or ()])
    except ParameterError as error:
        raise Failure(f"context {context} in {where} says nothing to log in by: {error}") from error


def login(paths: list[Path], chosen: str) -> LoginParameters:
    """How to log in for the context `chosen`; by default the current one, or the only login that any context has.

    Failure naming the contexts that log in.
    """
    configs = [(path, read(path)) for path in paths if path.exists()]
    logins = _logins(configs)
    current = chosen or _current(configs)
    if current in logins:
        return logins[current]
    if not chosen and len(set(logins.values())) == 1:
        return next(iter(logins.values()))
    where = ", ".join(map(str, paths))
    which = f"context {current} in {where} does not log in" if current else f"no context in {where} is current"
    if logins:
        raise Failure(f"{which}: choose one that logs in with --context; there is: {', '.join(logins)}")
    raise Failure(
        f"{which}: ask an administrator of the host for a kubeconfig that logs in, made by skerry kubeconfig --login"
    )


def _logins(configs: list[tuple[Path, Config]]) -> dict[str, LoginParameters]:
    """How to log in, by context."""
    logins: dict[str, LoginParameters] = {}
    for path, config in configs:
        for name in entries(config, "contexts"):
            entry = named(config, "contexts", name) or {}
            user = _across(configs, "users", str(entry.get("user", "")))
            if name not in logins and user and (parameters := _login(user, name, path)) is not None:
                logins[name] = parameters
    return logins


def _current(configs: list[tuple[Path, Config]]) -> str:
    return next((str(config["current-context"]) for _, config in configs if config.get("current-context")), "")


def _named_file(entry: Config, key: str, where: Path) -> bytes:
    """The content of the file that an entry names, relative to the kubeconfig; empty if it names none."""
    if not (name := entry.get(key)):
        return b""
    path = where.parent / Path(str(name)).expanduser()
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{where} names {path} as {key}, which cannot be read: {error.strerror}") from error


def files(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The user's kubeconfig files: KUBECONFIG, else ~/.kube/config."""
    named = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return list(dict.fromkeys(named)) or [Path.home() / ".kube" / "config"]


def read(path: Path) -> Config:
    """A kubeconfig as a document. Raises Failure if it cannot be read."""
    try:
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise Failure(f"the kubeconfig {path} cannot be read: {error.strerror}") from error


def parse(data: bytes, where: Path) -> Config:
    """A kubeconfig as a document, {} if it says nothing. Raises Failure."""
    try:
        return document(data, str(where))
    except KubeconfigError as error:
        raise Failure(str(error)) from error


def named(config: Config, section: str, name: str) -> Config | None:
    """The inner document of the entry `name` in clusters, users or contexts; None if there is none."""
    named = entries(config, section)
    inner = named.get(name)
    return inner if isinstance(inner, dict) else {} if name in named else None


def contexts(config: Config) -> list[str]:
    """Names of all contexts."""
    return list(entries(config, "contexts"))


def context(paths: list[Path], chosen: str) -> KubeContext:
    """The context `chosen` (default: the current one) of the first file that has it.

    Raises Failure naming the contexts that there are.
    """
    configs = [(path, read(path)) for path in paths if path.exists()]
    if not configs:
        raise Failure(f"there is no kubeconfig at {', '.join(map(str, paths))}: give one with --kubeconfig FILE")
    name = chosen or _current(configs)
    for path, config in configs:
        entry = named(config, "contexts", name)
        if entry is None:
            continue
        cluster = _across(configs, "clusters", str(entry.get("cluster", "")))
        user = _across(configs, "users", str(entry.get("user", "")))
        if cluster is None or not cluster.get("server"):
            raise Failure(f"context {name} in {path} names no cluster with a server")
        return KubeContext(name, cluster, user or {}, path, str(entry.get("user", "")))
    raise _no_context(configs, name)


def logged_in(paths: list[Path]) -> KubeContext | None:
    """The current context, if its user logs in here: no other is known to be one of a Skerry host."""
    try:
        current = context(paths, "")
    except Failure:
        return None
    return None if current.login is None else current


def _no_context(configs: list[tuple[Path, Config]], name: str) -> Failure:
    known = [name for _, config in configs for name in entries(config, "contexts")]
    where = ", ".join(str(path) for path, _ in configs)
    what = f"has no context {name!r}" if name else "has no current context"
    return Failure(f"{where} {what}; it has: {', '.join(known) or 'none'}. Choose one with --context NAME")


def _across(configs: list[tuple[Path, Config]], section: str, name: str) -> Config | None:
    return next((entry for _, config in configs if (entry := named(config, section, name)) is not None), None)


def build(
    prefix: str,
    members: list[str],
    *,
    server: str,
    ca: bytes,
    token: str = "",
    uid: str = "",
    user: tuple[str, Config] | None = None,
    tls_name: str = "",
) -> Config:
    """A kubeconfig with context `<prefix>` for the host API and `<prefix>-<member>` for each member.

    Its one user is `<prefix>` with the token, or `user`, by name and content.

    With the host's `uid` members are named in TLS (docs/adr/0016), without it by path. `tls_name` is what to ask the host for in TLS,
    if that is another name than the server's.
    """
    trust = {"certificate-authority-data": base64.b64encode(ca).decode()}
    if tls_name:
        trust["tls-server-name"] = tls_name
    clusters = {prefix: {"server": server, **trust}}
    for member in members:
        if uid:
            clusters[f"{prefix}-{member}"] = {"server": server, **trust, "tls-server-name": server_name(member, uid)}
        else:
            clusters[f"{prefix}-{member}"] = {"server": f"{server}/clusters/{member}", **trust}
    user_name, content = user or (prefix, {"token": token})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster} for name, cluster in clusters.items()],
        "users": [{"name": user_name, "user": content}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user_name}} for name in clusters],
        "current-context": prefix,
    }


def text(config: Config) -> str:
    """A kubeconfig as JSON, which every reader of kubeconfigs takes."""
    return json.dumps(config, indent=2) + "\n"
