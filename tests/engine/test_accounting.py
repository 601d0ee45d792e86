"""Totals of a phase: those of its steps, whatever the layout; and how fast they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from langxfer.builtin.objectives import Clo, Kto
from langxfer.builtin.selectors import AttentionSelector
from langxfer.components import Objective
from langxfer.data import Side, View
from langxfer.engine import accounting, batches, matmul, tokens, weights
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.encode import Encoded
from langxfer.engine.flops import Account
from langxfer.engine.forward import Scorer
from langxfer.engine.matmul import Setting
from langxfer.engine.measuring import Measuring
from langxfer.engine.mismatch import with_mismatched
from langxfer.engine.model_size import read_config
from langxfer.engine.models import stored_shapes
from langxfer.engine.runtime import Runtime
from langxfer.recipe import Compute, Model, Recipe, Training

VIEWS = sorted(View)


class Whole(Clo):
    """CLO that does not say that its directions separate."""

    directions_separate: ClassVar[bool] = False


def made_up(*sizes: int) -> list[Encoded]:
    return [
        Encoded(str(n), dict.fromkeys(Side, [5] * size), dict.fromkeys(View, [7] * (size + 1)), dict.fromkeys(Side, 1))
        for n, size in enumerate(sizes)
    ]


def in_pairs(examples: Any) -> list[list[tokens.Row]]:
    """Rows of two examples each, as some packing might make them."""
    pairs = [examples[i : i + 2] for i in range(0, len(examples), 2)]
    return [[row for example in pair for row in tokens.rows_of(example, VIEWS, "padded")] for pair in pairs]


def meter_of(folder: Path, layout: str, examples: list[Encoded], **options: Any) -> Any:
    shapes = stored_shapes(folder)
    trained = AttentionSelector().select(shapes)
    return accounting.meter(shapes, read_config(folder), trained, VIEWS, examples, layout, **options)


@given(
    steps=st.integers(1, 40),
    size=st.integers(1, 7),
    layout=st.sampled_from(["tree", "flat", "padded"]),
    every=st.none() | st.integers(1, 9),
)
def test_a_phase_is_the_sum_of_its_steps(folder, steps, size, layout, every):
    examples, validation = made_up(3, 1, 8, 2, 5, 9, 4, 1, 6), made_up(4, 7)
    training = Training(steps=steps, batch_size=size, validate_every=every)
    meter = meter_of(folder, layout, examples, micro_batches=in_pairs)
    rows = [meter.step([examples[i] for i in batches.batch(training, 9, step)]) for step in range(steps)]
    passes = meter.phase(training, examples, validation)
    assert passes["training"].flops == sum(row["flops"] for row in rows)
    assert passes["training"].tokens == sum(row["tokens"] for row in rows)
    assert passes["training"].backward > 0
    validations = sum(step == steps or (every is not None and step % every == 0) for step in range(1, steps + 1))
    one = meter.scoring(meter.tokens(validation))
    assert passes["validation"] == sum([one] * validations, Account())
    assert passes["validation"].backward == 0
    assert bool(passes["training"].padding.tokens) == (layout == "padded" and size > 1)


@given(steps=st.integers(1, 60), size=st.integers(1, 9), examples=st.integers(1, 20), seed=st.integers(0, 3))
def test_all_batches_are_the_batches_of_all_steps(steps, size, examples, seed):
    training = Training(steps=steps, batch_size=size, seed=seed)
    expected = [batches.batch(training, examples, step) for step in range(steps)]
    assert list(batches.all_batches(training, examples)) == expected


def test_padding_is_that_of_the_micro_batches_as_they_are_made(folder: Path) -> None:
    """Of two processes, each groups its own share."""
    recipe = recipe_of(folder, layout="padded", tokens_per_micro_batch=40)
    network = weights.load_model(recipe.model, folder, [], recipe.compute, torch.device("cpu"))
    scorer, examples = Scorer(network, "padded"), made_up(3, 1, 8, 2, 5)
    two = SimpleNamespace(world=2, rank=0, main=True, device=torch.device("cpu"))

    def as_made(own: list[Encoded], objective: Objective, trained: bool) -> list[list[tokens.Row]]:
        separate = objective.directions_separate or not trained
        groups = scorer.micro_batches(own, VIEWS, 40, separate)
        return [
            [(len(row.prompt), (len(row.branches[0].ids),)) for unit in units for row in unit.rows] for units in groups
        ]

    for objective in (Clo(), Whole()):
        meter = Measuring(recipe, two, folder).meter(scorer, ["lm_head.weight"], objective, examples)
        expected = tokens.Tokens()
        for rank in range(2):
            own = examples[rank::2]
            expected += tokens.count(own, VIEWS, "padded", as_made(own, objective, True))
        assert meter.tokens(examples) == expected
        assert expected.padding > 0
        alone = Measuring(recipe, two, folder).meter(scorer, (), objective, examples)  # each process has its own parts
        assert alone.tokens(examples) == tokens.count(examples, VIEWS, "padded", as_made(examples, objective, False))


def test_statistics_of_the_batch_are_a_pass_of_their_own(folder: Path) -> None:
    """KTO's KL: two more views, forward only, for every step and every validation."""
    recipe, runtime = recipe_of(folder), SimpleNamespace(world=1, rank=0, device=torch.device("cpu"))
    network = weights.load_model(recipe.model, folder, [], recipe.compute, torch.device("cpu"))
    views, training = Kto().statistic_views, Training(steps=2, batch_size=2)
    examples = with_mismatched([replace(e, id=f"{e.id}/de") for e in made_up(3, 1, 8, 2)], views, 100, "training")
    meter = Measuring(recipe, runtime, folder).meter(Scorer(network, "tree"), ["lm_head.weight"], Kto(), examples)
    passes = meter.phase(training, examples, examples[:3])
    expected = meter.scoring(tokens.count([*examples, *examples[:3]], views, "tree"))
    assert passes["statistics"] == expected
    assert expected.backward == 0 and expected.head.tokens == 2 * (2 + 9 + 3 + 4 + 2 + 9 + 3)
    plain = Measuring(recipe, runtime, folder).meter(Scorer(network, "tree"), ["lm_head.weight"], Clo(), examples)
    assert "statistics" not in plain.phase(training, examples, [])
    assert (
        meter.step(examples)["flops"]
        == plain.step(examples)["flops"] + meter.scoring(tokens.count(examples, views, "tree")).flops
    )


