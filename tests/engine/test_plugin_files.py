"""Plugin files in the record of a run: those of its components, nested ones too, each once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from langxfer import plugins
from langxfer.builtin.pivot import Pivot
from langxfer.components import Component
from langxfer.engine.plugin_files import plugin_files
from langxfer.testing import fakes

TEXT = Path(fakes.__file__).read_text(encoding="utf-8")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def found(components: list[Any], known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(own["file"], own["sha256"]) for own in plugin_files(components, known)]


def translator(path: Path, text: str) -> Any:
    path.write_text(text, encoding="utf-8")
    return plugins.load([path]).lookup("translator", "fake").cls()


@pytest.fixture
def nested(tmp_path: Path) -> Component:
    """A built-in component with two of a plugin file inside."""
    one = translator(tmp_path / "own.py", TEXT)
    return Pivot(first=one, second=one)


def test_files_of_components_are_found(nested: Component) -> None:
    assert found([nested], []) == [("own.py", sha256(TEXT))]
    assert found([fakes.FakeTranslator()], []) == []  # of a package, which versions stand for


def test_what_is_known_already_is_not_doubled(nested: Component) -> None:
    known = [("own.py", sha256(TEXT)), ("observer.py", sha256("x"))]
    assert found([nested], known) == known


def test_a_file_that_changed_after_it_was_loaded_is_recorded_as_it_was_loaded(
    nested: Component, tmp_path: Path
) -> None:
    later = translator(tmp_path / "own.py", f"{TEXT}# changed\n")
    assert found([nested, later], []) == [
        ("own.py", sha256(TEXT)[:16]),
        ("own.py", sha256(f"{TEXT}# changed\n")),
    ]
    (tmp_path / "own.py").unlink()
    assert found([nested], []) == [("own.py", sha256(TEXT)[:16])]
