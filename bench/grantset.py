"""The grants of a large company, as benchmarks of access take them."""

from __future__ import annotations

from typing import Any

MANY, MEMBERS = 50_000, 1_000
ROLES = ("view", "edit", "admin")


def grant_document(number: int) -> dict[str, Any]:
    """For a person or a group each in turn, in two namespaces of a member; one in a hundred by a selector."""
    member = f"m{number % MEMBERS}"
    subject = (
        {"kind": "User", "name": f"user{number % 5000}"}
        if number % 2
        else {"kind": "Group", "name": f"org:g{number % 500}"}
    )
    clusters = {"names": [member]} if number % 100 else {"selector": {"matchLabels": {"env": "prod"}}}
    return {
        "metadata": {"name": f"g{number}", "uid": f"{number}"},
        "spec": {
            "subjects": [subject],
            "clusters": clusters,
            "role": ROLES[number % 3],
            "namespaces": ["shop", "till"],
        },
        "status": {"clusters": [{"name": member, "uid": f"uid-{number % MEMBERS}", "state": "Enforced"}]},
    }
