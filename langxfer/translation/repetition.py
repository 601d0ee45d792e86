"""How much a text repeats itself: in a row, over all, and as a compressor sees it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from operator import eq

from langxfer.translation.identification import UNSPACED

LONGEST_PHRASE = 24  # words that may come round together
WORD = re.compile(rf"[{UNSPACED}]|(?:[^\W_{UNSPACED}]|[\u0300-\u036f])+")
ONE_CHARACTER = re.compile(f"[{UNSPACED}]")


def words_of(text: str) -> list[str]:
    """Words and numbers in order, without signs; in scripts without spaces every character is a word."""
    return WORD.findall(text)


def times_in_a_row(words: Sequence[str]) -> int:
    """How often that phrase comes which comes most often in a row; 1 where none is repeated.

    A phrase has 1 to 24 words, of scripts without spaces 2 to 24 characters: one is not yet a word.
    """
    most = 1
    for size in range(1, min(LONGEST_PHRASE, len(words) // 2) + 1):
        # A word that equals the one ``size`` before it continues a round, and ``size`` of them in a row make one.
        same = bytes(map(eq, words, words[size:]))
        if b"\1" * (size * most) not in same:
            continue
        longest = max(map(len, same.split(b"\0")))
        start = words[same.index(b"\1" * longest)]
        if size > 1 or not ONE_CHARACTER.match(start):
            most = longest // size + 1
    return most


def unique_share(words: Sequence[str], size: int) -> float:
    """Share of different phrases of ``size`` words among all such phrases; 1 where there are none."""
    phrases = list(zip(*(words[i:] for i in range(size)), strict=False))
    return len(set(phrases)) / len(phrases) if phrases else 1.0


def compressed_share(text: str) -> float:
    """Bytes after zlib over bytes before (UTF-8). Above 1 for short texts, which do not compress."""
    plain = text.encode("utf-8", "surrogatepass")
    return len(zlib.compress(plain)) / len(plain) if plain else 1.0
