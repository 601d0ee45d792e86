"""Whole runs with selectors that name few parameters or add their own: what moves, what resumes, what comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from langxfer.builtin.lora import LoraSelector
from langxfer.builtin.objectives import Clo, Dpo, Sft
from langxfer.builtin.selectors import AttentionSelector, FullSelector, PatternSelector
from langxfer.components import Objective, Selector
from langxfer.data import read_jsonl
from langxfer.engine import weights
from langxfer.engine.check import check
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.run import Run, run
from langxfer.engine.train import Examples, Step, parameter_groups
from langxfer.events import Event, Notice, StepFinished
from langxfer.recipe import Compute, Data, Model, Phase, Recipe, Training
from langxfer.testing import parallel_examples, tiny_model

COMPUTE = Compute(device="cpu", threads=1, checkpoint_every=2)
TRAINING = Training(learning_rate=5e-3, weight_decay=0.1, batch_size=4, steps=5)
LORA = LoraSelector(rank=4, modules=("attention", "mlp"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    sides = (("en", "source"), ("de", "target"))
    rows = [
        {"id": example.id.partition("/")[0]}
        | {
            tag: {"instruction": getattr(example, side).prompt, "output": getattr(example, side).response}
            for tag, side in sides
        }
        for example in parallel_examples(14)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe_of(
    folder: Path, data: Path, *phases: tuple[Objective, Selector, Training], compute: Compute = COMPUTE
) -> Recipe:
    return Recipe(
        title="selected",
        model=Model(source=str(folder)),
        data=Data(source=str(data), format="parallel", target_languages=("de",), validation=4),
        phases=tuple(Phase(objective=o, selector=s, training=t) for o, s, t in phases),
        compute=compute,
    )


def trained(result: Run, phase: int = 0) -> dict[str, Tensor]:
    return load_file(artifacts(result)[phase] / weights.TRAINED)


def artifacts(result: Run) -> list[Path]:
    return [outcome.artifact.path for outcome in result.outcomes if outcome.stage.name == "train"]


def rows(result: Run) -> list[dict[str, Any]]:
    every = read_jsonl(result.path / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in every]


def parameters_of(folder: Path) -> dict[str, Tensor]:
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())


def network_of(folder: Path) -> nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, [], COMPUTE, torch.device("cpu"))


class Stop(BaseException):
    """A kill, as far as one process can play it."""


def stop_at(step: int) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Stop

    return observe


# ---------------------------------------------------------------- some of the model's own parameters


@pytest.mark.parametrize("recompute", [False, True])
def test_only_what_a_pattern_names_moves(folder: Path, data: Path, tmp_path: Path, recompute: bool) -> None:
    """With weight decay, frozen embeddings, and with or without activation checkpointing."""
    selector = PatternSelector(patterns=(r".*\.mlp\.(up|down)_proj\.weight",), layers=((-1, -1),))
    compute = COMPUTE.model_copy(update={"activation_checkpointing": recompute})
    result = run(recipe_of(folder, data, (Clo(), selector, TRAINING), compute=compute), tmp_path)
    before, after = parameters_of(folder), parameters_of(result.model)
    names = {f"model.layers.1.mlp.{x}_proj.weight" for x in ("up", "down")}
    assert trained(result).keys() == names
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (name not in names), name


def test_the_optimizer_holds_the_chosen_parameters_alone(folder: Path) -> None:
    network = network_of(folder)
    parameters = weights.trainable(network, AttentionSelector(projections=("query",), layers=((0, 0),)))
    held = [value for group in parameter_groups(parameters, TRAINING) for value in group["params"]]
    assert [id(value) for value in held] == [
        id(dict(network.named_parameters())["model.layers.0.self_attn.q_proj.weight"])
    ]
    lora = weights.trainable(network_of(folder), LORA)
    held = [value for group in parameter_groups(lora, TRAINING) for value in group["params"]]
    assert {id(value) for value in held} == {id(value) for value in lora.values()}
    assert len(held) == 2 * 2 * 7


def test_a_tied_output_layer_is_trained_under_the_embedding_s_name(data: Path, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tied", tie_word_embeddings=True)
    selector = PatternSelector(patterns=(r"model\.embed_tokens\.weight",))
    result = run(recipe_of(folder, data, (Sft(), selector, TRAINING)), tmp_path)
    before, after = parameters_of(folder), parameters_of(result.model)
    assert "lm_head.weight" not in after
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} == {
        "model.embed_tokens.weight"
    }
    losses = [row["loss"] for row in rows(result) if "loss" in row]
    assert losses[-1] < losses[0]


# ---------------------------------------------------------------- adapters


@pytest.fixture(scope="module")
def adapted(folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five steps of CLO on adapters, with dropout and validation."""
    selector = LORA.model_copy(update={"dropout": 0.3})
    training = TRAINING.model_copy(update={"validate_every": 2, "keep": "best", "seed": 3})
    return run(recipe_of(folder, data, (Clo(), selector, training)), tmp_path_factory.mktemp("adapted"))


