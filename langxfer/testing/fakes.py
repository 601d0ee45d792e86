"""Parallel examples, and a translator without a model.

Named with ``--plugin``, this file adds the translator ``fake``.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from langxfer.components import Pair, Translator
from langxfer.data import ParallelExample, Turn
from langxfer.hookspecs import hookimpl


def parallel_examples(count: int = 4, source: str = "en", target: str = "de") -> list[ParallelExample]:
    """Examples of different lengths; the target side is what ``FakeTranslator`` makes of the source side."""
    subjects = ("the sea", "a river", "old stone bridges", "the winter wind", "rain")
    pair = Pair(source, target)
    made: list[ParallelExample] = []
    for number in range(count):
        subject = subjects[number % len(subjects)]
        prompt = f"Say {number + 1} words on {subject}."
        response = " ".join(f"{subject} {word}" for word in ("is", "was", "will be")[: 1 + number % 3]) + f" {number}."
        turn = Turn(prompt, response, source)
        other = Turn(_rotated(prompt, pair), _rotated(response, pair), target)
        made.append(ParallelExample(f"example-{number}/{target}", turn, other))
    return made


class FakeTranslator(Translator):
    """Puts other letters in the place of a to z, by language; back in the first language a text is what it was."""

    name: Literal["fake"] = "fake"
    speaks: tuple[str, ...] | None = Field(None, description="BCP-47 tags it speaks; null: all.")
    missing: str = Field("", description="Segments that hold this text have no translation; empty: all have one.")

    def languages(self) -> frozenset[str] | None:
        return None if self.speaks is None else frozenset(self.speaks)

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[_FakeOpen]:
        yield _FakeOpen(self.missing)


class _FakeOpen:
    def __init__(self, missing: str):
        self._missing = missing

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        return [None if self._missing and self._missing in text else _rotated(text, pair) for text in segments]


def _rotated(text: str, pair: Pair) -> str:
    """English is not moved, other languages by 1 to 25 letters."""
    source, target = (0 if tag == "en" else 1 + zlib.crc32(tag.encode()) % 25 for tag in (pair.source, pair.target))
    by = (target - source) % 26
    alphabets = (string.ascii_lowercase, string.ascii_uppercase)
    return text.translate(
        str.maketrans("".join(alphabets), "".join(letters[by:] + letters[:by] for letters in alphabets))
    )


@hookimpl
def register_translators() -> list[type[Translator]]:
    return [FakeTranslator]
