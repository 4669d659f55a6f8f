"""What members should have, kept there also after a week offline: entries, who may write which, and the applier.

Owners ask the registry, which alone writes the bucket and signs; appliers believe signatures, not subjects. `entry`,
`owners` and `model` are pure; `applier` is the I/O shell, in agents and, for direct members, in the registry.
"""
