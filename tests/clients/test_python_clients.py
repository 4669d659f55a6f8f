"""The Python clients: the official one (threads, urllib3, websocket-client) and kubernetes-asyncio (aiohttp)."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.stream
import kubernetes.watch
import kubernetes_asyncio.client
import kubernetes_asyncio.config
import kubernetes_asyncio.stream
import kubernetes_asyncio.watch
import pytest
import websocket

from tests.clients.shore import Client, Shore
from tests.kube import pods

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

SERVER = "mkdir /tmp/www; echo from the pod > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"


@pytest.fixture(scope="module")
def pod(one_kubectl: Client) -> str:
    """A pod with a server on 8080."""
    one_kubectl.ok("apply", "-f", "-", stdin=json.dumps(pods.busybox("python", SERVER)).encode())
    one_kubectl.ok("wait", "--for=condition=Ready", "pod/python", "--timeout=60s")
    return "python"


@pytest.fixture(scope="module")
def core(shore: Shore) -> Iterator[Any]:
    """The official client's CoreV1Api."""
    with kubernetes.config.new_client_from_config(config_file=str(shore.kubeconfig)) as client:
        yield kubernetes.client.CoreV1Api(client)


@pytest.fixture
async def core_async(shore: Shore) -> AsyncIterator[Any]:
    """kubernetes-asyncio's CoreV1Api."""
    async with await kubernetes_asyncio.config.new_client_from_config(config_file=str(shore.kubeconfig)) as client:
        yield kubernetes_asyncio.client.CoreV1Api(client)


def _object(name: str, label: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"set": label}}}


class TestOfficial:
    def test_lists_in_pages(self, core: Any) -> None:
        for number in range(7):
            core.create_namespaced_config_map("default", _object(f"official-{number}", "official"))
        seen: list[str] = []
        more = None
        while more != "":
            page = core.list_namespaced_config_map("default", label_selector="set=official", limit=3, _continue=more)
            seen += [each.metadata.name for each in page.items]
            more = page.metadata._continue or ""
        assert seen == [f"official-{number}" for number in range(7)]

    def test_a_missing_object_is_a_404_with_a_status(self, core: Any) -> None:
        with pytest.raises(kubernetes.client.ApiException) as error:
            core.read_namespaced_config_map("absent", "default")
        assert error.value.status == 404
        assert json.loads(error.value.body)["reason"] == "NotFound"

    def test_a_watch_resumes_where_it_stopped(self, core: Any) -> None:
        start = core.list_namespaced_config_map("default", label_selector="set=tide").metadata.resource_version
        watching = kubernetes.watch.Watch()
        seen: list[str] = []
        for number in range(6):
            core.create_namespaced_config_map("default", _object(f"tide-{number}", "tide"))
        for round_s in (1, 2):
            if round_s == 2:
                core.create_namespaced_config_map("default", _object("tide-6", "tide"))
            for event in watching.stream(
                core.list_namespaced_config_map,
                "default",
                label_selector="set=tide",
                resource_version=watching.resource_version or start,
                timeout_seconds=round_s,
            ):
                seen.append(event["object"].metadata.name)
                if len(seen) in (3, 7):
                    watching.stop()
        assert seen == [f"tide-{number}" for number in range(7)]

    def test_exec_over_websocket_has_input_output_and_exit_code(self, core: Any, pod: str) -> None:
        command = ["sh", "-c", "read word; echo heard $word; echo err >&2; exit 3"]
        talking = kubernetes.stream.stream(
            core.connect_get_namespaced_pod_exec, pod, "default",
            command=command, stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
        )  # fmt: skip
        with _really_closing(talking.sock):
            talking.write_stdin("ahoy\n")
            talking.run_forever(timeout=30)
        assert (talking.read_stdout(), talking.read_stderr(), talking.returncode) == ("heard ahoy\n", "err\n", 3)

    def test_port_forward_over_websocket(self, core: Any, pod: str) -> None:
        forward = kubernetes.stream.portforward(
            core.connect_get_namespaced_pod_portforward, pod, "default", ports="8080"
        )
        with _really_closing(forward.websocket), closing(forward), closing(forward.socket(8080)) as connection:
            connection.settimeout(30)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
        assert answer.endswith(b"\r\n\r\nfrom the pod\n")
        assert forward.error(8080) is None

    def test_a_log_is_followed(self, core: Any, one_kubectl: Client) -> None:
        talker = pods.busybox("talking-python", "for i in 1 2 3; do echo line $i; done; sleep 1; echo end")
        core.create_namespaced_pod("default", talker)
        one_kubectl.ok("wait", "--for=condition=Ready", "pod/talking-python", "--timeout=60s")
        lines = list(kubernetes.watch.Watch().stream(core.read_namespaced_pod_log, "talking-python", "default"))
        assert lines == ["line 1", "line 2", "line 3", "end"]


