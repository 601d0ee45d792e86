"""Answers: greedy ones are transformers' own, sampled ones depend on seed and prompt alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from langxfer.components import Generation, Prompt, Sampling
from langxfer.engine import weights
from langxfer.engine.encode import Encoder
from langxfer.engine.generate import SeededSampling, generate
from langxfer.recipe import Compute, Model

TEXTS = ("Hi?", "What is the sea made of, and why?", "x", "Say 3 words on rain.", "Wie viele Planeten gibt es?", "why")
PROMPTS = [Prompt(f"p{number}", text, "en") for number, text in enumerate(TEXTS)]
GREEDY = Sampling(max_new_tokens=12)
WARM = Sampling(max_new_tokens=12, temperature=0.9, top_p=0.95, seed=3)

Ask = Callable[..., list[Generation]]


def network_of(folder: Path, raised: float = 2.0) -> nn.Module:
    """With a raised chance to end, so that some answers end early and some do not."""
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    network.get_output_embeddings().weight.data[1] *= raised
    return network


@pytest.fixture(scope="module", params=["folder", "gpt2"])
def place(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def network(place: Path, gpt2: Path) -> nn.Module:
    return network_of(place, 1.2 if place == gpt2 else 2.0)


@pytest.fixture(scope="module")
def ask(place: Path, network: nn.Module) -> Ask:
    encoder = Encoder(Model(source=str(place)), place)

    def run(prompts: Sequence[Prompt], sampling: Sampling, per_batch: int, **options: Any) -> list[Generation]:
        return generate(network, encoder, prompts, sampling, per_batch, nullcontext, **options)

    return run


@pytest.mark.parametrize("per_batch", [1, 4, 100])
def test_greedy_answers_are_those_of_transformers_one_by_one(
    place: Path, network: nn.Module, ask: Ask, per_batch: int
) -> None:
    encoder = Encoder(Model(source=str(place)), place)
    tokenizer = encoder.tokenizer
    found = ask(PROMPTS, GREEDY, per_batch)
    assert [answer.prompt for answer in found] == PROMPTS
    for prompt, answer in zip(PROMPTS, found, strict=True):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with weights.quiet():
            options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": 1, "pad_token_id": 2}
            out = network.generate(ids, attention_mask=torch.ones_like(ids), **options)
        own = out[0, ids.shape[1] :].tolist()
        ended = 1 in own
        assert answer.finished == ended
        assert answer.tokens == (own.index(1) if ended else 12)
        assert answer.text == tokenizer.decode(own[: answer.tokens], skip_special_tokens=True).strip()
    assert {answer.finished for answer in found} == {True, False}  # the batch goes on when some have ended


def test_sampling_does_not_depend_on_batches_or_order(ask: Ask) -> None:
    alone = {answer.prompt.id: answer for answer in ask(PROMPTS, WARM, 1)}
    assert len({answer.text for answer in alone.values()}) == len(PROMPTS)
    for prompts, per_batch in ((PROMPTS, 2), (PROMPTS, 6), (PROMPTS[::-1], 4), (PROMPTS[2:5], 3)):
        torch.manual_seed(per_batch)  # global noise does not count
        found = ask(prompts, WARM, per_batch)
        assert [answer.prompt for answer in found] == list(prompts)
        for answer in found:
            assert answer == alone[answer.prompt.id]


def test_what_sampling_depends_on(ask: Ask) -> None:
    texts = [answer.text for answer in ask(PROMPTS, WARM, 6)]
    assert texts == [answer.text for answer in ask(PROMPTS, WARM, 6)]
    greedy = [answer.text for answer in ask(PROMPTS, GREEDY, 6)]
    assert texts != greedy
    other = Sampling(max_new_tokens=12, temperature=0.9, top_p=0.95, seed=4)
    assert texts != [answer.text for answer in ask(PROMPTS, other, 6)]
    renamed = [Prompt("other", PROMPTS[0].text, "en")]
    assert ask(renamed, WARM, 1)[0].text != texts[0]
    for cold in (Sampling(12, temperature=1e-5), Sampling(12, temperature=2.0, top_p=1e-6)):
        assert [answer.text for answer in ask(PROMPTS, cold, 6)] == greedy


def test_progress_and_nothing_to_do(ask: Ask) -> None:
    seen: list[int] = []
    ask(PROMPTS, Sampling(max_new_tokens=1), 4, progress=seen.append)
    assert seen == [4, 6]
    assert ask([], GREEDY, 4) == []


def test_the_models_own_generation_settings_do_not_count(folder: Path) -> None:
    encoder, network = Encoder(Model(source=str(folder)), folder), network_of(folder)
    plain = generate(network, encoder, PROMPTS, GREEDY, 6, nullcontext)
    network = network_of(folder)
    network.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=9.0, max_length=3, num_beams=2)
    assert generate(network, encoder, PROMPTS, GREEDY, 6, nullcontext) == plain


def test_an_answer_ends_where_the_model_can_read_no_more(ask: Ask, network: nn.Module) -> None:
    """The window has 512 tokens, and an answer's last one is not read."""
    prompts = [Prompt(f"{n}", "x" * n, "en") for n in (1, 470, 490, 496, 497, 498, 499, 600)]
    sampling = Sampling(max_new_tokens=24)
    found = ask(prompts, sampling, 4)
    assert found == [ask([prompt], sampling, 1)[0] for prompt in prompts]
    assert network.config.max_position_embeddings == 512
    cut = [answer.tokens for answer in found if not answer.finished]
    assert cut == sorted(cut, reverse=True) and cut[0] == 24 and 0 < cut[-2] < 24
    assert (found[-1].text, found[-1].tokens, found[-1].finished) == ("", 0, False)


