"""What kubectl runs before its requests: a token that is still good, without loading the command line for it.

Whatever is not as it should be is left to the command itself, which says what is wrong.
"""

from __future__ import annotations

import json
import time

from skerry.cli.login.cache import CacheError, LoginCache, StoredLogin, directory
from skerry.cli.login.parameters import ParameterError, of_arguments


def at_hand(words: list[str]) -> str:
    """The ExecCredential for the arguments of a plugin, if there is a token for it; else nothing."""
    login = login_at_hand(words)
    return exec_credential(login.id_token, login.expires) if login else ""


def login_at_hand(words: list[str]) -> StoredLogin | None:
    """What is kept of the login that the arguments of a plugin say, if its token can be handed out."""
    try:
        parameters = of_arguments(words)
        if parameters is None:
            return None
        login = LoginCache(directory(), parameters.digest).read()
    except (ParameterError, CacheError):
        return None
    return login if login.holds(time.time()) else None


def exec_credential(token: str, expires: float) -> str:
    """client.authentication.k8s.io/v1 ExecCredential, as one line."""
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    return json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": token, "expirationTimestamp": until},
        }
    )
