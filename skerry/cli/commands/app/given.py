"""-f, --set and the others, as Helm has them, made into values; secrets come from files alone."""

from __future__ import annotations

import sys

from skerry.cli import strvals
from skerry.cli.failure import USAGE, Failure
from skerry.values import merged

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry.api.meta import Document


class GivenValues:
    """What the options say."""

    def __init__(self, values: dict[str, Any], overrides: list[dict[str, Any]], secrets: dict[str, str]) -> None:
        """`overrides` as a release's spec has them; `secrets` by key."""
        self.values, self.overrides, self.secrets = values, overrides, secrets


def given(
    files: list[str] | None,
    sets: list[str] | None,
    strings: list[str] | None,
    contents: list[str] | None,
    secrets: list[str] | None,
    for_clusters: list[str] | None,
) -> GivenValues:
    """Values as Helm puts them together: files first, then the rest. Failure (usage)."""
    values = merged(document(_text(file, "-f"), f"-f {file}") for file in files or ())
    for each in sets or ():
        strvals.put(values, each)
    for each in strings or ():
        strvals.put(values, each, str, "--set-string")
    for each in contents or ():
        key, file = _pair(each, "--set-file", "K=FILE")
        strvals.put(values, f"{key}=x", _always(_text(file, "--set-file")), "--set-file")
    overrides = []
    for each in for_clusters or ():
        cluster, file = _pair(each, "--values-for", "CLUSTER=FILE")
        overrides.append(
            {"clusters": {"names": [cluster]}, "values": document(_text(file, "--values-for"), f"--values-for {each}")}
        )
    return GivenValues(values, overrides, dict(_secret(each) for each in secrets or ()))


def upgraded(document: Document, version: str, given: GivenValues, *, reset: bool) -> Document:
    """A release as it is to be: another version, and values merged into those that are stored. Pure."""
    import copy

    changed = copy.deepcopy(document)
    spec = changed["spec"]
    if version:
        spec["version"] = version
    spec["values"] = merged([{} if reset else spec.get("values") or {}, given.values])
    overrides = [] if reset else list(spec.get("overrides") or ())
    for each in given.overrides:
        same = next((one for one in overrides if _selection(one) == _selection(each)), None)
        if same is None:
            overrides.append(each)
        else:
            same["values"] = merged([same.get("values") or {}, each["values"]])
    spec["overrides"] = overrides
    return changed


def _selection(override: Document) -> Any:
    return override.get("clusters")


def _always(text: str) -> Callable[[str], str]:
    return lambda _: text


def _secret(expression: str) -> tuple[str, str]:
    key, file = _pair(expression, "--set-secret", "K=@FILE")
    if not file.startswith("@"):
        raise Failure(
            f"--set-secret {key}=…: a secret is no argument, which others see (ps): put it into a file and use {key}=@FILE",
            USAGE,
        )
    strvals.path(key)
    return key, secret_file(file[1:], f"--set-secret {key}=")


def _pair(expression: str, option: str, shape: str) -> tuple[str, str]:
    key, equals, value = expression.partition("=")
    if not key or not equals or not value:
        raise Failure(f"{option} {expression!r}: write it as {option} {shape}", USAGE)
    return key, value


def secret_file(text: str, option: str) -> str:
    """The content of a file with a secret, without the end of its line; `-` is stdin. Failure (usage)."""
    return _text(text, option).rstrip("\r\n")


def _text(file: str, option: str) -> str:
    if file == "-":
        return sys.stdin.read()
    from pathlib import Path

    try:
        return Path(file).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{option} {file}: {getattr(error, 'strerror', None) or 'it is no text'}", USAGE) from error


def document(text: str, where: str) -> dict[str, Any]:
    """A YAML document of values. Failure (usage) for what is none."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Failure(f"{where}: it is no YAML: {' '.join(str(error).split())[:200]}", USAGE) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Failure(f"{where}: values are a mapping with texts as keys", USAGE)
    return values
