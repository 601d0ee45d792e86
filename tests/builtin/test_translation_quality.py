"""Translation quality: scores against sacreBLEU itself, references from files and memories, what is wrong with them."""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from sacrebleu.metrics import BLEU, CHRF

from langxfer.builtin.evaluators.translation_quality import TranslationQuality
from langxfer.builtin.evaluators.translation_scores import bleu, corpus_score
from langxfer.components import Evidence, Generation, Prompt, Sampling, Score
from langxfer.errors import DataError, RecipeError
from langxfer.testing import check_evaluator
from tests.rows import untested

DATA = Path(__file__).parents[2].parent / "shared/data"
ENGLISH = ["The cat sleeps on the sofa.", "It rains today in the city.", "", "We will eat bread and cheese."]
GERMAN = ["Die Katze schläft auf dem Sofa.", "Heute regnet es in der Stadt.", "leer", "Wir essen Brot und Käse."]
CHINESE = ["猫在沙发上睡觉。", "今天城里下雨。", "空", "我们要吃面包和奶酪。"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for tag, lines in (("en", ENGLISH), ("de", GERMAN), ("zh", CHINESE)):
        (tmp_path / tag).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {tag: str(tmp_path / tag) for tag in ("en", "de", "zh")}


def evaluate(own: TranslationQuality, translate: Callable[[str], str]) -> tuple[dict[str, Score], list[dict]]:
    answers = [Generation(prompt, translate(prompt.id), 1, True) for prompt in own.prompts(())]
    found = own.evaluate(Evidence((), answers, {}))
    assert untested(found) <= {score.name for score in found.scores if score.name.endswith(("/chrf++", "/bleu"))}
    return {score.name.removeprefix("translation_quality/"): score for score in found.scores}, list(found.rows)


def test_scores_are_those_of_sacrebleu(files: dict[str, str]) -> None:
    own = TranslationQuality(files=files, directions=(("en", "de"), ("en", "zh"), ("zh", "en")))
    answers = {
        "en-de": ["Die Katze liegt\nauf dem Sofa.", "", "We will eat bread and cheese."],
        "en-zh": ["猫在沙发上睡觉。", "今天下雨。", "我们吃面包。"],
        "zh-en": ["The cat sleeps on the sofa.", "Rain in the city.", "We eat bread."],
    }
    order = {"1": 0, "2": 1, "4": 2}

    def translate(name: str) -> str:
        number, direction = name.split("/")
        return answers[direction][order[number]]

    scores, rows = evaluate(own, translate)
    references = {"en-de": GERMAN, "en-zh": CHINESE, "zh-en": ENGLISH}
    for direction, translations in answers.items():
        wanted = [references[direction][i] for i in (0, 1, 3)]
        flat = [" ".join(text.split()) for text in translations]
        metrics = {
            "chrf++": CHRF(word_order=2),
            "bleu": BLEU(tokenize="zh" if direction == "en-zh" else "13a"),
        }
        for name, metric in metrics.items():
            theirs = metric.corpus_score(flat, [wanted])
            ours = scores[f"{direction}/{name}"]
            assert ours.value == pytest.approx(theirs.score)
            assert ours.standard_error is not None and ours.standard_error > 0
            assert ours.signature.startswith(metric.get_signature().format())
            assert (ours.n, ours.unit, ours.higher_is_better) == (3, name, True)
        sentences = [
            CHRF(word_order=2).sentence_score(*pair).score
            for pair in zip(flat, [[text] for text in wanted], strict=True)
        ]
        assert [row["score"] for row in rows if row["direction"] == direction] == pytest.approx(sentences)
        of_texts = scores[f"{direction}/chrf++_of_texts"]
        assert of_texts.value == pytest.approx(sum(sentences) / 3) and of_texts.standard_error is not None
    assert scores["en-de/empty"].value == scores["en-de/off_target"].value == pytest.approx(100 / 3)
    assert scores["en-zh/empty"].value == scores["en-zh/off_target"].value == 0
    assert [row["verdict"] for row in rows][:3] == ["full", "empty", "wrong"]
    assert rows[0]["answer"] == "Die Katze liegt\nauf dem Sofa."


@pytest.mark.parametrize("metric", [CHRF(word_order=2), BLEU()], ids=["chrf++", "bleu"])
def test_the_standard_error_is_that_of_resampled_texts(metric: CHRF | BLEU) -> None:
    """Scored anew by sacreBLEU, text for text, on other resamples; and by its own interval."""
    rng = random.Random(0)
    words = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben"]
    references = [" ".join(rng.choices(words, k=8)) for _ in range(40)]
    translations = [" ".join(w if rng.random() < 0.8 else "x" for w in text.split()) for text in references]
    value, error, _ = corpus_score(metric, translations, references, 1000)
    found = []
    for _ in range(150):
        picked = rng.choices(range(40), k=40)
        found.append(metric.corpus_score([translations[i] for i in picked], [[references[i] for i in picked]]).score)
    assert value == pytest.approx(metric.corpus_score(translations, [references]).score)
    assert error == pytest.approx(statistics.stdev(found), rel=0.2)
    interval = metric.corpus_score(translations, [references], n_bootstrap=1000)
    theirs = json.loads(interval.format(9, signature="bs:1000", is_json=True))
    assert error == pytest.approx(theirs["confidence_var"] / 1.96, rel=0.1)


def test_a_perfect_and_a_silent_model(files: dict[str, str]) -> None:
    own = TranslationQuality(files={tag: files[tag] for tag in ("en", "de")}, directions=(("en", "de"),))
    perfect, _ = evaluate(own, lambda name: GERMAN[int(name.split("/")[0]) - 1])
    assert perfect["en-de/chrf++"].value == pytest.approx(100) == perfect["en-de/bleu"].value
    silent, rows = evaluate(own, lambda name: " \n")
    assert silent["en-de/chrf++"].value == silent["en-de/bleu"].value == 0
    assert (silent["en-de/empty"].value, silent["en-de/off_target"].value) == (100, 0)
    assert {row["score"] for row in rows} == {0.0}
    one, _ = evaluate(own.model_copy(update={"limit": 1}), lambda name: GERMAN[0])
    assert (one["en-de/chrf++"].n, one["en-de/chrf++"].standard_error) == (1, None)


def test_prompts(files: dict[str, str]) -> None:
    own = TranslationQuality(files={tag: files[tag] for tag in ("de", "zh")}, directions=(("de", "zh"),), limit=1)
    assert own.prompts(()) == [
        Prompt(
            "1/de-zh",
            "Translate this text from German into Chinese (Simplified). Answer with the translation alone.\n\n"
            + GERMAN[0],
            "zh",
        )
    ]
    short = own.model_copy(update={"prompt": "{{{target_language}}}: {text}"})
    assert short.prompts(())[0].text == "{Chinese (Simplified)}: " + GERMAN[0]
    assert own.sampling() == Sampling(256)
    check_evaluator(own)
    check_evaluator(TranslationQuality(files=files, directions=(("en", "de"), ("de", "en"), ("en", "zh"))))


def test_references_from_a_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.tsv").write_text(
        "en\tde-AT\tsw\nGood day\tGrüß Gott\tHabari\nBye\t\tKwaheri\n", encoding="utf-8"
    )
    own = TranslationQuality(memory="memory.tsv", directions=(("en", "de"), ("sw", "en"))).resolve(tmp_path)
    assert [prompt.id for prompt in own.prompts(())] == ["1/en-de", "1/sw-en", "2/sw-en"]
    _, rows = evaluate(own, lambda name: "x")
    assert [row["reference"] for row in rows] == ["Grüß Gott", "Good day", "Bye"]
    with pytest.raises(DataError, match=r"no text in both English and Yoruba in .*memory\.tsv"):
        own.model_copy(update={"directions": (("en", "yo"),)}).prompts(())


