"""What happens on a host as users run it reaches a receiver: who did it, by which request, signed, also while keys are replaced."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from skerry.api.kinds import WORKSPACE
from skerry.cli import kubeconfig
from skerry.cli.api import Api, path_of
from tests.e2e.federation import Host, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Receiver(http.server.ThreadingHTTPServer):
    """Takes what is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []

    def events(self) -> list[dict[str, Any]]:
        """What came, in order."""
        return [json.loads(body) for _, body in list(self.got)]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_receiver_is_told_who_did_what_and_can_prove_it(new_host: Callable[..., Host], receiver: Receiver) -> None:
    host = new_host()
    url = f"http://127.0.0.1:{receiver.server_address[1]}/"
    assert "https://" in host.skerry("sink", "create", "hook", "--url", url).stderr
    secret = host.ok("sink", "create", "hook", "--url", url, "--insecure", "--type", "dev.skerry.workspace.*").strip()
    assert "taken" in host.ok("sink", "test", "hook")
    api = Api(kubeconfig.context([host.admin], ""))
    api.post(
        path_of(WORKSPACE.plural),
        {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "metadata": {"name": "team-a"}, "spec": {}},
    )
    eventually(
        lambda: any(each["type"] == "dev.skerry.workspace.created" for each in receiver.events()),
        "the workspace is told",
    )
    created = next(each for each in receiver.events() if each["type"] == "dev.skerry.workspace.created")
    assert (created["subject"], created["actor"]) == ("workspace/team-a", "admin")
    assert created["auditid"]
    for headers, body in receiver.got:
        Webhook(secret).verify(body, headers)
    host.ok("keys", "rotate", "secrets")
    api.delete(path_of(WORKSPACE.plural, "team-a"))
    eventually(lambda: receiver.events()[-1]["type"] == "dev.skerry.workspace.deleted", "its end is told")
    headers, body = receiver.got[-1]
    Webhook(secret).verify(body, headers)
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids))
    (sink,) = json.loads(host.ok("sinks", "-o", "json"))["items"]
    assert sink["status"]["last"]["status"] == 204
    assert secret not in json.dumps(sink)
    host.ok("sink", "remove", "hook")
    assert "No sinks" in host.skerry("sinks").stderr
