"""The command line. A command is a file: its signature and help, then one call of a plain function.

Nothing heavy is imported here or at the top of a command's file, so that `--help` is instant.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from smallgan.cli import augment, data, inspect, recipes, report, run, sample, score, train, weights

INTERRUPTED = 130
"""How typer leaves after Ctrl-C; ours are 0, 1 and 2."""

app = typer.Typer(
    name="smallgan",
    help="Augment a small image set, train a GAN on it, and score the result honestly.\n\n"
    "Try: smallgan augment --policy hflip+contrast",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (augment, train, sample, score, report, run, inspect):
    command.register(app)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.add_typer(recipes.app, name="recipes")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from smallgan.core.version import __version__

        typer.echo(f"smallgan {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what the user can mend ends in one line on stderr and its exit code, not in a traceback."""
    from augment.errors import SmallganError

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _fail("interrupted; nothing half-written is left, and the same command goes on from what is there", 1)
        raise
    except BrokenPipeError:
        raise SystemExit(1) from None
    except SmallganError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}; see that it is there and may be used", 2)


def _fail(message: str, exit_code: int) -> NoReturn:
    print(f"smallgan: error: {message}", file=sys.stderr)  # noqa: T201 - the one place that reports errors
    raise SystemExit(exit_code) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM, which SLURM and service managers send, as Ctrl-C."""
    raise KeyboardInterrupt
