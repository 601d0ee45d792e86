"""Files are named after what they hold. A name that could hold anything soon does."""

from __future__ import annotations

import re

from tests.house.source import ROOT, python_files

NOTHING_SAID = {"util", "utils", "helper", "helpers", "common", "base", "manager", "managers", "misc", "core", "lib"}
FILES = python_files("langxfer", "plugins", "tests", "docs")


def test_no_name_that_says_nothing() -> None:
    bad = [
        path
        for path in FILES
        if NOTHING_SAID & {part.removesuffix(".py").removeprefix("test_") for part in path.relative_to(ROOT).parts}
    ]
    assert not bad


def test_modules_are_lower_case_words() -> None:
    stems = {path.stem for path in FILES} - {"__init__", "__main__"}
    assert [stem for stem in sorted(stems) if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", stem)] == []
