"""skerry app: the App Store. Each group of commands is a module."""

from __future__ import annotations

import typer

from skerry.cli.commands.app import catalogue, releasing, repo, review, store

app = typer.Typer(no_args_is_help=True, help="The App Store: repositories, apps, their review, and what is installed.")
app.add_typer(store.store, name="store")
app.add_typer(repo.repo, name="repo")
app.add_typer(review.review, name="review")
for command in (catalogue.search, catalogue.show, catalogue.push, catalogue.pull):
    app.command(command.__name__)(command)
releasing.register(app)
