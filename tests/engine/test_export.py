"""Exports answer as the model does, token for token, and are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from langxfer.engine import export as exporting
from langxfer.engine.export import MANIFEST, Options, export, known_architectures
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.recipe_text import yaml_text
from langxfer.testing import tiny_model

RECIPE = {
    "title": "tiny",
    "model": {"source": "org/tiny", "dtype": "float32"},
    "data": {
        **{"source": "rows.jsonl", "format": "alpaca", "source_language": "en", "target_languages": ["de"]},
        "max_length": 64,
    },
    "translator": None,
    "phases": [],
    "evaluators": [],
}
RUN = {
    "run_key": "0123",
    "model": {"source": "org/tiny", "weights": "0"},
    "data": {"identity": {}, "train": 1, "validation": 0, "dropped": {}},
    "encoded": {"train": 1, "validation": 0, "dropped": {}, "train_cut": 0, "validation_cut": 0},
    "seeds": {"training": []},
    "versions": {},
    "hardware": {"device": "cpu", "processes": 1, "system": "Linux", "machine": "x86_64"},
    "overrides": [],
    "plugins": [],
    "stages": [],
}
PROMPTS = ["Say a word on bread 5.", "Sag ein Wort.", "How many rivers are there?", "x"]


def finished(folder: Path, architecture: str, **config: Any) -> Path:
    """The folder of a run that ended with a random model."""
    folder.mkdir()
    (folder / "filled.yaml").write_text(yaml_text(RECIPE))
    (folder / "manifest.json").write_text(json.dumps(RUN))
    (folder / "scores.json").write_text('{"before": {}, "after": {}, "comparisons": []}')
    tiny_model(folder / "model", architecture, **config)
    (folder / "model" / "README.md").write_text("# tiny\n")
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("runs") / "tiny-llama", "llama")


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text())


def greedy(model: Path, prompts: list[str]) -> list[list[int]]:
    """Transformers' own greedy search, for comparison."""
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model)
    found = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        found.append(network.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :].tolist())
    return found


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_ctranslate2_gives_the_same_tokens_as_transformers(architecture: str, tmp_path: Path) -> None:
    import ctranslate2

    more = {"gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 2}, "qwen2": {"vocab_size": 264}}  # padded, as Qwen's is
    run = finished(tmp_path / "run", architecture, **more.get(architecture, {}))
    target = export(run, tmp_path / "out" / "ct2", Options("ctranslate2"))
    generator = ctranslate2.Generator(str(target), compute_type="float32")
    tokenizer = AutoTokenizer.from_pretrained(target)
    for prompt, expected in zip(PROMPTS, greedy(run / "model", PROMPTS), strict=True):
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(prompt)["input_ids"])
        ends = [tokenizer.eos_token_id]
        options = {"max_length": 24, "include_prompt_in_result": False, "end_token": ends, "return_end_token": True}
        assert generator.generate_batch([tokens], **options)[0].sequences_ids[0] == expected
    agreed = manifest(target)["agreement"]
    assert agreed["agreed"] == agreed["tokens"] > 0 and agreed["differences"] == []


def test_quantized_weights_are_smaller_and_what_differs_is_recorded(llama: Path, tmp_path: Path) -> None:
    said: list[str] = []
    whole = export(llama, tmp_path / "whole", Options("ctranslate2"), said.append)
    target = export(llama, tmp_path / "int8", Options("ctranslate2", quantization="int8"), said.append)
    assert (target / "model.bin").stat().st_size < 0.5 * (whole / "model.bin").stat().st_size
    told = manifest(target)
    assert told["quantization"] == "int8" and told["run_key"] == "0123"
    agreed = told["agreement"]
    assert agreed["agreed"] + len(agreed["differences"]) <= agreed["tokens"] + agreed["prompts"]
    assert said[1].startswith(f"{agreed['agreed']} of {agreed['tokens']} tokens")


def test_safetensors_as_they_are(llama: Path, tmp_path: Path) -> None:
    target = export(llama, tmp_path / "out", Options("safetensors"))
    for path in (llama / "model").iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()
    files = manifest(target)["files"]
    assert files.keys() == {path.name for path in (llama / "model").iterdir()}
    assert files["README.md"]["bytes"] == 7


