"""The options -f, --set and the others, as Helm has them; `given` makes values of what they say."""

from __future__ import annotations

from typing import Annotated

import typer

ValuesFiles = Annotated[
    list[str] | None,
    typer.Option("-f", "--values", metavar="FILE|-", help="A YAML file of values; later ones count more."),
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="One value, as with helm: a.b=1,list={x,y}.")
]
StringSets = Annotated[
    list[str] | None, typer.Option("--set-string", metavar="K=V", help="One value, which is a text.")
]
FileSets = Annotated[list[str] | None, typer.Option("--set-file", metavar="K=F", help="One value: what is in a file.")]
SecretSets = Annotated[
    list[str] | None,
    typer.Option("--set-secret", metavar="K=@F", help="One value from a file (@- is stdin), which nobody reads again."),
]
ClusterFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--values-for", metavar="C=FILE", help="A YAML file of values for one cluster alone; may be repeated."
    ),
]
