"""Who may import whom. An arrow that is not in the table is a broken wall."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, imports, python_files

# What a plugin may use, and built-ins with it.
PUBLIC = {
    *("components", "data", "errors", "languages", "losses", "logps", "hookspecs", "events", "translation"),
    *("records", "signatures", "statistics", "verdicts"),
}
READING = {"recipe", "components", "plugins", "errors", "recipe_text", "narrowing"}

LAYERS = {
    "errors": set(),
    "events": set(),
    "data": {"errors"},
    "languages": {"errors"},
    "signatures": set(),
    "statistics": set(),
    "logps": {"data"},
    "losses": {"logps"},
    "components": {"data", "errors", "languages"},
    "verdicts": {"components"},
    "recipe": {"components", "data", "errors", "languages"},
    "hookspecs": set(),
    "plugins": {"components", "errors", "events", "hookspecs", "recipe"},
    "hub": {"errors"},
    "records": {"errors", "hub"},
    "sqlite_file": {"errors"},
    "recipe_text": set(),
    "narrowing": READING,
    "problems": READING,
    "loading": READING | {"problems"},
    "sweeps": {"recipe"},
    "sweep_loading": READING | {"problems", "loading", "sweeps", "report"},
    "engine": {
        "recipe",
        "components",
        "data",
        "languages",
        "logps",
        "events",
        "errors",
        "translation",
        "report",
        "recipe_text",
        "hub",
        "records",
        "sqlite_file",
        "sweeps",
    },
    "report": {"components", "data", "languages", "events", "errors", "signatures", "statistics", "recipe_text"},
    "translation": {"components", "data", "languages", "errors", "hub", "sqlite_file"},
    "builtin": PUBLIC,
    "testing": PUBLIC | {"recipe", "plugins", "engine"},
    "evaluating": {"loading", "plugins", "recipe", "components", "errors", "engine"},
    "cli": {"loading", "evaluating", "sweep_loading", "plugins", "engine", "report", "components", "errors", "events"},
    "__main__": {"cli"},
}
# Names for the type checker alone; nothing is imported when the program runs.
TYPES_ONLY = {
    "components": {"logps"},
    "hookspecs": {"components", "events"},
    "report": {"engine", "recipe"},
    "cli": {"recipe"},
    "evaluating": {"events"},
    "recipe_text": {"recipe"},
}


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def inner_imports(path: Path) -> list[tuple[str, int, bool]]:
    """(layer, line, for types only) of what a file imports from langxfer; the package itself is left out."""
    return [
        (found.module.split(".")[1], found.line, found.for_types)
        for found in imports(path)
        if found.module.startswith("langxfer.")
    ]


INSIDE = [path for path in python_files("langxfer") if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_layers(path: Path) -> None:
    own = layer(path)
    assert own in LAYERS, f"{own} is not in the table of layers: decide whom it may import, and add it"
    for other, line, for_types in inner_imports(path):
        allowed = {own} | LAYERS[own] | (TYPES_ONLY.get(own, set()) if for_types else set())
        assert other in allowed, f"{path.relative_to(ROOT)}:{line} imports langxfer.{other}; {own} may not"


def test_third_parties_use_the_public_modules() -> None:
    for path in python_files("plugins"):
        for other, line, _ in inner_imports(path):
            allowed = PUBLIC | ({"testing", "plugins", "loading"} if "tests" in path.parts else set())
            assert other in allowed, f"{path.relative_to(ROOT)}:{line} imports langxfer.{other}, which is not public"


def test_the_table_names_no_layer_that_is_gone() -> None:
    assert set(LAYERS) == {layer(path) for path in INSIDE}


def test_losses_know_nothing_but_torch() -> None:
    """They are the heart: to be read, tested and copied alone."""
    modules = {found.module.split(".")[0] for found in imports(PACKAGE / "losses.py")}
    assert modules <= {"__future__", "collections", "torch", "langxfer"}


def test_a_broken_wall_is_noticed(tmp_path: Path) -> None:
    """The rules above can fail: the reader of imports sees into functions and under TYPE_CHECKING."""
    path = tmp_path / "x.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from langxfer.logps import LogProbs\n"
        "def f():\n    from langxfer import cli\n"
    )
    found = {(item.module, item.at_start, item.for_types) for item in imports(path)}
    assert found == {("typing", True, False), ("langxfer.logps", True, True), ("langxfer.cli", False, False)}
