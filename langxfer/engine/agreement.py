"""Whether an exported model answers as the model of the run does: the same greedy tokens to a few prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from langxfer.engine.weights import quiet

NEW_TOKENS = 32
NEAR = 0.01  # nats: two tokens so near to each other change places where sums are made in another order

Answer = Callable[[Sequence[Sequence[int]]], list[list[int]]]


@dataclass(frozen=True)
class Difference:
    """Where an answer first differs.

    Attributes:
        position: of the token in the answer.
        expected: the run's model's token; None where its answer had ended.
        found: the exported model's token; None where its answer had ended.
        nats: how much likelier the run's model finds the expected one; None after an end.
    """

    prompt: str
    position: int
    expected: int | None
    found: int | None
    nats: float | None

    @property
    def near(self) -> bool:
        """Whether it is no more than rounding."""
        return self.nats is not None and self.nats < NEAR


@dataclass(frozen=True)
class Agreement:
    """How two models' answers compare, by transformers' greedy search with the run's model in float32.

    Attributes:
        tokens: of the run's model's answers.
        agreed: those of them before the first difference of an answer.
    """

    prompts: int
    tokens: int
    agreed: int
    differences: tuple[Difference, ...]


def agreement(model: Path, prompts: Sequence[str], exported: Answer) -> Agreement:
    """Ask both models.

    Args:
        model: of the run, in transformers format.
        exported: gives the new tokens of answers to prompts, both as ids.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = [_rendered(tokenizer, prompt) for prompt in prompts]
    network = load(model)
    expected, found = greedy(network, model)(ids), exported(ids)
    differences, agreed = [], 0
    for text, prompt, one, other in zip(prompts, ids, expected, found, strict=True):
        place = next((n for n, (a, b) in enumerate(zip_longest(one, other)) if a != b), None)
        agreed += len(one) if place is None else min(place, len(one))
        if place is not None:
            differences.append(_difference(network, text, prompt, place, one, other))
    return Agreement(len(prompts), sum(map(len, expected)), agreed, tuple(differences))


def load(model: Path) -> nn.Module:
    """A model in float32."""
    from transformers import AutoModelForCausalLM

    with quiet():
        return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()


def greedy(network: Any, model: Path) -> Answer:
    """Transformers' greedy search, one prompt at a time."""
    from transformers import GenerationConfig

    ends = end_ids(model)

    def answer(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        network.generation_config = config = GenerationConfig(
            max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1, eos_token_id=ends, pad_token_id=ends[0]
        )
        with torch.no_grad(), quiet():
            rows = [torch.tensor([prompt]) for prompt in prompts]
            found = [
                network.generate(row, attention_mask=torch.ones_like(row), generation_config=config)[0, row.shape[1] :]
                for row in rows
            ]
        return [_without_end(own.tolist(), ends) for own in found]

    return answer


def ctranslate2_greedy(folder: Path, model: Path, compute_type: str) -> Answer:
    """CTranslate2's greedy search with a converted model."""
    import ctranslate2
    from transformers import AutoTokenizer

    tokenizer, ends = AutoTokenizer.from_pretrained(model), end_ids(model)
    generator = ctranslate2.Generator(str(folder), device="cpu", compute_type=compute_type)

    def answer(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        rows = [tokenizer.convert_ids_to_tokens(list(prompt)) for prompt in prompts]
        found: Iterator[Any] = (
            generator.generate_batch([row], max_length=NEW_TOKENS, end_token=ends, include_prompt_in_result=False)[0]
            for row in rows
        )
        return [_without_end(list(own.sequences_ids[0]), ends) for own in found]

    return answer


def end_ids(model: Path) -> list[int]:
    """The tokens that end an answer, as the run saved them."""
    from transformers import GenerationConfig

    ends = GenerationConfig.from_pretrained(model).eos_token_id
    return sorted(ends if isinstance(ends, list) else [ends])


def _rendered(tokenizer: Any, prompt: str) -> list[int]:
    turns: list[Mapping[str, str]] = [{"role": "user", "content": prompt}]
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"])


def _without_end(tokens: list[int], ends: Sequence[int]) -> list[int]:
    place = next((n for n, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:place]


def _difference(
    network: Any, text: str, prompt: Sequence[int], place: int, one: Sequence[int], other: Sequence[int]
) -> Difference:
    expected = one[place] if place < len(one) else None
    found = other[place] if place < len(other) else None
    if expected is None or found is None:
        return Difference(text, place, expected, found, None)
    with torch.no_grad():
        logits = network(torch.tensor([[*prompt, *one[:place]]])).logits[0, -1]
    return Difference(text, place, expected, found, float(logits[expected] - logits[found]))