@pytest.mark.usefixtures("connections_end")
class TestAsyncio:
    async def test_lists_and_patches(self, core_async: Any) -> None:
        await core_async.create_namespaced_config_map("default", _object("async-0", "async"))
        await core_async.patch_namespaced_config_map("async-0", "default", {"data": {"key": "value"}})
        found = await core_async.list_namespaced_config_map("default", label_selector="set=async")
        assert [each.data for each in found.items] == [{"key": "value"}]

    async def test_a_watch_resumes_where_it_stopped(self, core_async: Any) -> None:
        select = {"namespace": "default", "label_selector": "set=ebb"}
        start = (await core_async.list_namespaced_config_map(**select)).metadata.resource_version
        seen: list[str] = []
        for batch in range(2):
            for number in range(3):
                await core_async.create_namespaced_config_map("default", _object(f"ebb-{batch}-{number}", "ebb"))
            async with kubernetes_asyncio.watch.Watch() as watching:
                following = watching.stream(
                    core_async.list_namespaced_config_map, resource_version=start, timeout_seconds=30, **select
                )
                async for event in following:
                    seen.append(event["object"].metadata.name)
                    start = event["object"].metadata.resource_version
                    if len(seen) % 3 == 0:
                        watching.stop()
                        break
        assert seen == [f"ebb-{batch}-{number}" for batch in range(2) for number in range(3)]

    async def test_many_requests_at_once_share_connections(self, core_async: Any) -> None:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(core_async.read_namespace("default")) for _ in range(60)]
        assert {each.result().metadata.name for each in reading} == {"default"}

    async def test_exec_over_websocket_by_path_has_an_exit_code(self, shore: Shore, pod: str) -> None:
        """Its WebSockets do not ask for the name that the kubeconfig says (36.1): exec works by path alone."""
        by_path = replace(shore, by_path=True)
        configuration = kubernetes_asyncio.client.Configuration()
        await kubernetes_asyncio.config.load_kube_config(str(by_path.kubeconfig), client_configuration=configuration)
        async with kubernetes_asyncio.stream.WsApiClient(configuration) as client:
            talking = await kubernetes_asyncio.client.CoreV1Api(client).connect_get_namespaced_pod_exec(
                pod, "default", command=["sh", "-c", "echo out; exit 4"],
                stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
            )  # fmt: skip
            channels: dict[int, bytes] = {}
            async with talking as socket:
                async for message in socket:
                    channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
            assert channels[1] == b"out\n"
            assert kubernetes_asyncio.stream.WsApiClient.parse_error_data(channels[3]) == 4


class TestBareWebSocket:
    """What browsers do: watch and log as WebSocket messages."""

    def test_a_watch_is_a_message_per_event(self, shore: Shore, core: Any) -> None:
        with _connected(
            shore, "/api/v1/namespaces/default/configmaps?watch=1&labelSelector=set%3Dbare&resourceVersion=0"
        ) as socket:
            core.create_namespaced_config_map("default", _object("bare", "bare"))
            event = json.loads(socket.recv())
        assert event["type"] == "ADDED", json.dumps(event)
        assert event["object"]["metadata"]["name"] == "bare"

    def test_a_log_comes_in_messages_and_ends_with_a_close(self, shore: Shore, core: Any, one_kubectl: Client) -> None:
        core.create_namespaced_pod("default", pods.busybox("saying", "seq 1 20000; sleep 1"))
        one_kubectl.ok("wait", "--for=condition=Ready", "pod/saying", "--timeout=60s")
        said = b""
        path = "/api/v1/namespaces/default/pods/saying/log?follow=1"
        with _connected(shore, path, "binary.k8s.io") as socket:
            while (piece := socket.recv_data())[0] == websocket.ABNF.OPCODE_BINARY:
                said += piece[1]
        assert said == b"".join(b"%d\n" % number for number in range(1, 20001))
        assert piece[0] == websocket.ABNF.OPCODE_CLOSE

    def test_a_browsers_token_is_its_subprotocol_and_the_member_answers_with_another(self, shore: Shore) -> None:
        token = base64.urlsafe_b64encode(shore.token.encode()).decode().rstrip("=")
        connection = websocket.create_connection(
            _url(shore, "/api/v1/namespaces?watch=1&resourceVersion=0"),
            timeout=30,
            sslopt=_tls(shore),
            subprotocols=["base64url.bearer.authorization.k8s.io." + token, "binary.k8s.io"],
        )
        with _really_closing(connection):
            assert connection.getsubprotocol() == "binary.k8s.io"

    def test_an_unknown_token_as_subprotocol_is_401(self, shore: Shore) -> None:
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(_url(shore, "/api/v1/pods?watch=1"), timeout=30, sslopt=_tls(shore),
                                        subprotocols=["base64url.bearer.authorization.k8s.io.AAAA", "binary.k8s.io"])  # fmt: skip
        assert refused.value.status_code == 401


def _url(shore: Shore, path: str) -> str:
    return urllib.parse.urlunparse(urllib.parse.urlparse(shore.server)._replace(scheme="wss")) + path


def _tls(shore: Shore) -> dict[str, Any]:
    context = ssl.create_default_context(cadata=base64.b64decode(shore.ca).decode())
    return {"context": context, "server_hostname": shore.server_name}


@contextmanager
def _connected(shore: Shore, path: str, *protocols: str) -> Iterator[Any]:
    header = {"Authorization": f"Bearer {shore.token}"}
    offered = list(protocols) or None
    connection = websocket.create_connection(
        _url(shore, path), timeout=30, header=header, sslopt=_tls(shore), subprotocols=offered
    )
    with _really_closing(connection):
        yield connection


@contextmanager
def _really_closing(connection: Any) -> Iterator[None]:
    """websocket-client leaves its socket open when the server has said goodbye first."""
    try:
        yield
    finally:
        connection.shutdown()
