"""A service is one value, `Service`; its process is one call, `run`. What every service needs besides its rules is here.

SERVICE = Service(name="quota", settings=QuotaSettings, rules={WORKSPACE_QUOTA: QuotaRules},
                  controllers=(leases, usage), endpoints={"explain": explain}, needs=(CLUSTER, WORKSPACE))

run(SERVICE)                                  # python -m services.quota
run(registry, tenancy, name="controller-manager")
"""

from __future__ import annotations

from skerry.service.process import Process, run
from skerry.service.spec import Context, Service

__all__ = ["Context", "Process", "Service", "run"]
