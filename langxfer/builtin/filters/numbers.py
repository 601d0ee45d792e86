"""Numbers in two languages: which of a source are missing in its translation."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from langxfer.builtin.filters import yoruba

# Digits of any script, with separators of thousands and decimals as in English, German, Swiss, French and Arabic.
DIGITS = re.compile(r"\d+")
NUMBER = r"\d+(?:[.,'’٬ \u00a0\u202f]\d{3}(?!\d))*(?:[.,٫]\d+)?"

# Korean and Chinese group by ten thousands and write the groups' names: 1억 2,500만, 2.4万. Such a chain is one number.
UNITS: Mapping[str, int] = MappingProxyType(
    {"십": 10, "十": 10, "백": 100, "百": 100, "천": 1000, "千": 1000}
    | {"만": 10**4, "万": 10**4, "萬": 10**4, "억": 10**8, "亿": 10**8, "億": 10**8, "조": 10**12, "兆": 10**12}
)
MYRIAD = 10**4
LONGEST_CHAIN = 40  # characters; what is longer is no number that anybody reads
CHAIN = re.compile(rf"(?:{NUMBER}\s?[{''.join(UNITS)}]+\s?)+(?:{NUMBER})?|{NUMBER}")
LINK = re.compile(rf"({NUMBER})\s?([{''.join(UNITS)}]*)")

# 1.5 million is 1500 ribu and 150万: where such a word follows (Swahili: precedes), zeros at the end do not count.
SCALE = r"hundred|thousand|[mbt]illions?|bn|m|k|tausend|tsd|mio|mrd|milliarden?|ribu|juta|miliar|triliun"
SCALED = re.compile(rf"[\s-]*(?:{SCALE})\b", re.IGNORECASE)
SCALED_BEFORE = re.compile(
    r"(?:elfu|laki|milioni|bilioni|trilioni|mílíọ̀nù|bílíọ̀nù|million?i?|billion?i?)\s+\Z", re.IGNORECASE
)
WINDOW = 12  # characters before a number in which such a word may stand

# What a translator may convert to metric units; the number then stands for another one.
IMPERIAL = re.compile(
    r"[\s-]*(?:(?:sq|square|cubic)\.?\s)?(?:miles?|mi|mph|feet|foot|ft|inch(?:es)?|yards?|yd|pounds?|lbs?|ounces?|oz|acres?|"
    r"gallons?|degrees?|stone)\b|\s?°\s?F|s\b",
    re.IGNORECASE,
)
HOUR = re.compile(r":\d")
QUARTERS = frozenset(("15", "30", "45"))  # 19:30 is half past seven, halb acht, 七点半
TIME = re.compile(r"\s?[ap]\.?m\b", re.IGNORECASE)
DECADE = re.compile(r"['’]?s\b")

# Chinese writes numbers in words too. One of these words may be the number that is missed; which one is not read.
CHINESE = re.compile(r"[〇零一二三四五六七八九十百千万兩两萬]{2,}")
WRITTEN_OUT: Mapping[str, re.Pattern[str]] = MappingProxyType({"zh": CHINESE, "zh-Hant": CHINESE})
# Languages whose number words are read: the values that a text has in words.
SPOKEN: Mapping[str, Callable[[str], Set[Fraction]]] = MappingProxyType({"yo": yoruba.spoken_values})
LEAST_SCALED = 1000  # of a value in words that stands for so many thousands or millions
# The 19th century is el siglo XIX; a single letter is more often a letter.
ROMAN = re.compile(r"\b(?=[MDCLXVI]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?!\w)")
LETTERS: Mapping[str, int] = MappingProxyType({"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000})


@dataclass(frozen=True)
class Number:
    """A number of a text.

    Attributes:
        text: as it stands there.
        runs: its digits between the separators, in Western digits.
        digits: all of them, without leading zeros; of a chain such as 2.4万 those of its value, 24000.
        scaled: whether a word like million belongs to it.
        start: where it begins in the text, in characters.
        end: where it ends.
    """

    text: str
    runs: tuple[str, ...]
    digits: str
    scaled: bool
    start: int
    end: int

    @property
    def significant(self) -> str:
        return self.digits.rstrip("0")


def missing_numbers(source: str, target: str, tag: str, largest_ignored: int) -> tuple[list[str], int]:
    """The numbers of the source that the target (in language ``tag``) lacks, and how many were looked for.

    Args:
        source: a text in digits as English has them.
        target: its translation.
        tag: BCP-47.
        largest_ignored: whole numbers up to this one are not looked for: they are written as words.
    """
    wanted = [number for number in numbers_of(source) if _counts(number, source, largest_ignored)]
    if not wanted:
        return [], 0
    there = numbers_of(target)
    counted = Counter(run for number in there for run in number.runs)
    runs = counted.keys()
    digits = {number.digits for number in there} | runs | {str(roman(found[0])) for found in ROMAN.finditer(target)}
    significant = {number.significant for number in there}
    scaled = {number.significant for number in there if number.scaled}
    missing = []
    for number in wanted:
        shown = number.digits in digits or Counter(_needed(number, source)) <= counted  # 5.5 needs two fives
        shown = shown or number.significant in (significant if number.scaled else scaled)
        if not (shown or (_is_decade(number, source) and _in_short(number) in runs)):
            missing.append(number)
    known = numbers_of(source)
    known_digits, known_runs = {own.digits for own in known}, {run for own in known for run in own.runs}
    added = any(own.digits not in known_digits and not known_runs.issuperset(own.runs) for own in there)
    missing = [number for number in missing if not _convertible(number, source, added)]
    if missing and tag in SPOKEN:
        said = SPOKEN[tag](target)
        missing = [number for number in missing if not _is_said(number, source, said)]
    excused = written_out(target, tag) if missing else 0
    # Years and fractions are never written out, decades are (八十年代); each number word excuses one number.
    missing.sort(key=lambda number: not _sayable(number, source))
    sayable = sum(_sayable(number, source) for number in missing)
    return [number.text for number in missing[min(excused, sayable) :]], len(wanted)


def numbers_of(text: str) -> list[Number]:
    """The numbers of a text, in order."""
    found = []
    for match in CHAIN.finditer(text):
        runs = tuple(_western(run) for run in DIGITS.findall(match[0]))
        chained = len(match[0]) <= LONGEST_CHAIN and not UNITS.keys().isdisjoint(match[0])
        digits = str(_value(match[0])) if chained else "".join(runs).lstrip("0") or "0"
        before = text[max(0, match.start() - WINDOW) : match.start()]
        scaled = chained or SCALED.match(text, match.end()) or SCALED_BEFORE.search(before)
        found.append(Number(match[0].strip(), runs, digits, bool(scaled), match.start(), match.end()))
    return found


def roman(numeral: str) -> int:
    """The value of a Roman numeral in capitals."""
    values = [LETTERS[letter] for letter in numeral]
    return sum(-own if own < after else own for own, after in zip(values, [*values[1:], 0], strict=True))


def written_out(text: str, tag: str) -> int:
    """How many words of a text may be numbers, in languages that often write them so; 0 in others."""
    return len(WRITTEN_OUT[tag].findall(text)) if tag in WRITTEN_OUT else 0


def _counts(number: Number, source: str, largest_ignored: int) -> bool:
    if HOUR.match(source, number.end) or (source[: number.start].endswith(":") and number.digits in QUARTERS):
        return False
    return len(number.runs) > 1 or len(number.digits) > LONGEST_CHAIN or int(number.digits) > largest_ignored


def _sayable(number: Number, source: str) -> bool:
    """Whether a number may be written out: a whole one that is no year."""
    year = len(number.text) == 4 and number.text.isdigit() and not number.text.endswith("00")
    return (not year or _is_decade(number, source)) and "." not in number.text


def _is_said(number: Number, source: str, said: Set[Fraction]) -> bool:
    """Whether a number is there in words; of a time of day the minutes, or those that are left of the hour."""
    if TIME.match(source, number.end) and (len(number.runs) == 2 or source[: number.start].endswith(":")):
        return not said.isdisjoint((int(number.runs[-1]), 60 - int(number.runs[-1])))
    if number.scaled:
        return any(str(int(v)).rstrip("0") == number.significant for v in said if v >= LEAST_SCALED)
    return len(number.text) <= LONGEST_CHAIN and Fraction(_plain(number.text)) in said


def _needed(number: Number, source: str) -> tuple[str, ...]:
    """The runs of digits that show a number: of 5.30 pm the minutes, since hours are counted in several ways."""
    return number.runs[1:] if len(number.runs) == 2 and TIME.match(source, number.end) else number.runs


def _is_decade(number: Number, source: str) -> bool:
    """Whether a number is a decade or a century: the 1980s, the 1800s."""
    return len(number.digits) == 4 and DECADE.match(source, number.end) is not None


def _in_short(decade: Number) -> str:
    """The 1980s are 80年代, and the 1800s the 19th century."""
    century, years = decade.digits[:2], decade.digits[2:]
    return str(int(century) + 1) if years == "00" else years


def _convertible(number: Number, source: str, added: bool) -> bool:
    """Whether a measure was converted: the target has a number of its own, and the source no other unit in brackets."""
    around = source[max(0, number.start - WINDOW) : number.end + 2 * WINDOW]
    measure = IMPERIAL.match(source, number.end) is not None and not _is_decade(number, source)
    return added and "(" not in around and measure


def _value(chain: str) -> int:
    """The value of a chain such as 1억 2,500만, rounded to a whole number."""
    total = section = 0.0
    for number, units in LINK.findall(chain):
        value, myriads = float(_plain(number)), 1
        for unit in units:
            if UNITS[unit] < MYRIAD:
                value *= UNITS[unit]
            else:
                myriads *= UNITS[unit]
        section += value
        if myriads > 1:
            total, section = total + section * myriads, 0.0
    return round(total + section)


def _plain(number: str) -> str:
    """A number in Western digits with a decimal point; a last group of three digits belongs to the whole."""
    runs = [_western(run) for run in DIGITS.findall(number)]
    return runs[0] + "." + runs[1] if len(runs) == 2 and len(runs[1]) != 3 else "".join(runs)


def _western(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(unicodedata.digit(digit)) for digit in digits)