def test_the_reference_is_the_plain_model(adapted: Run, folder: Path, data: Path, tmp_path: Path) -> None:
    """Before the first step the preference is 2 ln 2 (CLO) and ln 2 (DPO), in spite of the adapters' dropout."""
    assert rows(adapted)[0]["preference"] == pytest.approx(2 * math.log(2), abs=1e-6)
    result = run(recipe_of(folder, data, (Dpo(), LORA, TRAINING)), tmp_path)
    assert rows(result)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    losses = [row["loss"] for row in rows(result) if "loss" in row]
    assert losses[-1] < math.log(2) - 0.01


def test_it_holds_in_bfloat16(folder: Path, data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(folder, data, (Dpo(), LORA, TRAINING.model_copy(update={"steps": 1})))
    result = run(recipe.model_copy(update={"model": Model(source=str(folder), dtype="bfloat16")}), tmp_path)
    assert rows(result)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert {value.dtype for value in trained(result).values()} == {torch.float32}


def test_activation_checkpointing_changes_nothing(adapted: Run, tmp_path: Path) -> None:
    compute = COMPUTE.model_copy(update={"activation_checkpointing": True})
    result = run(adapted.recipe.model_copy(update={"compute": compute}), tmp_path)
    whole = trained(adapted)
    for name, value in trained(result).items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-5)


