"""Which script a text is written in, by the names of its characters: no model, no doubt."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from langxfer.languages import LANGUAGES
from langxfer.translation.lengths import IDEOGRAPH, KANA, SYLLABLE

# ISO 15924 codes of the registry -> first words of Unicode's character names.
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Latn": ("LATIN",),
        "Cyrl": ("CYRILLIC",),
        "Grek": ("GREEK",),
        "Arab": ("ARABIC",),
        "Hebr": ("HEBREW",),
        "Armn": ("ARMENIAN",),
        "Geor": ("GEORGIAN",),
        "Ethi": ("ETHIOPIC",),
        "Beng": ("BENGALI",),
        "Deva": ("DEVANAGARI",),
        "Gujr": ("GUJARATI",),
        "Guru": ("GURMUKHI",),
        "Knda": ("KANNADA",),
        "Mlym": ("MALAYALAM",),
        "Orya": ("ORIYA",),
        "Sinh": ("SINHALA",),
        "Taml": ("TAMIL",),
        "Telu": ("TELUGU",),
        "Tibt": ("TIBETAN",),
        "Khmr": ("KHMER",),
        "Laoo": ("LAO",),
        "Mymr": ("MYANMAR",),
        "Thai": ("THAI",),
        "Hang": ("HANGUL",),
        "Hans": ("CJK",),
        "Hant": ("CJK",),
        "Jpan": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"),
    }
)

# A name of ten Latin letters is not more of a Chinese sentence than its ten ideographs are.
_WEIGHTS: Mapping[str, float] = MappingProxyType({"Hans": IDEOGRAPH, "Hant": IDEOGRAPH, "Jpan": KANA, "Hang": SYLLABLE})


@cache
def _first_word(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def script_share(text: str, tag: str) -> float:
    """Share of the text's letters that belong to the script of a language; 1 where it has no letters.

    A character of a dense script counts as often as the Latin letters that say the same.
    """
    script = LANGUAGES[tag].script
    names = _NAMES.get(script, ())
    letters = {character: count for character, count in Counter(text).items() if character.isalpha()}
    own = sum(count for character, count in letters.items() if _first_word(character) in names)
    others = sum(letters.values()) - own
    own *= _WEIGHTS.get(script, 1.0)
    return own / (own + others) if letters and names else 1.0


def other_chinese_share(text: str, tag: str) -> float:
    """Of the characters that tell Simplified from Traditional Chinese, the share of the other script; 0 where none do.

    GB 2312 holds the simplified characters and Big5 the traditional ones; what is in both tells nothing.
    """
    simplified = traditional = 0
    for character, count in Counter(text).items():
        if "\u4e00" <= character <= "\u9fff":
            in_gb, in_big5 = _encodable(character, "gb2312"), _encodable(character, "big5")
            simplified += count * (in_gb and not in_big5)
            traditional += count * (in_big5 and not in_gb)
    other = traditional if LANGUAGES[tag].script == "Hans" else simplified
    return other / (simplified + traditional) if simplified + traditional else 0.0


@cache
def _encodable(character: str, encoding: str) -> bool:
    try:
        return bool(character.encode(encoding))
    except UnicodeEncodeError:
        return False