def test_real_references() -> None:
    tmx, ntrex = DATA / "tico19/all.en-sw.tmx", DATA / "ntrex"
    if not tmx.exists() or not ntrex.exists():
        pytest.skip("no TICO-19 and NTREX beside the repository (../shared/data)")
    swahili = TranslationQuality(memory=str(tmx), directions=(("en", "sw"),), limit=20)
    assert len(swahili.prompts(())) == 20
    files = {"en": str(ntrex / "newstest2019-src.eng.txt"), "ko": str(ntrex / "newstest2019-ref.kor.txt")}
    korean = TranslationQuality(files=files, directions=(("en", "ko"),), limit=20)
    lines = Path(files["ko"]).read_text(encoding="utf-8").split("\n")
    scores, _ = evaluate(korean, lambda name: lines[int(name.split("/")[0]) - 1])
    assert scores["en-ko/bleu"].value == pytest.approx(100)
    assert "tok:char" in scores["en-ko/bleu"].signature
    assert scores["en-ko/off_target"].value == 0


def test_the_key_follows_contents(files: dict[str, str], tmp_path: Path) -> None:
    own = TranslationQuality(files={"en": "en", "de": "de"}, directions=(("en", "de"),)).resolve(tmp_path)
    assert own.files == {tag: files[tag] for tag in ("en", "de")}
    before = own.what()
    assert "sacrebleu" in before and str(tmp_path) not in json.dumps(before)
    (tmp_path / "de").write_text("x\n", encoding="utf-8")
    assert own.what() != before
    with pytest.raises(DataError, match=r"en has 4 lines and .*de has 1\. Expected the same number"):
        own.prompts(())
    with pytest.raises(DataError, match=r"translation_quality\.files .*none cannot be read \(No such file"):
        own.model_copy(update={"files": {"en": files["en"], "de": str(tmp_path / "none")}}).what()
    with pytest.raises(DataError, match=r"none\.tmx does not exist"):
        TranslationQuality(memory=str(tmp_path / "none.tmx"), directions=(("en", "de"),)).prompts(())


