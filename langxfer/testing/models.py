"""Tiny random models with their tokenizers, in the format that transformers saves. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIALS = ("<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>")


def tiny_model(
    folder: Path,
    architecture: str = "llama",
    seed: int = 0,
    *,
    layers: int = 2,
    template: str | None = TEMPLATE,
    merges: Sequence[str] = (),
    pad: str = "<pad>",
    **config: Any,
) -> Path:
    """Save a random model with its tokenizer into ``folder``, as ``save_pretrained`` does; nothing is downloaded.

    Args:
        folder: made if need be; the result is a ``model.source``.
        architecture: a transformers model type: ``llama``, ``gpt2``, ``qwen2``, ``gemma2``, ``bloom``, ...
        seed: decides the weights. They are large enough for a token's probability to depend on its context.
        layers: number of decoder layers.
        template: chat template; None for a base model without one.
        merges: texts that the tokenizer merges, beside single bytes: ``("th", "the")``, each made of earlier ones.
        pad: the padding token; ``</s>`` pads with EOS.
        config: options of the architecture's configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from langxfer.engine.weights import quiet

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(template, merges, pad)
    tokenizer.save_pretrained(folder)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    given = {**sizes, **ids, "max_position_embeddings": 512, "num_hidden_layers": layers, "vocab_size": len(tokenizer)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **{**given, **config}))
        with torch.no_grad():
            for value in network.parameters():
                noise = torch.randn_like(value)
                value.copy_(0.3 * noise if value.ndim > 1 else value + 0.1 * noise)
    with quiet():
        network.eval().save_pretrained(folder)
    return folder


def _tokenizer(template: str | None, merges: Sequence[str], pad: str) -> Any:
    """Byte-level BPE over single bytes and ``merges``; asked for special tokens, it begins with BOS."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pairs: list[tuple[str, str]] = []
    for text in merges:
        merged = "".join(piece for piece, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(text))
        cut = next(i for i in range(len(merged) - 1, 0, -1) if merged[:i] in tokens and merged[i:] in tokens)
        pairs.append((merged[:cut], merged[cut:]))
        tokens.append(merged)
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token=pad,
        additional_special_tokens=list(SPECIALS[3:]),
    )
    tokenizer.chat_template = template
    return tokenizer
