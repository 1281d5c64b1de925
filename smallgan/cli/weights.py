"""`smallgan weights`: list, fetch, verify and import pretrained weights."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List, fetch, verify and import pretrained weights; show and clear the cache. Nothing is downloaded unless "
    "you say `fetch`.\n\n"
    "Example: smallgan weights fetch inception-v3-tf2015",
    no_args_is_help=True,
)
_NAME = Annotated[str, typer.Argument(help="Name of the weights, as `smallgan weights list` prints it.")]
_AS_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_weights(as_json: _AS_JSON = False) -> None:
    """List the weights that smallgan knows, with licence, origin and whether they are here.

    Example: smallgan weights list
    """
    from smallgan.core.weights import cards

    _print_states(list(cards()), as_json=as_json)


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

    names = [weights.card(name).name] if name else list(weights.cards())
    _print_states(names, as_json=as_json)
    for each in names:
        if name or weights.inspect_weights(each).path.exists():
            weights.find(each)


@app.command("import")
def import_weights(
    name: _NAME, file: Annotated[Path, typer.Argument(help="The file that you downloaded elsewhere.")]
) -> None:
    """Copy a local file of weights into the cache after checking its hash, for machines without a network.

    Example: smallgan weights import inception-v3-tf2015 weights-inception-2015-12-05-6726825d.pth
    """
    from smallgan.core import weights

    if weights.card(name).kind == "biggan" and file.is_file():
        from smallgan.models.pretrained import load_pretrained

        load_pretrained(file)  # their publishers give no hash, so a file is known by what is in it
    typer.echo(weights.import_file(name, file))


@app.command("cache")
def show_cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the kept features and training images; weights stay.")
    ] = False,
    as_json: _AS_JSON = False,
) -> None:
    """Show the cache of weights, extracted features and training images: where it is and how large.

    SMALLGAN_CACHE moves it. Training images are there when they were too large for memory.

    Example: smallgan weights cache --clear
    """
    import json

    from smallgan.core import weights
    from smallgan.data import pixel_store
    from smallgan.metrics.features import entries

    kept = {
        name: {"path": str(store.folder()), "entries": count, "bytes": num_bytes, "cleared": clear}
        for name, store in (("features", entries), ("pixels", pixel_store))
        for count, num_bytes in [store.usage(clear=clear)]
    }
    folder = weights.cache_folder()
    weight_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        typer.echo(json.dumps({"weights": {"path": str(folder), "bytes": weight_bytes}, **kept}, indent=2))
        return
    what = "deleted" if clear else "kept"
    typer.echo(f"weights: {weight_bytes / 1e6:.1f} MB in {folder}")
    for name, title in (("features", "features"), ("pixels", "training images")):
        found = kept[name]
        typer.echo(f"{title}: {found['entries']} set(s) {what}, {found['bytes'] / 1e6:.1f} MB in {found['path']}")


def _print_states(names: list[str], *, as_json: bool) -> None:
    import json

    from smallgan.core import weights

    states = [weights.inspect_weights(name) for name in names]
    if as_json:
        records = [
            {key: getattr(state.card, key) for key in ("name", "kind", "licence", "url")}
            | {"path": str(state.path), "present": state.sha256 is not None}
            | {"sha256": state.sha256, "problem": state.problem}
            for state in states
        ]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    for state in states:
        card, found = state.card, state.problem or ("here" if state.sha256 else "not here")
        typer.echo(f"{card.name}: {found}\n  {card.about}\n  licence: {card.licence}\n  source: {card.source}")
        typer.echo(f"  file: {state.path}" + (f", sha256 {state.sha256}" if state.sha256 else ""))
        if not state.sha256 and not card.shipped:
            how = f"fetch {card.name}" if card.url else f"import {card.name} FILE"
            typer.echo(f"  get it: smallgan weights {how}")
