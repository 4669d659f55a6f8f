"""Where the member's API server is and how one proves oneself to it: a kubeconfig context, or in-cluster files.

Only the forms that work without a person are taken. What cannot work is refused by name with the next step (proxy-url,
lists of files, interactive plugins, client-go's removed auth providers), because what starts and then
answers 502 to everyone is worse than one that does not start. JSON kubeconfigs are read without loading PyYAML.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from skerry.api.decode import decoded
from skerry.errors import SkerryError

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where kubelet mounts a pod's service account (token and ca.crt)."""


SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""Of a kubeconfig: lists of entries, each with a name and the key that its content stands under."""


class KubeconfigError(SkerryError):
    """The kubeconfig cannot be used; the message names the file, the entry and the next step."""


class KubeconfigPart(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a kubeconfig says."""


class ExecSpec(KubeconfigPart, frozen=True, kw_only=True):
    """A client-go credential plugin (client.authentication.k8s.io): runs where the kubeconfig is used."""

    command: str
    """Absolute, or looked up in PATH."""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False
    install_hint: str = ""


class Tls(KubeconfigPart, frozen=True, kw_only=True):
    """How the server is verified, and the client certificate if there is one. All PEM."""

    ca: bytes = b""
    """Empty: the system's authorities."""
    insecure: bool = False
    server_name: str = ""
    """Name that the certificate must have; empty: the host of the URL."""
    certificate: bytes = b""
    key: bytes = b""

    def __repr__(self) -> str:
        return f"Tls(insecure={self.insecure}, server_name={self.server_name!r})"


class Target(KubeconfigPart, frozen=True, kw_only=True):
    """One API server and one way to prove oneself to it. At most one of token, token_file and exec is used."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    """Path of the server URL, without a trailing slash."""
    tls: Tls = Tls()
    token: str = ""
    token_file: str = ""
    exec: ExecSpec | None = None
    origin: str = ""
    """For messages: the file and context, or "in-cluster credentials"."""
    context: str = ""
    """Of the kubeconfig: a later change of its current-context is no change of this target."""
    files: tuple[str, ...] = ()
    """What all this was read from on this machine; skerry/member/rotation.py looks whether it changes."""

    def __repr__(self) -> str:
        return f"Target({self.url})"

    @property
    def url(self) -> str:
        """The server's URL, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


class DirectConnection(KubeconfigPart, frozen=True, kw_only=True):
    """How the host reaches a direct member: stored encrypted, and sent sealed to proxies."""

    cluster: str
    """uid of the Cluster object."""
    revision: int
    """Counts credentials: 1 at joining, one more at each rotation."""
    target: Target


def load(path: str, context: str = "") -> Target:
    """The target of `context` (default: current-context) in the kubeconfig file `path`. Raises KubeconfigError."""
    if os.pathsep in path:
        raise KubeconfigError(
            f"kubeconfig {path!r} is a list of files: write one file first "
            f"(KUBECONFIG={path} kubectl config view --flatten >one.yaml) and give that"
        )
    file = Path(path).expanduser()
    config = document(_read(file, "kubeconfig"), str(file))
    name = context or str(config.get("current-context") or "")
    return _chosen(config, name, str(file), KubeconfigFiles(file))


def standalone(text: str, origin: str) -> Target:
    """The target of the current context of a kubeconfig that came from elsewhere: it names no file and runs nothing.

    A file named in it would be a file of this machine, and a plugin would run here. Raises KubeconfigError.
    """
    config = document(text.encode(), origin)
    target = _chosen(config, str(config.get("current-context") or ""), origin, None)
    if target.scheme != "https":
        raise KubeconfigError(f"{origin} reaches {target.url} without TLS: use the https:// address of the API server")
    return target


def flattened(target: Target) -> str:
    """A kubeconfig as JSON with this target as its only context; nothing in it names a file or a plugin."""
    tls = target.tls
    cluster: dict[str, Any] = {"server": target.url}
    if tls.ca:
        cluster["certificate-authority-data"] = _base64(tls.ca)
    if tls.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if tls.server_name:
        cluster["tls-server-name"] = tls.server_name
    user: dict[str, Any] = {"token": target.token} if target.token else {}
    if tls.certificate:
        user |= {"client-certificate-data": _base64(tls.certificate), "client-key-data": _base64(tls.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "member", "cluster": cluster}],
        "users": [{"name": "member", "user": user}],
        "contexts": [{"name": "member", "context": {"cluster": "member", "user": "member"}}],
        "current-context": "member",
    }
    return msgspec.json.encode(config).decode()


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


