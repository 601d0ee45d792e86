"""BELEBELE: prompts word by word, scores against lm-evaluation-harness' formulas, sources, options and errors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.evaluators.belebele import Belebele
from langxfer.builtin.evaluators.belebele.items import PINNED
from langxfer.components import Evaluation, Evidence, OptionScores, Question
from langxfer.data import ParallelExample, Turn
from langxfer.errors import ArtifactError, DataError
from langxfer.testing import check_evaluator

DATA = Path(__file__).parents[2].parent / "shared/data/belebele"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/belebele")
CODES = {"en": "eng_Latn", "de": "deu_Latn", "ko": "kor_Hang", "zh": "zho_Hans", "yo": "yor_Latn", "fr": "fra_Latn"}
# Of task belebele in lm-evaluation-harness 0.4.13 (doc_to_text; doc_to_choice is A to D, after a space).
LM_EVAL = (
    "P: {{flores_passage}}\nQ: {{question.strip()}}\nA: {{mc_answer1}}\nB: {{mc_answer2}}\n"
    "C: {{mc_answer3}}\nD: {{mc_answer4}}\nAnswer:"
)


def hub_row(number: int, code: str, right: int = 1) -> dict[str, Any]:
    return {
        "link": f"https://example.org/{number // 2}",
        "question_number": number % 2 + 1,
        "flores_passage": f"Passage {number // 2} in {code}. ",
        "question": f" Question {number}? ",
        **{f"mc_answer{i}": f"Answer {number} {'x' * i}" for i in range(1, 5)},
        "correct_answer_num": str(right),
        "dialect": code,
        "ds": "2023-05-03",
    }


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A folder with four questions in six languages; the right answers are A, B, C, D."""
    for code in CODES.values():
        write(tmp_path / f"{code}.jsonl", [hub_row(i, code, i + 1) for i in range(4)])
    return str(tmp_path)


def answer(evaluator: Belebele, totals: Sequence[Sequence[float]], cut: int = 0) -> Evaluation:
    asked = evaluator.questions([])
    scored = [
        OptionScores(question, tuple(row), tuple(2 for _ in row), cut)
        for question, row in zip(asked, totals, strict=True)
    ]
    return evaluator.evaluate(Evidence([], [], {}, scored))


def prompt(source: str, tag: str, **options: Any) -> Question:
    return Belebele(source=source, languages=(tag,), **options).questions([])[0]


def test_the_paper_s_prompt_word_by_word(source: str) -> None:
    german = prompt(source, "de")
    assert german == Question(
        "https://example.org/0#1/de",
        "Dokument: Passage 0 in deu_Latn. \nFrage: Question 0?\nA: Answer 0 x\nB: Answer 0 xx\nC: Answer 0 xxx\n"
        "D: Answer 0 xxxx\nAntwort:",
        (" A", " B", " C", " D"),
    )
    assert not german.chat
    korean = prompt(source, "ko")
    assert korean.context.splitlines()[2:] == [
        "가) Answer 0 x",
        "나) Answer 0 xx",
        "다) Answer 0 xxx",
        "라) Answer 0 xxxx",
        "정답:",
    ]
    assert korean.options == (" 가)", " 나)", " 다)", " 라)")
    assert korean.context.startswith("문서: ") and "\n질문: " in korean.context
    chinese, english = prompt(source, "zh").context, prompt(source, "en").context
    assert chinese.startswith("文档: ") and "\n问题: " in chinese and chinese.endswith("\n答案:")
    assert english.startswith("Passage: ") and "\nQuestion: " in english and english.endswith("\nAnswer:")


def test_labels_and_spelling(source: str) -> None:
    assert prompt(source, "ko", labels="letters").options == (" A", " B", " C", " D")
    assert prompt(source, "ko", labels="letters").context.endswith("D: Answer 0 xxxx\n정답:")
    paper, corrected = prompt(source, "yo").context, prompt(source, "yo", spelling="corrected").context
    assert paper.startswith("Iwe: ") and "\nIbèèrè: " in paper and paper.endswith("\nIdahun:")
    assert corrected.startswith("Ìwé: ") and "\nÌbéèrè: " in corrected and corrected.endswith("\nÌdáhùn:")
    assert prompt(source, "de", preset="paper-text").options == tuple(f" Answer 0 {'x' * i}" for i in range(1, 5))
    assert prompt(source, "de", preset="paper-text").context == prompt(source, "de").context


