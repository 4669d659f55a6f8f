"""Whether somebody can be asked, and by which way."""

from __future__ import annotations

import json

import pytest

from skerry.cli.failure import Failure
from skerry.cli.login.asking import asking, may_ask
from skerry.cli.login.provider import Provider
from tests.cli.login.standin import Standin


def info(interactive: object) -> dict[str, str]:
    document = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1"}
    return {"KUBERNETES_EXEC_INFO": json.dumps({**document, "spec": {"interactive": interactive}})}


@pytest.mark.parametrize(
    ("environ", "terminal", "may"),
    [
        ({}, True, True),
        ({}, False, False),
        (info(True), False, True),
        (info(False), True, False),
        (info("yes"), True, False),
        ({"KUBERNETES_EXEC_INFO": ""}, True, False),
        ({"KUBERNETES_EXEC_INFO": "[]"}, True, False),
        ({"KUBERNETES_EXEC_INFO": '{"spec": {}}'}, True, False),
        ({"KUBERNETES_EXEC_INFO": "[" * 100_000}, True, False),
    ],
    ids=range(9),
)
def test_somebody_is_there_if_the_client_says_so_or_else_a_terminal(
    environ: dict[str, str], terminal: bool, may: bool
) -> None:
    assert may_ask(environ, terminal) is may


@pytest.mark.parametrize(
    ("flow", "display", "devices", "way"),
    [
        ("Browser", False, True, "browser"),
        ("Device", True, True, "device"),
        ("Auto", True, True, "browser"),
        ("Auto", False, True, "device"),
        ("Auto", False, False, "browser"),
    ],
)
def test_a_browser_where_a_display_is_else_another_device(
    standin: Standin, monkeypatch: pytest.MonkeyPatch, flow: str, display: bool, devices: bool, way: str
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BROWSER", "true" if display else "")
    standin.describe(**({} if devices else {"device_authorization_endpoint": None}))
    standin.answer("/device_authorization", {"error": "access_denied"})
    with pytest.raises(Failure, match="access_denied" if way == "device" else "nobody logged in"):
        asking(flow, 0.2)(Provider(standin.parameters))