# ---------------------------------------------------------------- the distribution

LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0, 0.5, -4.0])


def chi_square(counts: Sequence[int], probabilities: Sequence[float]) -> float:
    total = sum(counts)
    return sum((n - total * p) ** 2 / (total * p) for n, p in zip(counts, probabilities, strict=True) if p > 0)


def draws(sampling: Sampling, rows: int, steps: int) -> list[int]:
    processor = SeededSampling(sampling, [f"prompt {row}" for row in range(rows)])
    nothing = torch.zeros(rows, 1, dtype=torch.long)
    return [token for _ in range(steps) for token in processor(nothing, LOGITS.repeat(rows, 1)).argmax(-1).tolist()]


@pytest.mark.parametrize(("rows", "steps"), [(4000, 1), (1, 4000), (40, 100)], ids=["prompts", "positions", "both"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampling_draws_from_the_distribution(rows: int, steps: int, temperature: float) -> None:
    found = draws(Sampling(1, temperature=temperature, seed=1), rows, steps)
    probabilities = (LOGITS / temperature).softmax(-1).tolist()
    # 20.5 is exceeded once in a thousand times with five degrees of freedom.
    assert chi_square([found.count(token) for token in range(6)], probabilities) < 20.5


@pytest.mark.parametrize("top_p", [0.3, 0.6, 0.9])
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float) -> None:
    weights_ = LOGITS.softmax(-1).tolist()
    ranked = sorted(range(6), key=lambda token: -weights_[token])
    kept: list[int] = []
    while sum(weights_[token] for token in kept) < top_p:
        kept.append(ranked[len(kept)])
    probabilities = [weights_[token] / sum(weights_[t] for t in kept) if token in kept else 0.0 for token in range(6)]
    found = draws(Sampling(1, temperature=1.0, top_p=top_p, seed=2), 2000, 2)
    assert set(found) == set(kept)
    assert chi_square([found.count(token) for token in range(6)], probabilities) < 20.5


def test_what_the_model_rules_out_is_never_drawn() -> None:
    scores = torch.tensor([[0.0, -math.inf, 0.0]]).repeat(500, 1)
    processor = SeededSampling(Sampling(1, temperature=1.0), [str(row) for row in range(500)])
    found = processor(torch.zeros(500, 1, dtype=torch.long), scores)
    assert not found.isnan().any()
    assert set(found.argmax(-1).tolist()) == {0, 2}
