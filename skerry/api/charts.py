"""What a Helm chart says of itself, after it was checked: in the status of templates, and as repositories list it. Wire shapes."""

from __future__ import annotations

from typing import Annotated

from skerry.api.meta import Struct
from skerry.api.structural import one_of
from skerry.api.v1alpha1 import described


class ChartMaintainer(Struct, frozen=True, kw_only=True):
    """Somebody who keeps a chart."""

    name: Annotated[str, described("Who.")]
    email: Annotated[str, described("Where they are written to.")] = ""
    url: Annotated[str, described("Their page; http or https.")] = ""


class ChartDependency(Struct, frozen=True, kw_only=True):
    """A chart within a chart."""

    name: Annotated[str, described("Its name.")]
    version: Annotated[str, described("The range of versions that will do.")] = ""
    repository: Annotated[str, described("Where it came from.")] = ""
    alias: Annotated[str, described("Its name in values, where that is another.")] = ""


class ChartChange(Struct, frozen=True, kw_only=True):
    """A line of what is new in a version (annotation artifacthub.io/changes)."""

    kind: Annotated[
        str, one_of("What kind of change.", "added", "changed", "deprecated", "removed", "fixed", "security")
    ] = "changed"
    description: Annotated[str, described("What it is.")]


class ChartImage(Struct, frozen=True, kw_only=True):
    """A container image that a chart says it runs (annotation artifacthub.io/images)."""

    name: Annotated[str, described("Its name in the chart.")] = ""
    image: Annotated[str, described("The reference by which it is pulled.")]


class Chart(Struct, frozen=True, kw_only=True):
    """One version of a chart. Texts are in one line, cut, and print; links are http or https."""

    name: Annotated[str, described("The chart's name.")]
    version: Annotated[str, described("Its version, as semver.org says.")]
    type: Annotated[str, one_of("A library is for other charts and cannot be installed.", "application", "library")] = (
        "application"
    )
    app_version: Annotated[str, described("The version of what it installs.")] = ""
    description: Annotated[str, described("One sentence.")] = ""
    keywords: Annotated[list[str], described("Words by which it is found.")] = []
    home: Annotated[str, described("The project's page.")] = ""
    sources: Annotated[list[str], described("Where its source is.")] = []
    icon: Annotated[str, described("Address of a picture.")] = ""
    kube_version: Annotated[str, described("The range of Kubernetes versions that it is for.")] = ""
    deprecated: Annotated[bool, described("True if its authors advise against it.")] = False
    maintainers: Annotated[list[ChartMaintainer], described("Who keeps it.")] = []
    dependencies: Annotated[list[ChartDependency], described("Charts within it.")] = []
    license: Annotated[str, described("Its licence, as SPDX writes it.")] = ""
    category: Annotated[str, described("Its category, as Artifact Hub writes it.")] = ""
    prerelease: Annotated[bool, described("True if it is not for production yet.")] = False
    contains_security_updates: Annotated[bool, described("True if it mends a vulnerability.")] = False
    changes: Annotated[list[ChartChange], described("What is new.")] = []
    images: Annotated[list[ChartImage], described("Container images that it runs.")] = []