def test_the_run_holds_a_plain_model_and_the_adapter(adapted: Run, folder: Path) -> None:
    before, after = parameters_of(folder), parameters_of(adapted.model)
    assert after.keys() == before.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == trained(adapted).keys()
    assert changed == {name for name in before if "_proj" in name}
    own = adapted.path / "adapters" / "phase-0"
    assert sorted(path.name for path in own.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    for path in own.iterdir():
        assert path.read_bytes() == (artifacts(adapted)[0] / weights.ADAPTER / path.name).read_bytes()
    facts = adapted.outcomes[-1].artifact.manifest["facts"]
    assert facts["trained_parameters"] == 28 and 0 < facts["trained_share"] < 0.5


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")  # peft asks by an older name of a property
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_exported_model_scores_as_the_model_with_the_adapter(
    architecture: str, data: Path, tmp_path: Path, encoded: list[Encoded]
) -> None:
    from peft import PeftModel

    folder = tiny_model(tmp_path / "model", architecture)
    result = run(recipe_of(folder, data, (Clo(), LORA, TRAINING)), tmp_path)
    views = sorted(Clo().views)
    loaded = PeftModel.from_pretrained(network_of(folder), result.path / "adapters" / "phase-0").eval()
    scores, exact = {}, {}

    def scored(network: nn.Module) -> Tensor:
        scorer = Scorer(network, "tree")
        return torch.cat([own for _, _, own in scorer.score(scorer.units(encoded, views))])

    for name, network in (("plain", network_of(folder)), ("export", network_of(result.model)), ("peft", loaded.model)):
        with torch.no_grad():
            scores[name] = scored(network)
            exact[name] = scored(network.double())
    torch.testing.assert_close(scores["export"], scores["peft"], rtol=1e-5, atol=1e-5)
    assert (exact["export"] - exact["peft"]).abs().max() <= 1e-5  # without the rounding of the forward pass
    assert (scores["export"] - scores["plain"]).abs().max() > 0.05


@pytest.mark.parametrize("killed_at", [1, 3, 4])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(adapted: Run, tmp_path: Path, killed_at: int) -> None:
    """With the adapters' dropout on, and the best adapter kept; checkpoints are made every second step."""
    with pytest.raises(Stop):
        run(adapted.recipe, tmp_path, observe=stop_at(killed_at))
    torch.rand(5)
    steps: list[int] = []
    again = run(
        adapted.recipe, tmp_path, observe=lambda e: steps.append(e.step) if isinstance(e, StepFinished) else None
    )
    assert steps == list(range((killed_at - 1) // 2 * 2 + 1, 6))
    whole = trained(adapted)
    assert all(torch.equal(value, whole[name]) for name, value in trained(again).items())
    for path in (adapted.path / "adapters" / "phase-0").iterdir():
        assert path.read_bytes() == (again.path / "adapters" / "phase-0" / path.name).read_bytes()
    assert rows(again) == rows(adapted)


def test_dropout_of_adapters_is_for_training_steps_alone(
    gpt2: Path, data: Path, tmp_path: Path, encoded: list[Encoded], runtime: Any
) -> None:
    """Noise depends on the seed alone; without it nothing of it is left; the model's own dropout stays off."""
    training = TRAINING.model_copy(update={"steps": 3})
    wet = LORA.model_copy(update={"dropout": 0.5})
    results = [
        run(recipe_of(gpt2, data, (Sft(), selector, own)), tmp_path / str(number))
        for number, (selector, own) in enumerate(
            [(wet, training), (wet, training), (LORA, training), (wet, training.model_copy(update={"seed": 1}))]
        )
    ]
    losses = [[row["loss"] for row in rows(result) if "loss" in row] for result in results]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0][0] == losses[2][0]  # adapters are zero at the start, so their noise is too
    assert losses[3] != losses[0]
    network = network_of(results[0].model)
    assert network_of(gpt2).config.attn_pdrop == 0.2
    held_out = load_held_out(results[0])
    found = Step(Scorer(network, "tree"), Sft(), runtime, 400).run(Examples(held_out, None), learn=False)["loss"]
    assert found == pytest.approx(rows(results[0])[-1]["validation/loss"], abs=1e-5)


def load_held_out(result: Run) -> list[Encoded]:
    from langxfer.engine.stages import load_encoded

    return load_encoded(result.outcomes[1].artifact, "validation")


def test_the_best_adapter_wins(folder: Path, data: Path, tmp_path: Path, runtime: Any) -> None:
    settings = {"learning_rate": 0.6, "schedule": "constant", "batch_size": 2, "steps": 2, "validate_every": 1}
    results = {
        keep: run(recipe_of(folder, data, (Sft(), LORA, Training(**settings, keep=keep))), tmp_path / keep)
        for keep in ("best", "last")
    }
    found = [row["validation/loss"] for row in rows(results["best"]) if "validation/loss" in row]
    assert min(found) < found[-1] - 0.01
    for keep, expected in (("best", min(found)), ("last", found[-1])):
        step = Step(Scorer(network_of(results[keep].model), "tree"), Sft(), runtime, 400)
        loss = step.run(Examples(load_held_out(results[keep]), None), learn=False)["loss"]
        assert loss == pytest.approx(expected, abs=1e-5)


def test_a_second_phase_starts_from_the_merged_model(folder: Path, data: Path, tmp_path: Path) -> None:
    """SFT on adapters, then DPO on fresh ones or on the model's own parameters. Its reference is the SFT result."""
    first = (Sft(), LORA, TRAINING)
    for name, selector in {"lora": LORA, "attention": AttentionSelector()}.items():
        result = run(recipe_of(folder, data, first, (Dpo(), selector, TRAINING)), tmp_path / name)
        second = [row for row in rows(result) if row["phase"] == 1 and "loss" in row]
        assert second[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert (result.path / "adapters" / "phase-1").exists() == (name == "lora")
        after = parameters_of(result.model)
        expected = {**trained(result, 0), **trained(result, 1)}
        assert all(torch.equal(after[name], value) for name, value in expected.items())
        assert torch.equal(
            after["model.layers.0.mlp.up_proj.weight"],
            trained(result, int(name == "lora"))["model.layers.0.mlp.up_proj.weight"],
        )


# ---------------------------------------------------------------- what is said before


def swahili(recipe: Recipe, tag: str = "sw") -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"target_languages": (tag,)})})


