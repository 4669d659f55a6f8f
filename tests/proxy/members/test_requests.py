"""What a request to a member is called; how it is carried is in test_front.py and test_relay.py."""

from __future__ import annotations

import pytest

from services.proxy.authn import CachedCredential
from services.proxy.members.requests import OUTLIVE_MAX_S, ends
from skerry.api.messages import Caller
from skerry.httpwire.requestinfo import resolve

POD = b"/api/v1/namespaces/a/pods/p"


@pytest.mark.parametrize(
    ("name", "method", "path", "outlives"),
    [
        ("token:x", b"POST", POD + b"/exec", True),
        ("token:x", b"GET", POD + b"/attach", True),
        ("token:x", b"POST", POD + b"/portforward", True),
        ("token:x", b"GET", POD + b"/log", True),
        ("token:x", b"GET", POD, False),
        ("token:x", b"GET", POD + b"/proxy/x", False),
        ("token:x", b"GET", b"/api/v1/watch/namespaces/a/pods", False),
        ("token:x", b"GET", b"/apis/x.example/v1/namespaces/a/things/t/exec", False),
        ("3f9a", b"POST", POD + b"/exec", False),
        ("certificate:x", b"POST", POD + b"/exec", False),
    ],
)
def test_what_is_interactive_outlives_a_token_of_a_provider_and_nothing_else_does(
    name: str, method: bytes, path: bytes, outlives: bool
) -> None:
    credential = CachedCredential(name, Caller(user="alice"), 1000.0)
    info = resolve(method, path.decode(), b"")
    assert ends(credential, info, 60.0) == (1060.0 if outlives else 1000.0)
    assert ends(credential, info, -5.0) == 1000.0
    assert ends(credential, info, 1e9) == (1000.0 + OUTLIVE_MAX_S if outlives else 1000.0)
