"""A whole run against the server: what is said and kept, that nothing is paid twice, and where the key is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai_stub import KEY, failure, shouted

from langxfer.loading import load_recipe
from langxfer.plugins import load
from langxfer.testing import tiny_model

PLUGIN = Path(__file__).parents[1]
MODULE = PLUGIN / "langxfer_openai" / "__init__.py"
RECIPE = """\
title: tiny
model: {{source: {model}}}
data: {{source: rows.jsonl, format: alpaca, target_languages: [de], validation: 1}}
translator:
  {{name: openai, base_url: "{url}", model: m, segments_per_request: 2, concurrency: 2, retries: 1, input_price: 1.0}}
phases:
  - {{objective: {{name: sft}}, selector: attention, training: {{batch_size: 4, epochs: 1}}}}
compute: {{device: cpu, threads: 1}}
"""


def langxfer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LANGXFER_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": KEY,
        "OPENAI_LOG": "debug",  # the client library at its most talkative
        "PYTHONPATH": os.pathsep.join([str(PLUGIN), *sys.path]),
    }
    names = [info.name for info in load().plugins]
    plugin = [] if "langxfer-openai" in names else ["--plugin", str(MODULE)]
    command = [sys.executable, "-m", "langxfer", *arguments, *plugin]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300, check=False
    )


def prepared(folder: Path, url: str) -> None:
    rows = [{"id": f"r{n}", "instruction": f"Say word {n}.", "output": f"The sea is {n}."} for n in range(6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = tiny_model(folder / "model")
    (folder / "tiny.yaml").write_text(RECIPE.format(model=model, url=url))


def assert_no_key(folder: Path, *outputs: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert all(KEY not in output for output in outputs)


def test_a_run_that_fails_goes_on_and_never_shows_its_key(stub: Any, tmp_path: Path) -> None:
    prepared(tmp_path, stub.url)
    stub.script = [shouted, shouted]
    stub.otherwise = lambda request: failure(401, f"Incorrect API key provided: {KEY}. Headers: Bearer {KEY}")
    failed = langxfer(tmp_path, "run", "tiny.yaml", "--runs", "runs")
    assert failed.returncode == 2 and "does not accept the key in OPENAI_API_KEY" in failed.stderr
    assert "Traceback" not in failed.stderr

    paid = {text for asked in stub.asked()[:2] for text in asked.values()}
    stub.requests.clear()
    stub.otherwise = shouted
    done = langxfer(tmp_path, "run", "tiny.yaml", "--runs", "runs")
    assert done.returncode == 0, done.stderr
    asked = [text for own in stub.asked() for text in own.values()]
    assert len(asked) == 12 - len(paid) == len(set(asked)) and not paid & set(asked)

    (manifest,) = (tmp_path / "runs" / "artifacts").glob("translate/*/manifest.json")
    usage = json.loads(manifest.read_text())["facts"]["usage"]
    assert usage["requests"] == len(asked) / 2 and usage["cost"] == usage["input_tokens"] / 1e6 > 0
    (events,) = (tmp_path / "runs").glob("tiny-*/events.jsonl")
    assert "translator openai used requests" in events.read_text()
    assert_no_key(tmp_path, *(output for run in (failed, done) for output in (run.stdout, run.stderr)))


@pytest.mark.parametrize("failed", ["empty", "error"])
@pytest.mark.parametrize("output", [("-o", "out.jsonl"), ()], ids=["file", "stdout"])
def test_a_file_of_which_a_part_is_paid_for_stays_unfinished(
    stub: Any, tmp_path: Path, output: tuple[str, ...], failed: str
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"output": f"The sea is {n}."}) + "\n" for n in range(5)))
    (tmp_path / "out.jsonl").write_text("older\n")
    options = f'base_url: "{stub.url}", model: m, segments_per_request: 1, concurrency: 1, retries: 0'
    (tmp_path / "t.yaml").write_text(f"{{name: openai, {options}}}")
    languages = ("--from", "en", "--to", "de", "--device", "cpu", "--failed", failed)
    arguments = ("translate", "in.jsonl", *output, *languages, "--translator", "t.yaml")
    stub.script = [shouted, shouted]
    stub.otherwise = lambda request: failure(401, "key revoked")
    stopped = langxfer(tmp_path, *arguments)
    assert stopped.returncode == 2 and "key revoked" in stopped.stderr and "See --failed" not in stopped.stderr
    assert stopped.stdout == "" and (tmp_path / "out.jsonl").read_text() == "older\n"

    stub.otherwise, paid = shouted, stub.asked()[:2]
    stub.requests.clear()
    done = langxfer(tmp_path, *arguments)
    assert done.returncode == 0 and len(stub.asked()) == 3 and not [asked for asked in stub.asked() if asked in paid]
    written = (tmp_path / "out.jsonl").read_text() if output else done.stdout
    assert [json.loads(line)["output"] for line in written.splitlines()] == [f"THE SEA IS {n}." for n in range(5)]


def test_the_readme_s_recipes(tmp_path: Path) -> None:
    text = (PLUGIN / "README.md").read_text(encoding="utf-8").partition("## The judge")[0]
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    whole = RECIPE.format(model="m", url="http://x/v1")
    start, end = whole.index("translator:"), whole.index("phases:")
    catalog = load([] if "openai" in load().classes("translator") else [MODULE])
    for block in blocks:
        (tmp_path / "r.yaml").write_text(whole[:start] + block + whole[end:])
        assert load_recipe(str(tmp_path / "r.yaml"), catalog).recipe.translator.name == "openai"


def test_the_readme_names_every_option() -> None:
    from langxfer_openai.translator import OpenAITranslator

    text = (PLUGIN / "README.md").read_text(encoding="utf-8").partition("## The judge")[0]
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    options = {info.alias or name for name, info in OpenAITranslator.model_fields.items()} - {"name"}
    assert set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()))) == options
