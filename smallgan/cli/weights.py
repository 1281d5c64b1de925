"""`smallgan weights`: list, fetch, verify and import pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from smallgan.core.weights import Card, State

app = typer.Typer(
    help="List, fetch, verify and import pretrained weights; show and clear the cache. Nothing is downloaded unless "
    "you say `fetch`.\n\n"
    "Example: smallgan weights fetch inception-v3-tf2015",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
_NAME = Annotated[str, typer.Argument(help="Name of the weights, as `smallgan weights list` prints it.")]
_AS_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_weights(
    name: Annotated[str | None, typer.Argument(help="Show all that is known of these weights.")] = None,
    as_json: _AS_JSON = False,
) -> None:
    """List the weights that smallgan knows, and whether they are here; with a NAME all about one of them.

    Example: smallgan weights list
    """
    from smallgan.core import weights

    states = [weights.inspect_weights(each) for each in ([name] if name else weights.cards())]
    if as_json:
        _print_json(states)
    elif name:
        _print_details(states[0])
    else:
        rows = [("name", "state", "for", "licence")]
        rows += [(one.card.name, one.summary, one.card.kind, one.card.licence) for one in states]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            typer.echo("  ".join([*map(str.ljust, row, widths), row[3]]))


@app.command("fetch")
def fetch_weights(name: _NAME) -> None:
    """Download weights into the cache and check their hash; an interrupted download is continued.

    Example: smallgan weights fetch inception-v3-tf2015
    """
    from smallgan.core import weights
    from smallgan.core.console import progress, say

    card = weights.card(name)
    say(f"{card.title}; licence: {card.licence}; {card.source}")
    with progress(f"{card.file}, percent", 100) as advance:
        path = weights.fetch(name, lambda done, total: advance(done * 100 // total if total else 0))
    typer.echo(path)


@app.command("verify")
def verify_weights(
    name: Annotated[str | None, typer.Argument(help="Name of the weights; all that are here when left out.")] = None,
    as_json: _AS_JSON = False,
) -> None:
    """Hash the weights that are here and compare with their cards. Exit code 2 when one is not what it should be.

    Example: smallgan weights verify
    """
    from smallgan.core import weights

    states = [weights.inspect_weights(each) for each in ([name] if name else weights.cards())]
    if as_json:
        _print_json(states)
    else:
        for state in states:
            typer.echo(f"{state.card.name}: {_verdict(state)}")
    for state in states:
        if name or state.problem:
            weights.find(state.card.name)  # raises the error that belongs to it


@app.command("import")
def import_weights(
    name: _NAME, file: Annotated[Path, typer.Argument(help="The file that you downloaded elsewhere.")]
) -> None:
    """Copy a local file of weights into the cache after checking its hash, for machines without a network.

    Example: smallgan weights import inception-v3-tf2015 weights-inception-2015-12-05-6726825d.pth
    """
    from smallgan.core import weights

    if weights.card(name).kind == "generator" and file.is_file():
        from smallgan.models.pretrained import load_pretrained

        load_pretrained(file)  # their publishers give no hash, so a file is known by what is in it
    typer.echo(weights.import_file(name, file))


@app.command("cache")
def show_cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the kept features, training images and copies; weights stay.")
    ] = False,
    as_json: _AS_JSON = False,
) -> None:
    """Show the cache of weights, features, training images and copies from URLs: where it is and how large.

    SMALLGAN_CACHE moves it. Training images are there when they were too large for memory.

    Example: smallgan weights cache --clear
    """
    import json

    from augment.sources import remote
    from smallgan.core import weights
    from smallgan.data import pixel_store
    from smallgan.metrics.features import entries

    kept = {
        name: {"path": str(store.folder()), "entries": count, "bytes": num_bytes, "cleared": clear}
        for name, store in (("features", entries), ("pixels", pixel_store), ("urls", remote))
        for count, num_bytes in [store.usage(clear=clear)]
    }
    folder = weights.cache_folder()
    weight_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        typer.echo(json.dumps({"weights": {"path": str(folder), "bytes": weight_bytes}, **kept}, indent=2))
        return
    what = "deleted" if clear else "kept"
    typer.echo(f"weights: {weight_bytes / 1e6:.1f} MB in {folder}")
    for name, title in (("features", "features"), ("pixels", "training images"), ("urls", "copies from URLs")):
        found = kept[name]
        typer.echo(f"{title}: {found['entries']} set(s) {what}, {found['bytes'] / 1e6:.1f} MB in {found['path']}")


def _verdict(state: State) -> str:
    if state.problem:
        return f"damaged: {state.problem}"
    return f"ok, sha256 {state.sha256[:16]}" if state.sha256 else f"not here{_get_it(state.card)}"


def _get_it(card: Card) -> str:
    if card.shipped:
        return "; install smallgan again"
    how = f"fetch {card.name}" if card.url else f"import {card.name} FILE"
    return f"; get it: smallgan weights {how}"


def _print_details(state: State) -> None:
    card = state.card
    typer.echo(f"{card.name}: {_verdict(state)}\n{card.about}")
    typer.echo(f"licence: {card.licence}\nsource: {card.source}\nfile: {state.path}")


def _print_json(states: Sequence[State]) -> None:
    import json

    records = [
        {key: getattr(state.card, key) for key in ("name", "kind", "licence", "url")}
        | {"path": str(state.path), "present": state.sha256 is not None}
        | {"sha256": state.sha256, "problem": state.problem}
        for state in states
    ]
    typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