class KubeconfigFiles:
    """A kubeconfig and the files that it names, relative to its own directory."""

    def __init__(self, kubeconfig: Path) -> None:
        self._directory = kubeconfig.parent
        self.named = [str(kubeconfig)]

    def path(self, name: str) -> Path:
        """Where the file `name` is."""
        return self._directory / Path(name).expanduser()

    def name(self, name: str) -> Path:
        """The same, of a file whose content counts."""
        path = self.path(name)
        self.named.append(str(path))
        return path


def _chosen(config: dict[str, Any], name: str, file: str, files: KubeconfigFiles | None) -> Target:
    entry = _find(config, "contexts", name, file)
    cluster = _find(config, "clusters", str(entry.get("cluster") or ""), file)
    user = _find(config, "users", str(entry.get("user") or ""), file)
    target = _target(cluster, user, files, f"context {name!r} of {file}")
    return target if files is None else msgspec.structs.replace(target, context=name, files=tuple(files.named))


def in_cluster(environ: Mapping[str, str], directory: Path = IN_CLUSTER) -> Target:
    """The API server of the cluster that this process runs in. Raises KubeconfigError outside of a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    token, ca = directory / "token", directory / "ca.crt"
    if not host or not port or not token.exists():
        raise KubeconfigError(
            "no kubeconfig was given and this process does not run in a pod with a service account: "
            "give --kubeconfig FILE [--context NAME]"
        )
    return Target(
        scheme="https",
        host=host,
        port=int(port),
        tls=Tls(ca=_pem(ca, "certificate authority")),
        token_file=str(token),
        origin="in-cluster credentials",
        files=(str(ca), str(token)),
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise KubeconfigError(f"{what} {path} cannot be read: {e.strerror}: check the path and its permissions") from e


def _pem(path: Path, what: str) -> bytes:
    """An empty file is one that is being written: no authority would mean the system's, no certificate nobody."""
    data = _read(path, what)
    if not data.strip():
        raise KubeconfigError(f"{what} {path} is empty")
    return data


def document(data: bytes, file: str) -> dict[str, Any]:
    """A kubeconfig, JSON or YAML, as it is written; {} if it says nothing. Raises KubeconfigError, which names it as `file`."""
    try:
        config = decoded(data) if data.lstrip().startswith(b"{") else _yaml(data)
    except (msgspec.DecodeError, ValueError) as e:
        raise KubeconfigError(f"{file} is not a kubeconfig: {str(e).splitlines()[0]}") from e
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise KubeconfigError(f"{file} is not a kubeconfig: its top level is not a mapping")
    return config


def _yaml(data: bytes) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(data, Loader=loader)  # noqa: S506 - a safe loader in both cases
    except yaml.YAMLError as e:
        raise ValueError(" ".join(str(e).split())) from e


def entries(config: dict[str, Any], section: str) -> dict[str, Any]:
    """What the entries of a section say, by name; of several with one name the first counts. Whatever is no entry is left out."""
    listed = config.get(section)
    named: dict[str, Any] = {}
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            named.setdefault(str(entry.get("name")), entry.get(SECTIONS[section]))
    return named


def _find(config: dict[str, Any], section: str, name: str, file: str) -> dict[str, Any]:
    named, singular = entries(config, section), SECTIONS[section]
    inner = named.get(name) if name else None
    if isinstance(inner, dict):
        return inner
    if singular == "user" and name in named:
        return {}
    known = ", ".join(sorted(named)) or "none"
    if not name:
        raise KubeconfigError(f"{file} has no current-context: choose one with --context ({known})")
    raise KubeconfigError(f"{file} has no {singular} {name!r}; it has: {known}")


def _target(cluster: dict[str, Any], user: dict[str, Any], files: KubeconfigFiles | None, origin: str) -> Target:
    if cluster.get("proxy-url"):
        raise KubeconfigError(
            f"{origin} has proxy-url, which Skerry does not use: it must reach the API server directly (on an agent member: run the agent there)"
        )
    _refuse_old_ways(user, origin)
    scheme, host, port, prefix = _server(str(cluster.get("server") or ""), origin)
    tls = _tls(cluster, user, files, origin)
    exec_spec = _exec(user["exec"], files, origin) if isinstance(user.get("exec"), dict) else None
    token_file = str(user.get("tokenFile") or "")
    if token_file and files is None:
        raise _names_a_file("tokenFile", origin)
    target = Target(
        scheme=scheme,
        host=host,
        port=port,
        prefix=prefix,
        tls=tls,
        token="" if token_file else str(user.get("token") or ""),
        token_file=str(files.name(token_file)) if token_file and files is not None else "",
        exec=exec_spec,
        origin=origin,
    )
    if not (target.token or target.token_file or exec_spec or tls.certificate):
        raise KubeconfigError(f"{origin} has no credential: a token, tokenFile, client certificate or exec is needed")
    return target