def test_models_whose_rows_cannot_be_packed_are_counted_padded(folder: Path) -> None:
    examples, config = made_up(3, 6), {**read_config(folder), "sliding_window": 16}
    shapes = stored_shapes(folder)
    for longest, layout in ((16, "tree"), (17, "padded"), (None, "tree")):
        own = accounting.meter(shapes, config, (), VIEWS, examples, "tree", max_length=longest)
        assert isinstance(own, Meter) and own.layout == layout
    alibi = accounting.meter(shapes, {**config, "alibi": True}, (), VIEWS, examples, "flat")
    assert isinstance(alibi, Meter) and alibi.layout == "padded"
    too_long = accounting.meter(shapes, config, (), VIEWS, made_up(3, 9), "tree")
    assert too_long == Uncounted("a row of 18 tokens is longer than its sliding window of 16")
    assert too_long.step(examples) == {}


def test_facts_of_training(folder: Path, tmp_path: Path) -> None:
    examples, training = made_up(3, 1, 8), Training(steps=2, batch_size=2)
    meter = meter_of(folder, "tree", examples)
    log = tmp_path / "metrics.jsonl"
    rows = [{"step": 1, "loss": 1.0, "seconds": 0.5}, {"step": 2, "seconds": 1.5}, {"step": 2, "validation/loss": 1.0}]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    passes = meter.phase(training, examples, examples)
    facts = accounting.train_facts(meter, training, examples, examples, log, 1e9)
    assert facts["flops"] == passes["training"].flops + passes["validation"].flops
    assert facts["passes"]["training"]["head"] == {
        "tokens": passes["training"].head.tokens,
        "forward": passes["training"].head.forward,
        "backward": passes["training"].head.backward,
    }
    assert facts["timed_seconds"] == 2 and facts["flops_per_second"] == passes["training"].flops / 2
    assert facts["matmul_share"] == passes["training"].flops / 2e9
    json.dumps(facts)
    strange = Uncounted("too strange")
    assert accounting.train_facts(strange, training, examples, [], log, None) == {"uncounted": "too strange"}
    assert accounting.reference_facts(strange, [examples], [0], 1.0, None) == {"uncounted": "too strange"}


def test_facts_of_a_reference_that_went_on(folder: Path) -> None:
    """All parts are counted; the speed is that of the parts that were made here."""
    parts = [made_up(8, 3), made_up(1)]
    meter = meter_of(folder, "tree", [example for own in parts for example in own])
    one, two = (meter.scoring(meter.tokens(part)) for part in parts)
    facts = accounting.reference_facts(meter, parts, [1], 0.25, None)
    assert facts["flops"] == one.flops + two.flops and one.backward == 0
    assert facts["flops_per_second"] == 4 * two.flops and "matmul_share" not in facts
    assert "flops_per_second" not in accounting.reference_facts(meter, parts, [], 0.0, 1e9)


def recipe_of(folder: Path, dtype: str = "float32", **compute: Any) -> Recipe:
    return Recipe.model_construct(
        model=Model(source=str(folder), dtype=dtype), compute=Compute(device="cpu", threads=1, **compute)
    )


def test_the_rate_is_measured_once_and_remembered(folder: Path, runtime: Runtime, monkeypatch) -> None:
    recipe = recipe_of(folder)
    measuring, meter = Measuring(recipe, runtime, folder), meter_of(folder, "tree", [])
    setting = Setting.of(recipe, meter.size.largest)
    assert setting.remembered() is None
    rate = measuring.matmul_rate(meter)
    assert rate is not None and 1e6 < rate < 1e15
    monkeypatch.setattr(matmul, "measure", lambda *options: pytest.fail("measured twice"))
    assert measuring.matmul_rate(meter) == rate == setting.remembered()
    assert measuring.matmul_rate(Uncounted("")) is None
    others = [recipe_of(folder, "bfloat16"), recipe.model_copy(update={"compute": Compute(device="cpu", threads=2)})]
    assert all(Setting.of(other, meter.size.largest).remembered() is None for other in others)
    setting.remember(2e9)
    assert setting.remembered() == 2e9
    setting._note.write_text("{}")
    assert setting.remembered() is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_rate_is_that_of_the_clock(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a product that takes a known time, the rate is its FLOPs over that time; the whole takes under a second."""
    monkeypatch.setattr(matmul, "_seconds", lambda product, ready: product() is None or 0.01)
    seen: list[torch.Size] = []
    plain = torch.nn.functional.linear

    def watched(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        assert weight.dtype == getattr(torch, dtype)
        seen.append(rows.shape)
        return plain(rows, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    for shape, cut in {(24, 16): (24, 16), (9000, 1024): (4096, 1024)}.items():
        rate = matmul.measure(torch.device("cpu"), dtype, shape)
        assert rate == 2 * seen[-1][0] * cut[0] * cut[1] / 0.01
