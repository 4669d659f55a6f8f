"""Whether somebody can be asked to sign in, and by which way."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from skerry.cli.login.oidc import SignedIn
from skerry.cli.login.provider import Provider
from skerry.cli.login.signin import AskProvider

TIMEOUT_S = 120.0
EXEC_INFO = "KUBERNETES_EXEC_INFO"


def may_ask(environ: Mapping[str, str], on_terminal: bool) -> bool:
    """True if somebody is there: by the word of the client that runs us, else if we are on a terminal."""
    if EXEC_INFO not in environ:
        return on_terminal
    try:
        return json.loads(environ[EXEC_INFO])["spec"]["interactive"] is True
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def on_terminal() -> bool:
    """True if somebody can read what we say and answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def asking(flow: str, timeout_s: float = TIMEOUT_S) -> AskProvider:
    """Sign in by a flow, one of parameters.FLOWS."""

    def ask(provider: Provider) -> SignedIn:
        from skerry.cli.login.browser import by_browser, has_display
        from skerry.cli.login.device import by_device

        discovery = provider.discovery
        browser = flow == "Browser" or (
            flow == "Auto" and (has_display() or not discovery.device_authorization_endpoint)
        )
        return (by_browser if browser else by_device)(provider, timeout_s)

    return ask
