"""Server-side apply and the tracking of who owns which field. Pure.

    managed.update(kind_type, live, new, ...)   who owns what after somebody wrote `new`
    managed.apply(kind_type, live, patch, ...)  the merged object, or Conflicts

A port of sigs.k8s.io/structured-merge-diff and of k8s.io/apimachinery/pkg/util/managedfields, as far as one API version
of structurally described kinds needs them. Its oracle is a real API server: see tests/conformance.
"""

from __future__ import annotations

from skerry.apply.managed import Conflicts, FieldManager, TypeMismatch

__all__ = ["Conflicts", "FieldManager", "TypeMismatch"]