def test_safetensors_in_another_precision_and_in_shards(llama: Path, tmp_path: Path) -> None:
    target = export(llama, tmp_path / "out", Options("safetensors", dtype="bfloat16", max_shard_size="20KB"))
    assert len(list(target.glob("model-*.safetensors"))) > 1
    network = AutoModelForCausalLM.from_pretrained(target)
    assert network.dtype == torch.bfloat16
    original = AutoModelForCausalLM.from_pretrained(llama / "model").state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, original[name].bfloat16())
    assert AutoTokenizer.from_pretrained(target).chat_template
    assert (
        len({path.stat().st_mode for path in tmp_path.rglob("*") if path.is_file()}) == 1
    )  # whoever reads one reads all


def test_an_earlier_export_is_replaced_and_another_folder_is_not(llama: Path, tmp_path: Path) -> None:
    target = export(llama, tmp_path / "out", Options("ctranslate2"))
    export(llama, target, Options("safetensors"))
    assert not (target / "model.bin").exists() and manifest(target)["format"] == "safetensors"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"is not empty, and no export of langxfer"):
        export(llama, mine, Options("safetensors"))
    with pytest.raises(ArtifactError, match="is a file"):
        export(llama, mine / "thesis.tex", Options("safetensors"))
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_an_earlier_export_with_files_of_others_is_not_replaced(llama: Path, tmp_path: Path) -> None:
    target = export(llama, tmp_path / "out", Options("safetensors"))
    (target / "notes").mkdir()
    (target / "notes" / "mine.txt").write_text("what I thought of it")
    with pytest.raises(ArtifactError, match=r"out: holds notes/mine\.txt, which is not of the export there\. Move it"):
        export(llama, target, Options("safetensors"))
    assert (target / "notes" / "mine.txt").read_text() == "what I thought of it"
    (target / "notes" / "mine.txt").unlink()
    (target / MANIFEST).write_text("{")
    with pytest.raises(ArtifactError, match=r"out: holds README\.md, which is not of the export there"):
        export(llama, target, Options("safetensors"))


