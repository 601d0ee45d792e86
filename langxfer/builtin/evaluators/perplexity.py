"""How well the model predicts plain text, language by language: what training made it forget, or learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from langxfer.builtin.evaluators import digest, ratio, signature
from langxfer.builtin.evaluators.files import digest_of, lines
from langxfer.components import Evaluation, Evaluator, Evidence, Passage, PassageScore, Score
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import check_language
from langxfer.records import read_text

OPTION = "perplexity.files"

NAME = "perplexity/bits_per_byte"


class Perplexity(Evaluator):
    """Likelihood of plain text, without any prompt or template.

    ``perplexity/bits_per_byte/TAG``: ``-sum(log p) / ln 2 / sum(bytes)`` over the passages of a language, lower is
    better; bytes are of the text in UTF-8, so tokenizers can be compared, and languages only with care: a Chinese
    character has three bytes. Perplexity per byte is 2 to the power of it. The standard error is that of a ratio of
    sums over passages (delta method); None for a single passage.

    A passage is a line that is not blank, or the whole file.
    """

    name: Literal["perplexity"] = "perplexity"
    files: dict[str, str] = Field(min_length=1, description="Plain text files, by BCP-47 tag of their language.")
    passage: Literal["line", "file"] = Field("line", description="What is scored at a time, without what precedes it.")
    limit: int | None = Field(None, ge=1, description="Score the first n passages of each language.")

    @field_validator("files")
    @classmethod
    def _known(cls, files: dict[str, str]) -> dict[str, str]:
        for tag in files:
            check_language(tag)
        return files

    def identity(self) -> dict[str, Any]:
        """The contents of the files instead of their places.

        Raises:
            DataError: a file cannot be read.
        """
        return {"files": {tag: digest_of(Path(path), OPTION) for tag, path in self.files.items()}}

    def resolve(self, folder: Path) -> Perplexity:
        return self.model_copy(
            update={"files": {tag: str((folder / path).resolve()) for tag, path in self.files.items()}}
        )

    def passages(self, examples: Sequence[ParallelExample]) -> list[Passage]:
        """The passages of each language; their ids are ``LINE/TAG``, and ``file/TAG`` for a whole file.

        Raises:
            DataError: a file cannot be read, or holds no text.
        """
        return [passage for tag in self.files for passage in self._of(tag)]

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """One score a language, and a row a passage."""
        by_language: dict[str, list[PassageScore]] = {}
        for score in evidence.passages:
            by_language.setdefault(score.passage.language, []).append(score)
        scores = [self._score(tag, found) for tag, found in by_language.items()]
        return Evaluation(scores, [_row(score) for found in by_language.values() for score in found])

    def _of(self, tag: str) -> list[Passage]:
        path = self.files[tag]
        texts: Mapping[str, str]
        if self.passage == "line":
            texts = {str(number): line for number, line in enumerate(lines(path, OPTION), 1) if line.strip()}
        else:
            texts = {"file": text} if (text := read_text(Path(path), OPTION)).strip() else {}
        if not texts:
            raise DataError(f"{OPTION}: {path} holds no text. Expected {tag} text, one passage a line.")
        return [Passage(f"{name}/{tag}", text, tag) for name, text in list(texts.items())[: self.limit]]

    def _score(self, tag: str, found: Sequence[PassageScore]) -> Score:
        value, error = ratio([_bits(score) for score in found], [score.bytes for score in found])
        parts = {
            "passage": self.passage,
            "n": len(found),
            "bytes": sum(score.bytes for score in found),
            "unit": "bits/byte",
            "se": "ratio",
            "texts": digest((score.passage.id, score.passage.text) for score in found),
        }
        return Score(f"{NAME}/{tag}", value, error, len(found), signature(parts), "bits/byte", higher_is_better=False)


def _bits(score: PassageScore) -> float:
    return -score.total / math.log(2)


def _row(score: PassageScore) -> dict[str, Any]:
    return {
        "id": score.passage.id,
        "language": score.passage.language,
        "nats": -score.total,
        "tokens": score.tokens,
        "bytes": score.bytes,
        "bits_per_byte": _bits(score) / score.bytes if score.bytes else None,
        "scores": {f"{NAME}/{score.passage.language}": [_bits(score), score.bytes]},
    }
