"""How long a translation usually is, so that one that is cut off can be told from one that is terse."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from langxfer.components import Pair
from langxfer.languages import LANGUAGES

# Weights of characters, so that names and numbers in Latin letters inside a Chinese text count as what they are: with
# plain counts the spread of a pair's log ratio is 0.26 for Chinese, with weights 0.19 (FLORES).
IDEOGRAPH = 2.9
SYLLABLE = 2.0  # Hangul
KANA = 1.6  # not measured: there are no Japanese texts among ours
HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
HANGUL = re.compile(r"[\uac00-\ud7af]")
HIRAGANA_KATAKANA = re.compile(r"[\u3040-\u30ff]")
BLANK = re.compile(r"\s+")
MARKS = re.compile(r"[\u0300-\u036f]+")  # tone marks: Yoruba is written with them, without them, or with some

# Weighted characters a character of English: medians of the 1,004 sentences of FLORES (SIB-200). stopes takes such
# factors from FLORES too. Languages that are not here count as 1.1, about the mean of those written in Latin letters.
FACTORS: Mapping[str, float] = MappingProxyType(
    {"en": 1.0, "de": 1.19, "zh": 1.0, "ko": 0.88, "id": 1.12, "sw": 1.06, "yo": 0.88}
)
OTHERS = 1.1


def weighted_length(text: str) -> float:
    """Characters of a text, those of dense scripts counting for several; without white space and tone marks."""
    dense = BLANK.sub("", text)
    if dense.isascii():
        return float(len(dense))
    dense = MARKS.sub("", unicodedata.normalize("NFC", dense))
    return (
        len(dense)
        + (IDEOGRAPH - 1) * len(HAN.findall(dense))
        + (SYLLABLE - 1) * len(HANGUL.findall(dense))
        + (KANA - 1) * len(HIRAGANA_KATAKANA.findall(dense))
    )


def usual_ratio(pair: Pair, factors: Mapping[str, float] = FACTORS) -> float:
    """Weighted length of a translation over that of its source, as it usually is.

    Args:
        pair: direction.
        factors: weighted characters a character of English, by tag; others are taken from ``FACTORS``.
    """
    return _factor(pair.target, factors) / _factor(pair.source, factors)


def _factor(tag: str, factors: Mapping[str, float]) -> float:
    if tag in factors:
        return factors[tag]
    script = LANGUAGES[tag].script if tag in LANGUAGES else None
    # Two scripts of one language are written at the same length.
    return FACTORS.get(tag, FACTORS["zh"] if script in ("Hans", "Hant") else OTHERS)
