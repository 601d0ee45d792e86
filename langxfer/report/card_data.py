"""The front matter of a model card, by the Hugging Face hub's own classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from langxfer.report.finished import Finished
from langxfer.report.licences import Licence
from langxfer.report.score_names import languages_of, split_name

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

HUB_COMMIT = re.compile("[0-9a-f]{40}")  # the identity of a model from a hub; a folder's has 64 digits


def front_matter(run: Finished, terms: Licence) -> str:
    """YAML between lines of three dashes.

    Scores become the hub's evaluation results: the task is text generation, the data set is the evaluator with the
    language as its configuration, and what a score needs to be understood is in the metric's arguments.
    """
    from huggingface_hub import ModelCardData

    assert run.recipe is not None
    data = run.recipe["data"]
    tags = [data["source_language"], *data["target_languages"]]
    objectives = dict.fromkeys(phase["objective"]["name"] for phase in run.recipe["phases"])
    values = ModelCardData(
        language=list(dict.fromkeys(tag.partition("-")[0] for tag in tags)),
        base_model=base_model(run),
        datasets=[dataset(run)] if dataset(run) else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["langxfer", "multilingual", "conversational", *objectives],
        model_name=run.title,
        eval_results=list(_results(run)) or None,
        **terms.fields,
    )
    return f"---\n{values.to_yaml(line_break=chr(10)).strip()}\n---"


def base_model(run: Finished) -> str | None:
    """The hub id of the base model; None where it came from elsewhere."""
    model = run.manifest["model"]
    return model["source"] if HUB_COMMIT.fullmatch(model["weights"]) else None


def dataset(run: Finished) -> str | None:
    """The hub id of the data; None where they came from elsewhere."""
    return run.manifest["data"]["identity"].get("hub")


def _results(run: Finished) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    assert run.recipe is not None
    for evaluator, found in run.after.items():
        for score in found.scores:
            measure, column = split_name(score.name)
            spoken = column if languages_of(score.name) else None
            if score.value is None:
                continue
            about = {"unit": score.unit, "standard_error": score.standard_error, "n": score.n}
            yield EvalResult(
                task_type="text-generation",
                dataset_type=evaluator,
                dataset_name=f"{evaluator} ({spoken})" if spoken else evaluator,
                dataset_config=spoken,
                metric_type=(measure if spoken else score.name.partition("/")[2]) or evaluator,
                metric_name=score.name,
                metric_value=score.value,
                metric_args={**about, "signature": score.signature},
            )
