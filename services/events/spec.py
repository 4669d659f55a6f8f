"""The spec of an EventSink: what may be in it, and what it comes to. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.events.filters import MOST, NOTHING, filters, problem
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.api.eventsink import BINARY
from skerry.api.meta import Document
from skerry.api.validation import is_label
from skerry.http.outbound import OutboundError, OutboundPolicy, ParsedUrl, origin_of
from skerry.http.tls import check_authorities
from skerry.httpwire.addresses import AddressPolicy, refusal

DEADLINE_S = 10.0
"""Of one request, from the name to the end of the answer."""
ANSWER_BYTES = 4096
"""Of an answer that are read."""
MOST_PEM = 64 * 1024
MOST_SINKS = 64
"""Each may have events in hand, connections, and a thread that resolves its name."""
ADDRESSES = AddressPolicy(private=True, loopback=True)
"""Whoever may make a sink administers the host, and receivers are often inside. What hands out credentials to whoever asks from here
(metadata services, link-local), is asked for nobody."""


class SinkSpec(NamedTuple):
    """What a stored spec comes to."""

    url: str
    filters: tuple[str, ...]
    """Subjects of events."""
    binary: bool = False
    insecure: bool = False
    ca_bundle: str = ""
    paused: bool = False

    @property
    def policy(self) -> OutboundPolicy:
        """What may be dialled, and how long that may take."""
        return OutboundPolicy(addresses=ADDRESSES, plain=self.insecure, max_bytes=ANSWER_BYTES, deadline_s=DEADLINE_S)

    @property
    def verify(self) -> bool:
        """False takes any certificate."""
        return not self.insecure


def spec_of(document: Document) -> SinkSpec:
    """The spec of a stored EventSink. What an older or newer version stored, and nobody can read, counts as the default."""
    spec = document.get("spec") or {}
    return SinkSpec(
        url=str(spec.get("url", "")),
        filters=filters(_texts(spec.get("types")), _texts(spec.get("namespaces"))) or (NOTHING,),
        binary=spec.get("mode") == BINARY,
        insecure=spec.get("insecure") is True,
        ca_bundle=str(spec.get("caBundle", "")),
        paused=spec.get("paused") is True,
    )


def problems(document: Document) -> Iterator[FieldError]:
    """What is wrong in an EventSink whose structure is right."""
    spec = document["spec"]
    yield from _url(str(spec["url"]), insecure=spec.get("insecure") is True)
    types, namespaces = _texts(spec.get("types")), _texts(spec.get("namespaces"))
    for name, values in (("types", types), ("namespaces", namespaces)):
        if len(values) > MOST:
            yield invalid_value(f"spec.{name}", len(values), f"must have at most {MOST} items")
    for number, text in enumerate(types[:MOST]):
        if why := problem(text):
            yield invalid_value(f"spec.types[{number}]", text[:200], why)
    for number, text in enumerate(namespaces[:MOST]):
        if not is_label(text):
            yield invalid_value(f"spec.namespaces[{number}]", text[:80], "must be the name of a namespace")
    if namespaces and types and not filters(types, namespaces) and not any(map(problem, types)):
        yield forbidden("spec.namespaces", "nothing of these types lies in a namespace: leave the one or the other out")
    yield from _authorities(str(spec.get("caBundle", "")), insecure=spec.get("insecure") is True)


def _url(url: str, *, insecure: bool) -> Iterator[FieldError]:
    try:
        parsed = origin_of(url)
    except OutboundError as error:
        yield invalid_value("spec.url", url[:200], str(error))
        return
    if parsed.scheme != "https" and not insecure:
        yield invalid_value("spec.url", url[:200], "must begin with https://; http:// is for spec.insecure: true alone")
    if why := _literal(parsed):
        yield invalid_value("spec.url", url[:200], f"{parsed.host} is {why}, and is not asked")


def _literal(parsed: ParsedUrl) -> str:
    """Why an address that stands in a URL itself may not be dialled; a name is judged when it is dialled."""
    if not (":" in parsed.host or parsed.host.replace(".", "").isdigit()):
        return ""
    why = refusal(parsed.host, ADDRESSES)
    return "" if why == "not an IP address" else why


def _authorities(pem: str, *, insecure: bool) -> Iterator[FieldError]:
    if not pem:
        return
    if insecure:
        yield forbidden("spec.caBundle", "insecure takes any certificate: leave one of the two out")
    if len(pem) > MOST_PEM:
        yield FieldError("spec.caBundle", f"Too long: may not be more than {MOST_PEM} bytes", "FieldValueTooLong")
        return
    try:
        check_authorities(pem)
    except ValueError as error:
        yield invalid_value("spec.caBundle", pem[:40], str(error))


def _texts(values: object) -> list[str]:
    return [str(each) for each in values] if isinstance(values, list) else []
