"""What an entry becomes by each answer that an API server may give to its write. Against a real one: test_applier.py."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from skerry.api.desired import Options, State
from skerry.api.names import HOST_LABEL, OWNER_LABEL
from skerry.desired.answers import Missing, Unsettled
from skerry.desired.objects import MARK_ATTEMPTS, Objects
from skerry.desired.owners import ObjectReference
from skerry.errors import ServiceUnavailable
from skerry.member import account
from skerry.member.identity import HOST_ANNOTATION, HOST_NAME_ANNOTATION
from skerry.member.upstream import Upstream, WholeAnswer

RBAC = "rbac.authorization.k8s.io"
DOCUMENT: dict[str, Any] = {
    "apiVersion": f"{RBAC}/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "skerry:edit", "namespace": "shop"},
}
_encode = msgspec.json.encode


class Api:
    """Serves RoleBindings and Namespaces, has no object, and answers each write as it is told."""

    url = "https://api"

    def __init__(self, status: int, body: bytes) -> None:
        self._answer = WholeAnswer(status=status, body=body)
        self.there = WholeAnswer(status=404, body=b"{}")
        self.kube_system = WholeAnswer(status=404, body=b"{}")
        self.written: list[str] = []

    async def call(self, method: str, path: str, **more: Any) -> WholeAnswer:
        if method != "GET":
            self.written.append(f"{method} {path.partition('?')[0]}")
            return self._answer
        if path == "/api/v1/namespaces/kube-system":
            return self.kube_system
        served = {
            f"/apis/{RBAC}/v1": ("rolebindings", "RoleBinding", True),
            "/api/v1": ("namespaces", "Namespace", False),
        }
        if path not in served:
            return self.there
        name, kind, namespaced = served[path]
        return WholeAnswer(
            status=200, body=_encode({"resources": [{"name": name, "kind": kind, "namespaced": namespaced}]})
        )

    def objects(self) -> Objects:
        return Objects(cast(Upstream, self), "host")


def status(code: int, message: str, *causes: str) -> bytes:
    return _encode({"code": code, "message": message, "details": {"causes": [{"reason": each} for each in causes]}})


async def applied(api: Api, document: dict[str, Any] = DOCUMENT) -> Unsettled:
    with pytest.raises(Unsettled) as raised:
        await api.objects().apply(document, "tenancy", Options())
    return raised.value


OURS = f"system:serviceaccount:{account.NAMESPACE}:{account.NAME}"
MAY_NOT = 'rolebindings is forbidden: User "%s" cannot patch resource "rolebindings"'


@pytest.mark.parametrize(
    ("code", "body", "state", "says"),
    [
        (403, status(403, 'admission webhook "w.example" denied the request: no'), State.REFUSED, "denied the request: no"),
        (422, status(422, "rolebindings is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"), State.REFUSED, "denied request: no"),
        (403, status(403, MAY_NOT % "jane"), State.FORBIDDEN, "allow `patch` there"),
        (403, status(403, MAY_NOT % OURS), State.FORBIDDEN, "--create-service-account"),
        (403, status(403, "exceeded quota: objects"), State.REFUSED, "exceeded quota"),
        (403, status(403, "shop is being terminated", "NamespaceTerminating"), State.WAITING, "terminated"),
        (409, status(409, 'conflict with "kubectl": .subjects', "FieldManagerConflict"), State.CONFLICT, '"kubectl": .subjects'),
        (409, status(409, "the object has been modified"), State.FAILED, "modified"),
        (413, b"too large", State.FAILED, ""),
        (422, status(422, "roleRef: cannot change roleRef"), State.FAILED, "cannot change roleRef"),
        (500, status(500, "etcdserver: no leader"), State.FAILED, "etcdserver"),
        (500, b"<html>\xff", State.FAILED, ""),
        (200, b"no object", State.FAILED, "cannot be read"),
    ],
    ids=["webhook", "policy", "RBAC", "RBAC of our account", "quota", "terminating", "field", "409", "413", "422", "500", "500 of words", "unreadable"],
)  # fmt: skip
async def test_a_refusal_is_a_state_that_says_why(code: int, body: bytes, state: State, says: str) -> None:
    error = await applied(Api(code, body))
    assert error.state is state
    assert says in error.message
    assert error.message


@pytest.mark.parametrize("code", [401, 429, 502, 503, 504])
async def test_what_may_be_over_at_the_next_attempt_is_tried_again_and_is_no_state(code: int) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        await Api(code, status(code, "later")).objects().apply(DOCUMENT, "tenancy", Options())
    assert raised.value.details.retry_after_seconds == 1


async def test_a_namespace_that_is_missing_is_waited_for_by_its_name() -> None:
    error = await applied(Api(404, status(404, 'namespaces "shop" not found')))
    assert isinstance(error, Missing)
    assert (error.kind, error.name, error.state) == ("Namespace", "shop", State.WAITING)


async def test_a_kind_that_is_gone_is_waited_for() -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    error = await applied(Api(404, status(404, "page not found")), space)
    assert isinstance(error, Missing)
    assert error.kind == "CustomResourceDefinition"
    unserved = {**DOCUMENT, "apiVersion": "example.dev/v1", "kind": "Widget"}
    error = await applied(Api(200, b""), unserved)
    assert isinstance(error, Missing)
    assert "Widget of example.dev/v1 is not served" in error.message


async def test_who_may_not_read_it_learns_what_is_missing_and_nothing_is_written() -> None:
    api = Api(200, b"{}")
    api.there = WholeAnswer(status=403, body=status(403, MAY_NOT % "jane"))
    assert (await applied(api)).state is State.FORBIDDEN
    assert api.written == []


@pytest.mark.parametrize(
    ("code", "state"), [(403, State.FORBIDDEN), (409, State.PENDING), (500, State.FAILED)], ids=str
)
async def test_what_cannot_be_taken_away_says_why_and_stays_ours(code: int, state: State) -> None:
    api = Api(code, status(code, MAY_NOT % "jane"))
    ours = {
        "name": "skerry:edit", "namespace": "shop", "uid": "u", "resourceVersion": "7",
        "labels": {"skerry.dev/owner": "tenancy", "skerry.dev/host": "host"},
        "managedFields": [{"manager": "skerry-tenancy", "operation": "Apply"}],
    }  # fmt: skip
    api.there = WholeAnswer(status=200, body=_encode({"metadata": ours}))
    which = ObjectReference(f"{RBAC}/v1", "RoleBinding", "shop", "skerry:edit")
    with pytest.raises(Unsettled) as raised:
        await api.objects().withdraw(which, "tenancy")
    assert raised.value.state is state
    assert api.written == [f"DELETE /apis/{RBAC}/v1/namespaces/shop/rolebindings/skerry%3Aedit"]


@pytest.mark.parametrize(
    ("labels", "marked", "is_taken"),
    [
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "host", True),
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "former", False),
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "", False),
        ({OWNER_LABEL: "quota", HOST_LABEL: "former"}, "host", False),
        ({HOST_LABEL: "former"}, "host", False),
        ({OWNER_LABEL: "tenancy"}, "host", False),
    ],
    ids=["taken over", "its host's", "no mark", "another owner's", "no owner", "no host"],
)
async def test_what_another_host_left_is_taken_where_the_mark_is_ours(
    labels: dict[str, str], marked: str, is_taken: bool
) -> None:
    api = Api(200, _encode({"metadata": {"name": "skerry:edit", "uid": "u"}}))
    api.there = WholeAnswer(status=200, body=_encode({"metadata": {"name": "skerry:edit", "labels": labels}}))
    marks = {"annotations": {HOST_ANNOTATION: marked} if marked else {}}
    api.kube_system = WholeAnswer(status=200, body=_encode({"metadata": marks}))
    if is_taken:
        await api.objects().apply(DOCUMENT, "tenancy", Options())
        assert len(api.written) == 1
    else:
        assert (await applied(api)).state is State.FOREIGN
        assert api.written == []


@pytest.mark.parametrize(
    ("labels", "manager", "marked", "is_gone"),
    [
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "skerry-tenancy", "host", True),
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "skerry-tenancy", "former", False),
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "skerry-tenancy", "", False),
        ({OWNER_LABEL: "tenancy", HOST_LABEL: "former"}, "kubectl", "host", False),
        ({OWNER_LABEL: "quota", HOST_LABEL: "former"}, "skerry-tenancy", "host", False),
        ({OWNER_LABEL: "tenancy"}, "skerry-tenancy", "host", False),
    ],
    ids=["taken over", "its host's", "no mark", "somebody else wrote it", "another owner's", "no host"],
)
async def test_what_another_host_left_and_nobody_wants_goes_where_the_mark_is_ours(
    labels: dict[str, str], manager: str, marked: str, is_gone: bool
) -> None:
    api = Api(200, b"{}")
    left = {"name": "skerry:edit", "uid": "u", "labels": labels, "managedFields": [{"manager": manager}]}
    api.there = WholeAnswer(status=200, body=_encode({"metadata": left}))
    marks = {"annotations": {HOST_ANNOTATION: marked} if marked else {}}
    api.kube_system = WholeAnswer(status=200, body=_encode({"metadata": marks}))
    which = ObjectReference(f"{RBAC}/v1", "RoleBinding", "shop", "skerry:edit")
    assert await api.objects().withdraw(which, "tenancy") is is_gone
    assert len(api.written) == is_gone


async def test_where_the_mark_may_not_be_read_what_is_another_hosts_stays_so() -> None:
    api = Api(200, b"{}")
    labels = {OWNER_LABEL: "tenancy", HOST_LABEL: "former"}
    api.there = WholeAnswer(status=200, body=_encode({"metadata": {"name": "skerry:edit", "labels": labels}}))
    api.kube_system = WholeAnswer(status=403, body=status(403, "no"))
    assert (await applied(api)).state is State.FOREIGN


class Marked(Api):
    """kube-system with a mark, in which somebody else writes as often as it is told."""

    def __init__(self, owner: str, code: int = 200, written_by_others: int = 0) -> None:
        super().__init__(code, status(code, "no"))
        self._others = written_by_others
        self.marks: dict[str, str | None] = {HOST_ANNOTATION: owner, HOST_NAME_ANNOTATION: "isle"} if owner else {}

    async def call(self, method: str, path: str, **more: Any) -> WholeAnswer:
        metadata = {"annotations": self.marks, "resourceVersion": "7"}
        self.kube_system = WholeAnswer(status=200, body=_encode({"metadata": metadata}))
        answer = await super().call(method, path, **more)
        if method == "PATCH" and self._others:
            self._others -= 1
            return WholeAnswer(status=409, body=status(409, "the object has been modified"))
        if method == "PATCH" and answer.status == 200:
            patch = msgspec.json.decode(more["body"])["metadata"]
            assert patch["resourceVersion"] == "7", "another host may take it over in this moment"
            self.marks = {key: value for key, value in (self.marks | patch["annotations"]).items() if value is not None}
        return answer


@pytest.mark.parametrize(
    ("owner", "code", "others", "is_gone", "left"),
    [
        ("host", 200, 0, True, set()),
        ("host", 200, 2, True, set()),
        ("host", 200, MARK_ATTEMPTS, False, {HOST_ANNOTATION, HOST_NAME_ANNOTATION}),
        ("host", 403, 0, False, {HOST_ANNOTATION, HOST_NAME_ANNOTATION}),
        ("another", 200, 0, True, {HOST_ANNOTATION, HOST_NAME_ANNOTATION}),
        ("", 200, 0, True, set()),
    ],
    ids=["ours", "others write too", "others never stop", "may not", "another host's", "nobody's"],
)
async def test_the_mark_is_taken_off_where_it_is_ours(
    owner: str, code: int, others: int, is_gone: bool, left: set[str]
) -> None:
    api = Marked(owner, code, others)
    assert await api.objects().unmark() is is_gone
    assert set(api.marks) == left


async def test_where_kube_system_may_not_be_read_the_mark_stays() -> None:
    api = Api(200, b"{}")
    api.kube_system = WholeAnswer(status=403, body=status(403, "no"))
    assert await api.objects().unmark() is False
    assert api.written == []
