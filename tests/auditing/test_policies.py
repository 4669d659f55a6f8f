"""What an AuditPolicy may say: refused by field."""

from __future__ import annotations

from typing import Any

import pytest

from services.audit.policies import MOST_VALUES, admit
from services.audit.rules import PolicyRules
from skerry.api.auditpolicy import MOST_RULES
from skerry.api.kinds import AUDIT_POLICY
from skerry.api.messages import Caller, WriteRequest
from skerry.errors import Invalid

GOOD = {
    "level": "Request",
    "resources": [{"group": "", "resources": ["pods/exec"]}],
    "clusters": {"selector": {"matchLabels": {"env": "prod"}}},
    "required": True,
    "record": "tty",
    "verbs": ["*", "get"],
    "omitStages": ["ResponseStarted"],
}


def document(*rules: dict[str, Any], name: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": AUDIT_POLICY.api_version,
        "kind": AUDIT_POLICY.kind,
        "metadata": {"name": name},
        "spec": {"rules": list(rules)},
    }


def test_a_good_policy_is_taken_as_it_is() -> None:
    assert admit(document(GOOD, {"level": "None", "nonResourceURLs": ["/metrics*", "*"]})) == document(
        GOOD, {"level": "None", "nonResourceURLs": ["/metrics*", "*"]}
    )
    assert admit({**document(), "spec": {}})


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"verbs": ["look"]}, "spec.rules[1].verbs[0]"),
        ({"omitStages": ["Panic"]}, "spec.rules[1].omitStages[0]"),
        ({"nonResourceURLs": ["metrics"]}, "spec.rules[1].nonResourceURLs[0]"),
        ({"nonResourceURLs": ["/a*b"]}, "spec.rules[1].nonResourceURLs[0]"),
        ({"nonResourceURLs": ["/a"], "namespaces": ["x"]}, "spec.rules[1].nonResourceURLs"),
        ({"level": "None", "required": True}, "spec.rules[1].required"),
        ({"level": "None", "record": "tty"}, "spec.rules[1].record"),
        ({"clusters": {}}, "spec.rules[1].clusters"),
        ({"clusters": {"names": ["M_1"]}}, "spec.rules[1].clusters.names[0]"),
        ({"users": ["u"] * (MOST_VALUES + 1)}, "spec.rules[1].users"),
    ],
    ids=str,
)
def test_what_a_rule_cannot_say_is_told_by_its_field(rule: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        admit(document(GOOD, {"level": "Metadata", **rule}))
    assert [cause.field for cause in caught.value.details.causes] == [field]


def test_there_is_one_policy() -> None:
    with pytest.raises(Invalid, match="default"):
        admit(document(GOOD, name="second"))


def test_a_thousand_rules_are_too_many() -> None:
    with pytest.raises(Invalid, match=f"at most {MOST_RULES}"):
        admit(document(*[GOOD] * 1000))


async def test_both_a_new_and_a_changed_policy_are_looked_at() -> None:
    request = WriteRequest(request_id="1", caller=Caller(user="admin"))
    bad = document({"level": "Metadata", "verbs": ["look"]})
    rules = PolicyRules()
    assert (await rules.admit(document(GOOD), request)).document == document(GOOD)
    for refusing in (rules.admit(bad, request), rules.admit_update(document(GOOD), bad, request)):
        with pytest.raises(Invalid):
            await refusing
