"""The filter of identical examples: by hand, by its laws, and on real translated data."""

from __future__ import annotations

import json
import time
import unicodedata
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.filters.identical import LONGEST_BY_CHARACTERS, Identical, similarity
from langxfer.components import Drop
from langxfer.data import ParallelExample, Turn

ALPACA = Path(__file__).parents[2].parent / "shared/data/alpaca-en-de/pairs.jsonl"
TEXTS = st.text(alphabet="abcß Aé1中文 ", max_size=30)


def example(source: str, target: str, prompts: tuple[str, str] = ("Why?", "Warum denn?")) -> ParallelExample:
    return ParallelExample("1", Turn(prompts[0], source, "en"), Turn(prompts[1], target, "de"))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("42", "42"),
        ("", "  "),
        ("Berlin", "BERLIN"),
        ("a  b\n", "a b"),
        ("ＡＢＣ", "abc"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
    ],
)
def test_texts_equal_but_for_case_width_and_spacing_are_identical(source: str, target: str) -> None:
    assert Identical().judge(example(source, target)) == Drop("identical response", 1.0)
    assert Identical(max_similarity=1).judge(example(source, target)) == Drop("identical response", 1.0)


def test_similarity_by_hand() -> None:
    # "abcd" and "abxd" share ab and d: 2 * 3 / 8.
    assert similarity("abcd", "abxd") == 0.75
    assert similarity("abc", "xyz") == 0
    assert Identical(max_similarity=0.7).judge(example("abcd", "abxd")) == Drop("near-identical response", 0.75)
    assert Identical(max_similarity=0.75).judge(example("abcd", "abxd")) is None


def test_a_translation_stays() -> None:
    assert Identical().judge(example("The cat sleeps on the sofa.", "Die Katze schläft auf dem Sofa.")) is None


def test_texts_decides_what_is_compared() -> None:
    prompts = example("The cat sleeps.", "Die Katze schläft.", ("SELECT 1?", "SELECT 1?"))
    responses = example("SELECT 1", "select 1")
    neither = example("The cat sleeps.", "Die Katze schläft.")
    for texts, dropped in (("response", [responses]), ("prompt", [prompts]), ("either", [prompts, responses])):
        component = Identical(texts=texts)
        assert [e for e in (prompts, responses, neither) if component.judge(e)] == dropped
    assert Identical(texts="either").judge(prompts) == Drop("identical prompt", 1.0)


@given(TEXTS, TEXTS)
def test_similarity_is_symmetric_and_bounded(first: str, second: str) -> None:
    assert similarity(first, second) == similarity(second, first)
    assert 0 <= similarity(first, second) <= 1
    assert similarity(first, first) == 1


@given(TEXTS, TEXTS, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_drops_no_more(first: str, second: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if Identical(max_similarity=high).judge(example(first, second)):
        assert Identical(max_similarity=low).judge(example(first, second))


@given(st.text("abc", min_size=1, max_size=30), st.text("abc", min_size=1, max_size=30), st.floats(0, 1))
def test_the_shortcut_changes_no_verdict(first: str, second: str, needed: float) -> None:
    shorter, longer = sorted((first, second), key=lambda text: (len(text), text))
    exact = SequenceMatcher(None, shorter, longer, autojunk=False).ratio()
    dropped = Identical(max_similarity=needed).judge(example(first, second))
    assert (dropped is not None) == (first == second or exact > needed)
    assert dropped is None or dropped.measure == pytest.approx(exact, abs=2e-6)


@pytest.mark.parametrize("text", ["Das ist ein langer Satz über Bäume. ", "这是一个关于树木的很长的句子。"])
def test_long_texts_are_compared_by_pieces(text: str) -> None:
    long = "".join(f"{number} {text}" for number in range(60))
    assert len(long) > LONGEST_BY_CHARACTERS
    edited = long.replace("30 ", "dreißig oder mehr ")
    assert 0.95 < similarity(long, edited) < 1
    assert Identical().judge(example(long, edited)) is not None
    assert Identical().judge(example(long, "A quite different answer, in English, about ships. " * 40)) is None


def test_frequent_pieces_count_in_long_texts() -> None:
    long = "yes no " * 200
    assert similarity(f"{long} then", f"maybe {long}") > 0.98


def test_different_spacing_inside_words_is_not_identical() -> None:
    long = "abcdefgh " * 60
    assert similarity(long, long.replace("abcdefgh", "abcd efgh")) < 1


@pytest.mark.parametrize(
    "options", [{"max_similarity": 1.1}, {"max_similarity": -0.1}, {"texts": "both"}, {"similarity": 1}]
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Identical(**options)


def test_eleven_thousand_real_rows_in_seconds() -> None:
    if not ALPACA.exists():
        pytest.skip("no Alpaca data in English and German beside the repository (../shared/data/alpaca-en-de)")
    rows = [json.loads(line) for line in ALPACA.read_text(encoding="utf-8").splitlines()]
    pairs = [example(row["en"]["output"], row["de"]["output"]) for row in rows]
    started = time.process_time()
    judged = [(pair, Identical().judge(pair)) for pair in pairs]
    assert time.process_time() - started < 10
    dropped = [(pair, drop) for pair, drop in judged if drop]
    assert 100 < len(dropped) < len(rows) / 5
    identical = {pair.source.response for pair, drop in dropped if drop.reason == "identical response"}
    assert identical == {pair.source.response for pair in pairs if _plain(pair.source) == _plain(pair.target)}
    # Sentences are not lost, but for names and numbers with an article ("Der Terminator (1984).").
    function_words = ({" the ", " is ", " of "}, {" der ", " die ", " ist ", " und "})
    sentences = [
        pair for pair, _ in dropped if _has(pair.source, function_words[0]) and _has(pair.target, function_words[1])
    ]
    assert len(sentences) < len(dropped) / 100


def _has(turn: Turn, words: set[str]) -> bool:
    return any(word in f" {turn.response.lower()} " for word in words)


def _plain(turn: Turn) -> str:
    return " ".join(unicodedata.normalize("NFKC", turn.response).casefold().split())
