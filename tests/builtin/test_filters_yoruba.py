"""Yoruba number words: the system from 21 to 199 by its rule, and notations that texts have."""

from __future__ import annotations

import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.builtin.filters.numbers import missing_numbers
from langxfer.builtin.filters.yoruba import spoken_values

UNITS = ["", "mọ́kàn", "méjì", "mẹ́tà", "mẹ́rìn", "márùn"]
TENS = ["ogún", "ọgbọ̀n", "ogójì", "àádọ́ta", "ọgọ́ta", "àádọ́rin", "ọgọ́rin", "àádọ́rùn-ún", "ọgọ́rùn-ún"]
TENS += ["àádọ́fà", "ọgọ́fà", "àádóje", "ogóje", "àádọ́jọ", "ọgọ́jọ", "àádọ́sàn", "ọgọ́sàn", "àádọ́wàá", "igba"]


def name(number: int) -> str:
    """Up to four over ten go by the ten below, the others are less than the ten above."""
    tens, over = divmod(number, 10)
    if not over:
        return TENS[tens - 2]
    if over < 5:
        return f"{UNITS[over]}lél{TENS[tens - 2]}"
    above = TENS[tens - 1]
    return f"{UNITS[10 - over]}dín{'ní' if above == 'igba' else 'l'}{above}"


@pytest.mark.parametrize("form", ["NFC", "NFD", "bare"])
def test_the_system_up_to_two_hundred(form: str) -> None:
    for number in range(20, 201):
        word = unicodedata.normalize("NFC" if form == "NFC" else "NFD", name(number))
        if form == "bare":
            word = "".join(character for character in word if not unicodedata.combining(character))
        assert spoken_values(f"Ó rí {word}.") == {number}, word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mọ́kànlá", 11),
        ("mẹ́rìnlá", 14),
        ("mẹ́ẹ̀ẹ́dógún", 15),
        ("mẹ́sàn-án", 9),
        ("kẹtàdínlógún", 17),
        ("ìkọkàndínlọ́gbọ̀n", 29),
        ("Ọgbọ́njọ́", 30),
        ("méjìdín ní àádọ́ta", 48),
        ("okòólénígba", 220),
        ("irinwó-dínní-mẹ́rindínlógún", 384),
        ("irinwódínmẹ́ẹ̀dógún", 385),
        ("ẹ̀ẹ́dẹ́gbẹ̀ta", 500),
        ("ẹgbẹ̀rin", 800),
        ("ẹgbẹ̀wá", 2000),
        ("ẹgbàajì", 4000),
        ("ẹgbàárùn", 10_000),
        ("ọ̀ọ́dúnrún ó dín ogójì", 260),
        ("ẹgbẹ̀rún mẹ́fà", 6000),
        ("irinwó ẹgbẹ̀rún", 400_000),
        ("ẹlẹ́gbẹ̀rún mẹ́ẹ̀ẹ́dọ́gbọ̀n", 25_000),
        ("ẹgbẹ̀rún lọ́nà ọgọ́rùn-ún", 100_000),
        ("ẹgbẹ̀rún mẹ́fà ó lé ọ̀rìn lé lọ́ọ̀dúnrún ó lé méje", 6387),
        ("ẹgbẹ́rùn lọ́nà márùn-ún dín ní ọ̀ọ́dún", 4700),
        ("mílíọ̀nù ogún àti ẹgbẹ̀rún lọ́nà irinwó", 20_400_000),
        ("mílíọ̀nù ẹgbẹ̀ta-lé-ní-mọ́kàndínláàádọ́ta", 649_000_000),
        ("mílíọ̀nù kan àti ààbọ̀", 1_500_000),
        ("kan àti ààbọ̀", Fraction(3, 2)),
        ("méjìlá ó lé mẹ́jọ", Fraction(128, 10)),
        ("ọgbọ̀n ọdún ó lé mẹ́rin", 34),
        ("ọgọ́rùn-ún ọdún kọkàndínlógún", 19),
    ],
)
def test_notations_of_texts(text: str, value: int | Fraction) -> None:
    assert value in spoken_values(text)


@pytest.mark.parametrize(
    "text", ["", "ọdún", "lọ́dún", "ọ̀run", "Ó dára púpọ̀.", "metal", "mega", "1987", "ati ati le din"]
)
def test_other_words_are_no_numbers(text: str) -> None:
    assert spoken_values(text) == frozenset()


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    assert all(value >= 0 for value in spoken_values(text))


@given(st.integers(20, 200), st.integers(20, 200))
def test_a_number_word_excuses_its_own_number_and_no_other(said: int, wanted: int) -> None:
    missing, looked_for = missing_numbers(f"They saw {wanted} ships.", f"Wọ́n rí ọkọ̀ {name(said)}.", "yo", 12)
    assert looked_for == 1 and (missing == []) == (said == wanted)


@pytest.mark.parametrize(
    ("source", "target", "missing"),
    [
        ("20.4 million people", "mílíọ̀nù ogún àti ẹgbẹ̀rún lọ́nà irinwó èèyàn", []),
        ("a 1.5 hour drive", "wákàtí kan ó lé márùn-ún", []),
        ("at 7.55am", "aago mẹ́jọ ku ìṣẹ́jú máàrún", []),
        ("at 12:55 p.m.", "aago kan ku ìṣẹ́jú máàrún", []),
        ("at 7.55am", "aago mẹ́jọ ku ogún", ["7.55"]),
        ("45 million", "mílíọ̀nù márùndínlógójì", ["45"]),
        ("24,000 of 34", "ẹgbẹ̀rún mẹ́rìnlélógún, mẹ́rìnlélógún", ["34"]),
    ],
)
def test_numbers_are_compared_by_what_is_said(source: str, target: str, missing: list[str]) -> None:
    assert missing_numbers(source, target, "yo", 12)[0] == missing
