"""Start-up brings nothing heavy: not for the command line, not for plugins, not for reading a recipe."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.source import ROOT, imports, python_files

HEAVY = (
    *("torch", "transformers", "ctranslate2", "datasets", "accelerate", "py3langid", "sacrebleu", "numpy", "peft"),
    *("scipy", "sklearn", "matplotlib", "jinja2"),
)

USES = {
    "the package": "import langxfer; langxfer.Component, langxfer.LogProbs, langxfer.Recipe, langxfer.hookimpl",
    "the command line": "import langxfer.cli",
    "plugins": "from langxfer import plugins; assert not [info.error for info in plugins.load().plugins if info.error]",
    "a recipe": "from langxfer import loading, plugins; loading.load_recipe('clo', plugins.load())",
    "the schema": "from langxfer import loading, plugins; loading.schema(plugins.load())",
}


@pytest.mark.parametrize("code", USES.values(), ids=USES)
def test_nothing_heavy_is_imported(code: str) -> None:
    program = f"import sys, json\n{code}\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_measurement_works() -> None:
    """numpy, imported on purpose, is noticed."""
    program = "import sys, numpy\nprint('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "True"


def test_plugins_import_heavy_libraries_in_functions() -> None:
    files = [path for path in python_files("langxfer/builtin", "plugins") if "tests" not in path.parts]
    early = [(path, found) for path in files for found in imports(path) if found.at_start and not found.for_types]
    heavy = [f"{path}:{found.line} {found.module}" for path, found in early if found.module.split(".")[0] in HEAVY]
    assert files
    assert not heavy