@pytest.mark.parametrize("tag", ["en", "ko", "fr"])
def test_the_preset_lm_eval_is_its_template(source: str, tag: str) -> None:
    asked = Belebele(source=source, languages=(tag,), preset="lm-eval").questions([])
    template = jinja2.Template(LM_EVAL)
    assert [question.context for question in asked] == [template.render(**hub_row(i, CODES[tag])) for i in range(4)]
    assert {question.options for question in asked} == {(" A", " B", " C", " D")}


def test_scores_by_hand(source: str) -> None:
    totals = [[-1, -2, -3, -4], [-1, -2, -3, -4], [-4, -3, -1, -2], [-2, -2, -5, -5]]
    found = answer(Belebele(source=source, languages=("de",)), totals)
    scores = {score.name: score for score in found.scores}
    main = scores["belebele/de"]
    assert (main.value, main.n, main.unit) == (50.0, 4, "%")
    assert main.standard_error == pytest.approx(100 * math.sqrt(0.25 / 3))
    # Wilson's interval of 2 in 4, from its quadratic: (p - x)^2 = z^2 x (1 - x) / n.
    roots = np.roots([1 + 3.841459 / 4, -(1 + 3.841459 / 4), 0.25])
    assert main.interval == pytest.approx(sorted(100 * roots), abs=1e-3)
    assert scores["belebele/de/ties"].value == 25.0
    assert scores["belebele/de/cut"].value == 0.0
    assert not found.notes
    assert [row["predicted"] for row in found.rows] == ["A", "A", "C", "A"]
    assert [row["gold"] for row in found.rows] == ["A", "B", "C", "D"]
    assert [row["correct"] for row in found.rows] == [1, 0, 1, 0]
    assert sum(row["score"] for row in found.rows) / 4 == main.value
    assert [row["tied"] for row in found.rows] == [False, False, False, True]
    assert found.rows[0]["log_probs"] == [-1, -2, -3, -4]
    assert "preset:paper-label" in main.signature and "measure:acc|" in main.signature


def test_languages_have_their_own_scores_and_equal_items(source: str) -> None:
    evaluator = Belebele(source=source, languages=("de", "ko"), limit=3)
    found = answer(evaluator, [[0, -1, -1, -1]] * 3 + [[-1, 0, -1, -1]] * 3, cut=7)
    values = {score.name: score.value for score in found.scores}
    assert values["belebele/de"] == values["belebele/ko"] == pytest.approx(100 / 3)
    assert values["belebele/de/cut"] == 100.0
    assert len({row["id"] for row in found.rows}) == 6
    assert [row["item"] for row in found.rows[:3]] == [row["item"] for row in found.rows[3:]]
    assert len(found.notes) == 2 and "3 of 3 contexts" in found.notes[0]
    digests = {score.signature for score in found.scores if score.name in ("belebele/de", "belebele/ko")}
    assert len(digests) == 2


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_measures_are_those_of_lm_eval(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(min_size=1, max_size=9).filter(str.strip), min_size=4, max_size=4))
    totals = data.draw(st.lists(st.floats(-90, 0), min_size=4, max_size=4))
    texts = [text.strip() for text in texts]
    row = {**hub_row(0, "eng_Latn"), **{f"mc_answer{i}": text for i, text in enumerate(texts, 1)}}
    source = write(tmp_path_factory.mktemp("one") / "eng_Latn.jsonl", [row])
    found = answer(Belebele(source=source, languages=("en",), preset="paper-text"), [totals]).rows[0]
    # process_results of ConfigurableTask in lm-evaluation-harness 0.4.13.
    lls = np.array(totals)
    assert found["acc"] == int(np.argmax(lls) == 0)
    assert found["acc_norm_chars"] == int(np.argmax(lls / np.array([float(len(i)) for i in texts])) == 0)
    assert found["acc_norm_bytes"] == int(np.argmax(lls / np.array([float(len(i.encode())) for i in texts])) == 0)
    assert found["correct"] == found["acc_norm_chars"]


