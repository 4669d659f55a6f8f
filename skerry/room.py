"""What there is room for: per node, what pods may have and none asks for yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from skerry.demand import Amounts


def free(allocatable: Mapping[str, int], requested: Mapping[str, int]) -> Amounts:
    """What is left of a node; nothing where more is asked for than there is."""
    return {name: max(0, nano - requested.get(name, 0)) for name, nano in allocatable.items()}


def fits(needs: Mapping[str, int], left: Mapping[str, int]) -> bool:
    """Whether a pod that asks for `needs` can be placed where so much is left."""
    return all(left.get(name, 0) >= nano for name, nano in needs.items())


def shortfall(needs: Mapping[str, int], left: Mapping[str, int]) -> Amounts:
    """By how much it cannot; empty if it can."""
    return {name: nano - left.get(name, 0) for name, nano in needs.items() if nano > left.get(name, 0)}


def roomiest(needs: Mapping[str, int], nodes: Mapping[str, Amounts]) -> str:
    """The node with the most room, of what each has left: measured by the resource that it has least of. "" of none."""
    return max(sorted(nodes), key=lambda name: times(needs, nodes[name]), default="")


def times(needs: Mapping[str, int], left: Mapping[str, int]) -> float:
    """How often `needs` is there, by the resource that there is least of; 0.0 if it is for nothing."""
    return min((left.get(name, 0) / nano for name, nano in needs.items() if nano), default=0.0)
