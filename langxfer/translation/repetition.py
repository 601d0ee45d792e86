"""How much a text repeats itself: in a row, over all, and as a compressor sees it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from operator import eq

from langxfer.translation.identification import UNSPACED

PHRASES = range(1, 25)  # words that may come round together
WORD = re.compile(rf"[{UNSPACED}]|(?:[^\W_{UNSPACED}]|[\u0300-\u036f])+")
ONE_CHARACTER = re.compile(f"[{UNSPACED}]")


def words_of(text: str) -> list[str]:
    """Words and numbers in order, without signs; in scripts without spaces every character is a word."""
    return WORD.findall(text)


def times_in_a_row(units: Sequence[str], sizes: Iterable[int] = PHRASES, shortest: int = 1) -> int:
    """How often that piece comes which comes most often in a row; 1 where none is repeated.

    One character of a script without spaces is not yet a word, and no piece.

    Args:
        units: words; or a text, for its characters.
        sizes: units of a piece, ascending.
        shortest: units of all rounds together; a shorter run does not count.
    """
    most = 1
    for size in sizes:
        if size > len(units) // 2:
            break
        # A unit that equals the one ``size`` before it continues a round, and ``size`` of them in a row make one.
        same = bytes(map(eq, units, units[size:]))
        if b"\1" * (size * most) not in same:
            continue
        longest = max(map(len, same.split(b"\0")))
        start = units[same.index(b"\1" * longest)]
        if longest + size >= shortest and (size > 1 or not ONE_CHARACTER.match(start)):
            most = longest // size + 1
    return most


def unique_share(words: Sequence[str], size: int) -> float:
    """Share of different phrases of ``size`` words among all such phrases; 1 where there are none."""
    phrases = list(zip(*(words[i:] for i in range(size)), strict=False))
    return len(set(phrases)) / len(phrases) if phrases else 1.0


def compressed(text: str) -> float:
    """Bytes after zlib a character; above 1 for short texts, which do not compress.

    By character and not by byte: scripts of two and three bytes a character deflate better without repeating anything.
    """
    return len(zlib.compress(text.encode("utf-8", "surrogatepass"))) / max(len(text), 1)
