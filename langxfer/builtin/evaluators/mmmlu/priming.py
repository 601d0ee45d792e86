"""Questions that the model was trained on so that it learns the format of answers: out of the test, in all languages.

The CLO paper (appendix D) trains on ten English and ten target questions of the test set, and leaves them out of
its scores. MMMLU is parallel, so the English twin of a Korean question that was trained on gives it away too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from langxfer.builtin.evaluators.mmmlu.items import Item
from langxfer.errors import DataError


class FormatPriming(BaseModel):
    """Which questions: the ids that were trained on, or how many are to be drawn for each language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int | None = Field(None, ge=1, description="Questions drawn for each language, by language and seed alone.")
    ids: tuple[str, ...] = Field((), description="Ids SUBJECT/ROW, rows counted from 0; instead of n.")
    seed: int = Field(0, description="Decides what n draws.")

    @model_validator(mode="after")
    def _one_way(self) -> FormatPriming:
        if (self.n is None) == (not self.ids):
            raise ValueError("give n, or ids, and not both")
        if self.ids and self.seed:
            raise ValueError("seed decides what n draws, and ids are given")
        return self


def primed(items: Mapping[str, Sequence[Item]], priming: FormatPriming | None) -> dict[str, list[str]]:
    """The ids by language; with explicit ids, all of them in each. They are excluded in every language.

    Raises:
        DataError: an id is unknown, or its question is another one in another language.
    """
    if priming is None:
        return {}
    drawn = {tag: list(priming.ids) or _drawn(tag, rows, priming) for tag, rows in items.items()}
    for name in {name for names in drawn.values() for name in names}:
        keys = {tag: next((row.gold for row in rows if row.id == name), None) for tag, rows in items.items()}
        if len(set(keys.values())) > 1 or None in keys.values():
            found = ", ".join(f"{tag}: {gold or 'no such question'}" for tag, gold in keys.items())
            raise DataError(
                f"mmmlu.format_priming {name} is not one question with one answer in all languages ({found}). "
                "Ids are SUBJECT/ROW, rows counted from 0, and files must be parallel."
            )
    return drawn


def _drawn(tag: str, rows: Sequence[Item], priming: FormatPriming) -> list[str]:
    def place(row: Item) -> bytes:
        return hashlib.sha256(f"{priming.seed}/{tag}/{row.id}".encode()).digest()

    return [row.id for row in sorted(rows, key=place)[: priming.n]]
