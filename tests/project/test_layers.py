"""Who may import whom (design, section 3), and what stays unloaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest
from paths import ROOT

# From the bottom up; a module imports from its own row or from a lower one. A new module needs a place here.
LAYERS = (
    {"augment"},
    {"smallgan", "recipe", "sections", "grid", "split", "device", "memory", "shipped", "console", "small_net"},
    {"models", "images", "weights", "datasets", "run", "study_dir", "checkpoint"},
    {"training", "generators", "sampling", "latent_files", "reconstructions", "metrics", "report", "journal"},
    {"study", "trainers", "training_data", "scoring", "gallery", "sample_request", "cell_plan", "study_table"}
    | {"nearest_sheet"},
    {"stages", "run_study", "study_start"},
    {"cli", "__main__"},
)
# What a row of its own cannot say.
STRANGERS = {
    "metrics": {"models", "training", "sampling"},
    "models": {"training"},
    "report": {"models", "training", "sampling", "images"},
    "training": {"metrics", "sampling", "report"},
}
TORCH_FREE = (
    "smallgan.tables.recipe",
    "smallgan.tables.recipe_schema",
    "smallgan.tables.sweep",
    "smallgan.core.run_dir",
    "smallgan.core.study_dir",
    "smallgan.study.status",
    "smallgan.study.plan",
    "smallgan.report",
    "smallgan.metrics.score",
    "augment",
)
HEAVY = {"albumentations", "cv2", "matplotlib", "numpy", "PIL", "pydantic", "scipy", "yaml"}
TORCH = {"torch", "torchvision", "torch_fidelity"}


def modules() -> dict[str, ast.Module]:
    """Every module of the two packages by its dotted name, parsed."""
    files = sorted(path for package in ("augment", "smallgan") for path in (ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in zip(names, files, strict=True)}


MODULES = modules()
WITHOUT_TORCH = [name for name in MODULES if any(f"{name}.".startswith(f"{free}.") for free in TORCH_FREE)]


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it; `from a import b` gives a.b when that is a module, else a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield whole if whole in MODULES else origin


def part(name: str) -> str:
    """The row entry of a module: augment, smallgan, or the first name below smallgan."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "smallgan" and len(pieces) > 1 else pieces[0]


def row(name: str) -> int:
    rows = [number for number, parts in enumerate(LAYERS) if part(name) in parts]
    assert rows, f"{name}: give {part(name)!r} a row in LAYERS"
    return rows[0]


def ours(name: str) -> list[str]:
    return [other for other in imported(MODULES[name]) if other.split(".")[0] in {"augment", "smallgan"}]


@pytest.mark.parametrize("name", MODULES)
def test_imports_are_absolute(name: str) -> None:
    assert not [other for other in imported(MODULES[name]) if other.startswith(".")]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    upwards = [other for other in ours(name) if row(other) > row(name)]
    assert not upwards, f"{name} imports {upwards} from above itself"
    strange = [other for other in ours(name) if part(other) in STRANGERS.get(part(name), ())]
    assert not strange, f"{name} must not know {strange}"


def test_trainers_do_not_know_each_other() -> None:
    trainers = {
        name
        for name, tree in MODULES.items()
        if part(name) == "training"
        and any(isinstance(node, ast.ClassDef) and node.name.endswith("Trainer") for node in ast.walk(tree))
    }
    assert "smallgan.training.dcgan" in trainers
    for name in trainers:
        assert not (trainers - {name}).intersection(ours(name))


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_torch_free_modules_name_no_torch(name: str) -> None:
    assert not TORCH.intersection(other.split(".")[0] for other in imported(MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_albumentations_is_imported_inside_functions_only(name: str) -> None:
    # It loads torch where torch is installed: 1.6 s that the five kinds of the mission do not need.
    functions = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = [other for function in functions for other in imported(function)]
    everywhere = list(imported(MODULES[name]))
    at_top = [other for other in set(everywhere) if everywhere.count(other) > inside.count(other)]
    assert "albumentations" not in {other.split(".")[0] for other in at_top}


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh Python holds after `code`."""
    program = f"import sys\n{code}\nprint('\\nLOADED', *{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.process
def test_what_is_torch_free_leaves_torch_unloaded() -> None:
    loaded = loaded_after("\n".join(f"import {name}" for name in WITHOUT_TORCH))
    assert "augment" in loaded
    assert not loaded & (TORCH | {"albumentations"})


@pytest.mark.process
def test_augment_loads_nothing_of_smallgan() -> None:
    names = [name for name in MODULES if part(name) == "augment"]
    assert "smallgan" not in loaded_after("\n".join(f"import {name}" for name in names))


@pytest.mark.process
def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after(
        "from smallgan.cli import main\n"
        "sys.argv = ['smallgan', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert "smallgan" in loaded
    assert not loaded & (TORCH | HEAVY)
