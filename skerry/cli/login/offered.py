"""Logins in kubeconfigs: what the host's IdentityProviders offer, as users of kubectl's exec plugin."""

from __future__ import annotations

import base64
from typing import Any

from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.api.meta import Document
from skerry.cli.api import Api, path_of
from skerry.cli.failure import Failure
from skerry.cli.login.parameters import LoginParameters, ParameterError, parameters
from skerry.errors import Forbidden

HINT = "This context needs skerry, the command line of Skerry, on your PATH: it logs you in at your company's provider."


def logins(api: Api) -> dict[str, Document]:
    """The identity providers at which people can log in, by name. Failure."""
    try:
        items = api.get(path_of(IDENTITY_PROVIDER.plural)).get("items", [])
    except Forbidden as error:
        raise Failure(
            f"context {api.context.name} may not read identity providers: have an administrator of the host run this, and "
            "give you the file; there is no secret in it"
        ) from error
    return {str(each["metadata"]["name"]): each for each in items if each.get("spec", {}).get("login")}


def offered(api: Api, name: str = "") -> tuple[str, LoginParameters]:
    """A provider to log in at, and how; without a name the only one that there is. Failure."""
    providers = logins(api)
    if not providers:
        raise Failure(
            "no identity provider has spec.login: add it, kubectl explain identityprovider.spec.login says how"
        )
    known = ", ".join(sorted(providers))
    if not name and len(providers) > 1:
        raise Failure(f"say with --provider at which of these to log in: {known}")
    chosen = name or known
    if chosen not in providers:
        raise Failure(f"no identity provider {name!r} has spec.login; there is: {known}")
    return chosen, _parameters(providers[chosen])


def _parameters(provider: Document) -> LoginParameters:
    spec = provider["spec"]
    login, ca = spec["login"], str(spec.get("certificateAuthority") or "")
    try:
        return parameters(
            str(spec["issuer"]),
            str(login["clientID"]),
            " ".join(login.get("scopes") or ()),
            str(login.get("flow") or ""),
            base64.b64encode(ca.encode()).decode(),
        )
    except ParameterError as error:
        raise Failure(f"identity provider {provider['metadata']['name']} offers no usable login: {error}") from error


def user(login: LoginParameters, command: str = "skerry") -> dict[str, Any]:
    """The user of a kubeconfig who logs in."""
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": command,
            "args": login.arguments(),
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": False,
            "installHint": HINT,
        }
    }
