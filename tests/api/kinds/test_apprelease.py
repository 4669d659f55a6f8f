"""What is told of what is installed."""

from __future__ import annotations

from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.meta import Document


def instance(phase: str, **status: object) -> Document:
    return {"metadata": {"name": "web.m1"}, "spec": {"cluster": "m1"}, "status": {"phase": phase, **status}}


def test_each_phase_is_told_once_and_failures_warn() -> None:
    assert APP_INSTANCE.events is not None
    tell = APP_INSTANCE.events
    assert list(tell(instance("Pending"), instance("Installing"))) == [("Installing", "on m1", False)]
    failed = instance("Failed", error={"reason": "HookFailed", "message": "job/migrate failed"})
    assert list(tell(instance("Installing"), failed)) == [("Failed", "job/migrate failed", True)]
    assert list(tell(failed, failed)) == []
    assert list(tell(failed, {})) == []


def test_a_newer_version_is_told_with_whether_it_mends_a_vulnerability() -> None:
    assert APP_RELEASE.events is not None
    before: Document = {"metadata": {"name": "web", "generation": 1}, "status": {}}
    after = {**before, "status": {"available": {"version": "1.3.0", "securityUpdates": True}}}
    assert list(APP_RELEASE.events(before, after)) == [
        ("UpdateAvailable", "version 1.3.0 with security fixes is available", False)
    ]
    assert list(APP_RELEASE.events(after, after)) == []