def test_tokenizers() -> None:
    assert [bleu(tag, None).tokenizer.signature() for tag in ("zh", "zh-Hant", "ko", "ja", "th", "de", "sw", "yo")] == [
        *("zh", "zh", "char", "char", "char", "13a", "13a", "13a")
    ]
    assert bleu("ko", "intl").tokenizer.signature() == "intl"


def test_a_tokenizer_without_its_package_is_an_error(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MeCab", None)
    own = TranslationQuality(
        files={tag: files[tag] for tag in ("en", "de")}, directions=(("en", "de"),), bleu_tokenizers={"de": "ja-mecab"}
    )
    with pytest.raises(RecipeError, match='"ja-mecab" cannot be used'):
        own.prompts(())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either files or memory"),
        ({"files": {"en": "a", "de": "b"}, "memory": "m.tmx"}, "give either files or memory"),
        ({"files": {"en": "a"}}, "files has no file for de"),
        ({"files": {"en": "a", "de": "b", "sw": "c"}}, "files has a file for sw, which no direction names"),
        ({"memory": "m.txt"}, r"expected a file that ends in \.jsonl, \.tmx, \.tsv"),
        ({"memory": "m.tmx", "directions": []}, "directions"),
        ({"memory": "m.tmx", "directions": [["en", "en"]]}, "leads from en to itself"),
        ({"memory": "m.tmx", "directions": [["en", "german"]]}, "not a known language tag"),
        ({"memory": "m.tmx", "directions": [["en", "de"], ["en", "de"]]}, "listed twice"),
        ({"memory": "m.tmx", "prompt": "Translate."}, r"expected \{text\}.* found none"),
        ({"memory": "m.tmx", "prompt": "{text} {language}"}, r"found \{text\}, \{language\}"),
        ({"memory": "m.tmx", "prompt": "{text} {"}, "for braces of the text"),
        ({"memory": "m.tmx", "bleu_tokenizers": {"sw": "char"}}, "into which no direction leads"),
        ({"memory": "m.tmx", "bleu_tokenizers": {"de": "flores200"}}, "bleu_tokenizers"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TranslationQuality(**{"directions": (("en", "de"),), **options})
