"""What clients negotiate with an API server, header by header: nothing of it is lost or made up on the way."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.clients.rig import FISHES, Rig
from tests.clients.shore import Shore
from tests.e2e.federation import eventually

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Connection(http.client.HTTPSConnection):
    """Asks for the member by its name in TLS, as the kubeconfig says."""

    def __init__(self, shore: Shore) -> None:
        server = urllib.parse.urlparse(shore.server)
        assert server.hostname is not None
        self._tls = ssl.create_default_context(cadata=base64.b64decode(shore.ca).decode())
        self._name = shore.server_name or server.hostname
        super().__init__(server.hostname, server.port, timeout=30, context=self._tls)

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class Caller:
    """One keep-alive connection to the host, with the administrator's token."""

    def __init__(self, shore: Shore) -> None:
        self.connection = Connection(shore)
        self._headers = {"Authorization": f"Bearer {shore.token}"}

    def send(self, path: str, *, method: str = "GET", body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """A request; header names with dashes for underscores. The answer's body is to be read."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body)
        self.connection.request(method, path, content, {**self._headers, **named})
        return self.connection.getresponse()

    def json(self, path: str, **options: Any) -> tuple[int, Any]:
        """A request; status and document."""
        answer = self.send(path, **options)
        return answer.status, json.loads(answer.read())


@contextmanager
def calling(shore: Shore) -> Iterator[Caller]:
    caller = Caller(shore)
    try:
        yield caller
    finally:
        caller.connection.close()


@pytest.fixture
def caller(rig: Rig) -> Iterator[Caller]:
    """A fresh connection to the host."""
    with calling(rig.shore) as made:
        yield made


@pytest.fixture(scope="module")
def many(rig: Rig) -> list[str]:
    """Names of ConfigMaps of 8 KiB each, together larger than what API servers compress (128 KiB)."""
    names = [f"large-{number:02}" for number in range(40)]
    rig.shore.member.apply(
        *(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"blob": "ab" * 4096}}
            for name in names
        )
    )
    return names


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "Table"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "PartialObjectMetadataList"),
        ("application/json", "ConfigMapList"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "ConfigMapList"),
    ],
)
def test_the_representation_that_was_asked_for(caller: Caller, accept: str, kind: str) -> None:
    status, found = caller.json(CONFIG_MAPS, Accept=accept)
    assert (status, found["kind"]) == (200, kind)


def test_what_cannot_be_represented_is_406_and_what_cannot_be_read_415(caller: Caller) -> None:
    assert caller.json(CONFIG_MAPS, Accept="image/png")[0] == 406
    assert caller.json(CONFIG_MAPS, method="POST", body={}, Content_Type="text/plain")[0] == 415
    assert caller.json(f"{CONFIG_MAPS}/x", method="PATCH", body={}, Content_Type="application/json")[0] == 415


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/openapi/v3/api/v1", "application/json"),
        ("/openapi/v2", "application/json"),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/api", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ],
)
def test_discovery_that_is_known_already_is_304_without_a_body(caller: Caller, path: str, accept: str) -> None:
    def again() -> bool:
        """Not at once where a resource was defined just before: its schema is published a moment later."""
        first = caller.send(path, Accept=accept)
        assert first.status == 200
        assert len(first.read()) > 500
        second = caller.send(path, Accept=accept, If_None_Match=str(first.headers["ETag"]))
        return (second.status, second.read()) == (304, b"")

    eventually(again, "304", 10.0)
    assert caller.json("/version")[0] == 200, "the connection is still in step"


def test_large_answers_are_compressed_by_the_member_and_not_touched(caller: Caller, many: list[str]) -> None:
    packed = caller.send(CONFIG_MAPS, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    names = [each["metadata"]["name"] for each in json.loads(gzip.decompress(packed.read()))["items"]]
    plain = caller.send(CONFIG_MAPS, Accept_Encoding="identity")
    assert plain.headers["Content-Encoding"] is None
    assert [each["metadata"]["name"] for each in json.loads(plain.read())["items"]] == names
    assert set(many) <= set(names)


def test_a_list_in_pages_is_consistent(caller: Caller, many: list[str]) -> None:
    seen: list[str] = []
    query: dict[str, str] = {"limit": "7"}
    while query:
        status, page = caller.json(f"{CONFIG_MAPS}?{urllib.parse.urlencode(query)}")
        assert status == 200
        seen += [each["metadata"]["name"] for each in page["items"]]
        more = page["metadata"].get("continue", "")
        query = {"limit": "7", "continue": more} if more else {}
    assert seen == sorted(seen)
    assert set(many) <= set(seen)


def test_warnings_are_passed_on_each_in_its_own_header(caller: Caller) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "warned"}, "one": 1, "two": 2}
    answer = caller.send(
        f"{CONFIG_MAPS}?dryRun=All&fieldValidation=Warn", method="POST", body=body, Content_Type="application/json"
    )
    answer.read()
    assert answer.status == 201
    assert answer.headers.get_all("Warning") == ['299 - "unknown field \\"one\\""', '299 - "unknown field \\"two\\""']


def test_delete_carries_its_body(caller: Caller, rig: Rig) -> None:
    rig.change("create", "guarded")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "another"}}
    json_type = {"Content_Type": "application/json"}
    status, refused = caller.json(f"{CONFIG_MAPS}/guarded", method="DELETE", body=options, **json_type)
    assert (status, refused["reason"]) == (409, "Conflict")
    del options["preconditions"]
    assert caller.json(f"{CONFIG_MAPS}/guarded", method="DELETE", body=options, **json_type)[0] == 200


class TestWatch:
    QUERY = f"{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=20"

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[Mapping[str, Any]]:
        assert answer.status == 200
        while line := answer.readline():
            yield json.loads(line)

    def test_a_watch_list_ends_its_first_part_with_a_bookmark(self, caller: Caller, many: list[str]) -> None:
        answer = caller.send(f"{self.QUERY}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
        seen = []
        for event in self._events(answer):
            assert event["type"] in {"ADDED", "BOOKMARK"}, event
            metadata = event["object"]["metadata"]
            if event["type"] == "BOOKMARK":
                assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
                break
            seen.append(metadata["name"])
        assert set(many) <= set(seen)

    def test_each_event_is_seen_when_it_happens(self, caller: Caller, rig: Rig) -> None:
        _, listed = caller.json(f"{CONFIG_MAPS}?limit=1")
        events = self._events(caller.send(f"{self.QUERY}&resourceVersion={listed['metadata']['resourceVersion']}"))
        for verb, kind in (("create", "ADDED"), ("delete", "DELETED")):
            rig.change(verb, "seen")
            event = next(each for each in events if each["type"] != "BOOKMARK")
            assert (event["type"], event["object"]["metadata"]["name"]) == (kind, "seen")

    def test_a_watch_that_is_over_ends_cleanly(self, caller: Caller) -> None:
        answer = caller.send(
            f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Dx"
        )
        assert answer.read() == b""
        assert caller.json("/version")[0] == 200


class TestGone:
    """A version that the member has forgotten: 410, in the member's own words."""

    @pytest.fixture(autouse=True, scope="module")
    @staticmethod
    def forgotten(rig: Rig) -> None:
        """The API server answers old versions from its caches; this resource's cache begins late."""
        rig.define_fishes("old")
        rig.compact()

    def test_a_list(self, caller: Caller) -> None:
        status, refused = caller.json(f"{FISHES}?limit=1&resourceVersion=1&resourceVersionMatch=Exact")
        assert (status, refused["reason"]) == (410, "Expired"), refused

    def test_a_page_that_comes_too_late_says_how_to_go_on(self, caller: Caller) -> None:
        place = {"v": "meta.k8s.io/v1", "rv": 1, "start": "default/a\0"}
        token = base64.urlsafe_b64encode(json.dumps(place).encode()).rstrip(b"=").decode()
        status, refused = caller.json(f"{FISHES}?limit=5&continue={token}")
        assert (status, refused["reason"]) == (410, "Expired"), refused
        assert refused["metadata"]["continue"], "the token with which an inconsistent list may go on"

    def test_a_watch_in_its_first_event(self, caller: Caller) -> None:
        answer = caller.send(f"{FISHES}?watch=1&resourceVersion=1")
        event = json.loads(answer.readline())
        assert event["type"] == "ERROR", event
        assert event["object"]["code"] == 410


def test_a_selector_of_100_kb_is_read_by_the_member(caller: Caller, many: list[str]) -> None:
    names = ",".join([f"name-{number:06}" for number in range(8000)])
    selector = urllib.parse.quote(f"app notin ({names})")
    status, document = caller.json(f"{CONFIG_MAPS}?labelSelector={selector}")
    assert status == 200
    assert {item["metadata"]["name"] for item in document["items"]} >= set(many)


def test_a_head_beyond_what_an_api_server_takes_is_a_431_that_says_so(caller: Caller) -> None:
    answer = caller.send(f"{CONFIG_MAPS}?labelSelector={'a' * (1 << 20)}")
    assert (answer.status, json.loads(answer.read())["kind"]) == (431, "Status")


def test_an_upgrade_of_a_path_that_does_not_upgrade_is_answered_as_if_it_were_none(caller: Caller) -> None:
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    status, document = caller.json("/version", **asked, **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert (status, document["major"]) == (200, "1")
