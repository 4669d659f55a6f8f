"""Rules of the IdentityProvider kind, pure: what may be stored, and which of two that exclude each other counts.

Whoever writes one can name anybody, so only host administrators may; what is checked here keeps them from mistakes: an issuer
that cannot be asked, claims that cannot name users, a prefix that lets two providers name the same people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from skerry.admission.conform import FieldError, forbidden, invalid_value, required, unsupported
from skerry.admission.prepare import invalid_object
from skerry.api.identities import (
    ALGORITHMS,
    USUAL_ALGORITHMS,
    IdentityProvider,
    IdentityProviderSpec,
    NameClaim,
    UserClaim,
)
from skerry.api.meta import Document
from skerry.api.names import RESERVED, SERVICE_ACCOUNT
from skerry.http.outbound import OutboundError, origin_of
from skerry.http.tls import check_authorities

MAX_AUDIENCES, MAX_TEXT, MAX_CLAIMS, MAX_SCOPES, MAX_PEM = 16, 253, 16, 32, 256 * 1024
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts of an issuer on this machine, which may be asked by http."""


def admit(document: Document, others: Iterable[Document] = ()) -> Document:
    """The provider as it may be stored beside `others`, new or changed. Invalid names the fields."""
    spec = document["spec"]
    errors = [
        *_issuer(spec["issuer"]),
        *_texts(spec["audiences"], "spec.audiences", MAX_AUDIENCES),
        *(
            []
            if spec["audiences"]
            else [required("spec.audiences", "name at least one: tokens for others are not for you")]
        ),
        *_authorities(spec.get("certificateAuthority", "")),
        *_claim(spec.get("username"), "spec.username"),
        *_claim(spec.get("groups"), "spec.groups"),
        *_required_claims(spec.get("requiredClaims", {})),
        *_algorithms(spec.get("algorithms", [])),
        *_client(spec.get("login"), "spec.login"),
        *_client(spec.get("console"), "spec.console"),
        *(problem for other in others for problem in conflicts(spec, other)),
    ]
    if errors:
        raise invalid_object(document, errors)
    return document


def conflicts(spec: Document, other: Document) -> Iterator[FieldError]:
    """What two providers may not have alike: whose tokens they are about, and how their users and groups are told apart."""
    name, theirs = other["metadata"]["name"], other["spec"]
    if spec["issuer"] == theirs["issuer"]:
        yield invalid_value("spec.issuer", spec["issuer"], f"is that of provider {name} already")
    for field in ("username", "groups"):
        if field == "groups" and not (spec.get(field) and theirs.get(field)):
            continue
        prefix = _prefix(spec.get(field))
        if prefix == _prefix(theirs.get(field)):
            why = f"is that of provider {name} already: both could name the same {'users' if field == 'username' else field}"
            yield invalid_value(f"spec.{field}.prefix", prefix, why)


def taken(document: Document, others: Iterable[Document]) -> str:
    """Why a stored provider does not count, for people; empty if it does. Two replicas may have admitted two that exclude each
    other at the same time: the older counts.
    """
    for other in others:
        if _age(other) < _age(document):
            for problem in conflicts(document["spec"], other):
                return f"{problem.field} {problem.message.removeprefix('Invalid value: ')}"
    return ""


def algorithms_of(spec: IdentityProviderSpec) -> tuple[str, ...]:
    """How its tokens may be signed."""
    return tuple(spec.algorithms) or USUAL_ALGORITHMS


def on_this_machine(issuer: str) -> bool:
    """True if a valid issuer is on this machine."""
    return origin_of(issuer).host in LOOPBACK


def provider_of(document: Document) -> IdentityProvider:
    """A stored provider, whatever a newer replica says of how it is. msgspec.ValidationError if it cannot be read."""
    return msgspec.convert({key: each for key, each in document.items() if key != "status"}, IdentityProvider)


def _age(document: Document) -> tuple[str, str]:
    metadata = document["metadata"]
    return str(metadata.get("creationTimestamp", "")), str(metadata.get("uid", ""))


def _prefix(claim: Document | None) -> str:
    return str((claim or {}).get("prefix", ""))


