"""Conversion to CTranslate2, on a random model of the real architecture."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.components import Pair
from langxfer.errors import ArtifactError, RecipeError
from langxfer.translation import Checkpoint, Ct2Model, Decoding, check_compute_type, convert, ct2
from langxfer.translation.ct2 import batches, free_cores, threads
from tests.beam_search import indices, watch
from tests.tiny_m2m100 import SENTENCES, build


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("tiny") / "model", seed=0)


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_converts_once_and_keeps_the_tokenizer_files(checkpoint, tmp_path):
    folder = convert(Checkpoint(str(checkpoint)), tmp_path, "int8")
    assert folder.parent == tmp_path / "ctranslate2"
    assert {"config.json", "vocab.json", "sentencepiece.bpe.model"} <= {
        p.name for p in (folder / "tokenizer").iterdir()
    }
    made = (folder / "model" / "model.bin").stat().st_mtime_ns
    assert convert(Checkpoint(str(checkpoint)), tmp_path, "int8") == folder
    assert (folder / "model" / "model.bin").stat().st_mtime_ns == made
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_every_ingredient_makes_another_conversion(checkpoint, copy, tmp_path):
    places = {
        convert(Checkpoint(str(checkpoint)), tmp_path, quantization) for quantization in (None, "int8", "float32")
    }
    assert len(places) == 3
    assert convert(Checkpoint(str(copy)), tmp_path, "int8") in places  # the same files elsewhere
    sizes = {(place / "model" / "model.bin").stat().st_size for place in places}
    assert len(sizes) == 2  # float32 is what was saved; int8 is smaller


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "vocab.json", "tokenizer_config.json"])
def test_identity_sees_a_change_in_any_file(copy, file):
    before = Checkpoint(str(copy)).identity()
    with open(copy / file, "ab") as changed:
        changed.write(b" ")
    assert Checkpoint(str(copy)).identity() != before


def test_pickled_weights_are_read_where_there_are_no_others(checkpoint, copy, tmp_path):
    """Old checkpoints hold tied weights and position tables as well, which must not be taken for missing."""
    import torch
    from transformers import M2M100ForConditionalGeneration

    network = M2M100ForConditionalGeneration.from_pretrained(copy)
    state = {**network.state_dict(), "model.encoder.embed_positions.weights": torch.zeros(4, 32)}
    torch.save(state, copy / "pytorch_model.bin")
    with_both = Checkpoint(str(copy)).identity()
    assert with_both == Checkpoint(str(checkpoint)).identity()  # the pickled file is not read, and does not count
    (copy / "model.safetensors").unlink()
    folder = convert(Checkpoint(str(copy)), tmp_path, "float32")
    expected = convert(Checkpoint(str(checkpoint)), tmp_path, "float32")
    assert folder != expected
    assert (folder / "model" / "model.bin").read_bytes() == (expected / "model" / "model.bin").read_bytes()


def test_a_checkpoint_that_lacks_weights_is_refused(copy, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["model.decoder.layers.1.fc1.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"cannot be converted .*lack model\.decoder\.layers\.1\.fc1\.weight"):
        convert(Checkpoint(str(copy)), tmp_path)
    assert [path for path in (tmp_path / "ctranslate2").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("damage", ["cut weights", "other architecture", "broken configuration"])
def test_files_that_cannot_be_converted_are_a_sentence(copy, tmp_path, damage):
    if damage == "cut weights":
        (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    elif damage == "other architecture":
        (copy / "config.json").write_text(json.dumps({"model_type": "vit"}))
    else:
        (copy / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"translator.model .*cannot be converted"):
        convert(Checkpoint(str(copy)), tmp_path)


def test_what_a_killed_conversion_left_is_dropped(checkpoint, tmp_path):
    target = convert(Checkpoint(str(checkpoint)), tmp_path / "first")
    partial = tmp_path / "second" / "ctranslate2" / f"{target.name}.partial"
    (partial / "model").mkdir(parents=True)
    (partial / "model" / "model.bin").write_bytes(b"half of it")
    folder = convert(Checkpoint(str(checkpoint)), tmp_path / "second")
    assert (folder / "model" / "model.bin").read_bytes() == (target / "model" / "model.bin").read_bytes()
    assert not partial.exists()


def test_a_cache_that_cannot_be_written_is_a_sentence(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot keep the converted model there"):
        convert(Checkpoint(str(checkpoint)), tmp_path / "file")


def test_a_broken_conversion_is_a_sentence(checkpoint, tmp_path):
    folder = convert(Checkpoint(str(checkpoint)), tmp_path, "float32")
    (folder / "model" / "model.bin").write_bytes(b"no model")
    with (
        Ct2Model(Checkpoint(str(checkpoint)), "__{}__".format, "float32", Decoding(), "cpu", tmp_path) as model,
        pytest.raises(ArtifactError, match=r"cannot be loaded .*Delete it to convert it again"),
    ):
        model.translate(["The cat"], Pair("en", "sw"))


def test_a_token_at_another_index_is_an_error(checkpoint, tmp_path):
    """Weights and tokenizer of two checkpoints: CTranslate2 would translate into another language."""
    folder = convert(Checkpoint(str(checkpoint)), tmp_path, "float32")
    path = folder / "model" / "shared_vocabulary.json"
    vocabulary = json.loads(path.read_text())
    here, there = vocabulary.index("__sw__"), vocabulary.index("__de__")
    vocabulary[here], vocabulary[there] = vocabulary[there], vocabulary[here]
    path.write_text(json.dumps(vocabulary))
    with Ct2Model(Checkpoint(str(checkpoint)), "__{}__".format, "float32", Decoding(), "cpu", tmp_path) as model:
        with pytest.raises(ArtifactError, match="has __de__ where its tokenizer has __sw__"):
            model.translate(["The cat"], Pair("en", "sw"))
        assert len(model.translate(["The cat"], Pair("en", "ko"))) == 1


def test_a_token_that_the_tokenizer_lacks_is_an_error_before_the_weights_are_read(copy, tmp_path):
    (copy / "model.safetensors").write_bytes(b"no weights")
    cache = tmp_path / "cache"
    with (
        Ct2Model(Checkpoint(str(copy)), "<{}>".format, "float32", Decoding(), "cpu", cache) as model,
        pytest.raises(RecipeError, match='has no token <en> for "en"'),
    ):
        model.translate(["The cat"], Pair("en", "sw"))
    assert not cache.exists()


def test_tokenizer_files_that_cannot_be_read_are_a_sentence(copy, tmp_path):
    (copy / "vocab.json").write_text("{")
    with (
        Ct2Model(Checkpoint(str(copy)), "__{}__".format, "float32", Decoding(), "cpu", tmp_path / "cache") as model,
        pytest.raises(ArtifactError, match="its tokenizer cannot be loaded"),
    ):
        model.translate(["The cat"], Pair("en", "sw"))


def test_says_how_it_runs_once_it_does(checkpoint, tmp_path):
    with Ct2Model(Checkpoint(str(checkpoint)), "__{}__".format, "int8", Decoding(), "cpu", tmp_path) as model:
        model.translate(["..."], Pair("en", "sw"))
        assert model.running is None
        model.translate(["The cat"], Pair("en", "sw"))
        at_a_time, each = threads("cpu")
        assert f"on cpu in int8, with {at_a_time} x {each} threads" in model.running
    assert model.running is None


@pytest.mark.parametrize(("penalty", "beam_size"), [(0.0, 4), (1.0, 1), (1.0, 4), (2.0, 4)])
def test_scores_are_mean_log_probabilities_of_the_weights(checkpoint, tmp_path, monkeypatch, penalty, beam_size):
    """Against a forward pass over the translation, whatever the length penalty, cut or not."""
    import torch
    from transformers import AutoTokenizer, M2M100ForConditionalGeneration

    decoding = Decoding(beam_size=beam_size, length_penalty=penalty, max_length_ratio=0.5)
    with Ct2Model(Checkpoint(str(checkpoint)), "__{}__".format, "float32", decoding, "cpu", tmp_path) as model:
        seen = watch(monkeypatch)
        found = model.translate(list(SENTENCES), Pair("en", "sw"))
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    index = indices(convert(Checkpoint(str(checkpoint)), tmp_path, "float32"))
    network = M2M100ForConditionalGeneration.from_pretrained(checkpoint).eval()
    scores = {translation.score for translation in found}
    for row, hypothesis in seen.items():
        source, target = ([index[token] for token in tokens] for tokens in (row, hypothesis))
        with torch.no_grad():
            logits = network(
                input_ids=torch.tensor([source]),
                decoder_input_ids=torch.tensor([[tokenizer.eos_token_id, *target[:-1]]]),
            ).logits[0]
        logits[1, tokenizer.eos_token_id] = float("-inf")  # the first step of a search may not end
        logps = logits.log_softmax(-1)[range(1, len(target)), target[1:]]
        assert min(abs(score - logps.mean().item()) for score in scores) < 1e-5


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("./nowhere", RecipeError, "no such folder, and it is not a hub id"),
        ("/nowhere/at/all", RecipeError, "no such folder, and it is not a hub id"),
        ("nobody/no-such-model", ArtifactError, "the hub did not answer"),
    ],
)
def test_a_model_that_is_not_there_is_a_sentence(source, error, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        Checkpoint(source).identity()


def test_a_revision_of_a_folder_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"translator\.revision has no effect"):
        Checkpoint(str(tmp_path), "main").identity()


def test_a_commit_needs_no_hub():
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert Checkpoint("some/model", commit).identity() == {"model": "some/model", "revision": commit}


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_no_model_is_a_sentence(copy, missing):
    (copy / missing).unlink()
    for ask in (Checkpoint(str(copy)).identity, Checkpoint(str(copy)).folder):
        with pytest.raises(RecipeError, match=r"expected config.json and \*\.safetensors"):
            ask()


@given(st.lists(st.integers(3, 200), max_size=60), st.integers(1, 500), st.integers(1, 4))
def test_batches_hold_all_rows_once_and_share_the_work(lengths, most, at_a_time):
    rows = dict(enumerate(lengths))
    made = list(batches(rows, most, at_a_time))
    assert sorted(number for batch in made for number in batch) == sorted(rows)
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(rows[number] for number in batch) <= most
    for start in range(0, len(made), at_a_time):  # batches that are translated at the same time
        together = [len(batch) for batch in made[start : start + at_a_time]]
        assert max(together) - min(together) <= 1
        assert len(together) == at_a_time or max(together) == 1


def test_compute_types():
    assert check_compute_type("float32", "cpu") == "float32"
    assert check_compute_type("auto", "cpu") in ("int8_float32", "float32")
    with pytest.raises(
        RecipeError, match=r"compute_type int8_float16 is not to be had on this cpu. It has: auto, .*float32"
    ):
        check_compute_type("int8_float16", "cpu")


def test_cuda_where_there_is_none_is_a_sentence(monkeypatch):
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(RecipeError, match="finds no CUDA device"):
        check_compute_type("auto", "cuda")


def test_cuda_without_the_library_that_ctranslate2_needs_is_a_sentence(monkeypatch, tmp_path):
    """torch may bring another version of it; what pip installed is found and loaded."""
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(ct2.site, "getsitepackages", lambda: [str(tmp_path)])
    loaded: list[str] = []
    here = tmp_path / "nvidia/cublas/lib"

    def load(name: str, mode: int) -> None:
        if not here.exists() or Path(name).parent != here:
            raise OSError(f"{name}: cannot open shared object file")
        loaded.append(Path(name).name)

    monkeypatch.setattr(ct2.ctypes, "CDLL", load)
    ct2.has_cublas.cache_clear()
    with pytest.raises(RecipeError, match=r"needs libcublas.so.12, .*pip install nvidia-cublas-cu12"):
        check_compute_type("auto", "cuda")
    here.mkdir(parents=True)
    ct2.has_cublas.cache_clear()
    assert ct2.has_cublas() and loaded == ["libcublasLt.so.12", "libcublas.so.12"]
    ct2.has_cublas.cache_clear()


@pytest.mark.parametrize(
    ("supported", "taken"),
    [
        ({"float32", "float16", "bfloat16", "int8"}, "float16"),
        ({"float32", "bfloat16"}, "bfloat16"),
        ({"float32"}, "float32"),
    ],
)
def test_cuda_takes_the_first_that_it_has(monkeypatch, supported, taken):
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda device: supported)
    monkeypatch.setattr(ct2, "has_cublas", lambda: True)
    assert check_compute_type("auto", "cuda") == taken


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
@pytest.mark.parametrize(("asked", "expected"), [("", None), ("1", "(1, 1)"), ("four", None)])
def test_threads_stay_within_affinity_and_openmp(asked, expected):
    code = "from langxfer.translation.ct2 import threads; print(threads('cpu'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": asked}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    batches, each = map(int, shown.stdout.strip(" ()\n").split(","))
    assert 1 <= batches * each <= len(os.sched_getaffinity(0))
    if expected:
        assert shown.stdout.strip() == expected


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """Sets what a process is allowed; nothing else is in the way."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setattr("langxfer.translation.ct2.QUOTA", tmp_path / "cpu.max")
    return lambda count: monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(count)), raising=False)


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 1)), (2, (2, 1)), (6, (4, 1)), (16, (4, 4))])
def test_threads_by_cores(cores, monkeypatch, count, expected):
    cores(count)
    assert threads("cpu") == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads("cpu") == (1, 1)


def test_threads_that_pytorch_was_told_count_for_translation(cores, monkeypatch):
    """``compute.threads`` of a recipe."""
    cores(16)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    assert threads("cpu") == (3, 1)


@pytest.mark.parametrize(
    ("quota", "free"), [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 16)]
)
def test_a_container_has_its_share_of_the_cores(cores, tmp_path, quota, free):
    cores(16)
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert free_cores() == free
