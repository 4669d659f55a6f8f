"""Whatever the OpenAPI document allows to send, and whatever it does not: never a 5xx, always a Status.

What Schemathesis does, without its weight: operations, parameters and bodies are drawn from the served document, spoiled
now and then, and sent. Values that Kubernetes answers with 504 (a resourceVersion that is not there yet) are left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
import yaml

from services.appstore import service as appstore
from services.appstore.settings import AppStoreSettings
from services.audit import service as audit
from services.audit.settings import AuditSettings
from services.events import service as events
from services.events.settings import EventsSettings
from skerry.identity.keyfiles import SECRETS_KEY
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.hostapi.conftest import Answer, World

pytestmark = pytest.mark.integration

ROUNDS = 300
AWAY = re.compile(r"/(clusters|inspectioncredentials|jointokens)\b|/apps/\{name\}/package$")
"""Their owner does not run here, or who makes the store of uploads, so a write is an honest 503."""
ACTION = re.compile(r"/clusters/\{name\}/(agents|desired)$")
"""A read that the registry answers, and no cache."""
SEEDS = (1, 2, 3)
NAMES = ("m1", "default", "shop", "nope", "UPPER", "-", "a" * 300, "%00", "..", "é", "a/b", "status", "m1/status")
TEXTS = ("", "0", "1", "-1", "x", "true", "false", "All", "Exact", "NotOlderThan", "Strict", "Ignore", "Odd", "a=b",
         "a in (b,c)", "!a", "metadata.name=m1", "a,,b", "\\", "\x00", "é" * 50, "99999999999999999999", "1e9", "{}")  # fmt: skip
ACCEPTS = ("application/json", "*/*", "", "application/yaml", "text/html", "application/vnd.kubernetes.protobuf",
           "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
           "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=Odd", ";;;")  # fmt: skip
MEDIA = ("application/json", "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml",
         "application/strategic-merge-patch+json", "application/yaml", "application/vnd.kubernetes.protobuf", "", "x")  # fmt: skip
GARBAGE = (
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\x00",
    b"\xef\xbb\xbf",
    b'"\xff"',
    b'"\\ud800"',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"1e999",
    b"-",
    b"\\",
)
ODD: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, "", "x", "é\x00", [], [None], {}, {"a": None}, [[]], {"": ""})


def value(draw: random.Random, schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """Something that fits `schema`, mostly."""
    if depth > 6 or draw.random() < 0.06:
        return draw.choice(ODD)
    if "allOf" in schema:
        return value(draw, schema["allOf"][0], schemas, depth)
    if "$ref" in schema:
        return value(draw, schemas[schema["$ref"].rpartition("/")[2]], schemas, depth + 1)
    if "enum" in schema:
        return draw.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return an_object(draw, schema, schemas, depth)
    if kind == "array":
        return [value(draw, schema["items"], schemas, depth + 1) for _ in range(draw.randrange(3))]
    return {
        "string": draw.choice(TEXTS + NAMES),
        "integer": draw.randrange(-2, 99),
        "boolean": draw.random() < 0.5,
    }.get(str(kind), draw.choice(ODD))


def an_object(draw: random.Random, schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    found = {
        name: value(draw, one, schemas, depth + 1)
        for name, one in schema.get("properties", {}).items()
        if name in required or draw.random() < 0.5
    }
    if "additionalProperties" in schema:
        found |= {draw.choice(TEXTS): value(draw, schema["additionalProperties"], schemas, depth + 1)}
    return found | ({"unknown": draw.choice(ODD)} if draw.random() < 0.1 else {})


def patch(draw: random.Random, whole: Any) -> Any:
    """A JSON patch half of the time, else a part of an object."""
    if draw.random() < 0.5:
        return whole
    operations = ("add", "remove", "replace", "move", "copy", "test", "odd")
    paths = (
        "",
        "/",
        "/spec",
        "/spec/displayName",
        "/metadata/labels/a",
        "/metadata/name",
        "/x/0",
        "/spec/members/-",
        "x",
    )
    return [
        {
            "op": draw.choice(operations),
            "path": draw.choice(paths),
            "from": draw.choice(paths),
            "value": draw.choice(ODD),
        }
        for _ in range(draw.randrange(4))
    ]


def spoiled(draw: random.Random, data: bytes) -> bytes:
    """Bytes that are sent: now and then cut, or with garbage where a byte was."""
    if draw.random() < 0.05:
        return data[: draw.randrange(len(data) + 1)]
    if draw.random() < 0.15:
        place = draw.randrange(len(data) + 1)
        return data[:place] + draw.choice(GARBAGE) + data[place + 1 :]
    return data


class Fuzz:
    """Draws requests from one OpenAPI document."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self.draw = random.Random(seed)
        self.schemas = document["components"]["schemas"]
        self.operations = [
            (path, method, operation, item.get("parameters", []))
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters" and ((method == "get" and not ACTION.search(path)) or not AWAY.search(path))
        ]

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """(target, method, body, headers)."""
        draw = self.draw
        path, method, operation, _ = draw.choice(self.operations)
        for name in ("name", "namespace"):
            path = path.replace(f"{{{name}}}", quote(draw.choice(NAMES), safe="/%" if draw.random() < 0.2 else ""))
        query = {one["name"]: draw.choice(TEXTS) for one in operation["parameters"] if draw.random() < 0.2}
        query.pop("resourceVersion", None)
        extra = draw.choice(
            ("", "", "", "&a;b=c", "&%zz=1", "&limit=%", "&labelSelector=%FF", "&dryRun=%C3&dryRun=All", "&=", "&&")
        )
        if "watch" in query:
            query["timeoutSeconds"] = "1"
        headers = {"accept": draw.choice(ACCEPTS)}
        body = self._body(operation)
        if body is not None:
            media = list(operation.get("requestBody", {}).get("content", MEDIA))
            headers["content-type"] = draw.choice(media if draw.random() < 0.8 else MEDIA)
        return f"{path}?{urlencode(query)}{extra}", method.upper(), body, headers

    def _body(self, operation: dict[str, Any]) -> bytes | None:
        content = operation.get("requestBody", {}).get("content")
        if content is None:
            return None
        schema = next(iter(content.values()))["schema"]
        if "$ref" not in schema:  # bytes of no type
            return self.draw.choice(GARBAGE)
        if schema["$ref"].endswith("Patch"):
            own = f"#/components/schemas/{self._own(operation)}"
            made = patch(self.draw, value(self.draw, {"$ref": own}, self.schemas))
        else:
            made = value(self.draw, schema, self.schemas)
        return spoiled(self.draw, msgspec.json.encode(made))

    def _own(self, operation: dict[str, Any]) -> str:
        kind = operation["x-kubernetes-group-version-kind"]["kind"]
        return next(str(name) for name in self.schemas if name.endswith(f".{kind}"))


