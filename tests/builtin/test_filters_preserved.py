"""What must be preserved: numbers in many notations, addresses, code, placeholders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.builtin.filters import Preserved, numbers
from langxfer.builtin.filters.numbers import missing_numbers, numbers_of
from langxfer.components import Drop
from langxfer.data import ParallelExample, Turn


def verdict(source: str, target: str, tag: str = "de", **options: object) -> Drop | None:
    return Preserved(**options).judge(ParallelExample("1", Turn("?", source, "en"), Turn("?", target, tag)))


def missing(source: str, target: str, tag: str = "de") -> list[str]:
    return missing_numbers(source, target, tag, largest_ignored=12)[0]


@pytest.mark.parametrize(
    ("source", "target", "tag"),
    [
        ("24,000 people", "24.000 Menschen", "de"),
        ("24,000 people", "24'000 Menschen", "de"),
        ("24,000 people", "24\u202f000 Menschen", "de"),
        ("3.75 metres", "3,75 Meter", "de"),
        ("in 1,234.5 days", "in 1.234,5 Tagen", "de"),
        ("1987", "١٩٨٧", "ar"),
        ("1987", "१९८७", "hi"),
        ("1987", "１９８７年", "zh"),
        ("1.5 million", "150万", "zh"),
        ("1.5 million", "1500 ribu", "id"),
        ("24,000", "2.4万", "zh"),
        ("£125m", "1억 2500만 파운드", "ko"),
        ("142 million", "1억 4천 2백만", "ko"),
        ("76,000 hectares", "7만 6천 헥타르", "ko"),
        ("375,000", "37만 5,000", "ko"),
        ("3.7 million", "milioni 3.7", "sw"),
        ("at 7.55am", "um 7:55 Uhr", "de"),
        ("at 7.55am", "saa 1.55 asubuhi", "sw"),
        ("at 19:30", "um halb acht", "de"),
        ("the 1980s", "80年代", "zh"),
        ("the 1980s", "上世纪八十年代", "zh"),
        ("the 1800s", "19 世纪", "zh"),
        ("85 mph", "136 km/h", "de"),
        ("two of the 12", "zwei von zwölf", "de"),
        ("the 19th century", "十九世纪", "zh"),
        ("the 19th century", "el siglo XIX", "es"),
        ("in 1944 and the 14th", "en MCMXLIV y el XIV", "es"),
        ("48 hours", "wákàtí méjìdínláàádọ́ta", "yo"),
    ],
)
def test_notations_of_the_same_number(source: str, target: str, tag: str) -> None:
    assert missing(source, target, tag) == []


@pytest.mark.parametrize(
    ("source", "target", "tag", "expected"),
    [
        ("24,000 people in 1987", "24.000 Menschen", "de", ["1987"]),
        ("24,000 people", "2.400 Menschen", "de", ["24,000"]),
        ("3.75 metres", "3,57 Meter", "de", ["3.75"]),
        ("3.75 metres", "3 Meter", "de", ["3.75"]),
        ("5.5 million", "5 Millionen", "de", ["5.5"]),
        ("the 1830s", "das Jahr 183", "de", ["1830"]),
        ("1.5 million", "160万", "zh", ["1.5"]),
        ("13 cats", "dreizehn Katzen", "de", ["13"]),  # a known false alarm: written out
        ("about 497 people", "ungefähr 500 Menschen", "de", ["497"]),  # another: rounded
        ("85 mph", "schnell", "de", ["85"]),
        ("50 km (31 miles)", "50 Kilometer", "de", ["31"]),
        ("in 1987", "ogún", "yo", ["1987"]),
    ],
)
def test_lost_and_changed_numbers(source: str, target: str, tag: str, expected: list[str]) -> None:
    assert missing(source, target, tag) == expected


def test_roman_numerals() -> None:
    values = {"XIII": 13, "XIV": 14, "XIX": 19, "XL": 40, "XCIX": 99, "CDXLIV": 444, "MMXXVI": 2026}
    assert {numeral: numbers.roman(numeral) for numeral in values} == values
    assert all(numbers.ROMAN.fullmatch(numeral) for numeral in values)
    assert not any(numbers.ROMAN.search(text) for text in ("I", "an X", "IIII", "xix", "CIVIL", "MIXED"))


def test_options_of_numbers() -> None:
    source, target = "13 of 200 in 1987", "200 im Jahr 1987"
    assert verdict(source, target) == Drop("lost numbers of the response", pytest.approx(1 / 3))
    assert verdict(source, target, max_lost_numbers=0.34) is None
    assert verdict(source, target, largest_ignored=13) is None
    assert verdict("7 cats", "Katzen", largest_ignored=6) == Drop("lost numbers of the response", 1.0)
    assert verdict(source, target, kinds=["code", "addresses"]) is None


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("See https://example.org/a?b=1#c.", "addresses"),
        ("Write to jo@example.org, please.", "addresses"),
        ("Run `pip install x` now.", "code"),
        ("```\nx = 1\n```", "code"),
        ("Dear {name}, you owe %s to [YOUR NAME] <b>.", "placeholders"),
        ("Hello {{ user }}", "placeholders"),
    ],
)
def test_what_has_no_translation(source: str, kind: str) -> None:
    assert verdict(source, "Bitte: " + source) is None
    changed = source.translate(str.maketrans("aeioux", "uxaeio"))
    found = verdict(source, changed)
    assert found is not None and found.reason == f"lost {kind} of the response"
    others = [own for own in ("addresses", "code", "placeholders") if own != kind]
    assert verdict(source, changed, kinds=others) is None


def test_white_space_in_code_does_not_count_and_numbers_in_code_are_code() -> None:
    assert verdict("```\nx = 4711\n```", "```\n  x  =  4711\n```") is None
    assert verdict("`4711`", "4711").reason == "lost code of the response"
    assert verdict("50% discount", "50 % Rabatt") is None


@given(st.lists(st.integers(13, 10**12), max_size=5), st.sampled_from([",", ".", "'", "\u202f", ""]))
def test_thousands_in_any_notation_are_found(values: list[int], separator: str) -> None:
    source = " and ".join(f"{value:,}" for value in values)
    target = " und ".join(f"{value:,}".replace(",", separator) for value in values)
    assert missing(source, target) == []


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_chains_of_myriads_have_their_value(high: int, low: int) -> None:
    assert [number.digits for number in numbers_of(f"{high}만 {low}명")] == [str(high * 10**4 + low)]
    assert [number.digits for number in numbers_of(f"{high}억 {low}만명")] == [str(high * 10**8 + low * 10**4)]


@given(st.text(max_size=60))
def test_a_text_loses_nothing_to_itself(text: str) -> None:
    assert verdict(text, text) is None
