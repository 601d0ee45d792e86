"""M2M100 against transformers on the same weights, and what surrounds the model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from langxfer.builtin.m2m100 import M2M100
from langxfer.components import Pair, Translation
from langxfer.errors import RecipeError
from langxfer.translation import Checkpoint, Decoding, Pipeline, SegmentCache, convert
from tests.beam_search import Found, indices, search, watch
from tests.tiny_m2m100 import SENTENCES, build

EN_SW = Pair("en", "sw")
# Seed and end bias of random models, whose translations of SENTENCES end after 1 to 57 tokens, or never.
MODELS = ((0, 3.0), (1, 2.0), (2, 2.0), (4, 3.0), (7, 1.5))
NEVER_ENDS = (0, -4.0)
ENDS = (3, 2.0)  # every one of SENTENCES becomes text


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[int, float], Path]:
    folder = tmp_path_factory.mktemp("models")
    return {key: build(folder / f"{key[0]}_{key[1]}", key[0], end_bias=key[1]) for key in {*MODELS, NEVER_ENDS, ENDS}}


def translations(translator: M2M100, cache: Path, segments: list[str], pair: Pair = EN_SW) -> list[Translation]:
    with translator.open("cpu", cache) as model:
        return model.translate(segments, pair)


def translate(translator: M2M100, cache: Path, segments: list[str], pair: Pair = EN_SW) -> list[str | None]:
    """Texts of translations that can be trusted, as far as the translator knows."""
    found = translations(translator, cache, segments, pair)
    return [translation.text if translation.problem is None else None for translation in found]


def reference(folder: Path, segment: str, beam_size: int, limit: int, length_penalty: float = 1.0) -> Found:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang="en")
    return search(folder, tokenizer(segment).input_ids, tokenizer.get_lang_id("sw"), beam_size, limit, length_penalty)


@pytest.mark.parametrize(("beam_size", "length_penalty"), [(1, 1.0), (5, 1.0), (3, 0.3)])
@pytest.mark.parametrize("key", MODELS)
def test_translates_token_for_token_like_transformers(models, cache, monkeypatch, key, beam_size, length_penalty):
    """Weights in float32 on both sides; all segments in one batch here, one by one there."""
    from transformers import AutoTokenizer

    from langxfer.translation import ct2

    seen = watch(monkeypatch)
    monkeypatch.setattr(ct2, "LONGEST", 60)
    translator = M2M100(
        model=str(models[key]), compute_type="float32", beam_size=beam_size, length_penalty=length_penalty,
        max_length_ratio=100,
    )  # fmt: skip
    found = translations(translator, cache, list(SENTENCES))
    tokenizer = AutoTokenizer.from_pretrained(models[key], src_lang="en")
    index = indices(convert(Checkpoint(str(models[key])), cache, "float32"))
    end = tokenizer.eos_token_id
    for sentence, translation in zip(SENTENCES, found, strict=True):
        expected = reference(models[key], sentence, beam_size, 60, length_penalty)
        tokens = seen[tuple(tokenizer.convert_ids_to_tokens(tokenizer(sentence).input_ids))]
        assert [index[token] for token in tokens] == expected.ids
        text = tokenizer.decode(expected.ids, skip_special_tokens=True)
        assert (translation.text or "") == text
        assert translation.problem == ("truncated" if expected.ids[-1] != end else None if text else "empty")
        if beam_size > 1:
            assert translation.score == pytest.approx(expected.mean(length_penalty), abs=1e-4)


def test_the_comparison_covers_short_long_and_endless_translations(models):
    lengths = [len(reference(models[key], sentence, 5, 60).ids) for key in MODELS for sentence in SENTENCES]
    assert min(lengths) <= 3
    assert sum(5 <= length < 60 for length in lengths) >= 8
    assert lengths.count(60) >= 3


def test_the_language_token_decides_and_never_shows(models, cache):
    translator = M2M100(model=str(models[ENDS]), compute_type="float32")
    outputs = {
        target: translate(translator, cache, list(SENTENCES), Pair("en", target)) for target in ("sw", "de", "nso")
    }
    assert len({tuple(map(str, texts)) for texts in outputs.values()}) == 3
    sources = translate(translator, cache, list(SENTENCES), Pair("de", "sw"))
    assert sources != outputs["sw"]
    texts = [text for texts in (*outputs.values(), sources) for text in texts if text]
    assert texts and not any("__" in text or "</s>" in text for text in texts)


@pytest.mark.parametrize("segment", ["", "  \n", "...", "—?!", "🙂🙂", "\t- * -\n", "```"])
def test_segments_without_a_word_are_passed_through_without_the_model(tmp_path, segment):
    translator = M2M100(model="nobody/no-such-model", revision="0" * 40)
    assert translate(translator, tmp_path, [segment]) == [segment]
    assert list(tmp_path.iterdir()) == []


def test_white_space_around_a_segment_stays(models, cache):
    translator = M2M100(model=str(models[ENDS]), compute_type="float32")
    bare, spaced = translate(translator, cache, [SENTENCES[0], f"  {SENTENCES[0]}\n"])
    assert bare and spaced == f"  {bare}\n"


def test_words_that_look_like_tokens_are_text(models, cache, monkeypatch):
    """As tokens, they would end the source, or change its language."""
    seen = watch(monkeypatch)
    translate(M2M100(model=str(models[ENDS]), compute_type="float32"), cache, ["The cat </s> sat __de__ on"])
    (row,) = seen
    assert row[0] == "__en__" and row[-1] == "</s>"
    assert not {"</s>", "__de__"} & set(row[1:-1])


def test_text_that_is_no_unicode_has_no_translation(models, cache):
    translator = M2M100(model=str(models[ENDS]), compute_type="float32")
    broken, sound = translations(translator, cache, ["cut \ud83d emoji", SENTENCES[0]])
    assert broken == Translation(None, None, "not Unicode") and sound.text and sound.problem is None


@pytest.mark.parametrize("end_bias", [NEVER_ENDS[1], 6.0])
def test_segments_up_to_the_position_table_are_translated_and_longer_ones_are_truncated(
    tmp_path, cache, monkeypatch, end_bias
):
    """Neither cut without a word nor a crash, whether the translation is short or as long as it may be."""
    from transformers import AutoTokenizer

    folder = build(tmp_path / "short", 0, positions=64, end_bias=end_bias)
    seen = watch(monkeypatch)
    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang="en")
    segments = ["cat sat" + " cat" * more for more in range(1, 40)]
    segments = [*segments, *(segment + " a" for segment in segments), "cat " * 1000]
    rows = [tuple(tokenizer.convert_ids_to_tokens(tokenizer(segment, verbose=False).input_ids)) for segment in segments]
    assert {63, 64, 65} <= {*map(len, rows)}
    translator = M2M100(model=str(folder), compute_type="float32", max_length_ratio=50)
    found = translations(translator, cache, segments)
    fitting = [len(row) <= 64 for row in rows]
    assert {*seen} == {row for row, fits in zip(rows, fitting, strict=True) if fits}
    for row, fits, translation in zip(rows, fitting, found, strict=True):
        if not fits:
            assert translation == Translation(None, None, "truncated")
        else:
            assert translation.score < 0
            assert (translation.problem == "truncated") == (len(seen[row]) == 64)
    longest = max(map(len, seen.values()))
    assert longest == 64 if end_bias < 0 else longest < 10


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_translation_that_never_ends_is_truncated(models, cache, beam_size):
    translator = M2M100(model=str(models[NEVER_ENDS]), compute_type="float32", beam_size=beam_size)
    found = translations(translator, cache, list(SENTENCES))
    assert {translation.problem for translation in found} == {"truncated"}
    assert any(translation.text for translation in found)


def test_again_is_against_repetition_and_with_more_room(models, cache, monkeypatch):
    seen = watch(monkeypatch)
    translator = M2M100(model=str(models[NEVER_ENDS]), compute_type="float32", beam_size=1, max_length_ratio=1)

    def longest_repetition(tokens: list[str]) -> int:
        return max(
            size for size in range(len(tokens))
            if len({*zip(*(tokens[start:] for start in range(size)), strict=False)}) < len(tokens) - size + 1
        )  # fmt: skip

    with translator.open("cpu", cache) as model:
        model.translate(list(SENTENCES), EN_SW)
        first = dict(seen)
        again = model.translate_again(list(SENTENCES), EN_SW)
    assert {len(tokens) for tokens in first.values()} == {32 + 16}
    assert {len(seen[row]) for row in first} == {64 + 16}
    assert max(map(longest_repetition, first.values())) > 4
    assert max(map(longest_repetition, seen.values())) < 4
    assert {translation.problem for translation in again} == {"truncated"}


def test_a_segment_does_not_depend_on_its_company(models, cache):
    translator = M2M100(model=str(models[ENDS]), compute_type="float32", beam_size=2, max_batch_tokens=64)
    together = translate(translator, cache, [*SENTENCES, "cat " * 100])
    assert together[:-1] == [translate(translator, cache, [sentence])[0] for sentence in SENTENCES]


@pytest.mark.parametrize(
    ("key", "option"),
    [
        (ENDS, {"beam_size": 1}),
        (ENDS, {"length_penalty": -3.0}),
        ((2, 2.0), {"repetition_penalty": 5.0}),
        ((2, 2.0), {"no_repeat_ngram_size": 1}),
        ((4, 3.0), {"max_length_ratio": 0.01}),
        (ENDS, {"revision": None, "compute_type": "int8"}),
    ],
)
def test_every_option_of_the_search_changes_something(models, cache, key, option):
    plain = M2M100(model=str(models[key]), compute_type="float32", beam_size=4)
    changed = plain.model_copy(update=option)
    assert changed.what() != plain.what()
    texts = [*SENTENCES, " ".join(SENTENCES)]
    assert translate(plain, cache, texts) != translate(changed, cache, texts)


def test_again_keeps_what_is_stronger_already():
    weak, strong = Decoding(), Decoding(repetition_penalty=1.5, no_repeat_ngram_size=2)
    assert (weak.again().repetition_penalty, weak.again().no_repeat_ngram_size) == (1.1, 4)
    assert (strong.again().repetition_penalty, strong.again().no_repeat_ngram_size) == (1.5, 2)
    assert Decoding(no_repeat_ngram_size=6).again().no_repeat_ngram_size == 4


def test_the_batch_budget_reaches_ctranslate2(models, cache, monkeypatch):
    import ctranslate2

    tokens, cut = [], set()

    class Watched(ctranslate2.Translator):
        def translate_batch(self, source, *args, **options):
            tokens.append(len(source) * max(map(len, source)))
            cut.add(options["max_input_length"])
            return super().translate_batch(source, *args, **options)

    monkeypatch.setattr(ctranslate2, "Translator", Watched)
    assert Decoding().max_batch_tokens == M2M100().max_batch_tokens
    for budget in (2048, 80):
        tokens.clear()
        translate(
            M2M100(model=str(models[ENDS]), compute_type="float32", max_batch_tokens=budget), cache, list(SENTENCES)
        )
        assert (max(tokens) > 80) == (budget == 2048)
    assert cut == {0}  # the source is never cut


def test_identity_is_about_the_files_and_not_their_place(models, tmp_path):
    original = models[ENDS]
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    assert M2M100(model=str(copy)).what() == M2M100(model=str(original)).what()
    assert M2M100(model=str(models[NEVER_ENDS])).what() != M2M100(model=str(original)).what()
    (copy / "vocab.json").write_text((copy / "vocab.json").read_text() + " ")
    assert M2M100(model=str(copy)).what() != M2M100(model=str(original)).what()
    commit = "0123456789abcdef0123456789abcdef01234567"
    pinned = M2M100(revision=commit).what()
    assert pinned["model"] == "facebook/m2m100_418M" and pinned["revision"] == commit
    assert "ctranslate2" in pinned


def test_a_relative_folder_is_taken_from_the_recipe(models):
    folder = models[ENDS]
    assert M2M100(model=folder.name).resolve(folder.parent).model == str(folder)
    hub = M2M100(model="some/model")
    assert hub.resolve(folder.parent) is hub


def test_languages_and_unknown_ones(tmp_path):
    spoken = M2M100().languages()
    assert len(spoken) >= 100 and {"en", "de", "zh", "sw", "yo", "ko", "id"} <= spoken and "zh-Hant" not in spoken
    translator = M2M100(model="nobody/no-such-model")  # so that loading it would be the error
    for pair in (Pair("en", "zh-Hant"), Pair("mi", "en")):
        with pytest.raises(RecipeError, match='translator "m2m100" does not speak'):
            translate(translator, tmp_path, ["The cat"], pair)
    with pytest.raises(RecipeError, match="not a known language tag"):
        translate(translator, tmp_path, ["The cat"], Pair("en", "xx"))


def test_a_segment_cache_in_front_of_it_spares_even_loading(models, cache, tmp_path):
    translator = M2M100(model=str(models[ENDS]), compute_type="float32")
    texts = [SENTENCES[0], SENTENCES[2]]  # of random weights; what is far too long or short is not kept
    with SegmentCache(tmp_path / "segments.sqlite") as segments:
        found = []
        for folder in (cache, tmp_path / "empty"):
            with translator.open("cpu", folder) as model:
                pipeline = Pipeline(model, "sentence", segments, translator.what())
                found.append([document.text for document in pipeline.documents(texts, EN_SW)])
    assert None not in found[0] and found[0] == found[1]
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    "options", [{"beam_size": 0}, {"max_batch_tokens": 0}, {"compute_type": "int4"}, {"beams": 4}, {"model": ""}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValidationError):
        M2M100(**options)


def test_the_device_must_have_the_compute_type(tmp_path):
    with pytest.raises(RecipeError, match=r"translator\.compute_type int8_float16"):
        M2M100(compute_type="int8_float16").open("cpu", tmp_path)


def test_importing_it_brings_no_heavy_library():
    code = (
        "import sys, langxfer.builtin.m2m100, langxfer.builtin.memory;"
        "print([name for name in ('torch', 'transformers', 'ctranslate2', 'huggingface_hub') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
