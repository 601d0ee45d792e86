"""A random NLLB of a few thousand parameters, saved the way the hub's checkpoints are."""

from __future__ import annotations

import io
import json
from pathlib import Path


def build(folder: Path, sentences: tuple[str, ...], seed: int, *, positions: int = 1024, end_bias: float = 2.0) -> Path:
    """Save a model with random weights, and a tokenizer trained on ``sentences``, into ``folder``.

    ``end_bias`` raises the logit of ``</s>``, so that sentences end by themselves; a low one never ends.
    The tokenizer is ``tokenizer.json``, as checkpoints of the hub have it; ``with_pieces_alone`` takes it away.
    """
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    folder.mkdir(parents=True)
    tokenizer = _tokenizer(_trained(sentences))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    network = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=positions,
            init_std=0.3,
        )
    )  # fmt: skip
    with torch.no_grad():
        end = network.model.shared.weight[tokenizer.eos_token_id]
        network.model.decoder.layer_norm.bias.copy_(end_bias * end / end.norm())
    network.eval().save_pretrained(folder)
    return folder


def with_pieces_alone(folder: Path, sentences: tuple[str, ...], languages: int | None = None) -> Path:
    """Put ``sentencepiece.bpe.model`` in the place of ``tokenizer.json``, as older checkpoints have it.

    ``tokenizer_config.json`` becomes the hub's: it names the tokens of ``languages`` languages (None: of all).
    """
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(_trained(sentences))
    settings = {
        "tokenizer_class": "NllbTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "additional_special_tokens": [*FAIRSEQ_LANGUAGE_CODES][:languages],
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _trained(sentences: tuple[str, ...]) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, vocab_size=120, model_type="bpe", minloglevel=2,
        normalization_rule_name="identity",
    )  # fmt: skip
    return model.getvalue()


def _tokenizer(model: bytes):
    """Sentencepiece's pieces and merges in NLLB's own class, as the hub's ``tokenizer.json`` has them."""
    import sentencepiece
    from transformers import NllbTokenizer
    from transformers.tokenization_utils_base import generate_merges

    trained = sentencepiece.SentencePieceProcessor(model_proto=model)
    scores = {trained.id_to_piece(index): trained.get_score(index) for index in range(3, trained.get_piece_size())}
    vocabulary = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *scores])}
    return NllbTokenizer(vocab=vocabulary, merges=generate_merges(vocabulary, scores))
