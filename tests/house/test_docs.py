"""The docs follow the code: the reference is what the script makes, and every YAML in the docs is a recipe."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer import hookspecs, plugins
from langxfer.loading import load_recipe
from langxfer.sweep_loading import load_sweep
from tests.house.source import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == _script().text(), (
        "run docs/make_reference.py"
    )


def test_the_reference_leaves_out_no_function_option_or_section() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    functions = [name for name in langxfer.__all__ if inspect.isfunction(getattr(langxfer, name))]
    assert "write_report" in functions and all(f"### `langxfer.{name}`" in text for name in functions)
    assert "write_report(folder, *others, path)" in text
    for option in ("`--private`, `--public`", "`--before`, `--no-before`", "#### FormatPriming"):
        assert option in text
    types = re.findall(r"^\| `\w+` \| (.*?) \| ", text, re.MULTILINE)
    assert types and not [own for own in types if re.search(r"Union|Optional|Annotated|langxfer\.|FieldInfo", own)]


def test_every_hook_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    hooks = [name for name, hook in vars(hookspecs).items() if hasattr(hook, "langxfer_spec")]
    assert len(hooks) == 8
    assert all(f"### `{name}(" in text for name in hooks)


BASE = {
    "title": "title: example\n",
    "model": "model: {source: org/model, template: alpaca}\n",
    "data": "data: {source: rows.jsonl, format: FORMAT, target_languages: [sw], validation: 10}\n",
    "phases": "phases:\n  - {objective: sft, selector: full}\n",
}


def completed(block: str) -> str:
    """A recipe of which a page shows some sections: the others are plain."""
    missing = "".join(text for name, text in BASE.items() if not re.search(f"^{name}:", block, re.MULTILINE))
    return missing.replace("FORMAT", "alpaca" if "translator:" in block else "parallel") + block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_yaml_block_is_valid(page: Path, tmp_path: Path) -> None:
    catalog = plugins.load()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
        path = tmp_path / f"{number}.yaml"
        if re.search("^(recipe|points):", block, re.MULTILINE):
            path.write_text(block)
            load_sweep(str(path), catalog)
            continue
        path.write_text(completed(block))
        load_recipe(str(path), catalog)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_imports_what_there_is(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "langxfer":
                module = importlib.import_module(node.module or "")
                assert not [name.name for name in node.names if not hasattr(module, name.name)], ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_built_in_objective_has_a_page_with_all_its_options() -> None:
    classes = plugins.load().classes("objective")
    own = {name: cls for name, cls in classes.items() if cls.__module__.startswith("langxfer.builtin.")}
    index = (ROOT / "docs" / "objectives" / "README.md").read_text(encoding="utf-8")
    assert own
    for name, cls in own.items():
        text = (ROOT / "docs" / "objectives" / f"{name}.md").read_text(encoding="utf-8")
        assert f"({name}.md)" in index
        for field, info in cls.model_fields.items():
            assert field == "name" or f"`{info.alias or field}`" in text, f"{name}.md: {info.alias or field}"


def test_pages_of_evaluators_have_all_their_options() -> None:
    folder = ROOT / "docs" / "evaluators"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = [page for page in sorted(folder.glob("*.md")) if page.stem != "README"]
    assert pages
    classes = plugins.load().classes("evaluator")
    for page in pages:
        assert f"({page.name})" in index
        text = page.read_text(encoding="utf-8")
        for field, info in classes[page.stem].model_fields.items():
            assert field == "name" or f"`{info.alias or field}`" in text, f"{page.name}: {info.alias or field}"
