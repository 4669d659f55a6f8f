"""The root of all errors that are raised on purpose. It stands alone so that a command that fails at once has loaded nothing else."""

from __future__ import annotations


class SkerryError(Exception):
    """Root of all errors that Skerry raises on purpose."""
