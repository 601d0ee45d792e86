"""Machines by their data sheets, and the time and memory of a run on them, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from langxfer.builtin.evaluators.belebele import Belebele
from langxfer.builtin.evaluators.held_out import HeldOut
from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.builtin.evaluators.mmmlu import Mmmlu
from langxfer.builtin.evaluators.perplexity import Perplexity
from langxfer.builtin.m2m100 import M2M100
from langxfer.builtin.memory import Memory
from langxfer.builtin.objectives import Clo, Kto, Sft
from langxfer.builtin.selectors import AttentionSelector
from langxfer.components import Evaluator, Workload
from langxfer.engine import cost
from langxfer.engine.cost import ANSWER, PROMPT, Cost
from langxfer.engine.forecast import forecast
from langxfer.engine.machines import DEVICES, read_machines
from langxfer.engine.store import Store
from langxfer.engine.workloads import NotCounted, Work, translation
from langxfer.errors import ArtifactError, RecipeError
from langxfer.recipe import Data, Model, Phase, Recipe

CHARACTERS = cost.CHARACTERS_PER_TOKEN


def recipe(*evaluators: Evaluator, limit: int | None = 100, objective: object = None, **data: object) -> Recipe:
    """On a model and data that are out of reach."""
    return Recipe(
        title="far",
        model=Model(source="Qwen/Qwen2.5-3B", template="alpaca", dtype="bfloat16"),
        data=Data(source="far/away", format="alpaca", target_languages=("sw",), limit=limit, validation=10, **data),
        translator=M2M100(model="facebook/m2m100_1.2B"),
        phases=(Phase(objective=objective or Clo(), selector=AttentionSelector()),),
        evaluators=evaluators,
    )


def estimate(tmp_path: Path, own: Recipe) -> Cost:
    return cost.estimate(own, Store(tmp_path))


# ---------------------------------------------------------------- machines


def test_machines_are_read() -> None:
    one, eight = read_machines("h100, 8xA100")
    assert (str(one), one.count, one.device) == ("1 × H100", 1, DEVICES["h100"])
    assert (str(eight), eight.count, eight.device) == ("8 × A100 80GB", 8, DEVICES["a100"])


@pytest.mark.parametrize("text", ["", "h100,", "0xh100", "8x", "8 x a100", "tpu", "-1xh100"])
def test_what_is_no_machine(text: str) -> None:
    with pytest.raises(RecipeError, match=r'--machine: ".*" is no machine\. Expected a device \(a100, h100, h200\)'):
        read_machines(text)


def test_data_sheets() -> None:
    """As NVIDIA prints them for SXM modules: 1,979 TFLOP/s of Hopper are with sparsity, twice the dense ones."""
    assert [device.flops_per_second["bfloat16"] / 1e12 for device in DEVICES.values()] == [312, 1979 / 2, 1979 / 2]
    assert [device.memory // 10**9 for device in DEVICES.values()] == [80, 80, 141]


# ---------------------------------------------------------------- time


def test_time_is_what_is_slower_and_shared_where_it_can_be(tmp_path: Path) -> None:
    device = DEVICES["h100"]
    peak, read = device.flops_per_second["bfloat16"], device.bytes_per_second
    work = (
        Work("arithmetic", int(peak), "bfloat16"),
        Work("memory", int(peak), "bfloat16", moved=int(3 * read)),
        Work("alone", int(peak), "bfloat16", shared=False),
        Work("precise", int(device.flops_per_second["float32"]), "float32"),
    )
    own = replace(estimate(tmp_path, recipe()), work=work)
    one, two = forecast(own, read_machines("h100,2xh100"), utilisation=0.5)
    assert one.seconds == pytest.approx((2, 6, 2, 2))
    assert two.seconds == pytest.approx((1, 3, 2, 1))
    assert (one.total_seconds, two.total_seconds) == pytest.approx((12, 7))
    assert (one.gpu_hours, two.gpu_hours) == pytest.approx((12 / 3600, 14 / 3600))


def test_what_is_not_counted_has_no_forecast(tmp_path: Path) -> None:
    own = recipe()
    found = estimate(tmp_path, own.model_copy(update={"model": own.model.model_copy(update={"source": "a/b"})}))
    assert found.uncounted == "the model is not in the cache yet"
    assert forecast(found, read_machines("h100")) == []


# ---------------------------------------------------------------- data that cannot be read


def test_data_out_of_reach_are_as_long_as_those_of_oasst(tmp_path: Path) -> None:
    found = estimate(tmp_path, recipe())
    assert (found.examples, found.validation, found.steps, found.segments) == (100, 10, (13,), 220)
    assert found.tokens == 110 * 2 * (round(PROMPT / CHARACTERS) + round(ANSWER / CHARACTERS))
    assert "far/away cannot be read here" in found.assumptions[0]


def test_without_a_limit_nothing_can_be_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="far/away"):
        estimate(tmp_path, recipe(limit=None))


@pytest.mark.parametrize("limit", [2, 3, 4, 5])
def test_an_objective_that_pairs_neighbours_finds_some(tmp_path: Path, limit: int) -> None:
    assert estimate(tmp_path, recipe(limit=limit, objective=Kto())).uncounted is None


def test_memory_is_that_of_the_longest_example_that_may_be(tmp_path: Path) -> None:
    short, long = (estimate(tmp_path, recipe(max_length=n)).phases[0].gpu_memory for n in (1000, 3000))
    assert short < long
    (sft,) = estimate(tmp_path, recipe(objective=Sft(views=["TT"]))).phases
    assert sft.gpu_memory < long  # one answer a prompt, where CLO has two


# ---------------------------------------------------------------- translation and evaluations


def test_translation_is_read_once_and_written_by_every_beam() -> None:
    layer, head = 4 * 1024**2 + 2 * 1024 * 8192, 128112 * 1024
    encoder, decoder = 24 * layer, 24 * (layer + 4 * 1024**2) + head
    found = translation(M2M100(model="facebook/m2m100_1.2B", beam_size=5), 1000)
    assert isinstance(found, Work) and not found.shared
    assert found.flops == 2 * 1000 * (encoder + 5 * decoder)
    assert isinstance(translation(Memory(files=("m.jsonl",)), 1000), NotCounted)


WORKLOADS = [
    (Belebele(), Workload(1800, 700)),
    (Belebele(languages=("en",), limit=10), Workload(10, 700)),
    (Mmmlu(), Workload(28084, 660, 512, 4)),
    (Mmmlu(max_regenerations=0), Workload(28084, 660, 512)),
    (Mmmlu(languages=("sw",), limit=2, mode="likelihood"), Workload(114, 660)),
    (LanguageFidelity(max_new_tokens=7), Workload(20, 160, 7)),
    (LanguageFidelity(limit=3), Workload(6, 160, 96)),
    (HeldOut(), None),
]


@pytest.mark.parametrize(("evaluator", "expected"), WORKLOADS, ids=lambda value: getattr(value, "name", ""))
def test_evaluators_say_how_much_they_ask(evaluator: Evaluator, expected: Workload | None) -> None:
    assert evaluator.workload({"en": 10, "sw": 10}) == expected


def test_a_file_of_prompts_says_it_exactly() -> None:
    own = LanguageFidelity(prompts="langxfer:prompts.jsonl", languages=("en", "de"))
    found, asked = own.workload({"en": 10, "sw": 10}), own.prompts(())
    assert found.requests == len(asked) > 10
    assert found.characters == sum(len(prompt.text) for prompt in asked) // len(asked)


def test_evaluations_count_before_and_after(tmp_path: Path) -> None:
    """One token more per answer is one more read of the weights, and of all matrices per answer."""
    short, long = (
        next(
            work
            for work in estimate(tmp_path, recipe(LanguageFidelity(max_new_tokens=n))).work
            if "fidelity" in work.label
        )
        for n in (10, 11)
    )
    body_and_head = 3085938688 - 36 * (2 * 2048 + 2048 + 2 * 256) - 2048  # without norms and biases
    assert long.moved - short.moved == 2 * 2 * body_and_head  # before and after; two bytes; 20 answers at a time
    assert 2 * 20 * 2 * body_and_head < long.flops - short.flops < 1.01 * 2 * 20 * 2 * body_and_head  # and attention


def test_further_attempts_are_named_and_not_counted(tmp_path: Path) -> None:
    once, often = (
        next(work for work in estimate(tmp_path, recipe(Mmmlu(max_regenerations=n))).work if "mmmlu" in work.label)
        for n in (0, 3)
    )
    assert (once.attempts, often) == (1, replace(once, attempts=4))


def test_views_are_counted_and_what_is_not_known_is_named(tmp_path: Path) -> None:
    found = estimate(tmp_path, recipe(HeldOut(), Perplexity(files={"en": "absent.txt"})))
    assert next(work for work in found.work if work.label == "evaluate: held_out").flops > 0
    assert [part.label for part in found.not_counted] == ["evaluate: perplexity"]
