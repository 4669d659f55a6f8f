"""What the worker with Helm's library is told on its standard input, and what it answers. Wire shapes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from skerry.api.meta import Document

Operation: TypeAlias = Literal["version", "template", "upgrade", "rollback", "uninstall"]


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation, as the requests of `engine` have it."""

    operation: Operation
    release: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    """Path of the file."""
    chart: str = ""
    values: Document = {}
    labels: dict[str, str] = {}
    history: int = 0
    revision: int = 0
    timeout_s: int = 0
    """For each hook."""
    create_namespace: bool = False
    dry_run: bool = False
    crds: bool = False
    is_upgrade: bool = False


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of it. An operation that failed is told on standard error, as Helm's command line tells it."""

    version: str = ""
    revision: int = 0
    manifest: str = ""
    kept: list[str] = []
