"""Where the App Store may fetch from, and what people read when it could not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from services.appstore.network import failure, parsed, policy
from skerry.http.outbound import OutboundError, OutboundProblem, Refused


@pytest.mark.parametrize("allow", ["charts.corp.example", "localhost", "10.20.0.0/16", "10.1.2.3", "fd00::/8", "a1.b2"])
def test_a_host_or_a_network_is_allowed(allow: str) -> None:
    assert str(parsed(allow)).startswith(allow)


@pytest.mark.parametrize(
    "allow", ["", "*", "*.corp.example", "10.20.0.1/16", "http://x", "x:80", "1.2.3", "UPPER", "a/b", "300.1.1.1"]
)
def test_what_is_neither_says_how_it_is_written(allow: str) -> None:
    with pytest.raises(ValueError, match="a host name such as"):
        parsed(allow)


def test_a_policy_has_what_is_allowed() -> None:
    made = policy(["charts.corp.example", "10.0.0.0/8", "nonsense!"], plain_http=True, max_bytes=5)
    assert made.private_hosts == {"charts.corp.example"}
    assert made.addresses.networks == (ip_network("10.0.0.0/8"),)
    assert (made.addresses.private, made.addresses.loopback, made.plain, made.max_bytes) == (False, False, True, 5)


@pytest.mark.parametrize(
    ("problem", "status", "reason", "advice"),
    [
        ("Redirect", 0, "NetworkDenied", "as spec.url"),
        ("Status", 401, "Unauthorized", "credential"),
        ("Status", 403, "Unauthorized", "credential"),
        ("Status", 404, "NotARepository", "index.yaml"),
        ("Status", 429, "RateLimited", "syncPeriod"),
        ("Status", 503, "Unreachable", ""),
        ("TLS", 0, "TLSError", ""),
        ("TooLarge", 0, "TooLarge", ""),
        ("Protocol", 0, "NotARepository", ""),
        ("URL", 0, "NotARepository", ""),
        ("Timeout", 0, "Unreachable", ""),
        ("Name", 0, "Unreachable", ""),
    ],
)
def test_what_a_failure_means(problem: OutboundProblem, status: int, reason: str, advice: str) -> None:
    told, message = failure(OutboundError(problem, "it was so", status))
    assert (told, advice in message, message.startswith("it was so")) == (reason, True, True)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (
            Refused("charts.example", "10.0.0.5", "private"),
            "charts.example resolves to 10.0.0.5, which is private: add it to spec.network.allow of AppStore host",
        ),
        (
            Refused("10.0.0.5", "10.0.0.5", "private"),
            "10.0.0.5 is private: add it to spec.network.allow of AppStore host",
        ),
        (
            Refused("2130706433", "127.0.0.1", "this machine itself"),
            "2130706433 resolves to 127.0.0.1, which is this machine itself: add 127.0.0.1/32 to spec.network.allow of AppStore host",
        ),
    ],
)
def test_an_address_that_may_not_be_dialled_is_said_with_what_to_do(refused: Refused, said: str) -> None:
    assert failure(OutboundError("Address", "no", refused=refused)) == ("NetworkDenied", said)
    assert failure(OutboundError("Address", "it was so")) == ("NetworkDenied", "it was so")
