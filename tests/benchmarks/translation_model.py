"""A model of M2M100-418M's architecture with random weights and a real tokenizer, in transformers' format.

Random weights do not end their sentences; a bias keeps the end token away for good, so that every contender
generates as many tokens as it may.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VOCABULARY = 128_112
PIECES = 8_000  # of the tokenizer that is trained; rows of the rest of the vocabulary have made-up names
MADE_UP = 8
NEVER = -4.0  # logits of the end token, in lengths of its embedding


@dataclass(frozen=True)
class Shape:
    """Layers of encoder and decoder each, and width; the feed-forward layers are four times as wide."""

    layers: int = 12
    width: int = 1024
    heads: int = 16


def build(folder: Path, texts: Sequence[str], shape: Shape) -> Path:
    """Train a tokenizer on ``texts``, and save it with a random model into ``folder``, unless it is there."""
    if (folder / "model.safetensors").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(folder, texts)
    _network(folder, shape)
    return folder


def _tokenizer(folder: Path, texts: Sequence[str]) -> None:
    import sentencepiece
    from transformers import M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=PIECES, model_type="bpe", minloglevel=2
    )
    trained, names = folder / "trained.model", folder / "trained.json"
    trained.write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    languages = FAIRSEQ_LANGUAGE_CODES["m2m100"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size()))]
    tokens += [f"▁row{row}" for row in range(len(tokens), VOCABULARY - len(languages) - MADE_UP)]
    names.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    special = [f"__{code}__" for code in languages]
    tokenizer = M2M100Tokenizer(str(names), str(trained), additional_special_tokens=special, num_madeup_words=MADE_UP)
    tokenizer.save_pretrained(folder)
    trained.unlink()
    names.unlink()


def _network(folder: Path, shape: Shape) -> None:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(0)
    network = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=VOCABULARY, d_model=shape.width, encoder_layers=shape.layers, decoder_layers=shape.layers,
            encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
            encoder_ffn_dim=4 * shape.width, decoder_ffn_dim=4 * shape.width,
        )
    )  # fmt: skip
    with torch.no_grad():
        end = network.model.shared.weight[network.config.eos_token_id]
        network.model.decoder.layer_norm.bias.copy_(NEVER * end / end.norm())
    network.eval().save_pretrained(folder)
