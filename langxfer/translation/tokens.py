"""The tokenizer of a translation model: texts to source rows and hypotheses to texts, many at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langxfer.errors import ArtifactError, RecipeError
from langxfer.hub import first_line

MADE_UP = 8  # rows that a published model has beyond its tokens, at the most


class Tokens:
    """A tokenizer in transformers' format, as CTranslate2 needs it: in tokens, not in their indices.

    Where it is a sentencepiece model inside Python, the pieces are asked for directly: transformers' own way
    goes through Python for every segment, which a GPU has to wait for.

    Args:
        folder: with ``config.json`` and the tokenizer files.

    Attributes:
        positions: tokens that the model has positions for.

    Raises:
        ArtifactError: the files cannot be read, or do not name all tokens of the model.
    """

    def __init__(self, folder: Path):
        from transformers import AutoTokenizer

        pieces = folder / "sentencepiece.bpe.model"
        from_pieces = pieces.is_file() and not (folder / "tokenizer.json").is_file()
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self.positions: int = config["max_position_embeddings"]
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
            # Without protobuf transformers takes the file for tiktoken's, and asks for that package.
            if from_pieces and "tiktoken" in str(error).lower() and not _has_protobuf():
                raise ArtifactError(
                    f"{pieces}: reading it takes the package protobuf, and there is no tokenizer.json. Install "
                    "protobuf, or take a checkpoint with tokenizer.json."
                ) from error
            raise ArtifactError(
                f"{folder}: its tokenizer cannot be loaded ({type(error).__name__}: {first_line(error)}). "
                "Take config.json and the tokenizer files from the model's own checkpoint."
            ) from error
        if from_pieces:
            self._check_complete(folder, config)
        self._pieces = getattr(self._tokenizer, "sp_model", None)
        self._indices: dict[str, int] = self._tokenizer.get_vocab()
        added = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        self._special = added | {*self._tokenizer.all_special_tokens}

    def _check_complete(self, folder: Path, config: dict[str, Any]) -> None:
        """Rows of the model go by their place, and so do tokens: where some lack, all behind them are others.

        Raises:
            ArtifactError: the tokenizer has too few tokens.
        """
        has, needs = len(self._tokenizer), config.get("vocab_size", 0)
        if needs - has > MADE_UP:
            raise ArtifactError(
                f"{folder}: the tokenizer has {has:,} tokens and the model {needs:,}, so its languages would be taken "
                "for one another. Add tokenizer.json, or a tokenizer_config.json that lists all language tokens, in "
                "the order of the model."
            )

    def index(self, token: str, tag: str) -> int:
        """The index of a language's token.

        Raises:
            RecipeError: there is none; CTranslate2 would translate into anything, without an error.
        """
        index = self._indices.get(token)
        if index is None or index == self._tokenizer.unk_token_id:
            raise RecipeError(
                f'translator.model: its tokenizer has no token {token} for "{tag}". Take a model that speaks {tag}, '
                "or save the model's tokenizer again with its language tokens as special tokens."
            )
        return index

    def rows(self, texts: Sequence[str], source: str) -> list[list[str] | None]:
        """``[source, pieces…, </s>]`` of each text; None for text that is no Unicode (lone surrogates).

        A text's own ``</s>`` or ``__de__`` is text, and does not become the token of that name.
        """
        sound = [number for number, text in enumerate(texts) if _is_unicode(text)]
        rows: list[list[str] | None] = [None] * len(texts)
        for number, pieces in zip(sound, self._split([texts[number] for number in sound]), strict=True):
            rows[number] = [source, *pieces, self._tokenizer.eos_token]
        return rows

    def _split(self, texts: list[str]) -> list[list[str]]:
        if not texts:
            return []
        if self._pieces is not None:
            return self._pieces.encode(texts, out_type=str)
        encoded = self._tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return [encoded.tokens(number) for number in range(len(texts))]

    def ended(self, hypothesis: Sequence[str]) -> bool:
        """Whether the model ended its translation by itself."""
        return hypothesis[-1] == self._tokenizer.eos_token

    def texts(self, hypotheses: Sequence[Sequence[str]]) -> list[str]:
        """Text of each hypothesis, without its language token, special tokens and tokens that stand for nothing.

        The language token goes by its place: a tokenizer may not know it as special.
        """
        pieces = [[token for token in hypothesis[1:] if self._is_text(token)] for hypothesis in hypotheses]
        if self._pieces is not None:
            return [text.strip() for text in self._pieces.decode(pieces)]
        return [self._tokenizer.convert_tokens_to_string(own).strip() for own in pieces]

    def _is_text(self, token: str) -> bool:
        return token in self._indices and token not in self._special


def _has_protobuf() -> bool:
    try:
        import google.protobuf  # noqa: F401
    except ImportError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
