"""Settings of a process: one msgspec Struct, filled from `SKERRY_*` environment variables.

A field `bus_servers: list[str]` is read from `SKERRY_BUS_SERVERS`. Descriptions come from `Annotated[..., about("…")]`
and are what `--help` prints. Values of secrets never travel here: a setting names the *file*, `read_secret` reads it,
so that no process listing, crash report or `docker inspect` shows one. Unknown `SKERRY_*` names are refused only when
`SKERRY_STRICT=1` says that the environment was made for this process (the supervisor and the charts do); a person's shell
may hold variables of other Skerry programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta

from skerry.errors import SkerryError

PREFIX = "SKERRY_"
RUNTIME_NAMES: Mapping[str, tuple[str, str]] = {
    "SKERRY_LOG_LEVEL": ("info", "debug, info, warning or error."),
    "SKERRY_LOG_FORMAT": ("auto", "json, human, or auto: human on a terminal."),
    "SKERRY_OPS_LISTEN": ("", "Where to serve /livez and /readyz without TLS, host:port; :port for all addresses."),
    "SKERRY_TERMINATION_FILE": ("", "The file for the line with which the process fails; it goes to stderr too."),
    "SKERRY_PARENT_PID": ("", "The process with which this one ends."),
    "SKERRY_STRICT": ("", "1: a SKERRY_ variable that is no setting of this process is an error."),
}
"""Default and description of what skerry.runtime reads in every process, hence never unknown."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the settings of one process."""


T = TypeVar("T", bound=Settings)


class SettingsError(SkerryError):
    """The environment does not make valid settings; the message names the variable and what is allowed."""

    code = 2
    """Exit code of the process: usage."""


class SecretError(SettingsError):
    """The settings are right, the file that one of them names is not."""

    code = 1


def about(description: str, *, secret: bool = False) -> Meta:
    """Description of a setting; `secret` hides its value when settings are logged."""
    return Meta(description=description, extra={"secret": True} if secret else None)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def load(cls: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Settings of type `cls` from `environ` (default: the process's own).

    An empty variable counts as unset. Lists are comma separated; booleans are 1/0, true/false, yes/no.
    Raises SettingsError naming the variable.
    """
    env = os.environ if environ is None else environ
    fields = {variable(field.name): field for field in msgspec.structs.fields(cls)}
    _refuse_unknown(env, fields)
    values = {field.name: _parse(name, field.type, env[name]) for name, field in fields.items() if env.get(name)}
    missing = [name for name, field in fields.items() if field.name not in values and _required(field)]
    if missing:
        raise SettingsError(f"{', '.join(missing)} must be set: run with --help for all settings")
    try:
        return msgspec.convert(values, cls, strict=False, dec_hook=_hook)
    except msgspec.ValidationError as error:
        raise SettingsError(f"invalid settings: {_in_variables(str(error))}") from error


def load_or_help(cls: type[T], process: str) -> T:
    """`load`, but `--help` on the command line prints the table of settings and exits 0."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(f"{process}: settings come from the environment\n\n{table(cls)}\n{_runtime_table()}")
        raise SystemExit(0)
    return load(cls)


def table(cls: type[Settings]) -> str:
    """All settings as text lines: variable, default, description."""
    rows = [(variable(f.name), _default_text(f), _meta(f.type)[0]) for f in msgspec.structs.fields(cls)]
    return _lines(rows)


def _runtime_table() -> str:
    """What every process reads."""
    return _lines([(name, *rest) for name, rest in RUNTIME_NAMES.items()])


def _lines(rows: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(row[i]) for row in rows) if rows else 0 for i in (0, 1)]
    return "".join(f"{name:<{widths[0]}}  {default:<{widths[1]}}  {text}\n" for name, default, text in rows)


def redacted(settings: Settings) -> dict[str, str]:
    """Variable -> value for a log line at start; secret values are replaced."""
    return {
        variable(f.name): "***" if _meta(f.type)[1] else _text(getattr(settings, f.name))
        for f in msgspec.structs.fields(settings)
    }


def read_secret(path: Path) -> str:
    """The text of a secret's file without surrounding white space. SecretError if it cannot be read or is empty."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SecretError(f"cannot read the secret in {path}: {reason}") from error
    if not text:
        raise SecretError(f"the secret in {path} is empty")
    return text


def _refuse_unknown(env: Mapping[str, str], fields: Mapping[str, Any]) -> None:
    if env.get("SKERRY_STRICT") != "1":
        return
    unknown = sorted(n for n in env if n.startswith(PREFIX) and n not in fields and n not in RUNTIME_NAMES)
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such setting; run with --help for all settings")


def _bare(annotation: Any) -> Any:
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    return annotation


def _parse(name: str, annotation: Any, text: str) -> Any:
    kind = _bare(annotation)
    if isinstance(kind, UnionType):  # `bool | None`: a setting that can also be left unsaid
        kind = _bare(next(each for each in get_args(kind) if each is not NoneType))
    if get_origin(kind) in (list, tuple, set, frozenset):
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is bool:
        return _boolean(name, text)
    return text


def _boolean(name: str, text: str) -> bool:
    value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.strip().lower())
    if value is None:
        raise SettingsError(f"{name} is {text[:40]!r}: use 1 or 0")
    return value


def _hook(kind: type, value: Any) -> Any:
    if kind is Path or (isinstance(kind, type) and issubclass(kind, Path)):
        return Path(value)
    raise NotImplementedError(kind)


def _required(field: msgspec.structs.FieldInfo) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _meta(annotation: Any) -> tuple[str, bool]:
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, Meta):
            return item.description or "", bool((item.extra or {}).get("secret"))
    return "", False


def _default_text(field: msgspec.structs.FieldInfo) -> str:
    if _required(field):
        return "(required)"
    return _text(field.default_factory() if field.default is NODEFAULT else field.default)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def _in_variables(message: str) -> str:
    head, _, path = message.rpartition(" - at `$.")
    return f"{variable(path.rstrip('`'))}: {head}" if head else message
