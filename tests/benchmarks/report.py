"""From what was measured to the numbers that are compared, and to a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from statistics import median
from typing import Any

from langxfer.engine.encode import Encoded
from tests.benchmarks.contest import CONTENDERS, Outcome, Plan
from tests.benchmarks.floor import Sizes, step_flops, trees_of

MEBIBYTE = 1 << 20
UNEQUAL = (
    "TRL's NLL covers the chosen answers of both prompt languages, a mean over tokens of each micro-batch; CLO's "
    "covers target answers, a mean over tokens of the whole step. Neither costs a forward pass of its own.",
    "TRL works out entropy, mean logits and token accuracy in every step; there is no option against it.",
    "Without Triton, so on every CPU, TRL's head scores prompts and padding too; there is no option against it.",
    "trl_default has TRL's default loss, sigmoid DPO without NLL, and the schedule linear instead of constant.",
    "trl_best reads reference log-probabilities that langxfer made (equal to its own within the difference printed).",
)
RATIOS = {
    "speedup_vs_trl_best": "TRL in its best configuration: times faster",
    "speedup_vs_trl_default": "TRL with its defaults: times faster",
    "time_vs_sft": "our SFT: time",
    "memory_vs_sft": "our SFT: peak memory over the model's own",
    "memory_vs_trl_best": "TRL best: peak memory over the model's own",
    "time_vs_flop_floor": "FLOP floor: time",
}


def summary(plan: Plan, outcome: Outcome, lengths: Mapping[str, float]) -> dict[str, Any]:
    """The ratios and the raw medians of one data set; seconds, bytes, tokens, nats."""

    def medians(value: Callable[[str, Mapping[str, float]], float]) -> dict[str, float]:
        return {name: median(value(name, step) for step in outcome.steps[name]) for name in CONTENDERS}

    own = {name: outcome.facts[name]["memory"]["resident"] for name in CONTENDERS}
    seconds = medians(lambda name, step: step["seconds"])
    over = medians(lambda name, step: step["peak"] - own[name])
    floor = floor_of(plan, outcome)
    return {
        "speedup_vs_trl_best": seconds["trl_best"] / seconds["clo"],
        "speedup_vs_trl_default": seconds["trl_default"] / seconds["clo"],
        "time_vs_sft": seconds["clo"] / seconds["sft"],
        "memory_vs_sft": over["clo"] / over["sft"],
        "memory_vs_trl_best": over["clo"] / over["trl_best"],
        "time_vs_flop_floor": seconds["clo"] / floor["seconds"],
        "max_abs_logp_difference": max(outcome.logps.values()),
        "max_rel_gradient_difference": outcome.gradients,
        "seconds": seconds,
        "peak_memory": medians(lambda name, step: step["peak"]),
        "memory_over": over,
        "model_memory": {"resident": own, "parameters": outcome.facts["clo"]["memory"]["parameters"]},
        "logp_difference": dict(outcome.logps),
        "floor": floor,
        "steps": {name: list(outcome.steps[name]) for name in CONTENDERS},
        "trl": {name: outcome.facts[name]["settings"] for name in ("trl_best", "trl_default")},
        "trl_micro_batch": outcome.facts["trl_best"]["settings"]["per_device_train_batch_size"],
        "trl_searched": list(outcome.searched),
        "warmup_steps": outcome.warmup,
        "pairs_per_step": plan.job.batch,
        "threads": plan.job.threads,
        "mean_lengths": dict(lengths),
        "versions": {name: version(name) for name in ("langxfer", "torch", "transformers", "trl")},
        "unequal_settings": list(UNEQUAL),
    }


def floor_of(plan: Plan, outcome: Outcome) -> dict[str, float]:
    """FLOPs of the median counted step, the best matmul rate of the run, and the seconds that follow."""
    from transformers import AutoConfig

    sizes = Sizes.of(AutoConfig.from_pretrained(plan.job.model_folder))
    flops = median(step_flops(trees_of(batch), sizes) for batch in counted_batches(plan, outcome.warmup))
    rate = max(outcome.rates)
    return {"flops": flops, "matmul_flops_per_second": rate, "seconds": flops / rate}


def counted_batches(plan: Plan, warmup: int) -> list[list[Encoded]]:
    """The examples of every counted step."""
    batch = plan.job.batch
    batches = [list(plan.examples[start : start + batch]) for start in range(0, len(plan.examples), batch)]
    return [batches[number % len(batches)] for number in range(warmup, warmup + plan.steps)]


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What people read: ratios side by side, then seconds and memory of every contender."""
    columns = list(found)
    first = next(iter(found.values()))
    lines = [
        " ".join(f"{name} {number}" for name, number in first["versions"].items()) + f", threads: {first['threads']}"
    ]
    for name, own in found.items():
        lengths = ", ".join(f"{part} {value:.0f}" for part, value in own["mean_lengths"].items())
        lines.append(f"data {name.upper()}: {own['pairs_per_step']} pairs a step; mean tokens: {lengths}")
    lines += ["", _row("CLO against", [f"data {name.upper()}" for name in columns])]
    lines += [_row(text, [f"{own[key]:.2f}" for own in found.values()]) for key, text in RATIOS.items()]
    for key, text in (
        ("max_abs_logp_difference", "largest difference of a token's log-probability, nats"),
        ("max_rel_gradient_difference", "largest relative difference of a gradient"),
    ):
        lines.append(_row(text, [f"{own[key]:.1e}" for own in found.values()]))
    lines += ["", _row("seconds a step, MiB over the model's own", [f"data {name.upper()}" for name in columns])]
    for contender in CONTENDERS:
        cells = [f"{d['seconds'][contender]:.2f} {d['memory_over'][contender] / MEBIBYTE:.0f}" for d in found.values()]
        lines.append(_row(contender, cells))
    lines.append(_row("FLOP floor", [f"{own['floor']['seconds']:.2f}" for own in found.values()]))
    lines.append(_row("TRL's best micro-batch, rows", [str(own["trl_micro_batch"]) for own in found.values()]))
    return "\n".join([*lines, "", "Unequal settings:", *(f"- {text}" for text in UNEQUAL)])


def _row(text: str, cells: list[str]) -> str:
    return f"  {text:<55}" + "".join(f"{cell:>14}" for cell in cells)
