"""The command line. A command is a file: its signature and help, then one call of a plain function.

Nothing heavy is imported here or at the top of a command's file, so that `--help` is instant.
"""

import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import typer.core
import typer.main

INTERRUPTED = 130  # How typer leaves after Ctrl-C; ours are 0, 1 and 2

COMMANDS = {
    "augment": "Build a mixed dataset: the originals, and augmented images in exact numbers.",
    "train": "Train a GAN from scratch, or adapt a pretrained one.",
    "sample": "Make images with a generator.",
    "score": "Score images: Inception Score, KMMD and others, with intervals.",
    "export": "Write a generator for use elsewhere: ONNX, safetensors, a model hub.",
    "report": "Compare runs on one page.",
    "downstream": "Train classifiers on what each policy gives: does it help yours?",
    "run": "Carry out a recipe, or a grid of them, stage by stage.",
    "inspect": "Look at a folder of images before anything is trained.",
    "data": "Fetch public datasets.",
    "weights": "List, fetch and verify pretrained weights.",
    "recipes": "List and show recipes.",
}
"""The commands, each the module of its name. A module is imported when its command is used."""


class _Commands(typer.core.TyperGroup):
    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"smallgan.cli.{cmd_name}")
        own = getattr(module, "app", None)
        if own is None:
            own = typer.Typer(rich_markup_mode=None, add_completion=False)
            own.command(cmd_name)(getattr(module, cmd_name))
        command = typer.main.get_command(own)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        from augment.core.suggest import instead

        return ctx.fail(f"No such command {args[0]!r}{instead(args[0], COMMANDS)}")

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="smallgan",
    cls=_Commands,
    help="Augment a small image set, train a GAN on it, and score the result honestly.\n\n"
    "Try: smallgan augment --policy hflip+contrast",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


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
            _leave("stopped; no half-written file is left. Run the same command again to resume", 1)
        raise
    except BrokenPipeError:
        raise SystemExit(1) from None
    except SmallganError as error:
        _fail(str(error), error.exit_code)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for this
            raise
        found = str(error).partition("\n")[0].partition(". ")[0]
        _fail(f"{found}; use a smaller --batch-size or --size where there is one, another GPU, or --device cpu", 2)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions", 2)


def _fail(message: str, exit_code: int) -> NoReturn:
    _leave(f"error: {message}", exit_code)


def _leave(message: str, exit_code: int) -> NoReturn:
    print(f"smallgan: {message}", file=sys.stderr)  # noqa: T201 - the one place that reports errors
    raise SystemExit(exit_code) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM, which SLURM and service managers send, as Ctrl-C."""
    raise KeyboardInterrupt
