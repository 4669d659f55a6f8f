"""explain access: why somebody may do something on a cluster, or why not, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from skerry.api.kinds import ACCESS_EXPLANATION, BUILT_IN
from skerry.api.meta import Document
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect, new_object
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.term import out, say

if TYPE_CHECKING:
    from skerry.cli.api import Api

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
explain = typer.Typer(no_args_is_help=True, help="Why something is as it is.")


def _verbs(incomplete: str) -> list[str]:
    return [verb for verb in VERBS if verb.startswith(incomplete)]


def _groups(incomplete: str) -> list[str]:
    return [group for group in BUILT_IN if group.startswith(incomplete)]


@explain.callback()
def _group() -> None:
    """So that `access` stays a word of its own while it is the only one."""


@explain.command("access")
def access(
    verb: Annotated[
        str, typer.Argument(metavar="VERB", help="A verb of Kubernetes, for example delete.", autocompletion=_verbs)
    ],
    resource: Annotated[
        str,
        typer.Argument(
            metavar="RESOURCE[.GROUP][/SUB]", help="For example pods, deploy, jobs.batch, pods/exec; or a /path."
        ),
    ],
    cluster: Annotated[str, typer.Option("--cluster", metavar="C", help="Where.", autocompletion=cluster_names)],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One object.")] = "",
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NS", help="In this namespace. Default: in the whole cluster.")
    ] = "",
    as_: Annotated[
        str,
        typer.Option("--as", metavar="USER", help="Somebody else, for who may write their grant. Default: yourself."),
    ] = "",
    as_group: Annotated[
        list[str] | None,
        typer.Option("--as-group", metavar="G", help="A group of theirs; again for another.", autocompletion=_groups),
    ] = None,
    style: Annotated[str, typer.Option("-o", "--output", metavar="json|yaml", help="The whole answer.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Say whether somebody may do something on a cluster, why, and if not, what is missing and who could give it.

    Nothing is done: the host decides as for the request itself, and the cluster is asked. Exit 0: allowed. Exit 1: denied.

    Examples: skerry explain access --cluster m1 -n shop delete pods
              skerry explain access --as alice --as-group org:shop --cluster m1 -n shop create pods/exec
    """
    if style not in ("", "json", "yaml"):
        raise Failure(f"-o {style}: use json or yaml", USAGE)
    if as_group and not as_:
        raise Failure("--as-group is for --as: name the user too", USAGE)
    if resource.startswith("/") and (name or namespace):
        raise Failure("a path has no name and no namespace", USAGE)
    from skerry.cli.api import path_of

    api = connect(kubeconfig, context)
    spec = {"cluster": cluster, **({"user": as_, "groups": as_group or []} if as_ else {})}
    body = new_object(ACCESS_EXPLANATION, "", **spec, **_request(api, cluster, verb, resource, namespace, name))
    status = api.post(path_of(ACCESS_EXPLANATION.plural), body)["status"]
    if style:
        output.document(status, style)
    else:
        _print(status, _Asked(verb, resource, name, namespace, cluster))
    if not status["allowed"]:
        raise typer.Exit(FAILED)


# The question


def _request(api: Api, cluster: str, verb: str, resource: str, namespace: str, name: str) -> dict[str, Any]:
    if resource.startswith("/"):
        return {"nonResourceAttributes": {"verb": verb, "path": resource}}
    word, _, subresource = resource.partition("/")
    plural, _, group = word.partition(".")
    if not plural:
        raise Failure(f"{resource}: use RESOURCE[.GROUP][/SUB], for example pods, jobs.batch or pods/exec", USAGE)
    plural, group = _resolved(api, cluster, plural.lower(), group)
    attributes = {
        "verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace, "name": name,
    }  # fmt: skip
    return {"resourceAttributes": {key: value for key, value in attributes.items() if value}}


def _resolved(api: Api, cluster: str, word: str, group: str) -> tuple[str, str]:
    """Plural and group of what the cluster calls so, as kubectl finds them; the words themselves where it cannot be asked."""
    from skerry.errors import StatusError

    if word == "*":
        return word, group
    for path in ("/api", "/apis"):
        try:
            answer = api.get(f"/clusters/{cluster}{path}", accept=DISCOVERY)
        except (StatusError, Failure):
            return word, group
        for each in answer.get("items") or []:
            resource = _served(each, word, group)
            if resource is not None:
                return resource
    say(f"cluster {cluster} has no resource {word}{'.' + group if group else ''}: it is asked about as it is written")
    return word, group


def _served(item: Document, word: str, group: str) -> tuple[str, str] | None:
    """A resource of this name in one group of a discovery document."""
    name = str((item.get("metadata") or {}).get("name") or "")
    if group and group != name:
        return None
    for version in item.get("versions") or []:
        for resource in version.get("resources") or []:
            names = [resource.get("resource"), resource.get("singularResource"), *(resource.get("shortNames") or [])]
            if word in names:
                return str(resource["resource"]), name
    return None


# The answer


class _Asked(NamedTuple):
    verb: str
    resource: str
    name: str
    namespace: str
    cluster: str


def _print(status: Document, asked: _Asked) -> None:
    """The first word is the answer."""
    what = " ".join(part for part in (asked.verb, asked.resource, asked.name) if part)
    where = f" in namespace {asked.namespace}" if asked.namespace else ""
    may = "allowed: {} may" if status["allowed"] else "denied: {} may not"
    out(f"{may.format(status['identity']['user'])} {what}{where} on {asked.cluster}")
    for head, text in _steps(status):
        out(f"  {head:<9} {text}")


def _steps(status: Document) -> Iterator[tuple[str, str]]:
    yield "identity", _identity(status["identity"])
    bases = [f"{each['kind']} {each['name']} gives {each['gives']}" for each in status["basis"]]
    yield from (("basis" if not index else "", text) for index, text in enumerate(bases or ["none"]))
    yield "member", _member(status["member"])
    yield "ceiling", _ceiling(status["ceiling"])
    if status["missing"]:
        yield "missing", str(status["missing"])
    if status["next"]:
        givers = ", ".join(status["canGrant"])
        yield "next", str(status["next"]) + (f"   ({givers} can approve)" if givers else "")


def _identity(identity: Document) -> str:
    parts = [str(identity["user"])]
    if identity["groups"]:
        parts.append(f"groups {' '.join(identity['groups'])}")
    source = _SOURCES.get(str(identity["source"]), "").format(identity["provider"])
    parts.append(source + (f" until {identity['expires']}" if identity["expires"] else ""))
    return ", ".join(part for part in parts if part)


_SOURCES = {
    "Asked": "as asked",
    "Certificate": "by a client certificate",
    "TokenReview": "by a token of the host's cluster",
    "IdentityProvider": "from provider {}",
    "Credential": "by a token of the host",
}


def _member(member: Document) -> str:
    answer = ("yes" if member["allowed"] else "no") if member["asked"] else ""
    text = ": ".join(part for part in (answer, str(member["reason"])) if part)
    if not member["binding"]:
        return text
    state = "is in place" if member["state"] == "Enforced" else f"is {member['state']}"
    return f"{text} (binding {member['binding']} {state})"


def _ceiling(ceiling: Document) -> str:
    from msgspec import convert

    from skerry.api.v1alpha1 import Ceiling

    text = convert(ceiling, Ceiling).text
    return "none" if text == "open" else text