def _tls(cluster: dict[str, Any], user: dict[str, Any], files: KubeconfigFiles | None, origin: str) -> Tls:
    tls = Tls(
        ca=_material(cluster, "certificate-authority", files, origin),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
        certificate=_material(user, "client-certificate", files, origin),
        key=_material(user, "client-key", files, origin),
    )
    if bool(tls.certificate) != bool(tls.key):
        raise KubeconfigError(f"{origin} has a client certificate without its key, or a key without its certificate")
    return tls


def _refuse_old_ways(user: dict[str, Any], origin: str) -> None:
    if user.get("auth-provider"):
        raise KubeconfigError(f"{origin} uses auth-provider, which Kubernetes removed: use an exec plugin instead")
    if user.get("username"):
        raise KubeconfigError(f"{origin} uses basic authentication, which Kubernetes removed: use a token instead")
    if user.get("as") or user.get("as-uid") or user.get("as-groups"):
        raise KubeconfigError(
            f"{origin} impersonates somebody: Skerry needs a credential that may impersonate by itself"
        )


def _server(server: str, origin: str) -> tuple[str, str, int, str]:
    url = urlsplit(server if "://" in server else f"https://{server}")
    try:
        port = url.port
    except ValueError as e:
        raise KubeconfigError(f"{origin} has the server {server!r}, whose port is not a number") from e
    host = url.hostname or ""
    if url.scheme not in {"https", "http"} or not host or url.query or url.username:
        raise KubeconfigError(f"{origin} has the server {server!r}, which is not an https:// URL")
    if url.scheme == "http" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise KubeconfigError(f"{origin} reaches {server!r} without TLS, which is only taken on the loopback")
    return url.scheme, host, port or (443 if url.scheme == "https" else 80), url.path.rstrip("/")


def _material(entry: dict[str, Any], key: str, files: KubeconfigFiles | None, origin: str) -> bytes:
    """PEM from `<key>-data` (base64, which wins as in client-go) or from the file `<key>`, relative to the kubeconfig."""
    if data := entry.get(f"{key}-data"):
        try:
            return binascii.a2b_base64("".join(str(data).split()), strict_mode=True)
        except binascii.Error as e:
            raise KubeconfigError(f"{origin}: {key}-data is not base64") from e
    if path := entry.get(key):
        if files is None:
            raise _names_a_file(key, origin)
        return _pem(files.name(str(path)), key)
    return b""


def _names_a_file(key: str, origin: str) -> KubeconfigError:
    return KubeconfigError(
        f"{origin} names a file ({key}), which stays where it is: send its content "
        "(kubectl config view --flatten --minify --raw)"
    )


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    pairs = [e for e in spec.get("env") or [] if isinstance(e, dict)]
    return {str(e.get("name")): str(e.get("value") or "") for e in pairs}


def _exec(spec: dict[str, Any], files: KubeconfigFiles | None, origin: str) -> ExecSpec:
    command, version = str(spec.get("command") or ""), str(spec.get("apiVersion") or "")
    if files is None:
        raise KubeconfigError(
            f"{origin} runs an exec plugin ({command!r}), which only works where it is installed: "
            "use skerry cluster join --direct --create-service-account there"
        )
    if version not in {"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}:
        raise KubeconfigError(f"{origin}: exec plugin {command!r} speaks {version!r}; v1 and v1beta1 are understood")
    if not command:
        raise KubeconfigError(f"{origin}: its exec plugin names no command")
    if spec.get("interactiveMode") == "Always":
        raise KubeconfigError(f"{origin}: exec plugin {command!r} needs a terminal, and there is none")
    return ExecSpec(
        command=str(files.path(command)) if os.sep in command else command,
        args=tuple(str(a) for a in spec.get("args") or []),
        env=_environment(spec),
        api_version=version,
        provide_cluster_info=bool(spec.get("provideClusterInfo")),
        install_hint=" ".join(str(spec.get("installHint") or "").split())[:300],
    )
