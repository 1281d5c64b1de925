"""Every command helps: it says what it does, shows how it is called, and the front page names it."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from smallgan.cli import app

COMMANDS = {
    "augment",
    "train",
    "sample",
    "score",
    "export",
    "report",
    "run",
    "downstream",
    "inspect",
    "data",
    "weights",
    "recipes",
}


def verbs(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group below `command`, by its words."""
    names = getattr(command, "list_commands", lambda _: [])(None)
    return [w for name in names for w in [(*path, name), *verbs(child(command, name), (*path, name))]]


def child(command: object, name: str) -> object:
    """The command of that name below `command`; those of the front page are imported here."""
    return command.get_command(None, name)  # type: ignore[attr-defined]


VERBS = verbs(typer.main.get_command(app))


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="smallgan")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_are_those_of_the_design() -> None:
    assert {words[0] for words in VERBS if len(words) == 1} == COMMANDS


def test_the_front_page_names_every_command() -> None:
    page = help_of()
    assert [name for name in sorted(COMMANDS) if not re.search(rf"^\s*{name}\s+\S", page, re.MULTILINE)] == []


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_says_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    usage, _, body = help_of(*words).lstrip().partition("\n")
    call = " ".join(["smallgan", *words])
    assert usage.startswith(f"Usage: {call} ")
    assert call in " ".join(body.split()), f"no example: the text below the usage line never says {call!r}"


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for word in words:
        command = child(command, word)
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert silent == []


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_all_help_pages_look_alike(words: tuple[str, ...]) -> None:
    page = help_of(*words)
    assert "─" not in page
    assert "--install-completion" not in page


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["agument"])
    assert result.exit_code == 2
    assert "agument" in result.output


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert re.fullmatch(r"smallgan \d+\.\d+\.\d+\n", result.stdout)
