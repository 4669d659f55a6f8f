"""Options of writes, from the query and the body: meta/v1 CreateOptions, UpdateOptions, PatchOptions, DeleteOptions.

Checked as the API server checks them, with its words. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from services.proxy.hostapi.options import integer
from services.proxy.hostapi.request import Query
from skerry.api.decode import decoded
from skerry.api.messages import WriteOptions
from skerry.errors import BadRequest, Invalid, cause

MANAGER_BYTES = 128
VALIDATIONS = ("", "Ignore", "Strict", "Warn")
POLICIES = ("Foreground", "Background", "Orphan")
_GROUP = "meta.k8s.io"

OptionProblem = tuple[str, str, str]
"""Field, message, reason."""


class _Preconditions(msgspec.Struct, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None


Seconds = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class DeleteOptions(msgspec.Struct, rename="camel"):
    kind: str | None = None
    api_version: str | None = None
    preconditions: _Preconditions | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    grace_period_seconds: Seconds | None = None
    dry_run: list[str | None] | None = None


def of_write(kind: str, query: Query, agent: str, *, applies: bool = False) -> WriteOptions:
    """Options of a create, update or patch; `agent` is the User-Agent, who the manager is unless named. Invalid."""
    manager, validation = query.text("fieldManager"), query.text("fieldValidation")
    dry_run = query.all("dryRun")
    problems = list(_dry_run_problems(dry_run))
    if applies and not manager:
        problems.append(("fieldManager", "Required value: is required for apply patch", "FieldValueRequired"))
    if kind == "PatchOptions" and not applies and query.find("force") is not None:
        problems.append(("force", "Forbidden: may not be specified for non-apply patch", "FieldValueForbidden"))
    problems += _manager_problems(manager)
    if validation not in VALIDATIONS:
        allowed = ", ".join(f'"{each}"' for each in VALIDATIONS)
        text = f"Unsupported value: {_quoted(validation)}: supported values: {allowed}"
        problems.append(("fieldValidation", text, "FieldValueNotSupported"))
    _raise(kind, problems)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager or _from_agent(agent),
        field_validation=validation or "Warn",
        force=query.flag("force"),
    )


def given(query: Query, body: bytes) -> DeleteOptions:
    """Options of a delete as they came: the body's, or without one the query's. BadRequest.

    `dryRun` in the query holds beside a body too: who asks for it does not want a deletion.
    """
    options = _in_body(body) if body else _in_query(query)
    options.dry_run = options.dry_run or list(query.all("dryRun"))
    return options


def of_delete(options: DeleteOptions) -> WriteOptions:
    """Options of a delete, checked. A precondition that is there counts, an empty one as well. Invalid."""
    policy, orphan = options.propagation_policy, options.orphan_dependents
    dry_run = [each or "" for each in options.dry_run or ()]
    _raise("DeleteOptions", [*_policy_problems(policy, orphan), *_dry_run_problems(dry_run)])
    preconditions = options.preconditions or _Preconditions()
    return WriteOptions(
        dry_run=bool(dry_run),
        propagation_policy=policy or {True: "Orphan", False: "Background", None: ""}[orphan],
        grace_period_seconds=options.grace_period_seconds,
        uid=preconditions.uid,
        resource_version=preconditions.resource_version,
    )


def _in_body(body: bytes) -> DeleteOptions:
    """The DeleteOptions of any group and version; null is none."""
    try:
        options: DeleteOptions = decoded(body, DeleteOptions | None) or DeleteOptions()
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not DeleteOptions: {error}") from error
    if options.kind not in (None, "", "DeleteOptions"):
        version = options.api_version or f"{_GROUP}/v1"
        raise BadRequest(
            f"no kind {_quoted(options.kind)} is registered for version {_quoted(version)}: DeleteOptions is"
        )
    return options


def _in_query(query: Query) -> DeleteOptions:
    return DeleteOptions(
        preconditions=_Preconditions(query.text("uid") or None, query.text("resourceVersion") or None),
        propagation_policy=query.find("propagationPolicy"),
        orphan_dependents=None if query.find("orphanDependents") is None else query.flag("orphanDependents"),
        grace_period_seconds=integer(query, "gracePeriodSeconds"),
    )


def _policy_problems(policy: str | None, orphan: bool | None) -> Iterator[OptionProblem]:
    if policy is None:
        return
    if orphan is not None:
        text = f"Invalid value: {_quoted(policy)}: orphanDependents and deletionPropagation cannot be both set"
        yield "propagationPolicy", text, "FieldValueInvalid"
    if policy not in POLICIES:
        allowed = ", ".join(f'"{each}"' for each in (*POLICIES, "nil"))
        text = f"Unsupported value: {_quoted(policy)}: supported values: {allowed}"
        yield "propagationPolicy", text, "FieldValueNotSupported"


def _dry_run_problems(values: list[str]) -> Iterator[OptionProblem]:
    if values and set(values) != {"All"}:
        quoted = msgspec.json.encode(values).decode()
        yield "dryRun", f'Unsupported value: {quoted}: supported values: "All"', "FieldValueNotSupported"


def _manager_problems(manager: str) -> Iterator[OptionProblem]:
    if len(manager.encode()) > MANAGER_BYTES:
        yield "fieldManager", f"Too long: may not be more than {MANAGER_BYTES} bytes", "FieldValueTooLong"
    for place, character in enumerate(manager):
        if not character.isprintable():
            text = f"Invalid value: {_quoted(manager)}: invalid character U+{ord(character):04X} (at position {place})"
            yield "fieldManager", text, "FieldValueInvalid"


def _from_agent(agent: str) -> str:
    """The manager of a client that names none: its User-Agent up to the first slash."""
    plain = "".join(character for character in agent.partition("/")[0] if character.isprintable())
    return plain.encode()[:MANAGER_BYTES].decode(errors="ignore")


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _raise(kind: str, problems: list[OptionProblem]) -> None:
    if not problems:
        return
    lines = [f"{field}: {message}" for field, message, _ in problems]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    causes = tuple(cause(field, message, reason) for field, message, reason in problems)
    raise Invalid(f'{kind}.{_GROUP} "" is invalid: {text}', kind=kind, group=_GROUP, causes=causes)
