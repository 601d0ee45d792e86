"""What counts as a bad translation: each measure at its boundary, and on translations that people made."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest

from langxfer.components import Pair, Translation
from langxfer.translation import fault

EN_DE, EN_ZH, ZH_EN = Pair("en", "de"), Pair("en", "zh"), Pair("zh", "en")
PLAIN = "The winter was long, and nobody in the village remembered a colder one."
NTREX = Path(__file__).parents[3] / "shared" / "data" / "ntrex"


def judged(text: str | None, source: str = PLAIN, pair: Pair = EN_DE, problem: str | None = None) -> str | None:
    return fault(source, Translation(text, problem=problem), pair)


def letters(count: int, seed: int = 0) -> str:
    """Text without repetitions."""
    drawn = random.Random(seed)
    return "".join(drawn.choice(string.ascii_lowercase) for _ in range(count))


def test_what_the_translator_says_comes_first():
    assert judged(PLAIN) is None
    assert judged(PLAIN, problem="truncated") == "truncated"
    assert judged(None, problem="too many tokens") == "too many tokens"
    assert judged(None) == "missing"


@pytest.mark.parametrize("text", ["", " ", "\n\u3000"])
def test_empty(text):
    assert judged(text, "Hm.") == "empty"
    assert judged(text, text) is None


@pytest.mark.parametrize(
    ("piece", "times", "pair", "verdict"),
    [
        ("immer ", 2, EN_DE, None),
        ("immer ", 3, EN_DE, "looping"),
        ("ab", 6, EN_DE, "looping"),  # as "abab", three times
        ("sísí ", 2, EN_DE, None),
        ("gbo", 3, EN_DE, None),  # below 12 characters it is a word
        ("gbo", 4, EN_DE, "looping"),
        (letters(300), 2, EN_DE, None),
        (letters(300), 3, EN_DE, "looping"),
        ("谢谢大家", 2, EN_ZH, None),
        ("谢谢大家", 3, EN_ZH, "looping"),
        ("谢谢大", 3, EN_ZH, None),  # pieces begin at 4 characters there, and this is a run of 9
        ("谢谢", 6, EN_ZH, "looping"),
    ],
)
def test_pieces_in_a_row(piece, times, pair, verdict):
    text = f"Es war {piece * times}x"
    source = letters(len(text) * (3 if pair == EN_ZH else 1), seed=1)
    assert judged(text.strip(), source, pair) == verdict


@pytest.mark.parametrize(("times", "verdict"), [(3, None), (6, None), (7, "looping")])
def test_a_source_that_repeats_may_have_a_translation_that_repeats(times, verdict):
    source = "never ever, never ever, never ever, give up on anything that you have once begun to love."
    assert judged("nie mehr, " * times + "aufgeben", source) == verdict


def test_compression_sees_loops_of_long_pieces():
    piece = letters(400)  # longer than what is looked for in a row
    source = letters(2400, seed=1)
    assert judged(piece * 2, source[:800]) is None
    assert judged(piece * 6, source) == "looping"
    assert judged(piece * 6, letters(400, seed=2) * 6) is None  # the source goes round as well


def test_compression_is_counted_by_character():
    """Scripts of three bytes a character deflate to a quarter of their bytes without any loop."""
    drawn = random.Random(0)
    syllables = [chr(code) for code in range(0x0E01, 0x0E2F)]
    thai = "".join(drawn.choice(syllables) for _ in range(3000))
    assert judged(thai, letters(3000), Pair("en", "th")) is None


@pytest.mark.parametrize(
    ("pair", "given", "usual", "character", "weight"),
    [
        (EN_DE, letters(300, seed=1), 300 * 1.19, "letter", 1.0),
        (EN_ZH, letters(300, seed=1), 300, "ideograph", 2.9),
        (ZH_EN, "".join(chr(0x4E00 + n) for n in range(60)), 60 * 2.9, "letter", 1.0),
        (Pair("de", "ko"), letters(300, seed=1), 300 * 0.88 / 1.19, "syllable", 2.0),
    ],
)
def test_length_is_measured_by_what_is_usual(pair, given, usual, character, weight):
    """Usual is what the filter ``length_ratio`` takes for it: characters weigh as much as Latin ones say the same."""

    def made(length: float) -> str:
        count = int(length / weight)
        if character == "letter":
            return letters(count)
        start = {"ideograph": 0x5000, "syllable": 0xAC00}[character]
        return "".join(chr(start + 7 * n) for n in range(count))

    longest, shortest = 3 * usual + 20, usual / 3 - 20
    assert judged(made(longest), given, pair) is None
    assert judged(made(longest + weight), given, pair) == "too long"
    assert judged(made(shortest + weight), given, pair) is None
    assert judged(made(shortest - 0.01), given, pair) == "too short"


def test_short_texts_may_grow_and_shrink():
    assert judged("In Ordnung, einverstanden", "OK") is None
    assert judged("OK", "All right then, so be it") is None


def test_half_a_surrogate_pair_is_judged_too():
    assert judged("\ud83d " * 40, PLAIN) == "looping"


@pytest.mark.skipif(not NTREX.is_dir(), reason="NTREX is not there")
def test_translations_that_people_made_are_hardly_ever_suspicious():
    names = {"en": "eng-US", "zh": "zho-CN", "de": "deu", "ko": "kor", "id": "ind", "sw": "swa", "yo": "yor"}
    lines = {tag: (NTREX / f"newstest2019-ref.{name}.txt").read_text().splitlines()[::8] for tag, name in names.items()}
    pairs = [
        (Pair(*tags), source, target)
        for tags in ((a, b) for a in names for b in names if a != b)
        for source, target in zip(lines[tags[0]], lines[tags[1]], strict=True)
    ]
    assert len(pairs) > 10_000
    suspicious = [(source, target) for pair, source, target in pairs if judged(target, source, pair)]
    assert len(suspicious) <= len(pairs) / 2000
    long = [(pair, source, target) for pair, source, target in pairs if 60 < len(target) < 600][::10]
    assert len(long) > 500
    for pair, source, target in long:
        assert judged(target[: len(target) // 2] * 3, source, pair) is not None
