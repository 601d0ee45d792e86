"""NLLB-200 (arXiv 2207.04672): one model for all directions between 200 languages, run by CTranslate2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from langxfer import Translator, hookimpl
from langxfer.errors import RecipeError
from langxfer.languages import LANGUAGES, language
from langxfer.translation import Ct2Translator


class Nllb(Ct2Translator):
    """A translator for NLLB-200 checkpoints: the published ones, 600M to 3.3B, or ones fine-tuned from them.

    A source is ``[eng_Latn, pieces…, </s>]``: the language first, as the models were trained. The other order,
    ``[pieces…, </s>, eng_Latn]``, which older versions of transformers have, translates too, but worse. ``beam_size``
    4 is what the paper evaluates with.
    """

    name: Literal["nllb"] = "nllb"
    model: str = Field(
        "facebook/nllb-200-distilled-600M",
        min_length=1,
        description="Hub id (org/name), or local folder in transformers format.",
    )
    beam_size: int = Field(4, ge=1, description="Hypotheses kept at every step; 1 is greedy search.")

    def languages(self) -> frozenset[str]:
        """The tags that have a FLORES-200 code."""
        return frozenset(tag for tag, row in LANGUAGES.items() if row.nllb)

    def token(self, tag: str) -> str:
        """The FLORES-200 code: ``deu_Latn`` for German.

        Raises:
            RecipeError: NLLB does not have the language.
        """
        code = language(tag).nllb
        if code is None:
            raise RecipeError(
                f'translator "nllb" does not speak "{tag}" ({language(tag).name}). Take another translator.'
            )
        return code


@hookimpl
def register_translators() -> list[type[Translator]]:
    return [Nllb]
