"""The spec of an AppRepository: what may be in it, and what it comes to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.appstore.metadata import NAME, NAME_RULE
from services.appstore.network import MOST_PEM
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.api import duration
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.http.outbound import OutboundError, ParsedUrl, origin_of
from skerry.http.tls import check_authorities

SCHEMES = {"https": "https", "http": "http", "oci": "https", "oci+http": "http"}
"""Of a URL, and what it is asked by."""
MOST_CHARTS = 500
LEAST_PERIOD, LONGEST_PERIOD = "60s", "365d"
KEEP_VERSIONS = 5
PATH = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
"""Of a chart in a registry, as the distribution specification has it."""


class RepositorySpec(NamedTuple):
    """What a stored spec comes to."""

    url: str
    charts: frozenset[str] = frozenset()
    """Empty: all."""
    period_s: int = 3600
    """0: by hand only."""
    keep_versions: int = KEEP_VERSIONS
    automatic: bool = True
    ca_bundle: str = ""
    verify: bool = True

    @property
    def is_registry(self) -> bool:
        """True of an OCI registry; else there is an index.yaml."""
        return self.url.startswith("oci")

    @property
    def origin(self) -> ParsedUrl:
        """Where it is asked. OutboundError."""
        return origin_of_address(self.url)


def origin_of_address(url: str) -> ParsedUrl:
    """Where an address is asked, also that of a registry. OutboundError."""
    kind, _, rest = url.partition("://")
    return origin_of(f"{SCHEMES.get(kind, kind)}://{rest}")


def spec_of(document: Document) -> RepositorySpec:
    """The spec of a stored AppRepository. What an older or newer version stored, and nobody can read, counts as the default."""
    spec = document.get("spec") or {}
    tls = spec.get("tls") or {}
    try:
        period_s = duration.parse(str(spec.get("syncPeriod", "1h")))
    except ValueError:
        period_s = 3600
    return RepositorySpec(
        url=str(spec.get("url", "")),
        charts=frozenset(map(str, spec.get("charts") or ())),
        period_s=period_s and max(period_s, duration.parse(LEAST_PERIOD)),
        keep_versions=int(spec.get("keepVersions") or KEEP_VERSIONS),
        automatic=spec.get("review", "Automatic") == "Automatic",
        ca_bundle=str(tls.get("caBundle", "")),
        verify=tls.get("insecureSkipVerify") is not True,
    )


def problems(document: Document, *, plain_http: bool) -> Iterator[FieldError]:
    """What is wrong in an AppRepository whose structure is right."""
    spec, wanted = document["spec"], spec_of(document)
    yield from _url(wanted, plain_http=plain_http)
    yield from _charts(spec.get("charts") or [], PATH if wanted.is_registry else NAME)
    yield from _period(spec.get("syncPeriod", "1h"))
    if not 1 <= spec.get("keepVersions", KEEP_VERSIONS) <= 50:
        yield invalid_value("spec.keepVersions", spec["keepVersions"], "must be from 1 to 50")
    if not wanted.automatic and document["metadata"].get("namespace") != POOL:
        yield forbidden(
            "spec.review",
            f"only what is in the pool ({POOL}) is reviewed; in a workspace versions are drafts of its own",
        )
    yield from _tls(wanted)


def _url(wanted: RepositorySpec, *, plain_http: bool) -> Iterator[FieldError]:
    url, (kind, _, rest) = wanted.url, wanted.url.partition("://")
    if kind not in SCHEMES:
        yield invalid_value("spec.url", url[:200], "must begin with https:// or oci://")
        return
    try:
        origin = wanted.origin
    except OutboundError as error:
        yield invalid_value("spec.url", url[:200], str(error))
        return
    if b"?" in origin.target:
        yield invalid_value("spec.url", url[:200], "must have no query")
    if origin.scheme == "http" and not plain_http:
        yield invalid_value(
            "spec.url",
            url[:200],
            "use https:// or oci://; without TLS only if spec.network.plainHTTP of AppStore host is true",
        )
    path = rest.partition("/")[2].strip("/")
    if wanted.is_registry and path and not PATH.fullmatch(path):
        yield invalid_value(
            "spec.url", url[:200], "the path in a registry has lower case letters, digits, ., _, - and /"
        )


def _charts(charts: list[str], pattern: re.Pattern[str]) -> Iterator[FieldError]:
    if len(charts) > MOST_CHARTS:
        yield invalid_value("spec.charts", len(charts), f"must have at most {MOST_CHARTS} items")
    for number, name in enumerate(charts[:MOST_CHARTS]):
        if len(name) > 200 or not pattern.fullmatch(name):
            yield invalid_value(f"spec.charts[{number}]", name[:80], f"must be the name of a chart: {NAME_RULE}")


def _period(text: str) -> Iterator[FieldError]:
    try:
        if duration.parse(text):
            duration.bounded(text, LONGEST_PERIOD, LEAST_PERIOD)
    except ValueError as error:
        yield invalid_value("spec.syncPeriod", text[:40], f"{error}; 0s is by hand only")


def _tls(wanted: RepositorySpec) -> Iterator[FieldError]:
    if not wanted.ca_bundle:
        return
    if not wanted.verify:
        yield forbidden("spec.tls.caBundle", "insecureSkipVerify takes any certificate: leave one of the two out")
    if len(wanted.ca_bundle) > MOST_PEM:
        yield FieldError("spec.tls.caBundle", f"Too long: may not be more than {MOST_PEM} bytes", "FieldValueTooLong")
        return
    try:
        check_authorities(wanted.ca_bundle)
    except ValueError as error:
        yield invalid_value("spec.tls.caBundle", wanted.ca_bundle[:40], str(error))
