"""One style, kept by ruff."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.source import ROOT


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command: list[str]) -> None:
    places = ["langxfer", "plugins", "tests", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *places], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