def check(request: tuple[str, str, bytes | None, dict[str, str]], answer: Answer) -> None:
    """No 5xx; an error is a Status with that code."""
    assert answer.status < 500, (request, answer.body)
    if answer.status >= 400:
        status = yaml.safe_load(answer.body)
        assert (status["kind"], status["code"]) == ("Status", answer.status), (request, answer.body)


@pytest.fixture
async def store(nats_host: NatsHost) -> AsyncIterator[None]:
    """The owners of the App Store's kinds, which take bodies of any length too, of EventSinks, and of AuditPolicies."""
    key = nats_host.keys_dir / SECRETS_KEY
    async with (
        serving(nats_host, (appstore.SERVICE, AppStoreSettings(app_store_secrets_key_file=key))),
        serving(nats_host, (audit.SERVICE, AuditSettings())),
        serving(nats_host, (events.SERVICE, EventsSettings(events_secrets_key_file=key))),
    ):
        yield


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("path", ["apis/skerry.dev/v1alpha1", "api/v1", "apis/authorization.k8s.io/v1"])
async def test_nothing_that_can_be_sent_is_a_5xx(store: None, world: World, path: str, seed: int) -> None:
    await world.made("m1")
    fuzz = Fuzz((await world.ask(f"/openapi/v3/{path}")).json(), seed)
    codes: set[int] = set()
    for _ in range(ROUNDS if path.endswith("v1alpha1") else ROUNDS // 8):
        request = fuzz.request()
        answer = await world.ask(*request)
        check(request, answer)
        codes.add(answer.status)
    assert codes & {200, 201}, codes
    assert codes & {400, 404, 405, 415, 422}, codes