def test_a_log_probability_that_is_no_number_is_an_error(source: str) -> None:
    with pytest.raises(DataError, match=r"example\.org/0#1/de: the model gives an option the log-probability nan"):
        answer(Belebele(source=source, languages=("de",), limit=1), [[math.nan, 0, 0, 0]])


def test_languages_come_from_the_examples(source: str) -> None:
    example = ParallelExample("1", Turn("a", "b", "en"), Turn("c", "d", "de"))
    asked = Belebele(source=source).questions([example, example])
    assert [question.id.rsplit("/", 1)[1] for question in asked] == ["en"] * 4 + ["de"] * 4
    with pytest.raises(DataError, match="belebele has no languages: set languages"):
        Belebele(source=source).questions([])
    french = ParallelExample("1", Turn("a", "b", "en"), Turn("c", "d", "fr"))
    with pytest.raises(DataError, match="no native labels for fr"):
        Belebele(source=source).questions([french])


@pytest.mark.parametrize("left", ["de ko de", "de", ""])
def test_answers_stay_with_their_language_when_examples_are_lost(source: str, left: str) -> None:
    """Of the first row only the German example fitted into the model's window, or no Korean one did at all."""
    examples = {tag: ParallelExample(tag, Turn("a", "b", "en"), Turn("c", "d", tag)) for tag in ("ko", "de")}
    evaluator = Belebele(source=source)
    asked = evaluator.questions([examples["ko"], examples["de"]])
    always_first, always_second = (0.0, -1.0, -1.0, -1.0), (-1.0, 0.0, -1.0, -1.0)
    scored = [OptionScores(q, always_second if q.id.endswith("/ko") else always_first, (1,) * 4) for q in asked]
    found = evaluator.evaluate(Evidence([examples[tag] for tag in left.split()], [], {}, scored))
    predicted = {tag: {row["predicted"] for row in found.rows if row["language"] == tag} for tag in ("en", "ko", "de")}
    assert predicted == {"en": {"A"}, "ko": {"B"}, "de": {"A"}}
    assert all(row["id"] == f"{row['item']}/{row['language']}" for row in found.rows)


def test_one_file_may_hold_several_languages(tmp_path: Path) -> None:
    rows = [hub_row(i, code, 2) for code in ("eng_Latn", "deu_Latn") for i in range(2)]
    path = write(tmp_path / "all.jsonl", rows)
    asked = Belebele(source=path, languages=("de",)).questions([])
    assert len(asked) == 2 and all("deu_Latn" in question.context for question in asked)
    for row in rows:
        del row["dialect"]
    with pytest.raises(DataError, match=r"example\.org/0#1 occurs twice in de"):
        Belebele(source=write(tmp_path / "all.jsonl", rows), languages=("de",)).questions([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct_answer_num": "5"}, "correct_answer_num is 5"),
        ({"question_number": "one"}, "question_number one"),
        ({"mc_answer3": None}, "mc_answer3 is None, expected a text"),
        ({"flores_passage": " "}, "flores_passage is ' ', expected a text"),
        ({"link": 3}, "link is 3, expected a text"),
        ({"dialect": "fra_Latn"}, r"no question in de \(deu_Latn\)"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "deu_Latn.jsonl", [{**hub_row(0, "deu_Latn"), **change}])
    with pytest.raises(DataError, match=message):
        Belebele(source=source, languages=("de",)).questions([])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"deu_Latn\.jsonl:1 is not JSON"),
        (b"\n3", r"deu_Latn\.jsonl:2 is 3, expected an object"),
        (b'{"a": 1}', "expected the hub's columns"),
        (b"\n\xff", r"deu_Latn\.jsonl:2 is not UTF-8"),
        (b'{"text": "a", "metadata": 3, "items": 4}', "is missing or wrong"),
        (
            b'{"text": "a", "metadata": {"extra": {"url": "u"}}, "items": [{"question": 3}]}',
            "question is 3, expected a",
        ),
        (b'{"text": "a", "metadata": {"extra": {"url": "u"}}, "items": [4]}', "is missing or wrong"),
        (b'{"text": "a", "items": [{}]}', "'metadata' is missing or wrong"),
        (
            b'{"text": "a", "metadata": {"extra": {"url": "u"}}, "items": [{"question": "q", "answers": []}]}',
            "0 answers",
        ),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "deu_Latn.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Belebele(source=str(tmp_path), languages=("de",)).questions([])


def test_sources_that_are_not_there(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"expected one file swh_Latn\.jsonl or swh_Latn\.ANYTHING\.jsonl, found none"):
        Belebele(source=source, languages=("sw",)).questions([])
    with pytest.raises(DataError, match="no such file or folder"):
        Belebele(source="./nothing.jsonl", languages=("sw",)).identity()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"own/copy is no local path, and without a revision it can change"):
        Belebele(source="own/copy", languages=("sw",)).questions([])


