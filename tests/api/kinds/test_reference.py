"""docs/kinds.md says what the declarations do."""

from __future__ import annotations

from pathlib import Path

from skerry.api.kinds import SERVED
from skerry.api.kinds.reference import markdown

PAGE = Path(__file__).parents[3] / "docs" / "kinds.md"


def section(title: str) -> str:
    return markdown(SERVED).partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_in_the_repository_is_the_one_that_follows() -> None:
    assert PAGE.read_text() == markdown(SERVED)


def test_a_kind_is_told_with_who_may_what_and_its_actions() -> None:
    cluster = section("Cluster (skerry.dev/v1alpha1)")
    assert (
        "| may | `skerry:view`, `skerry:edit`, `skerry:admin`, who has a grant on the host: get, list, watch; who has something on "
        "the cluster: get, list, watch |" in cluster
    )
    assert "| `POST clusters/NAME/connection` | ClusterConnection | Cluster |" in cluster
    assert "| MESSAGE | Why it is not ready. (with `-o wide`) |" in cluster


def test_what_is_not_stored_says_so() -> None:
    assert "| stored | never: it is a view of Workspace (`skerry.dev/v1alpha1`) |" in section("Namespace (v1)")
    review = section("SelfSubjectReview (authentication.k8s.io/v1)")
    assert "| stored | never: it is a question, answered at once |" in review
    assert "| may | everybody: create |" in review
