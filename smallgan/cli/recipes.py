"""`smallgan recipes`."""

from typing import Annotated

import typer

app = typer.Typer(
    help="List and show the recipes that ship with smallgan.\n\nExample: smallgan recipes show quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list")
def list_recipes() -> None:
    """List the shipped recipes, one a line with its first comment.

    Example: smallgan recipes list
    """
    from smallgan.tables.recipe import shipped_recipes

    recipes = shipped_recipes()
    width = max(map(len, recipes))
    for name, path in recipes.items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        typer.echo(f"{name:{width}}  {first.removeprefix('#').strip()}")


@app.command("show")
def show_recipe(name: Annotated[str, typer.Argument(help="A shipped name, or a YAML file.")]) -> None:
    """Print a recipe with every key filled in.

    Example: smallgan recipes show quickstart
    """
    from smallgan.tables.recipe import dump_recipe, load_recipe

    typer.echo(dump_recipe(load_recipe(name)), nl=False)


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of a recipe, with which editors complete and check YAML while you type.

    Example: smallgan recipes schema > recipe.schema.json, and in the recipe's first line
    "# yaml-language-server: $schema=recipe.schema.json"
    """
    from smallgan.tables.recipe import json_schema

    typer.echo(json_schema(), nl=False)
