"""The rules of the Language Confusion Benchmark: by hand, and against its definitions written down once more."""

from __future__ import annotations

import csv
import string
from collections.abc import Sequence
from pathlib import Path

import pytest

from langxfer.builtin.evaluators import language_confusion
from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.components import Evidence, Generation, Prompt, Score
from langxfer.errors import DataError, RecipeError
from langxfer.translation.identification import load_identifier
from tests.benchmarks.language_confusion import DATA

ENGLISH, KOREAN = "Here is a line of English words.", "이것은 한국어로 쓴 한 줄입니다."


def answers(texts: Sequence[str], tag: str) -> list[Generation]:
    return [Generation(Prompt(f"{i}/{tag}", "?", tag), text, 1, True) for i, text in enumerate(texts)]


def scores(texts: Sequence[str], tag: str, words: Path | None = None) -> dict[str, Score]:
    own = LanguageFidelity(preset="lcb", words=None if words is None else str(words))
    found = own.evaluate(Evidence((), answers(texts, tag), {}))
    return {score.name.removeprefix(f"language_fidelity/{tag}/"): score for score in found.scores}


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text("computer\nEnglish\nthe\nwords\n", encoding="utf-8")
    return path


def test_rates_by_hand(words: Path) -> None:
    texts = [
        KOREAN,
        f"{KOREAN} computer",
        f"{KOREAN} 컴퓨터(computer)",  # tokens are whole words, so this one passes
        f"{KOREAN} the English",  # capitals and three letters are not in the list
        f"{KOREAN}\nYes, of course",  # four tokens at most: a line that nobody reads
        f"{KOREAN}\n\nQ: {ENGLISH}",  # what follows is a new question
        f"{KOREAN}\n{ENGLISH}",
        ENGLISH,
        "네",
        "",
    ]
    found = scores(texts, "ko", words)
    assert {name: (score.value, score.n) for name, score in found.items()} == {
        "lpr": (75.0, 8),
        "wpr": (pytest.approx(100 * 5 / 6), 6),
        "lcpr": (pytest.approx(2 * 75 * (500 / 6) / (75 + 500 / 6)), 8),
        "line_accuracy": (pytest.approx(100 * 6.5 / 8), 8),
        "coverage": (80.0, 10),
    }
    assert found["lpr"].signature.startswith("id:py3langid-") and "|rules:lcb-3|" in found["lpr"].signature
    assert scores(texts, "ko").keys() == {"lpr", "line_accuracy", "coverage"}
    assert scores([ENGLISH], "en", words).keys() == {"lpr", "line_accuracy", "coverage"}


def test_the_error_of_the_harmonic_mean_is_that_of_small_changes(words: Path) -> None:
    found = scores([KOREAN] * 5 + [f"{KOREAN} computer"] * 2 + [ENGLISH] * 4, "ko", words)
    lines, word, both = found["lpr"], found["wpr"], found["lcpr"]

    def harmonic(a: float, b: float) -> float:
        return 2 * a * b / (a + b)

    step = 1e-4
    by_lines = (harmonic(lines.value + step, word.value) - both.value) / step * lines.standard_error
    by_words = (harmonic(lines.value, word.value + step) - both.value) / step * word.standard_error
    assert both.standard_error == pytest.approx((by_lines**2 + by_words**2) ** 0.5, rel=1e-4)


def test_rates_of_nothing_are_null_and_not_perfect(words: Path) -> None:
    empty = scores(["", "네"], "ko", words)
    assert {name: score.value for name, score in empty.items()} == {
        **{"lpr": None, "wpr": None, "lcpr": None, "line_accuracy": None},
        "coverage": 0.0,
    }
    wrong = scores([ENGLISH], "ko", words)
    assert (wrong["lpr"].value, wrong["wpr"].value, wrong["lcpr"].value) == (0.0, None, None)


def test_skipped_answers_enter_no_comparison() -> None:
    rows = LanguageFidelity(preset="lcb").evaluate(Evidence((), answers([KOREAN, ENGLISH, "네"], "ko"), {})).rows
    assert [row["score"] for row in rows] == [1.0, 0.0, None]


def test_a_missing_tokenizer_is_an_error_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"id": 1, "zh": "为什么？", "ko": "왜?"}\n', encoding="utf-8")
    monkeypatch.setattr(language_confusion, "_version", lambda package: None)
    own = LanguageFidelity(preset="lcb", prompts=str(tmp_path / "prompts.jsonl"))
    with pytest.raises(RecipeError, match=r'cuts zh into words with jieba, .*pip install "langxfer\[lcb\]"'):
        own.prompts(())
    korean = own.model_copy(update={"languages": ("ko",)})
    assert len(korean.prompts(())) == 1
    assert korean.what()["tokenizers"] == {"jieba": None, "fugashi": None}


def test_a_list_of_words_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"language_fidelity\.words .*none cannot be read \(No such file"):
        LanguageFidelity(words=str(tmp_path / "none")).what()
    (tmp_path / "capitals").write_text("USA\nabc\n", encoding="utf-8")
    with pytest.raises(DataError, match="no word in lower case"):
        LanguageFidelity(words=str(tmp_path / "capitals")).what()
    (tmp_path / "latin").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        LanguageFidelity(words=str(tmp_path / "latin")).what()
    (tmp_path / "one").write_text("word\n", encoding="utf-8")
    (tmp_path / "two").write_text("word\nABC\n", encoding="utf-8")
    one, two = (LanguageFidelity(words=name).resolve(tmp_path) for name in ("one", "two"))
    assert one.what() == two.what() != LanguageFidelity().what()


def as_published(texts: Sequence[str], tag: str, english: set[str]) -> tuple[float, float]:
    """LPR and WPR as the benchmark's script defines them, over whitespace tokens."""
    classify = load_identifier()
    judged = line_errors = word_errors = 0
    for text in texts:
        text = text.split("\nQ:")[0].strip()
        for sign in string.punctuation + "،":
            text = text.replace(sign, "")
        lines = [line for line in text.replace("—", " ").split("\n") if len(line.split()) >= 5]
        judged += bool(lines)
        sure = [label if score > 0.3 else "unknown" for label, score in map(classify, lines)]
        if any(label != tag for label in sure):
            line_errors += 1
        elif any(token in english for line in lines for token in line.split()):
            word_errors += 1
    return 100 * (1 - line_errors / judged), 100 * (1 - word_errors / (judged - line_errors))


@pytest.mark.parametrize("tag", ["hi", "id"])
def test_real_completions_as_published(tag: str) -> None:
    if not (DATA / "llama-3-instruct.csv").exists():
        pytest.skip("no completions beside the repository (../shared/data/language-confusion)")
    with open(DATA / "llama-3-instruct.csv", encoding="utf-8", newline="") as file:
        texts = [row["completion"] for row in csv.DictReader(file) if row["language"] == tag][::2]
    listed = (DATA / "words").read_text(encoding="utf-8").split("\n")
    english = {word for word in listed if word.islower() and len(word) > 3}
    found = scores(texts, tag, DATA / "words")
    lines, words = as_published(texts, tag, english)
    assert found["lpr"].value == pytest.approx(lines)
    assert "wpr" not in found or found["wpr"].value == pytest.approx(words)
