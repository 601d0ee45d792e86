"""The README's objective: through --plugin, through an entry point, in listings, schema and error texts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from langxfer import plugins
from langxfer.testing import check_objective

README = Path(__file__).parents[1] / "README.md"


def code() -> str:
    """The plugin as the README prints it."""
    (found,) = re.findall(
        r"```python\n(from typing import ClassVar, Literal\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    return found


def langxfer(*arguments: str, path: Path | None = None):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*([str(path)] if path else []), *sys.path])}
    command = [sys.executable, "-m", "langxfer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def test_it_trains_through_a_plugin_file(recipe, fake_plugin):
    plugin = recipe.parent / "apo.py"
    plugin.write_text(code())
    files = ["--plugin", str(plugin), "--plugin", str(fake_plugin)]
    result = langxfer(
        "run", str(recipe), *files, "--runs", str(recipe.parent / "runs"), "--json",
        "--set", "phases[0].objective={name: apo, beta: 0.5}", "--set", "evaluators=[]",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert any(stage["stage"] == "train[0] apo" for stage in json.loads(result.stdout)["stages"])
    rows = [json.loads(line) for line in next(recipe.parent.glob("runs/tiny-*/metrics.jsonl")).read_text().splitlines()]
    assert abs(rows[0]["preference"] - 1.0) < 1e-4  # sigmoid(0) + sigmoid(0)


def test_it_passes_the_check_that_its_author_is_told_to_use(tmp_path):
    path = tmp_path / "apo.py"
    path.write_text(code())
    check_objective(plugins.load([path]).lookup("objective", "apo").cls())


def test_a_plugin_file_that_changed_gives_other_results(tmp_path):
    """The file is part of the key of what its components make, and of nothing else."""
    path, other = tmp_path / "apo.py", tmp_path / "renamed.py"
    path.write_text(code())
    before = plugins.load([path]).lookup("objective", "apo").cls()
    other.write_text(code())
    same = plugins.load([other]).lookup("objective", "apo").cls()
    path.write_text(code().replace("return (-gain)", "return (gain)"))
    catalog = plugins.load([path])
    after = catalog.lookup("objective", "apo").cls()
    assert before.what() == same.what() != after.what()
    assert {**before.what(), "plugin_file": ""} == {**after.what(), "plugin_file": ""}
    assert "plugin_file" not in catalog.lookup("objective", "clo").cls().what()


def test_it_is_listed_and_part_of_schema_and_error_texts(tmp_path, recipe, fake_plugin):
    plugin = tmp_path / "apo.py"
    plugin.write_text(code())
    listing = json.loads(langxfer("plugins", "--plugin", str(plugin), "--json").stdout)
    assert any(info["words"].get("objective") == ["apo"] for info in listing)
    schema = langxfer("schema", "--plugin", str(plugin)).stdout
    assert '"Apo"' in schema
    files = ["--plugin", str(plugin), "--plugin", str(fake_plugin)]
    wrong = langxfer("check", str(recipe), *files, "--set", "phases[0].objective={name: apo, bta: 1}")
    assert wrong.returncode == 2 and 'Did you mean "beta"?' in wrong.stderr
    absent = langxfer("check", str(recipe), "--plugin", str(fake_plugin), "--set", "phases[0].objective=apo")
    assert absent.returncode == 2 and 'objective "apo" is not installed' in absent.stderr


def distribution(folder: Path, name: str, module: str, text: str) -> None:
    """What pip leaves of a small plugin: a module and its metadata."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{name.replace('-', '_')}-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[langxfer]\n{module} = {module}\n")


def test_it_works_through_an_entry_point(tmp_path):
    distribution(tmp_path, "langxfer-apo", "langxfer_apo", code())
    listing = json.loads(langxfer("plugins", "--json", path=tmp_path).stdout)
    (found,) = [info for info in listing if info["name"] == "langxfer-apo"]
    assert found["words"] == {"objective": ["apo"]} and found["version"] == "0.3" and found["source"] == "entry point"


def test_a_plugin_that_raises_at_import_breaks_nothing_but_itself(tmp_path, recipe, fake_plugin):
    distribution(tmp_path, "langxfer-broken", "langxfer_broken", "raise RuntimeError('half installed')\n")
    listing = langxfer("plugins", path=tmp_path)
    assert listing.returncode == 0 and "half installed" in listing.stdout and "clo" in listing.stdout
    arguments = ["check", str(recipe), "--plugin", str(fake_plugin)]
    assert langxfer(*arguments, path=tmp_path).returncode == 0
    hint = langxfer(*arguments, "--set", "phases[0].objective=simpo", path=tmp_path)
    assert hint.returncode == 2 and "langxfer-broken" in hint.stderr and "Traceback" not in hint.stderr
