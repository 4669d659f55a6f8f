"""The service table says what each service is allowed, and each service is what it says."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.service import SERVICE as REGISTRY
from services.tenancy.service import SERVICE as TENANCY
from skerry.api.kinds import owned_by
from skerry.identity import services
from skerry.service import Service


@pytest.mark.parametrize("service", [REGISTRY, TENANCY], ids=lambda service: service.name)
def test_a_service_answers_and_hears_and_owns_what_its_row_says(service: Service[Any, Any]) -> None:
    (row,) = services.services_of(service.name)
    assert {each.subject for each in service.typed} == set(row.endpoints)
    assert {*service.hears, *service.hears_outsiders} == set(row.hears)
    assert set(service.rules) == set(owned_by(service.name))
