"""The administrator's kubeconfig of a host in pods: fetched by whoever may read Secret `skerry-admin` of its namespace."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skerry.api.validation import is_label
from skerry.cli import kubeconfig as files
from skerry.cli.failure import Failure
from skerry.cli.incluster.secrets import Secret, connected
from skerry.cli.kubeconfig import KubeContext

SECRET, FILE, NAMESPACE = "skerry-admin", "kubeconfig", "skerry-system"


def administrator(place: str, paths: list[Path]) -> KubeContext:
    """The administrator of the host at `place`, CONTEXT or CONTEXT/NAMESPACE of the host's own cluster in one of these kubeconfigs.

    Failure: no such context, no host there. StatusError of the cluster.
    """
    path, context, namespace = resolved(place, paths)
    secret = asyncio.run(_read(path, context, namespace))
    if secret is None:
        raise Failure(
            f"context {context} has no Secret {SECRET} in namespace {namespace}: no host is there, or its first start is not over. "
            "Another namespace: --from CONTEXT/NAMESPACE"
        )
    where = Path(f"{context}/{namespace}/{SECRET}")
    config = files.parse(secret.files.get(FILE, b""), where)
    name = str(config.get("current-context") or "")
    entry = files.named(config, "contexts", name) or {}
    cluster = files.named(config, "clusters", str(entry.get("cluster", "")))
    user = files.named(config, "users", str(entry.get("user", "")))
    if not name or cluster is None or user is None:
        raise Failure(
            f"Secret {SECRET} in namespace {namespace} holds no kubeconfig: delete it, it is made again within half an hour"
        )
    return KubeContext(name, cluster, user, where)


def resolved(place: str, paths: list[Path]) -> tuple[Path, str, str]:
    """Kubeconfig, context and namespace of `place`; names of contexts may have slashes too. Failure naming the contexts that there
    are."""
    known = {name: path for path in reversed(paths) if path.exists() for name in files.contexts(files.read(path))}
    head, slash, tail = place.rpartition("/")
    if place in known:
        return known[place], place, NAMESPACE
    if slash and head in known and is_label(tail):
        return known[head], head, tail
    where = ", ".join(map(str, paths))
    raise Failure(
        f"--from {place}: no such context in {where}, which has: {', '.join(known) or 'none'}. Use CONTEXT/NAMESPACE"
    )


async def _read(path: Path, context: str, namespace: str) -> Secret | None:
    async with connected(namespace, str(path), context) as secrets:
        return await secrets.get(SECRET)
