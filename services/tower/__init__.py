"""The workload `tower`: the host's front door. A composition root, nothing more."""
