"""Which options of components name files is known where folders are left out of what is shown to others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer.components.component import Component
from langxfer.report.paths import FILES, without_folders

FORMS = (lambda name: name, lambda name: (name,), lambda name: {"de": name})


def resolving(cls: type[Component], folder: Path) -> Iterator[str]:
    """Options, as recipes call them, that ``resolve`` takes from the recipe's folder: of a folder or a file there."""
    for field, info in cls.model_fields.items():
        (folder / field).mkdir(exist_ok=True)
        (folder / f"{field}.bin").touch()
        if any(resolved(cls, field, form(name), folder) for name in (field, f"{field}.bin") for form in FORMS):
            yield info.alias or field


def resolved(cls: type[Component], field: str, value: Any, folder: Path) -> bool:
    try:
        return getattr(cls.model_construct(**{field: value}).resolve(folder), field) != value
    except Exception:  # of a value that the option cannot have
        return False


def test_every_option_that_names_a_file_is_known(tmp_path: Path) -> None:
    catalog = langxfer.load_plugins([])
    found = {
        option
        for kind in catalog.components
        for cls in catalog.classes(kind).values()
        for option in resolving(cls, tmp_path)
    }
    assert {"prompts", "identifier", "files", "memory", "english_source", "model", "file"} <= found
    assert found <= FILES


@pytest.mark.parametrize("option", sorted(FILES))
def test_folders_are_left_out_of_it_where_the_file_is_gone(option: str) -> None:
    assert without_folders({"evaluators": [{option: "/mnt/erika/rows.jsonl"}]}) == {
        "evaluators": [{option: "rows.jsonl"}]
    }
