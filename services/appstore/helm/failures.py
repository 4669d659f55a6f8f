"""What Helm says when it fails, as a reason that a controller can act upon and a text that people can read. Pure.

Helm has one exit code for everything, so its text decides: the table below, first match first, is made of what Helm 4 and
kube-apiservers really say (`tests/appstore/helm/said.toml`). The text is partly a stranger's: a chart that imitates another
error gets the reason that it imitates, for its own release.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from services.appstore.helm.engine import HelmError, Reason
from services.appstore.helm.enter import NO_JAIL
from services.appstore.helm.jail import MIB, OUTPUT, Finished
from skerry.api.meta import Document

LONGEST = 2000
"""Characters of a message."""
SHORT = 4
"""A secret of fewer characters is masked where it stands alone, not within words."""
MASK = "<secret>"
MOST_READ = 64 * 1024
"""Characters of what Helm said that are looked at."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_LAST_ERROR = re.compile(r"(?:^|\n)(?:Error: |level=ERROR msg=)")
_NOT_STARTED = "Traceback (most recent call last)"
"""What the launcher says, before there is a Helm."""
_ADVICE = re.compile(r"\n+Use --debug flag to render out invalid YAML\Z")
_PREFIXES = re.compile(
    r"\A(?:(?:UPGRADE FAILED|INSTALLATION FAILED|ROLLBACK FAILED|cluster reachability check failed): )+"
)

_TABLE: tuple[tuple[Reason, str], ...] = (
    ("ReleaseBusy", r"another operation \(install/upgrade/rollback\) is in progress"),
    ("ReleaseBusy", r"cannot reuse a name that is still in use|release: already exists"),
    ("ResourceLimit", r"data: Too long: may not be more than|etcdserver: request is too large|[Rr]equest entity too large"),
    ("ResourceLimit", r"unpacked .* exceeds|larger than the maximum file size|exceeds? the maximum"),
    ("SchemaInvalid", r"values don't meet the specifications of the schema"),
    ("RenderFailed", r"chart requires kubeVersion: "),
    ("Failed", r"object has been modified; please apply your changes"),
    ("Failed", r"is forbidden: exceeded quota|admission webhook \S+ denied the request|is being terminated"),
    ("Forbidden", r"\bis forbidden: |attempting to grant RBAC permissions|cannot bind|: Unauthorized\b|must be logged in"),
    ("Forbidden", r"the server has asked for the client to provide credentials"),
    (
        "Immutable",
        r"field is immutable|spec: Forbidden: |may not change once set|immutable after creation|cannot change roleRef",
    ),
    ("UnknownKind", r"no matches for kind|resource mapping not found|could not find the requested resource|removed kubernetes api"),
    (
        "Conflict",
        r"conflict occurred while applying object|Apply failed with \d+ conflict|exists and cannot be imported"
        r"|invalid ownership metadata|\balready exists\b",
    ),
    ("HookFailed", r"(?:pre|post)-(?:install|upgrade|rollback|delete)(?: hooks failed)?: |Hook \S+ \S+ failed"),
    ("HookFailed", r"failed (?:pre|post)-(?:install|upgrade|rollback|delete)"),
    ("HookFailed", r"resource \S+ (?:not ready|still exists)\. status: "),  # hooks alone are waited for
    (
        "Unreachable",
        r"cluster unreachable|connection refused|connection reset|no such host|i/o timeout|TLS handshake|x509: "
        r"|unexpected EOF|: EOF\b|client connection lost|currently unable to handle the request|[Tt]oo many requests"
        r"|Service Unavailable|Bad Gateway|Gateway Time-?out|network is unreachable|no route to host|Client\.Timeout"
        r"|request timed out|etcdserver: |deadline exceeded|the server was unable to return a response",
    ),
    (
        "RenderFailed",
        r"execution error (?:at|in) |failed to create typed patch object|executing \"|parse error (?:at|in) |template: |rendering template failed|unable to execute template"
        r"|YAML parse error|error converting YAML|error parsing |error validating |\bis invalid: |unable to build kubernetes objects"
        r"|missing in charts/ directory|Chart\.yaml|chart dependencies processing failed|invalid chart|unable to decode",
    ),
    ("Cancelled", r"context canceled|has been cancelled"),
)  # fmt: skip
_RULES = tuple((reason, re.compile(pattern)) for reason, pattern in _TABLE)
_CRASHES = (("exit", 2), ("signal", 6))
"""How Go's runtime ends a program of its own, and one that it is a library in."""
_OUT_OF_MEMORY = re.compile(
    r"out of memory|cannot allocate memory|stack overflow|stack exceeds|failed to create new OS thread"
)


