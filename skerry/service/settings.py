"""Settings of a process: what every process of services needs, and what each of its services declares. One environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import NODEFAULT

from skerry.identity.trust import Roots, RootsFile, pinned
from skerry.settings import Settings, SettingsError, about, variable
from skerry.tracing import TRACING

PROCESS = "the process"
"""Who declares the settings of `ProcessSettings`, for people."""

S = TypeVar("S", bound=Settings)


class ProcessSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of any process of services."""

    bus_servers: Annotated[list[str], about("Addresses of the bus, tls://host:port, the preferred first.")]
    bus_ca_file: Annotated[Path, about("Authority that signed the bus's certificate; nothing else is trusted.")]
    bus_credentials_file: Annotated[Path, about("The process's user of the bus; read anew at each connect.")]
    trust_root: Annotated[str, about("Public key that certifies proxies: what they signed is believed.")] = ""
    trust_root_file: Annotated[
        Path | None, about("Instead: a file with such keys, a line each, read anew when it changes (keys/trust-roots).")
    ] = None
    services: Annotated[list[str], about("Which of the services that the process has are to run. Default: all.")] = []
    renew: Annotated[
        list[str],
        about(
            "A command, its words by commas, that is run every half hour and renews the files named here. Default: none."
        ),
    ] = []
    replicas: Annotated[int, about("Copies of the store's data, where the bus is a cluster.")] = 1
    tracing: Annotated[bool, about(TRACING)] = False


def trust_of(settings: ProcessSettings) -> Roots:
    """The trust roots that are believed. SettingsError if none is named."""
    if settings.trust_root_file is not None:
        return RootsFile(settings.trust_root_file)
    if not settings.trust_root:
        names = f"{variable('trust_root')} or {variable('trust_root_file')}"
        raise SettingsError(f"{names} must be set: run with --help for all settings")
    return pinned(settings.trust_root)


def composed(parts: Mapping[str, type[Settings]]) -> type[ProcessSettings]:
    """One type with the fields of the process and of `parts` (by service). SettingsError for a field declared twice."""
    declared = {field.name: PROCESS for field in msgspec.structs.fields(ProcessSettings)}
    fields: list[tuple[str, Any, Any]] = []
    for service, part in parts.items():
        for field in msgspec.structs.fields(part):
            if field.name in declared:
                raise SettingsError(
                    f"the setting {variable(field.name)} is declared by {declared[field.name]} and by {service}: "
                    "one of them has to name it otherwise, or take it from the other"
                )
            declared[field.name] = service
            fields.append((field.name, field.type, _default(field)))
    whole = msgspec.defstruct(
        "ComposedSettings", fields, bases=(ProcessSettings,), frozen=True, kw_only=True, forbid_unknown_fields=True
    )
    return cast(type[ProcessSettings], whole)


def part_of(whole: Settings, part: type[S]) -> S:
    """The part of one service."""
    return part(**{field.name: getattr(whole, field.name) for field in msgspec.structs.fields(part)})


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not NODEFAULT:
        return field.default
    return NODEFAULT if field.default_factory is NODEFAULT else msgspec.field(default_factory=field.default_factory)
