"""Groups of subjects: the maps that come with langxfer, or a YAML file of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from langxfer.errors import DataError
from langxfer.records import read_text

SHIPPED = Path(__file__).with_name("categories.yaml")
MAPS = ("mmlu4", "mmlu17", "clo24")


def is_file(name: str) -> bool:
    """Whether an option names a file and not a map that comes with langxfer."""
    return name.endswith((".yaml", ".yml"))


def load_categories(name: str) -> dict[str, str]:
    """Subject -> category.

    Raises:
        DataError: the file cannot be read, or is no mapping of categories to lists of subjects, each in one of them.
    """
    content = _read(Path(name)) if is_file(name) else _shipped()[name]
    found: dict[str, str] = {}
    for category, subjects in _groups(content, name):
        for subject in subjects:
            if subject in found:
                raise DataError(f"mmmlu.categories {name}: {subject} is in {found[subject]} and in {category}.")
            found[subject] = category
    return found


def check_known(subjects: Iterable[str], categories: Mapping[str, str], name: str) -> None:
    """Every subject has a category.

    Raises:
        DataError: one has none; it would vanish from the table, or be counted as something else.
    """
    if unknown := sorted(set(subjects) - categories.keys()):
        raise DataError(
            f"mmmlu.categories {name} has no category for {', '.join(unknown)}. Add them in a file of yours."
        )


@cache
def _shipped() -> Any:
    return _read(SHIPPED)


def _read(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(read_text(path, "mmmlu.categories"))
    except YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"mmmlu.categories {path} is not YAML: {reason}") from None


def _groups(content: Any, name: str) -> Iterable[tuple[str, list[str]]]:
    if not isinstance(content, dict) or not content:
        raise DataError(f"mmmlu.categories {name}: expected CATEGORY: [SUBJECT, …] for each category.")
    for category, subjects in content.items():
        fine = isinstance(category, str) and isinstance(subjects, list) and subjects
        if not fine or not all(isinstance(subject, str) for subject in subjects):
            raise DataError(f"mmmlu.categories {name}: {category} holds {subjects!r:.60}, expected a list of subjects.")
    return content.items()
