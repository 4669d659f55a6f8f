"""The workload `controller-manager`: registry and tenancy in one process. A composition root, nothing more."""
