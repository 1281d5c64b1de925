"""Who may import whom (design, section 3): a row a package, no cycle of any sort, and what stays unloaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest
from paths import ROOT

# From the bottom up. A package imports itself, lower rows, and packages beside it, as long as no cycle comes of it.
ROWS: dict[str, tuple[set[str], ...]] = {
    "augment": ({"errors"}, {"core", "imaging"}, {"sources", "policy"}, {"checks"}, {"build"}),
    "smallgan": (
        {"core"},
        {"tables"},
        {"data", "models"},
        {"sampling"},
        {"metrics"},
        {"training", "report"},
        {"downstream"},
        {"study"},
        {"api"},
        {"cli"},
        {"__main__"},
    ),
}
TORCH_FREE = (
    "augment",
    "smallgan.tables",
    "smallgan.report",
    "smallgan.core.run_dir",
    "smallgan.core.study_dir",
    "smallgan.core.downstream_dir",
    "smallgan.data.class_split",
    "smallgan.downstream.arms",
    "smallgan.downstream.compare",
    "smallgan.downstream.curve",
    "smallgan.downstream.variants",
    "smallgan.study.plan",
    "smallgan.study.status",
    "smallgan.metrics.score",
    "smallgan.metrics.diagnostics",
)
HEAVY = {"albumentations", "cv2", "matplotlib", "numpy", "PIL", "pydantic", "scipy", "yaml"}
TORCH = {"torch", "torchvision", "torch_fidelity"}


def modules() -> dict[str, ast.Module]:
    """Every module of the two packages by its dotted name, parsed."""
    files = sorted(path for package in ROWS for path in (ROOT / package).rglob("*.py"))
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


def ours(name: str) -> set[str]:
    return {other for other in imported(MODULES[name]) if other.split(".")[0] in ROWS} - {name}


def package(name: str) -> str:
    """augment.core of augment.core.files; the package itself for a module that lies in no sub-package."""
    return ".".join(name.split(".")[:2])


def row(name: str) -> int:
    root, part = (*name.split("."), "")[:2]
    rows = [number for number, parts in enumerate(ROWS[root]) if part in parts]
    assert rows, f"{name}: give {part!r} a row in ROWS"
    return rows[0]


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """The names of a cycle, [] when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("name", MODULES)
def test_imports_are_absolute(name: str) -> None:
    assert not [other for other in imported(MODULES[name]) if other.startswith(".")]


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports inside functions and under TYPE_CHECKING count: they hide a circle, they do not open it.
    assert not cycle({name: ours(name) for name in MODULES})


def test_no_packages_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        graph.setdefault(package(name), set()).update(package(other) for other in ours(name))
    assert not cycle({name: others - {name} for name, others in graph.items()})


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name])
def test_imports_point_downwards(name: str) -> None:
    root = name.split(".")[0]
    if root == "augment":
        assert not [other for other in ours(name) if other.startswith("smallgan")]
    same = [other for other in ours(name) if other.startswith(root)]
    assert root not in same, f"{name} imports the package {root} itself"
    upwards = [other for other in same if row(other) > row(name)]
    assert not upwards, f"{name} imports {upwards} from above itself"


def test_in_training_only_the_evaluation_knows_metrics() -> None:
    knowing = {
        name
        for name in MODULES
        if package(name) == "smallgan.training" and any(package(other) == "smallgan.metrics" for other in ours(name))
    }
    assert knowing <= {"smallgan.training.evaluation"}


def test_trainers_do_not_know_each_other() -> None:
    trainers = {
        name
        for name, tree in MODULES.items()
        if package(name) == "smallgan.training"
        and any(isinstance(node, ast.ClassDef) and node.name.endswith("Trainer") for node in ast.walk(tree))
    } - {"smallgan.training.loop"}  # it says what a trainer is
    assert {"smallgan.training.adversarial", "smallgan.training.transfer"} <= trainers
    for name in trainers:
        assert not (trainers - {name}).intersection(ours(name))


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_torch_free_modules_name_no_torch(name: str) -> None:
    assert not TORCH.intersection(other.split(".")[0] for other in imported(MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_albumentations_is_imported_inside_functions_only(name: str) -> None:
    # It loads torch where torch is installed: 1.6 s that the transforms of the mission do not need.
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
    names = [name for name in MODULES if name.startswith("augment")]
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
