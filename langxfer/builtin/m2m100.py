"""M2M100 (arXiv 2010.11125): one model for all directions between 100 languages, run by CTranslate2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from langxfer.errors import RecipeError
from langxfer.languages import LANGUAGES, language
from langxfer.translation import Ct2Translator


class M2M100(Ct2Translator):
    """A translator for M2M100 checkpoints: 418M, 1.2B, or ones fine-tuned from them.

    With ``beam_size`` 5 and ``length_penalty`` 1 it searches as the published models are meant to be
    used. A segment has no translation that is trusted when it has more tokens than the model has positions
    (1024), or when the search came to the length limit without an end.
    """

    name: Literal["m2m100"] = "m2m100"
    model: str = Field(
        "facebook/m2m100_418M", min_length=1, description="Hub id (org/name), or local folder in transformers format."
    )

    def languages(self) -> frozenset[str]:
        """The tags that have an M2M100 language token."""
        return frozenset(tag for tag, row in LANGUAGES.items() if row.m2m100)

    def token(self, tag: str) -> str:
        """``__de__`` for German.

        Raises:
            RecipeError: M2M100 does not have the language.
        """
        code = language(tag).m2m100
        if code is None:
            raise RecipeError(
                f'translator "m2m100" does not speak "{tag}" ({language(tag).name}). Take another translator.'
            )
        return f"__{code}__"
