"""Answers to prompts. Sampling noise is a pure function of (seed, prompt id, attempt, position), so that neither
batch size nor order changes an answer beyond rounding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.components import Generation, Prompt, Sampling
from langxfer.engine.encode import Encoder


class SeededSampling:
    """A logits processor that turns greedy search into sampling, by the Gumbel-max trick.

    Adding Gumbel noise to log-probabilities and taking the largest draws from the distribution. The
    noise of a row comes from a generator of its own, seeded by (seed, prompt id, attempt).
    """

    def __init__(self, sampling: Sampling, ids: Sequence[str]):
        self._sampling = sampling
        seeds = [hashlib.sha256(f"{sampling.seed}:{name}".encode()).digest() for name in ids]
        self._generators = [torch.Generator().manual_seed(int.from_bytes(seed[:7], "big")) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logps = torch.log_softmax(scores.float() / self._sampling.temperature, -1)
        if self._sampling.top_p < 1:
            ordered, places = logps.sort(-1, descending=True)
            before = ordered.exp().cumsum(-1) - ordered.exp()  # probability of all that is likelier
            drop = (before >= self._sampling.top_p).scatter(-1, places, before >= self._sampling.top_p)
            logps = logps.masked_fill(drop, -torch.inf)
        uniform = torch.stack([torch.rand(logps.shape[-1], generator=own) for own in self._generators])
        return logps - torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7))).to(logps.device)


def generate(
    model: nn.Module,
    encoder: Encoder,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    per_batch: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generation]:
    """Answers in the order of the prompts; batches are of like length, left-padded."""
    from transformers import GenerationConfig

    from langxfer.engine.weights import quiet

    ids = encoder.ids([encoder.rendered(prompt) for prompt in prompts])
    pad = min(encoder.stop_ids)
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=sorted(encoder.stop_ids),
        pad_token_id=pad,
    )
    model.generation_config = config  # the model's own would fill in penalties and limits of its author
    device = next(model.parameters()).device
    answers: dict[int, Generation] = {}
    ordered = sorted(range(len(prompts)), key=lambda i: (-len(ids[i]), i))
    for start in range(0, len(ordered), per_batch):
        group = ordered[start : start + per_batch]
        length = max(len(ids[i]) for i in group)
        inputs = torch.full((len(group), length), pad)
        mask = torch.zeros(len(group), length, dtype=torch.long)
        for row, i in enumerate(group):
            inputs[row, length - len(ids[i]) :] = torch.tensor(ids[i])
            mask[row, length - len(ids[i]) :] = 1
        noise = [SeededSampling(sampling, [noise_name(prompts[i]) for i in group])] if sampling.temperature > 0 else []
        with torch.no_grad(), autocast(), quiet():
            out = model.generate(
                inputs.to(device), attention_mask=mask.to(device), generation_config=config, logits_processor=noise
            )
        for i, tokens in zip(group, out[:, length:].tolist(), strict=True):
            answers[i] = _answer(encoder, prompts[i], tokens)
        progress(len(answers))
    return [answers[i] for i in range(len(prompts))]


def _answer(encoder: Encoder, prompt: Prompt, tokens: list[int]) -> Generation:
    end = next((place for place, token in enumerate(tokens) if token in encoder.stop_ids), None)
    own = tokens if end is None else tokens[:end]
    return Generation(
        prompt, encoder.tokenizer.decode(own, skip_special_tokens=True).strip(), len(own), end is not None
    )


def noise_name(prompt: Prompt) -> str:
    """What decides the noise of an answer, together with the seed."""
    return f"{prompt.id}:{prompt.attempt}" if prompt.attempt else prompt.id
