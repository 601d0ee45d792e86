"""The definition of a continuation's log-probability: a plain forward pass for each, by the model's own code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from langxfer.engine import weights
from langxfer.engine.encode import Encoder
from langxfer.recipe import Model


def load(folder: Path, dtype: torch.dtype = torch.float64, attention: str = "sdpa") -> nn.Module:
    with weights.quiet():
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return network.eval()


def encoder_of(folder: Path) -> Encoder:
    return Encoder(Model(source=str(folder)), folder)


def own_logits(network: nn.Module, context: Sequence[int], option: Sequence[int]) -> float:
    """Nats of all tokens of the option after the context."""
    ids = torch.tensor([[*context, *option]])
    with torch.no_grad():
        logps = torch.log_softmax(network(input_ids=ids[:, :-1], use_cache=False).logits[0, len(context) - 1 :], -1)
    return logps.gather(-1, ids[0, len(context) :, None]).sum().item()


def silent(done: int, total: int) -> None:
    pass
