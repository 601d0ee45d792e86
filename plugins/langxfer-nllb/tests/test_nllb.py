"""NLLB against transformers on the same weights, and its languages."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from langxfer import Pair, Translation
from langxfer.errors import ArtifactError, RecipeError
from langxfer.languages import LANGUAGES
from langxfer.plugins import load
from langxfer.translation import Checkpoint, convert
from tests.beam_search import indices, search, watch
from tests.tiny_m2m100 import SENTENCES

FOLDER = Path(__file__).parents[1]
EN_SW = Pair("en", "sw")
MODELS = ((0, 2.0), (1, 2.0), (2, 3.0))  # seed and end bias
NEVER_ENDS = (0, -4.0)


def nllb(**options: Any):
    new = [FOLDER / "langxfer_nllb.py"] if "langxfer_nllb" not in sys.modules else []
    return load(new).classes("translator")["nllb"](**options)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def tiny_nllb() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return importlib.import_module("tiny_nllb")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[int, float], Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        key: tiny_nllb().build(folder / f"{key[0]}_{key[1]}", SENTENCES, key[0], end_bias=key[1])
        for key in (*MODELS, NEVER_ENDS)
    }


def translations(translator, cache: Path, segments: list[str], pair: Pair = EN_SW) -> list[Translation]:
    with translator.open("cpu", cache) as model:
        return model.translate(segments, pair)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("key", MODELS)
def test_translates_token_for_token_like_transformers(models, cache, monkeypatch, key, beam_size):
    from transformers import AutoTokenizer

    seen = watch(monkeypatch)
    translator = nllb(model=str(models[key]), compute_type="float32", beam_size=beam_size)
    found = translations(translator, cache, list(SENTENCES))
    tokenizer = AutoTokenizer.from_pretrained(models[key], src_lang="eng_Latn")
    index = indices(convert(Checkpoint(str(models[key])), cache, "float32"))
    target, end = tokenizer.convert_tokens_to_ids("swh_Latn"), tokenizer.eos_token_id
    ended = 0
    for sentence, translation in zip(SENTENCES, found, strict=True):
        row = tokenizer(sentence).input_ids
        limit = int(2.5 * -(-len(row) // 32) * 32) + 16
        expected = search(models[key], row, target, beam_size, limit)
        tokens = seen[tuple(tokenizer.convert_ids_to_tokens(row))]
        assert [index[token] for token in tokens] == expected.ids
        text = tokenizer.decode(expected.ids, skip_special_tokens=True)
        assert (translation.text or "") == text
        assert translation.problem == ("truncated" if expected.ids[-1] != end else None if text else "empty")
        ended += translation.problem is None
        if beam_size > 1:
            assert translation.score == pytest.approx(expected.mean(1.0), abs=1e-4)
    assert ended or beam_size == 1


def test_a_source_begins_with_its_language_and_ends_with_the_end(models, cache, monkeypatch):
    """The order that the models were trained with, whatever the tokenizer files say."""
    settings = models[MODELS[0]] / "tokenizer_config.json"
    saved = settings.read_text()
    try:
        settings.write_text(json.dumps({**json.loads(saved), "legacy_behaviour": True}))
        seen = watch(monkeypatch)
        translations(
            nllb(model=str(models[MODELS[0]]), compute_type="float32"), cache, ["The cat sat eng_Latn </s> on"]
        )
    finally:
        settings.write_text(saved)
    ((row, hypothesis),) = seen.items()
    assert row[0] == "eng_Latn" and row[-1] == "</s>" and hypothesis[0] == "swh_Latn"
    assert not {"eng_Latn", "</s>"} & {*row[1:-1]}  # the text's own are text
    assert row[1:4] == ("▁T", "he", "▁c")


def test_the_language_token_decides_and_never_shows(models, cache):
    translator = nllb(model=str(models[MODELS[0]]), compute_type="float32")
    outputs = [
        translations(translator, cache, list(SENTENCES), pair)
        for pair in (EN_SW, Pair("en", "de"), Pair("en", "zh-Hant"), Pair("de", "sw"))
    ]
    assert len({tuple(map(str, found)) for found in outputs}) == len(outputs)
    texts = [translation.text for found in outputs for translation in found if translation.text]
    assert texts and not any("_Latn" in text or "</s>" in text for text in texts)


def test_long_empty_and_endless_segments(models, cache):
    translator = nllb(model=str(models[NEVER_ENDS]), compute_type="float32", beam_size=2)
    long, empty, dots, endless = translations(translator, cache, ["cat " * 2000, "", "...", SENTENCES[0]])
    assert long == Translation(None, None, "truncated")
    assert (empty, dots) == (Translation(""), Translation("..."))
    assert endless.problem == "truncated"


def test_languages_are_those_of_flores_and_others_are_refused_before_anything_is_loaded(tmp_path):
    spoken = nllb().languages()
    assert spoken == {tag for tag, row in LANGUAGES.items() if row.nllb}
    assert {"en", "de", "zh", "zh-Hant", "sw", "yo", "ko", "id"} <= spoken and "br" not in spoken
    translator = nllb(model="nobody/no-such-model")  # so that loading it would be the error
    with pytest.raises(RecipeError, match='translator "nllb" does not speak "br"'):
        translations(translator, tmp_path, ["The cat"], Pair("en", "br"))


def test_every_code_is_one_that_nllb_has(models, cache):
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert {nllb().token(tag) for tag in nllb().languages()} <= {*FAIRSEQ_LANGUAGE_CODES}


def test_a_tokenizer_without_the_language_is_refused_before_the_weights_are_read(models, tmp_path):
    folder = Path(shutil.copytree(models[MODELS[0]], tmp_path / "model"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((folder / name).read_text().replace("swh_Latn", "qqq_Latn"))
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(RecipeError, match='has no token swh_Latn for "sw"'):
        translations(nllb(model=str(folder), compute_type="float32"), tmp_path / "cache", ["The cat"])
    assert not (tmp_path / "cache").exists()


def old_checkpoint(models, folder: Path, languages: int | None = None) -> Path:
    copy = Path(shutil.copytree(models[MODELS[0]], folder / "old"))
    return tiny_nllb().with_pieces_alone(copy, SENTENCES, languages)


def test_a_checkpoint_with_a_sentencepiece_model_alone_translates_the_same(models, cache, tmp_path, monkeypatch):
    seen = watch(monkeypatch)
    expected = translations(nllb(model=str(models[MODELS[0]]), compute_type="float32"), cache, list(SENTENCES))
    rows = dict(seen)
    seen.clear()
    old = nllb(model=str(old_checkpoint(models, tmp_path)), compute_type="float32")
    assert translations(old, cache, list(SENTENCES)) == expected
    assert seen == rows
    assert all(row[0] == "eng_Latn" and row[-1] == "</s>" for row in seen)
    assert any(translation.text for translation in expected)


def test_a_list_of_languages_that_is_too_short_is_refused(models, tmp_path):
    """Their rows would be those of other languages, and nothing would show it."""
    folder = old_checkpoint(models, tmp_path, languages=190)
    with pytest.raises(ArtifactError, match=r"the tokenizer has 312 tokens and the model 324, so its languages would"):
        translations(nllb(model=str(folder), compute_type="float32"), tmp_path / "cache", ["The cat"])
    assert not (tmp_path / "cache").exists()


WITHOUT_PROTOBUF = """
import sys
sys.modules["google.protobuf"] = None
from pathlib import Path
from langxfer.translation.tokens import Tokens
Tokens(Path(sys.argv[1]))
"""


def test_what_reads_a_sentencepiece_model_is_asked_for_by_name(models, tmp_path):
    folder = old_checkpoint(models, tmp_path)
    command = [sys.executable, "-c", WITHOUT_PROTOBUF, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stderr
    assert "ArtifactError" in said and "takes the package protobuf, and there is no tokenizer.json. Install" in said
