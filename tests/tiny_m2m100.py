"""A random M2M100 of a few thousand parameters, saved the way the hub's checkpoints are."""

from __future__ import annotations

import io
import json
from pathlib import Path

SENTENCES = (
    "The cat sat on the mat and looked at the rain.",
    "How many planets are there in the solar system?",
    "Die Katze sitzt auf der Matte und schaut in den Regen.",
    "Wie viele Planeten hat das Sonnensystem?",
    "Paka amekaa kwenye mkeka na anatazama mvua.",
    "Kuna sayari ngapi katika mfumo wa jua?",
    "Write a short poem about the sea, please!",
    "Water boils at one hundred degrees.",
)
POSITIONS = 1024


def build(folder: Path, seed: int, *, positions: int = POSITIONS, end_bias: float = 3.0) -> Path:
    """Save a model with random weights, and its tokenizer, into ``folder``.

    ``end_bias`` raises the logit of ``</s>``, so that sentences end by themselves; a low one never ends.
    """
    import sentencepiece
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    folder.mkdir(parents=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=120, model_type="bpe", minloglevel=2
    )
    (folder / "trained.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size()))]
    (folder / "trained.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    tokenizer = M2M100Tokenizer(
        str(folder / "trained.json"),
        str(folder / "trained.model"),
        additional_special_tokens=[f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]],
    )
    tokenizer.save_pretrained(folder)
    (folder / "trained.json").unlink()
    (folder / "trained.model").unlink()
    torch.manual_seed(seed)
    network = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer.get_vocab()) + 8,
            d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
            encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=positions, init_std=0.3,
        )
    )  # fmt: skip
    with torch.no_grad():
        end = network.model.shared.weight[tokenizer.eos_token_id]
        network.model.decoder.layer_norm.bias.copy_(end_bias * end / end.norm())
    network.eval().save_pretrained(folder)
    return folder
