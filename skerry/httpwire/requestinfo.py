"""What a request means to Kubernetes: a port of the API server's RequestInfo resolver (1.36).

Authorisation and the ceiling must classify a request exactly as the API server will; where the two differ, somebody
gets more than was granted. Source: k8s.io/apiserver/pkg/endpoints/request/requestinfo.go; the tests hold this port
against a table that the Go resolver made. The classes of requests are those of the architecture's vocabulary.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from skerry.errors import BadRequest
from skerry.httpwire.query import flag, parse_query
from skerry.httpwire.selectors import exact_name, valid_labels

_API_PREFIXES = ("api", "apis")
_SPECIAL_VERBS = ("proxy", "watch")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_SELECTOR_VERBS = ("list", "watch", "deletecollection")
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_INTEGER = re.compile(r"[+-]?[0-9]+")

EXEC_LIKE = frozenset(("exec", "attach", "portforward", "proxy"))
"""Subresources that reach into a workload, whatever the method is."""

_LONG_RUNNING = frozenset(("attach", "exec", "proxy", "log", "portforward"))
"""kubernetes/pkg/controlplane/apiserver/config.go."""

_REVIEWS = frozenset(("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"))


class RequestInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the API server's handlers will understand it. Empty strings where a part is absent."""

    is_resource: bool
    path: str
    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection, proxy; the method in lower case otherwise."""
    api_prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    field_selector: str = ""
    label_selector: str = ""


class RequestClass(msgspec.Struct, frozen=True, kw_only=True):
    """How a request travels. `long_running` is a rule of deadlines only: no total or idle timeout (rule 6)."""

    kind: Literal["interactive", "bulk"]
    long_running: bool


def resolve(method: bytes, path: str, query: bytes) -> RequestInfo:
    """The RequestInfo of a member's request: `path` decoded, `query` raw (see `target.Target`).

    Raises BadRequest where the Go resolver returns an error (a legacy `/watch` or `/proxy` path without a resource).
    """
    verb = method.decode("latin-1")
    plain = RequestInfo(is_resource=False, path=path, verb=verb.lower())
    trimmed = path.strip("/")
    parts = trimmed.split("/") if trimmed else []
    if len(parts) < 3 or parts[0] not in _API_PREFIXES:
        return plain
    prefix, group, rest = parts[0], "", parts[1:]
    if prefix == "apis":
        if len(rest) < 3:
            return msgspec.structs.replace(plain, api_prefix=prefix)
        group, rest = rest[0], rest[1:]
    version, rest = rest[0], rest[1:]
    legacy = rest[0] in _SPECIAL_VERBS
    if legacy:
        if len(rest) < 2:
            raise BadRequest(f"the path {path} names no resource")
        verb, rest = rest[0], rest[1:]
    else:
        verb = _VERBS.get(verb, "")
    namespace, rest = _namespace(rest)
    subresource = rest[2] if len(rest) >= 3 and verb != "proxy" else ""
    name = rest[1] if len(rest) >= 2 else ""
    verb, name, fields, labels = _collection(verb, name, query, legacy)
    return RequestInfo(
        is_resource=True,
        path=path,
        verb=verb,
        api_prefix=prefix,
        group=group,
        version=version,
        namespace=namespace,
        resource=rest[0],
        subresource=subresource,
        name=name,
        parts=tuple(rest),
        field_selector=fields,
        label_selector=labels,
    )


def _namespace(rest: list[str]) -> tuple[str, list[str]]:
    """`/namespaces/<ns>/<resource>/…` is about the resource; `/namespaces/<ns>` and its subresources about itself."""
    if rest[0] != "namespaces" or len(rest) < 2:
        return "", rest
    if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
        return rest[1], rest[2:]
    return rest[1], rest


def _collection(verb: str, name: str, query: bytes, legacy: bool) -> tuple[str, str, str, str]:
    """Verb, name and selectors once it is known whether a whole collection is meant."""
    if name and verb not in _SELECTOR_VERBS:  # (only a legacy watch comes here with such a verb and a name)
        return verb, name, "", ""
    values = parse_query(query) if query else {}
    if not name and verb == "get":
        verb = "watch" if flag(values.get("watch")) else "list"
        if "fieldSelector" in values and _readable(values):
            name = exact_name(values["fieldSelector"][0]) or ""
    if not name and verb == "delete":
        verb = "deletecollection"
    if legacy or verb not in _SELECTOR_VERBS:
        return verb, name, "", ""
    return verb, name, values.get("fieldSelector", [""])[0], values.get("labelSelector", [""])[0]


def _readable(values: dict[str, list[str]]) -> bool:
    """True if the API server can decode the ListOptions; where it cannot, it ignores the name in a selector."""
    numbers = [values[key][0] for key in ("limit", "timeoutSeconds") if key in values]
    if not all(_INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in numbers):
        return False
    return valid_labels(values.get("labelSelector", [""])[0])


def exec_like(info: RequestInfo) -> bool:
    """True if a request reaches into a workload or through the API server: exec, attach, port-forward, proxy.

    They are ordinary GETs over WebSocket, so a verb alone never tells.
    """
    return info.verb == "proxy" or (info.is_resource and info.subresource in EXEC_LIKE)


def reads_only(info: RequestInfo) -> bool:
    """True if a read-only ceiling lets a request pass: get, list, watch, and questions about one's own rights."""
    if exec_like(info):
        return False
    if not info.is_resource:
        return info.verb in ("get", "head", "options")
    if info.verb == "create" and info.resource in _REVIEWS and not info.subresource:
        return info.group in ("authorization.k8s.io", "authentication.k8s.io")
    return info.verb in ("get", "list", "watch")


def classify(info: RequestInfo, query: bytes) -> RequestClass:
    """The class of a request, fixed when its stream is opened.

    Bulk: LIST and deletecollection, logs that do not follow, exec without a terminal (`kubectl cp`), port-forward,
    proxies, and the big documents of the API server itself. All else is interactive.
    """
    long_running = info.verb in ("watch", "proxy") or (info.is_resource and info.subresource in _LONG_RUNNING)
    return RequestClass(kind="bulk" if _bulk(info, query) else "interactive", long_running=long_running)


def _bulk(info: RequestInfo, query: bytes) -> bool:
    if not info.is_resource:
        return info.path.startswith(("/openapi", "/metrics", "/debug/"))
    if info.verb in ("list", "deletecollection", "proxy"):
        return True
    if info.subresource in ("portforward", "proxy"):
        return True
    if info.subresource in ("log", "exec"):
        parameter = "follow" if info.subresource == "log" else "tty"
        return not flag(parse_query(query).get(parameter))
    return False