def test_check_says_what_lora_adapts_and_trains(folder: Path, data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(
        folder, data, (Clo(), LoraSelector(rank=4, layers=((1, 1),), projections=("query", "value")), TRAINING)
    )
    (text,) = [finding.text for finding in check(recipe, tmp_path) if finding.subject == "selector"]
    network = network_of(folder)
    parameters = weights.trainable(network, recipe.phases[0].selector)
    count = sum(value.numel() for value in parameters.values())
    share = count / sum(value.numel() for value in network.parameters())
    assert text == (
        f"phases[0] lora: 4 of 25 tensors, {count:,} parameters, {share:.1%} of the parameters; adapts 2 modules: "
        "model.layers.*.self_attn.q_proj, model.layers.*.self_attn.v_proj"
    )


def test_check_finds_what_a_selector_cannot_find(folder: Path, data: Path, tmp_path: Path) -> None:
    wrong = (PatternSelector(patterns=("q_prj",)), LoraSelector(layers=((5, 6),)), AttentionSelector(layers=((2, 2),)))
    recipe = recipe_of(folder, data, *((Sft(), selector, TRAINING) for selector in wrong))
    found = [finding for finding in check(recipe, tmp_path) if finding.subject == "selector"]
    assert [finding.verdict for finding in found] == ["problem"] * 3
    assert "The nearest are" in found[0].text and all("which has 2 layers" in finding.text for finding in found[1:])


@pytest.mark.parametrize(
    ("selector", "tag", "warns"),
    [
        (AttentionSelector(), "sw", True),
        (AttentionSelector(), "de", False),
        (AttentionSelector(), "ko", False),
        (FullSelector(), "sw", False),
        (LoraSelector(), "yo", True),
        (LORA, "yo", False),
    ],
)
def test_check_warns_where_the_paper_does(
    folder: Path, data: Path, tmp_path: Path, selector: Selector, tag: str, warns: bool
) -> None:
    recipe = swahili(recipe_of(folder, data, (Clo(), selector, TRAINING)), tag)
    warnings = [finding for finding in check(recipe, tmp_path) if finding.verdict == "warning"]
    assert [finding.subject for finding in warnings] == ["selector"] * warns
    assert all("phases[0]" in finding.text and "table 4" in finding.text for finding in warnings)


@pytest.mark.parametrize("selector", [AttentionSelector(), FullSelector()])
def test_a_run_says_it_too(folder: Path, data: Path, tmp_path: Path, selector: Selector) -> None:
    pairs = tmp_path / "sw.jsonl"
    pairs.write_text(data.read_text().replace('"de":', '"sw":'))
    notices: list[str] = []
    recipe = swahili(recipe_of(folder, pairs, (Sft(), selector, TRAINING.model_copy(update={"steps": 1}))))
    run(recipe, tmp_path, observe=lambda event: notices.append(event.message) if isinstance(event, Notice) else None)
    assert len([text for text in notices if "29.7 %" in text]) == (selector.name == "attention")


def test_a_tied_output_layer_in_the_file_is_no_parameter(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from langxfer.engine.models import stored_shapes

    folder = tiny_model(tmp_path, tie_word_embeddings=True)
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, folder / "model.safetensors")
    expected = {name: tuple(value.shape) for name, value in network_of(folder).named_parameters()}
    assert stored_shapes(folder) == expected