def test_the_hub_is_asked_for_a_fixed_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, subset: str, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((name, subset, split, revision))
        if name == "own/copy":
            raise ConnectionError("no network\nmore")
        return [hub_row(i, subset) for i in range(3)]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(Belebele(languages=("sw",)).questions([])) == 3
    assert asked == [("facebook/belebele", "swh_Latn", "test", PINNED["facebook/belebele"])]
    assert Belebele(languages=("sw",)).identity() == {"revision": PINNED["facebook/belebele"]}
    with pytest.raises(ArtifactError, match=r"own/copy \(subset yor_Latn, .*\) cannot be loaded: no network\. Check"):
        Belebele(source="own/copy", revision="a" * 40, languages=("yo",)).questions([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ("fr",)}, "no native labels for fr"),
        ({"languages": ("xx",)}, "xx"),
        ({"languages": ("de", "de")}, "listed twice"),
        ({"languages": ("br",), "preset": "lm-eval"}, "BELEBELE does not have br"),
        ({"languages": ("de",), "spelling": "corrected"}, "nothing here"),
        ({"preset": "lm-eval", "spelling": "corrected"}, "nothing here"),
        ({"revision": "main"}, "can move"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_cannot_be_honoured(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Belebele(**options)


def test_the_cache_key_follows_contents_not_places(source: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    evaluator = Belebele(source=Path(source).name, languages=("de",)).resolve(Path(source).parent)
    assert evaluator.source == source
    first = evaluator.identity()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    text = (Path(source) / "deu_Latn.jsonl").read_text()
    (elsewhere / "deu_Latn.jsonl").write_text(text)
    assert Belebele(source=str(elsewhere), languages=("de",)).identity() == first
    assert Belebele(source=str(elsewhere / "deu_Latn.jsonl")).identity() == first
    (elsewhere / "deu_Latn.jsonl").write_text(text.replace("Question 0", "Question zero"))
    assert Belebele(source=str(elsewhere)).identity() != first
    assert Belebele(languages=("de",)).resolve(Path(source)).source == "facebook/belebele"


@pytest.mark.parametrize("preset", ["paper-label", "paper-text", "lm-eval"])
def test_the_contract_holds(source: str, preset: str) -> None:
    check_evaluator(Belebele(source=source, languages=("de", "ko"), preset=preset))


@real
def test_the_real_questions_are_parallel() -> None:
    evaluator = Belebele(source=str(DATA), languages=("en", "de"))
    asked = evaluator.questions([])
    assert len(asked) == 1800
    english, german = ([q.id.rsplit("/", 1)[0] for q in half] for half in (asked[:900], asked[900:]))
    assert english == german
    right = [[float(i == gold) for i in range(4)] for gold in (1, 2, 0, 3)]
    found = answer(evaluator, [right[i % 4] for i in range(1800)])
    assert [row["gold"] for row in found.rows[:900]] == [row["gold"] for row in found.rows[900:]]
    # Passages come first and are shared by the questions that follow them.
    passages = {question.context.split("\nQuestion: ")[0] for question in asked[:900]}
    assert len(passages) == 488