def failure(
    finished: Finished, secrets: Collection[str] = (), *, deadline_s: float = 0.0, output: int = OUTPUT
) -> HelmError:
    """The error for a Helm that did not succeed: how it ended, else what it said. `output`: bytes that it may have printed."""
    stderr = finished.stderr.decode(errors="replace")
    if finished.code == NO_JAIL or stderr.startswith(_NOT_STARTED):
        return HelmError("EngineMissing", f"Helm was not started: {cleaned(stderr.strip().rpartition(chr(10))[2])}")
    if finished.ending == "deadline":
        said = _said(stderr, secrets)
        return HelmError(
            "Deadline", f"Helm did not end within {deadline_s:.0f} s and was stopped{said and f': {said}'}"
        )
    if finished.ending == "output":
        return HelmError(
            "ResourceLimit", f"what Helm printed is more than {output // MIB} MiB: the chart renders too much"
        )
    if finished.ending == "processor":
        return HelmError("ResourceLimit", "Helm was stopped: the chart took more processor time than it may")
    if (finished.ending, finished.code) in _CRASHES and _OUT_OF_MEMORY.search(stderr):
        return HelmError("ResourceLimit", "Helm ran out of memory: the chart, or what it renders, is too large")
    if finished.ending == "signal":
        return HelmError("Failed", f"Helm was ended by signal {finished.code}, by somebody else or by the system")
    said = _said(stderr, secrets)
    if not said:
        return HelmError("Failed", f"Helm ended with exit code {finished.code} and said nothing")
    return HelmError(reason(said), said)


def reason(text: str) -> Reason:
    """The reason for Helm's text."""
    return next((each for each, rule in _RULES if rule.search(text)), "Failed")


def cleaned(text: str, secrets: Collection[str] = ()) -> str:
    """`text` without escapes and other characters that do not print, without secrets, cut."""
    plain = "\n".join(
        " ".join("".join(each if each.isprintable() else " " for each in line).split())
        for line in masked(_ESCAPES.sub("", text), secrets).splitlines()
    ).strip()
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 2]} …"


def masked(text: str, secrets: Collection[str]) -> str:
    """`text` without these secrets, plain, in base64 or as a string of JSON or Go."""
    forms = {form for secret in secrets if secret.strip() for form in _forms(secret)}
    for form in sorted((each for each in forms if each in text), key=len, reverse=True):
        pattern = re.escape(form) if len(form) >= SHORT else rf"(?<!\w){re.escape(form)}(?!\w)"
        text = re.sub(pattern, MASK, text)
    return text


def secret_texts(values: Document) -> frozenset[str]:
    """The texts in values that are secret as a whole: each string and number."""
    return frozenset(_leaves(values))


def _said(stderr: str, secrets: Collection[str]) -> str:
    """What comes after the last `Error: `: before it stand warnings, and what hooks logged."""
    text = _ESCAPES.sub("", stderr)
    starts = [match.end() for match in _LAST_ERROR.finditer(text)]
    return _ADVICE.sub("", _PREFIXES.sub("", cleaned(text[starts[-1] if starts else 0 :][:MOST_READ], secrets)))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may be printed. Lines of one that has several are secret each."""
    yield secret
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORT)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield base64.b64encode(secret.encode(errors="replace")).decode()
