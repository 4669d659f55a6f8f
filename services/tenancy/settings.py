"""Settings of the tenancy service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from skerry.settings import Settings, about


class TenancySettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of tenancy, besides those of every process."""

    admin_token_file: Annotated[
        Path | None, about("Bearer token of the host's own administrator, made by the CLI; read anew when it changes.")
    ] = None
    token_review: Annotated[
        bool,
        about("Whether bearer tokens that no IdentityProvider is for are asked of the cluster that tenancy runs in."),
    ] = False
    token_review_kubeconfig: Annotated[
        Path | None,
        about("Kubeconfig of the cluster that is asked instead, its current context; read anew when it changes."),
    ] = None
