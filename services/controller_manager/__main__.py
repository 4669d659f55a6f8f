"""The controller-manager process: `python -m services.controller_manager`."""

from services.appstore.service import SERVICE as APP_STORE
from services.audit.service import SERVICE as AUDIT
from services.events.service import SERVICE as EVENTS
from services.registry.service import SERVICE as REGISTRY
from services.tenancy.service import SERVICE as TENANCY
from skerry.service import run

if __name__ == "__main__":
    run(REGISTRY, TENANCY, APP_STORE, EVENTS, AUDIT, name="controller-manager")
