"""The options of translators that CTranslate2 runs, and what they do: a plugin adds names and language tokens."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from langxfer.components import OpenTranslator, Translator
from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.ct2 import ComputeType, Ct2Model, Decoding


class Ct2Translator(Translator):
    """A translator for checkpoints that take ``[source token, pieces…, </s>]`` and begin with a target token.

    A subclass narrows ``name``, gives ``model`` a default, and has ``languages`` and ``token``. See ``Ct2Model`` for
    scores and for what has no translation.
    """

    model: str = Field(min_length=1, description="Hub id (org/name), or local folder in transformers format.")
    revision: str | None = Field(None, description="Hub revision; a branch is resolved to its commit.")
    beam_size: int = Field(5, ge=1, description="Hypotheses kept at every step; 1 is greedy search.")
    length_penalty: float = Field(1.0, description="Scores are log-probability / length ** length_penalty.")
    repetition_penalty: float = Field(1.0, gt=0, description="Above 1, makes tokens that came already less likely.")
    no_repeat_ngram_size: int = Field(0, ge=0, description="No n-gram of this size comes twice; 0 allows all.")
    max_length_ratio: float = Field(2.5, gt=0, description="Most target tokens a source token; 16 more are allowed.")
    compute_type: ComputeType = Field(
        "auto", description="CTranslate2's; auto is int8_float32 on CPU, float16 on CUDA."
    )
    max_batch_tokens: int = Field(2048, ge=1, description="Source tokens translated at a time, padding included.")

    @abstractmethod
    def token(self, tag: str) -> str:
        """The model's token of a language.

        Raises:
            RecipeError: it has none.
        """

    def identity(self) -> dict[str, Any]:
        """Model as digest or commit, so that neither its path nor a branch's name counts; CTranslate2's version.

        Raises:
            RecipeError: there is no such model, or no way to ask.
        """
        return {**self._checkpoint().identity(), "ctranslate2": version("ctranslate2")}

    def resolve(self, folder: Path) -> Self:
        """A relative model folder is taken from the recipe's folder, where it exists there."""
        here = folder / self.model
        if Path(self.model).is_absolute() or not here.is_dir():
            return self
        return self.model_copy(update={"model": str(here.resolve())})

    def open(self, device: str, cache: Path) -> AbstractContextManager[OpenTranslator]:
        """Ready to translate; the model is fetched, converted and loaded with the first segment that needs it.

        Raises:
            RecipeError: the device or the compute type cannot be had.
        """
        decoding = Decoding(
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
            repetition_penalty=self.repetition_penalty,
            no_repeat_ngram_size=self.no_repeat_ngram_size,
            max_length_ratio=self.max_length_ratio,
            max_batch_tokens=self.max_batch_tokens,
        )
        return Ct2Model(self._checkpoint(), self.token, self.compute_type, decoding, device, cache)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.model, self.revision)
