"""The project's own files, and what they import, for the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "langxfer"


def python_files(*folders: str) -> list[Path]:
    """All Python files below the folders of the repository, those of virtual environments aside."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not {"build", "dist", ".venv", "venv"} & set(path.relative_to(ROOT).parts)]


@dataclass(frozen=True)
class Import:
    """One imported module, with full name.

    Attributes:
        at_start: run when the module is imported, not inside a function.
        for_types: under ``if TYPE_CHECKING``, so never run.
    """

    module: str
    line: int
    at_start: bool
    for_types: bool


def imports(path: Path) -> list[Import]:
    """Every import statement of a file."""
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), True, False))


def _walk(node: ast.AST, at_start: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (Import(module, child.lineno, at_start, for_types) for module in _modules(child))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), at_start, True)
        else:
            yield from _walk(child, at_start and not inside, for_types)


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """``from a import b`` is module ``a.b`` where there is such a file, else ``a``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0 and node.module, f"line {node.lineno}: relative import; write the full name"
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if _exists(name) else node.module for name in names]


def _exists(module: str) -> bool:
    place = ROOT.joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