def _issuer(issuer: str) -> Iterator[FieldError]:
    try:
        origin = origin_of(issuer)
    except OutboundError as error:
        yield invalid_value("spec.issuer", issuer, str(error))
        return
    if origin.scheme == "http" and origin.host not in LOOPBACK:
        yield invalid_value("spec.issuer", issuer, f"use https; http is for {', '.join(LOOPBACK)} alone")
    if b"?" in origin.target:
        yield invalid_value("spec.issuer", issuer, "an issuer has no query (OpenID Connect Discovery 1.0, 3)")


def _texts(texts: list[str], path: str, most: int) -> Iterator[FieldError]:
    if len(texts) > most:
        yield FieldError(path, f"Too many: {len(texts)}: must have at most {most} items", "FieldValueTooMany")
        return
    for index, text in enumerate(texts):
        yield from _text(text, f"{path}[{index}]")


def _text(text: str, path: str) -> Iterator[FieldError]:
    if not text or len(text.encode(errors="replace")) > MAX_TEXT or not text.isprintable() or text != text.strip():
        why = f"use 1 to {MAX_TEXT} bytes of printable characters, without a blank at either end"
        yield invalid_value(path, text[:MAX_TEXT].encode(errors="replace").decode(), why)


def _authorities(pem: str) -> Iterator[FieldError]:
    if not pem:
        return
    field = "spec.certificateAuthority"
    if len(pem) > MAX_PEM:
        yield FieldError(field, f"Too long: may not be more than {MAX_PEM} bytes", "FieldValueTooLong")
        return
    try:
        check_authorities(pem)
    except ValueError as error:
        yield invalid_value(field, pem[:40], str(error))


def _claim(claim: Document | None, path: str) -> Iterator[FieldError]:
    if claim is None:
        return
    if "claim" in claim:
        yield from _text(claim["claim"], f"{path}.claim")
    prefix = claim.get("prefix", "")
    if not prefix:
        return
    if not prefix.isprintable() or prefix[:1].isspace() or len(prefix) > MAX_TEXT // 2:
        yield invalid_value(
            f"{path}.prefix", prefix, f"use at most {MAX_TEXT // 2} printable characters, not a blank first"
        )
    elif prefix.casefold().startswith((*RESERVED, SERVICE_ACCOUNT)):
        names = ", ".join((*RESERVED, SERVICE_ACCOUNT))
        yield invalid_value(f"{path}.prefix", prefix, f"{names} are reserved, in upper and lower case")


def _required_claims(claims: dict[str, str]) -> Iterator[FieldError]:
    if len(claims) > MAX_CLAIMS:
        text = f"Too many: {len(claims)}: must have at most {MAX_CLAIMS} items"
        yield FieldError("spec.requiredClaims", text, "FieldValueTooMany")
        return
    for name, value in sorted(claims.items()):
        yield from _text(name, "spec.requiredClaims")
        yield from _text(value, f"spec.requiredClaims[{name[:MAX_TEXT]}]")


def _algorithms(algorithms: list[str]) -> Iterator[FieldError]:
    for index, algorithm in enumerate(algorithms[: 2 * len(ALGORITHMS)]):
        if algorithm not in ALGORITHMS:
            yield unsupported(f"spec.algorithms[{index}]", algorithm, ALGORITHMS)


def _client(client: Document | None, path: str) -> Iterator[FieldError]:
    if client is None:
        return
    yield from _text(client["clientID"], f"{path}.clientID")
    scopes = client.get("scopes", [])
    yield from _texts(scopes, f"{path}.scopes", MAX_SCOPES)
    for index, scope in enumerate(scopes):
        if " " in scope:
            yield forbidden(f"{path}.scopes[{index}]", "one scope each, without blanks")


def user_claim(spec: IdentityProviderSpec) -> UserClaim:
    """Where it says who somebody is."""
    return UserClaim() if spec.username is msgspec.UNSET else spec.username


def groups_claim(spec: IdentityProviderSpec) -> NameClaim | None:
    """Where it says their groups; None: it does not."""
    return None if spec.groups is msgspec.UNSET else spec.groups
