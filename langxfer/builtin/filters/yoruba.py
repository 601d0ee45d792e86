"""Numbers that Yoruba writes as words: their values.

It counts in twenties and takes away as readily as it adds: 16 is "four less than twenty" (mẹ́rìndínlógún), 183 "three
over nine twenties" (mẹ́tàlélọ́gọ́sán), and hundreds go by two hundred. Tone marks and dots do not count, since texts have
them, lack them or have some; nor do doubled letters, of which each writer has others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from fractions import Fraction
from types import MappingProxyType

MARKS = re.compile(r"[\u0300-\u036f]+")
DOUBLED = re.compile(r"(\w)\1+")
ECHO = re.compile(r"(un|an)\1\b")  # árùnún, mẹ́sànán
TOKEN = re.compile(r"\w+|[^\w\s]")

UNITS: Mapping[str, int] = MappingProxyType(
    {"kan": 1, "okan": 1, "eji": 2, "eta": 3, "erin": 4, "arun": 5, "efa": 6, "eje": 7, "ejo": 8, "esan": 9, "ewa": 10}
    | {"okanla": 11, "ejila": 12, "etala": 13, "erinla": 14, "edogun": 15, "edogbon": 25}
)
_TIMES = {"ta": 3, "rin": 4, "run": 5, "fa": 6, "je": 7, "jo": 8, "san": 9, "wa": 10}
BASES: Mapping[str, int] = MappingProxyType(
    {"ogun": 20, "ogbon": 30, "ogoji": 40, "oji": 40, "adota": 50, "ogota": 60, "ota": 60, "adorin": 70}
    | {"ogorin": 80, "orin": 80, "adorun": 90, "ogorun": 100, "adofa": 110, "ogofa": 120, "adoje": 130}
    | {"ogoje": 140, "adojo": 150, "ogojo": 160, "adosan": 170, "ogosan": 180, "adowa": 190, "igba": 200}
    | {"odunrun": 300, "irinwo": 400, "egba": 2000, "egbedogun": 3000, "egbaji": 4000}
    | {f"egbe{name}": 200 * times for name, times in _TIMES.items()}
    | {f"edegbe{name}": 200 * times - 100 for name, times in _TIMES.items()}
    | {f"egba{name}": 2000 * times for name, times in _TIMES.items()}
)
# Only with others: alone they are a ship, a year and heaven, or no word at all.
BOUND: Mapping[str, int] = MappingProxyType({"oko": 20, "odun": 300, "orun": 100, "ugba": 200, "erinwo": 400})
NAMES: Mapping[str, int] = MappingProxyType({**UNITS, **BASES, **BOUND})
# What takes its neighbour as a factor: ẹgbẹ̀rún mẹ́fà, mílíọ̀nù mẹ́ta, irinwó ẹgbẹ̀rún.
FACTORS: Mapping[str, int] = MappingProxyType(
    {"ogorun": 100, "egberun": 1000, "milionu": 10**6, "bilionu": 10**9, "tirilionu": 10**12}
)


class Kind(Enum):
    """What a word does in a number."""

    VALUE = auto()
    FACTOR = auto()
    OVER = auto()
    AND = auto()
    LESS = auto()
    HALF = auto()


Word = tuple[Kind, Fraction]
HALF = Fraction(1, 2)
SIGNS: Mapping[str, Word] = MappingProxyType(
    {name: (Kind.OVER, HALF) for name in ("le", "leni")}
    | {name: (Kind.LESS, HALF) for name in ("din", "dini", "ku")}
    | {"ati": (Kind.AND, HALF), "abo": (Kind.HALF, HALF), "ilaji": (Kind.HALF, HALF)}
)
FILLERS = ("o", "lona", "ni", "un", "an", "odun", "-")  # ọgbọ̀n ọdún ó lé mẹ́rin: thirty years and four

# mẹ́ta (three), kẹta and ìkẹta (third), ẹlẹ́ẹ̀kẹta, ẹ̀ẹ̀mẹta (thrice), lógún (in twenty), ọgbọ̀njọ́ (the 30th day).
_LONGEST_FIRST = "|".join(sorted(NAMES, key=len, reverse=True))
_PIECE = rf"(?:(?:i|e|ele|le)?[mk]|l)?(?P<name>{_LONGEST_FIRST})"
FIRST, NEXT = re.compile(_PIECE), re.compile(rf"(?P<sign>le|di)n?(?:ni|i)?{_PIECE}")
LAST_SIGN = re.compile("(?P<sign>le|di)n?i?")
PREFIX = re.compile(r"\Ae?l(?=egberun)|\Al(?=ogorun)")
DAY = re.compile("o?jo")


def spoken_values(text: str) -> frozenset[Fraction]:
    """The values of all number words of a text: of each, and of those that are added up or taken away.

    "Mílíọ̀nù ogún àti ẹgbẹ̀rún lọ́nà irinwó" is 20,400,000, and "kan àti ààbọ̀" one and a half. "Méjìlá ó lé mẹ́jọ",
    twelve and eight over, is 20 and 12.8: it is written for both.
    """
    found: set[Fraction] = set()
    for phrase in _phrases(text):
        found |= _sums(_multiplied(phrase))
        found |= {
            value for kind, value in phrase if kind in (Kind.VALUE, Kind.FACTOR)
        }  # the 19th hundred of years is no 1,900
        # A million six hundred and forty-nine are 649 million, too.
        first = next((place for place, (kind, _) in enumerate(phrase) if kind is Kind.FACTOR), None)
        if first is not None:
            found |= {phrase[first][1] * value for value in _sums(phrase[first + 1 :])}
    return frozenset(found)


def _sums(words: Iterator[Word] | Sequence[Word]) -> set[Fraction]:
    """Each value, and what they come to from the last one without a sign on."""
    found: set[Fraction] = set()
    total, sign = Fraction(0), None
    for kind, value in words:
        if kind is not Kind.VALUE:
            sign = kind
            continue
        found.add(value)
        if sign is Kind.OVER and value < 10:
            found.add(total + value / 10)
        total = value if sign is None else _signed(total, sign, value)
        found.add(total)
        sign = None
    return found


def _signed(total: Fraction, sign: Kind, value: Fraction) -> Fraction:
    """Of a difference the smaller number may come first: four less than twenty, and three hundred less forty."""
    return abs(total - value) if sign is Kind.LESS else total + value


def _multiplied(phrase: Sequence[Word]) -> Iterator[Word]:
    """A phrase with every factor worked out, and with halves of what stands before them."""
    unit, last = Fraction(1), None  # what a half is the half of; the kind of the word before
    waiting: Fraction | None = None  # a value that was not given out yet, since a factor may follow
    for kind, value in phrase:
        if kind is Kind.HALF:
            yield from _given(waiting)
            waiting = unit * value
        elif kind not in (Kind.VALUE, Kind.FACTOR):
            yield from _given(waiting)
            waiting = None
            yield kind, value
        elif waiting is not None and Kind.FACTOR in (kind, last):
            waiting *= value
        else:
            yield from _given(waiting)
            waiting = value
            unit = value if kind is Kind.FACTOR else Fraction(1)
        last = kind
    yield from _given(waiting)


def _given(value: Fraction | None) -> Iterator[Word]:
    if value is not None:
        yield Kind.VALUE, value


def _phrases(text: str) -> Iterator[list[Word]]:
    """Number words with nothing between them but signs."""
    bare = MARKS.sub("", unicodedata.normalize("NFD", text)).lower()
    phrase: list[Word] = []
    for token in TOKEN.findall(ECHO.sub(r"\1", DOUBLED.sub(r"\1", bare))):
        words = _words(token, inside=bool(phrase) and phrase[-1][0] in (Kind.OVER, Kind.LESS, Kind.FACTOR))
        phrase.extend(words)
        if not words and token not in FILLERS and phrase:
            yield phrase
            phrase = []
    if phrase:
        yield phrase


def _words(token: str, inside: bool) -> list[Word]:
    """A number word, with the sign that its end may be; nothing where the token is none."""
    if token in SIGNS:
        return [SIGNS[token]]
    if (factor := FACTORS.get(PREFIX.sub("", token))) is not None:
        return [(Kind.FACTOR, Fraction(factor))]
    piece = FIRST.match(token)
    if piece is None or (piece["name"] in BOUND and piece.end() == len(token) and not inside):
        return []
    total = Fraction(NAMES[piece["name"]])
    while further := NEXT.match(token, piece.end()):
        piece = further
        total = _signed(total, _sign(piece), Fraction(NAMES[piece["name"]]))
    if piece.end() == len(token) or DAY.fullmatch(token, piece.end()):
        return [(Kind.VALUE, total)]
    last = LAST_SIGN.fullmatch(token, piece.end())
    return [(Kind.VALUE, total), (_sign(last), HALF)] if last else []


def _sign(found: re.Match[str]) -> Kind:
    return Kind.OVER if found["sign"] == "le" else Kind.LESS
