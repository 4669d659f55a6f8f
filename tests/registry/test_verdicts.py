"""What conditions say, by the facts that they are made of: tables."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry import verdicts
from services.registry.model import Now
from services.registry.verdicts import DAY_S
from skerry.api.conditions import CLOCK_SYNCED, NO_VERDICT
from skerry.http.certificates import CertificateEnds

NOW = Now(100.0, 1_800_000_000.0)
MONTH_S = 30 * DAY_S


@pytest.mark.parametrize(
    ("kubernetes", "agent", "host", "expected"),
    [
        ("v1.36.3", None, "0.5.0", ("True", "Supported")),
        ("v1.31.0-eks-1", "0.5.0", "0.5.0", ("True", "Supported")),
        ("v1.30.9+k3s1", "0.5.0", "0.5.0", ("False", "KubernetesTooOld")),
        ("v2.0.0", None, "0.5.0", ("True", "Supported")),
        ("v1.36.3", "0.3.9", "0.5.0", ("True", "Supported")),
        ("v1.36.3", "0.2.9", "0.5.0", ("False", "AgentTooOld")),
        ("v1.36.3", "0.9.0", "1.0.0", ("False", "AgentTooOld")),
        ("v1.36.3", "0.6.0", "0.5.0", ("True", "Supported")),
        ("v1.36.3", "0.7.0", "0.5.0", ("False", "AgentTooNew")),
        ("v1.36.3", "1.0.0", "0.5.0", ("False", "AgentTooNew")),
        ("v1.36.3", "", "0.5.0", ("Unknown", "VersionUnknown")),
        ("v1.36.3", "new", "0.5.0", ("Unknown", "VersionUnknown")),
        ("", "0.5.0", "0.5.0", ("Unknown", "VersionUnknown")),
        (None, None, "0.5.0", ("Unknown", "VersionUnknown")),
        ("v" + "9" * 60, None, "0.5.0", ("Unknown", "VersionUnknown")),
    ],
)
def test_versions(kubernetes: Any, agent: str | None, host: str, expected: tuple[str, str]) -> None:
    assert verdicts.version(kubernetes, agent, host)[:2] == expected


@pytest.mark.parametrize(
    ("left_s", "ttl_s", "expected"),
    [
        (20 * DAY_S, MONTH_S, ("True", "Valid")),
        (5 * DAY_S, MONTH_S, ("True", "Valid")),
        (4 * DAY_S, MONTH_S, ("True", "ExpiresSoon")),
        (3000.0, 3600.0, ("True", "Valid")),
        (500.0, 3600.0, ("True", "ExpiresSoon")),
        (0.0, MONTH_S, ("False", "Expired")),
    ],
)
def test_an_agents_credential_is_late_long_before_it_ends(
    left_s: float, ttl_s: float, expected: tuple[str, str]
) -> None:
    assert verdicts.agent_credentials(NOW.wall + left_s, NOW, ttl_s)[:2] == expected


@pytest.mark.parametrize(
    ("server_s", "client_s", "expected", "says"),
    [
        (None, None, ("True", "NoCertificate"), "no certificate was seen"),
        (300 * DAY_S, None, ("True", "Valid"), "API server"),
        (None, 300 * DAY_S, ("True", "Valid"), "client certificate"),
        (300 * DAY_S, 200 * DAY_S, ("True", "Valid"), "client certificate"),
        (20 * DAY_S, None, ("True", "ExpiresSoon"), "less than 30 days: renew it on the cluster"),
        (20 * DAY_S, 0.5 * DAY_S, ("True", "ExpiresSoon"), "the client certificate ends at"),
        (3 * DAY_S, 0.5 * DAY_S, ("True", "ExpiresSoon"), "less than a day: do this"),
        (-1.0, 300 * DAY_S, ("False", "Expired"), "API server"),
        (300 * DAY_S, -1.0, ("False", "Expired"), "do this"),
        (0.0, 0.0, ("False", "Expired"), "ended at"),
    ],
)
def test_certificates_are_told_of_by_the_one_that_ends_first(
    server_s: float | None, client_s: float | None, expected: tuple[str, str], says: str
) -> None:
    ends = CertificateEnds(*(None if left_s is None else NOW.wall + left_s for left_s in (server_s, client_s)))
    verdict = verdicts.certificate(ends, NOW, NO_VERDICT, "do this")
    assert verdict[:2] == expected
    assert says in verdict.message


@pytest.mark.parametrize(
    ("client_s", "reason"),
    [(None, "Expired"), (300 * DAY_S, "Expired"), (20 * DAY_S, "ExpiresSoon"), (-5.0, "Expired")],
)
def test_who_has_not_seen_the_server_since_its_start_takes_nothing_back_and_says_what_is_worse(
    client_s: float | None, reason: str
) -> None:
    stored = verdicts.certificate(CertificateEnds(NOW.wall - 1.0), NOW, NO_VERDICT, "do this")
    client = None if client_s is None else NOW.wall + client_s
    verdict = verdicts.certificate(CertificateEnds(None, client), NOW, stored, "do this")
    assert verdict.reason == reason
    assert (verdict == stored) is (client_s is None or client_s > 30 * DAY_S)


@pytest.mark.parametrize(
    ("ahead_s", "stored", "expected", "says"),
    [
        (0.0, "True", "InSync", "within 30 s"),
        (-30.0, "True", "InSync", "within"),
        (31.0, "True", "Ahead", "more than 30 seconds ahead of"),
        (-31.0, "Unknown", "Behind", "more than 30 seconds behind"),
        (27.0, "False", "Ahead", "ahead of"),
        (24.0, "False", "InSync", "within"),
        (-100.0, "True", "Behind", "more than a minute"),
        (3700.0, "True", "Ahead", "more than an hour"),
        (1e9, "True", "Ahead", "more than a day"),
    ],
)
def test_a_clock_that_is_off_is_told_and_does_not_flap_at_the_limit(
    ahead_s: float, stored: str, expected: str, says: str
) -> None:
    document = {"status": {"conditions": [{"type": CLOCK_SYNCED, "status": stored}]}}
    verdict = verdicts.clock(ahead_s, document, "its agent's")
    assert (verdict.reason, verdict.status) == (expected, "True" if expected == "InSync" else "False")
    assert says in verdict.message
