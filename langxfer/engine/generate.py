"""Answers to prompts. Sampling noise is a pure function of (seed, prompt id, attempt, position), so that neither
batch size nor order changes an answer beyond rounding."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from langxfer.components import Generation, Prompt, Sampling
from langxfer.engine.encode import Encoder

if TYPE_CHECKING:
    from transformers import GenerationConfig


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
    """Answers in the order of the prompts; batches are of like length, left-padded.

    An answer ends where the model can read no more. Of a prompt that it cannot read at all nothing is asked: the answer
    is empty, and not finished.
    """
    from langxfer.engine.weights import quiet

    ids = encoder.asked_ids(prompts)
    device, pad = next(model.parameters()).device, min(encoder.stop_ids)
    reads = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    # The last token of an answer is not read.
    rooms = [int(min(sampling.max_new_tokens, reads + 1 - len(own))) for own in ids]
    answers = {i: Generation(prompts[i], "", 0, finished=False) for i, room in enumerate(rooms) if room < 1}
    for group in _batches(ids, rooms, per_batch):
        length = len(ids[group[0]])
        inputs = torch.full((len(group), length), pad)
        mask = torch.zeros(len(group), length, dtype=torch.long)
        for row, i in enumerate(group):
            inputs[row, length - len(ids[i]) :] = torch.tensor(ids[i])
            mask[row, length - len(ids[i]) :] = 1
        noise = [SeededSampling(sampling, [noise_name(prompts[i]) for i in group])] if sampling.temperature > 0 else []
        config = _greedy(encoder, rooms[group[0]])
        model.generation_config = config  # the model's own would fill in penalties and limits of its author
        with torch.no_grad(), autocast(), quiet():
            out = model.generate(
                inputs.to(device), attention_mask=mask.to(device), generation_config=config, logits_processor=noise
            )
        for i, tokens in zip(group, out[:, length:].tolist(), strict=True):
            answers[i] = _answer(encoder, prompts[i], tokens)
        progress(len(answers))
    return [answers[i] for i in range(len(prompts))]


def _batches(ids: Sequence[Sequence[int]], rooms: Sequence[int], per_batch: int) -> Iterator[list[int]]:
    """Numbers of prompts, the longest first. In a batch all answers have room for as many tokens."""
    ordered = sorted((i for i, room in enumerate(rooms) if room > 0), key=lambda i: (-len(ids[i]), i))
    for _, alike in groupby(ordered, key=rooms.__getitem__):
        group = list(alike)
        yield from (group[start : start + per_batch] for start in range(0, len(group), per_batch))


def _greedy(encoder: Encoder, max_new_tokens: int) -> GenerationConfig:
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=sorted(encoder.stop_ids),
        pad_token_id=min(encoder.stop_ids),
    )


def _answer(encoder: Encoder, prompt: Prompt, tokens: list[int]) -> Generation:
    end = next((place for place, token in enumerate(tokens) if token in encoder.stop_ids), None)
    own = tokens if end is None else tokens[:end]
    text = encoder.tokenizer.decode(own, skip_special_tokens=True)
    return Generation(prompt, text.strip() if prompt.chat else text, len(own), end is not None)


def noise_name(prompt: Prompt) -> str:
    """What decides the noise of an answer, together with the seed."""
    return f"{prompt.id}:{prompt.attempt}" if prompt.attempt else prompt.id