def test_files_that_come_while_it_exports_are_kept(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = export(llama, tmp_path / "out", Options("safetensors"))

    def write(model: Path, folder: Path, options: Options) -> None:
        shutil.copytree(model, folder)
        (target / "late.txt").write_text("")

    monkeypatch.setitem(exporting.WRITERS, "safetensors", write)
    with pytest.raises(ArtifactError, match=r"holds late\.txt"):
        export(llama, target, Options("safetensors"))
    assert (target / "late.txt").exists()


def test_an_earlier_export_is_there_until_the_new_one_is(
    llama: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between the two renames, at once or (a kill) without a chance to put it back."""
    target = export(llama, tmp_path / "out", Options("ctranslate2"))
    plain, other = os.replace, tiny_model(tmp_path_factory.mktemp("other") / "model", seed=1)

    def stop(source: Path, place: Path) -> None:
        if Path(source).name == ".out.partial":
            raise KeyboardInterrupt
        plain(source, place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            export(llama, target, Options("safetensors"))
    assert manifest(target)["format"] == "ctranslate2" and [path.name for path in tmp_path.iterdir()] == ["out"]
    target.rename(tmp_path / ".out.earlier")
    (tmp_path / ".out.partial").mkdir()
    monkeypatch.setitem(exporting.WRITERS, "safetensors", lambda model, place, options: shutil.copytree(other, place))
    with pytest.raises(ArtifactError, match="does not answer as the run's does"):
        export(llama, target, Options("safetensors"))
    assert manifest(target)["format"] == "ctranslate2" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_one_export_at_a_time_into_a_folder(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, said = exporting.WRITERS["safetensors"], []

    def write(model: Path, folder: Path, options: Options) -> None:
        with pytest.raises(ArtifactError) as caught:
            export(llama, tmp_path / "out", Options("ctranslate2"))
        said.append(str(caught.value))
        plain(model, folder, options)

    monkeypatch.setitem(exporting.WRITERS, "safetensors", write)
    target = export(llama, tmp_path / "out", Options("safetensors"))
    assert said == [f"{target}: another export writes there. Wait for it, or choose another folder with -o."]
    assert manifest(target)["format"] == "safetensors"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_nothing(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of other weights, as a wrong converter would make one: it is noticed, and an earlier export stays."""
    target = export(llama, tmp_path / "out", Options("safetensors"))
    other = tiny_model(tmp_path / "other", seed=1)
    monkeypatch.setitem(exporting.WRITERS, "safetensors", lambda model, folder, options: shutil.copytree(other, folder))
    before = manifest(target)
    with pytest.raises(ArtifactError, match=r"does not answer as the run's does: to 'How are you\?' it gives token"):
        export(llama, target, Options("safetensors"))
    assert manifest(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_places_that_take_no_folder(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(ArtifactError, match=r"cannot make this folder \(.*\)\. Choose another one with -o\."):
            export(llama, place, Options("safetensors"))


def test_architectures_that_ctranslate2_does_not_know(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", "stablelm")
    with pytest.raises(
        RecipeError, match=r"does not know the architecture StableLm\. It knows: .*Llama, .*Qwen2"
    ) as caught:
        export(run, tmp_path / "out", Options("ctranslate2"))
    assert "Whisper" not in str(caught.value) and not (tmp_path / "out").exists()
    assert {"LlamaConfig", "GPT2Config", "Gemma2Config"} <= set(known_architectures())


@pytest.fixture
def mine(llama: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    shutil.copytree(llama, tmp_path / "mine")
    return tmp_path / "mine"


def test_the_working_folder_and_links_are_followed(llama: Path, tmp_path: Path, monkeypatch) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export(llama, Path(), Options("safetensors")) == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link"
    link.symlink_to("there")
    assert export(llama, link, Options("safetensors")) == tmp_path / "there"
    assert link.is_symlink() and manifest(link)["title"] == "tiny"
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ArtifactError, match="leads to itself"):
        export(llama, tmp_path / "a", Options("safetensors"))
    with pytest.raises(ArtifactError, match=r"cannot make this folder .*with -o"):
        export(llama, tmp_path / "here" / MANIFEST / "x", Options("safetensors"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda model: (model / "model.safetensors").unlink(), r"the model is not there \(no model.safetensors\)"),
        (lambda model: cut(model / "model.safetensors"), "model.safetensors is damaged"),
        (lambda model: (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b"}}'), r"\(no b\)"),
        (lambda model: (model / "model.safetensors.index.json").write_text("{"), "index.json is damaged"),
        (lambda model: cut(model / "tokenizer.json"), "cannot be loaded .*delete this folder: the same langxfer run"),
        (lambda model: cut(model / "config.json"), "cannot be loaded"),
    ],
)
def test_a_model_that_is_not_whole(mine: Path, damage, said: str) -> None:
    damage(mine / "model")
    with pytest.raises(ArtifactError, match=said):
        export(mine, mine / "out", Options("safetensors"))
    assert not (mine / "out").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def test_weights_that_half_precision_cannot_hold(mine: Path) -> None:
    path = mine / "model" / "model.safetensors"
    values = load_file(path)
    name = sorted(values)[0]
    values[name].view(-1)[0] = 1e5
    save_file(values, path, {"format": "pt"})
    for options in (Options("safetensors", dtype="float16"), Options("ctranslate2", quantization="float16")):
        with pytest.raises(ArtifactError, match=rf"{name} has the value 100000, and the largest of float16 is 65504"):
            export(mine, mine / "out", options)
    assert export(mine, mine / "out", Options("safetensors", dtype="bfloat16")).is_dir()


def test_options_of_the_other_format() -> None:
    with pytest.raises(RecipeError, match="Use --dtype"):
        Options("safetensors", quantization="int8")
    with pytest.raises(RecipeError, match="Use --quantization"):
        Options("ctranslate2", dtype="float16")


def test_a_size_that_is_none(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--max-shard-size lots"):
        export(llama, tmp_path / "out", Options("safetensors", max_shard_size="lots"))


def test_runs_without_a_model(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a run folder"):
        export(tmp_path, tmp_path / "out", Options("safetensors"))
    shutil.copytree(llama, tmp_path / "run", ignore=shutil.ignore_patterns("model"))
    with pytest.raises(ArtifactError, match="the model is not there"):
        export(tmp_path / "run", tmp_path / "out", Options("safetensors"))
