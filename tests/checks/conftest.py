"""Fixtures of the suite of checks: an API server, a way to it, and a host, all real on the wire."""

from __future__ import annotations

from tests.agent.conftest import host
from tests.member.conftest import api, upstream

__all__ = ["api", "host", "upstream"]
