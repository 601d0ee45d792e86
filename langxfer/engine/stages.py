"""How each stage makes its artifact. Every function writes into the folder it is given, and frees what it loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from langxfer.components import Pair
from langxfer.data import read_examples, write_jsonl
from langxfer.engine import accounting, batches, encode, memory, models, reference, sources, translate, weights
from langxfer.engine.budget import tokens_per_micro_batch
from langxfer.engine.encode import Encoded, Unusable
from langxfer.engine.making import Facts, Maker
from langxfer.engine.measuring import Measuring
from langxfer.engine.mismatch import with_mismatched
from langxfer.engine.objectives import scored_views
from langxfer.engine.plan import PhaseStages, Plan
from langxfer.engine.running import SaysHow
from langxfer.engine.runtime import Runtime, resident_memory
from langxfer.engine.step import Examples, Step
from langxfer.engine.store import Artifact
from langxfer.engine.subject import Subject
from langxfer.engine.train import train
from langxfer.engine.translation_report import make_report
from langxfer.errors import DataError
from langxfer.events import Event, Notice, Progress
from langxfer.recipe import Phase, Recipe
from langxfer.translation.pipeline import Counts, open_pipeline
from langxfer.translation.usage import listed


@dataclass
class Work:
    """What all stages of a run share."""

    plan: Plan
    runtime: Runtime
    emit: Callable[[Event], None]

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    @cached_property
    def subject(self) -> Subject:
        recipe = self.recipe
        return Subject(recipe.model, recipe.compute, recipe.data.max_length, self.runtime, self.emit)

    def progress(self, label: str, unit: str) -> Callable[[int, int], None]:
        """A callback ``(done, total)`` that becomes events."""
        return lambda done, total: self.emit(Progress(label, done, total, unit))

    @cached_property
    def measuring(self) -> Measuring:
        return Measuring(self.recipe, self.runtime, self.subject.folder)

    def predicted_memory(
        self,
        phase: Phase,
        network: Any,
        trained: Iterable[str],
        examples: Sequence[Encoded],
        tokens: int,
        without_model: int | None,
    ) -> int:
        """Bytes that training will take at the most, with what the process holds already."""
        shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
        config, on_cpu = network.config.to_dict(), self.runtime.device.type == "cpu"
        return memory.of_training(
            self.recipe, phase, config, shapes, trained, examples, tokens, on_cpu=on_cpu, interpreter=without_model
        ).total


def prepare(work: Work, maker: Maker) -> tuple[Artifact, Artifact]:
    """The data, translated and encoded."""
    plan = work.plan
    translated = maker.perform(plan.translate, lambda path: make_translate(work, path), shared=False)
    return translated, maker.perform(plan.encode, lambda path: make_encode(work, path, translated), shared=False)


def make_translate(work: Work, folder: Path) -> Facts:
    """Read, split, translate and filter: the files of ``translate.write``."""
    data, translator = work.recipe.data, work.recipe.translator
    rows, rejected = sources.read(data)
    train_rows, validation_rows = sources.split(rows, data)
    train_rows = [] if work.plan.validation_only else train_rows
    every, held_out = [*train_rows, *validation_rows], frozenset(row.id for row in validation_rows)
    progress = work.progress(work.plan.translate.label, "segments")
    device = work.runtime.device.type
    facts: Facts = {"rows": len(rows)}
    if translator is None:
        built = translate.build_examples(every, data, None, "parallel", progress, device)
        tally = translate.write(folder, built, rejected, held_out)
    else:
        pairs = [Pair(data.source_language, tag) for tag in data.target_languages]
        with open_pipeline(translator, device, models.cache_folder(), pairs) as pipeline:
            told = SaysHow(pipeline, work.emit).before(progress)
            built = translate.build_examples(every, data, pipeline, translator.name, told, device)
            tally = translate.write(folder, built, rejected, held_out)
            usage = pipeline.usage
        facts["translation"] = pipeline.counts.facts()
        if usage:
            facts["usage"] = usage
            work.emit(Notice(f"translator {translator.name} used {listed(usage)}"))
        for sentence in _retries(pipeline.counts):
            work.emit(Notice(sentence))
    for part, wanted in (("train", not work.plan.validation_only), ("validation", data.validation)):
        if wanted and not tally.parts[part]:
            name = "training" if part == "train" else part
            raise DataError(
                f"data.source {data.source}: no {name} example is left. Dropped: {_listed(ranked(tally.reasons))}."
            )
    facts |= {"train": tally.parts["train"], "validation": tally.parts["validation"]}
    if rejected:
        work.emit(Notice(f"{len(rejected)} of {len(rows) + len(rejected)} rows cannot be used: {_counted(rejected)}"))
    dropped = tally.reasons - Counter(item.reason for item in rejected)
    if dropped:
        pairs_in_all = dropped.total() + tally.parts.total()
        work.emit(Notice(f"{dropped.total()} of {pairs_in_all} pairs were dropped: {_listed(ranked(dropped))}"))
    return {**facts, "dropped": ranked(tally.reasons)}


def _retries(counts: Counts) -> Iterator[str]:
    """What was suspicious about translations, and what became of it."""
    if counts.retried:
        yield f"{counts.retried.total()} segments were translated again: {_listed(ranked(counts.retried))}"
    if counts.failed:
        yield f"{counts.failed.total()} segments have no translation: {_listed(ranked(counts.failed))}"


def make_quality(work: Work, folder: Path, translated: Artifact) -> Facts:
    """The report on the translation: ``translation.json``, ``translation.md``."""
    label, device = f"{work.plan.quality.label}: there and back", work.runtime.device.type
    report = make_report(work.recipe, translated.path, folder, device, work.progress(label, "segments"))
    return {"fidelity": {f"{own.pair}/{part.part}": part.fidelity for own in report.pairs for part in own.parts}}


def make_encode(work: Work, folder: Path, translated: Artifact) -> Facts:
    """Token ids of all examples: ``train.safetensors``, ``validation.safetensors``, ``dropped.jsonl``."""
    data, facts, lost = work.recipe.data, Facts(), []
    progress = work.progress(work.plan.encode.label, "examples")
    for name in ("train", "validation"):
        examples = read_examples(translated.path / f"{name}.jsonl")
        kept: list[Encoded] = []
        cut = 0
        for done, (item, was_cut) in enumerate(
            work.subject.encoder.encode(examples, data.max_length, data.too_long), 1
        ):
            if isinstance(item, Unusable):
                lost.append({"row": item.row, "reason": item.reason})
            else:
                kept.append(item)
                cut += was_cut
            progress(done, len(examples))
        encode.save(folder / f"{name}.safetensors", kept)
        tokens = sum(len(ids) for e in kept for ids in (*e.prompts.values(), *e.responses.values()))
        facts |= {name: len(kept), f"{name}_cut": cut, f"{name}_tokens": tokens}
    write_jsonl(folder / "dropped.jsonl", lost)
    counts = reasons(item["reason"] for item in lost)
    for name, wanted in (("train", not work.plan.validation_only), ("validation", data.validation)):
        if wanted and not facts[name]:
            raise DataError(
                f"no {'training' if name == 'train' else name} example can be encoded. Dropped: {_listed(counts)}. "
                "See data.max_length and data.too_long."
            )
    if counts or facts["train_cut"] or facts["validation_cut"]:
        cut = facts["train_cut"] + facts["validation_cut"]
        work.emit(Notice(f"encoding dropped {len(lost)} examples ({_listed(counts) or 'none'}) and cut {cut}"))
    merged = work.subject.encoder.merged
    if merged:
        work.emit(Notice(f"{merged} responses were tokenised apart: the tokenizer merges across the prompt's end"))
    return {**facts, "dropped": counts, "merged_boundaries": merged}


def load_encoded(encoded: Artifact, name: str) -> list[Encoded]:
    """``train`` or ``validation``, as encoded."""
    return encode.load(encoded.path / f"{name}.safetensors")


def phase_examples(work: Work, phase: PhaseStages, encoded: Artifact) -> tuple[list[Encoded], list[Encoded]]:
    """Training and validation examples, with the mismatched responses that the phase's objective asks for."""
    views, max_length = phase.phase.objective.statistic_views, work.recipe.data.max_length
    train, validation = (
        with_mismatched(load_encoded(encoded, name), views, max_length, f"{name} examples")
        for name in ("train", "validation")
    )
    return train, validation


def make_reference(
    work: Work, folder: Path, phase: PhaseStages, encoded: Artifact, trained: Sequence[Path], others: Sequence[Path]
) -> Facts:
    """Per-token log-probabilities of the phase's start, for training and validation examples.

    What is known of the same tokens is taken from ``others``, reference artifacts of the same start.
    """
    assert phase.reference is not None
    examples = [example for own in phase_examples(work, phase, encoded) for example in own]
    scorer = work.subject.scorer(trained)
    scorer.self_check(examples[0])
    progress, runtime = work.progress(phase.reference.label, "examples"), work.runtime
    views = scored_views(phase.phase.objective)
    meter = work.measuring.meter(scorer, (), phase.phase.objective, examples)
    matmul = work.measuring.matmul_rate(meter)
    known = reference.Known(others)
    made, seconds = reference.write_parts(
        folder,
        scorer,
        examples,
        views,
        tokens_per_micro_batch(work.recipe.compute, scorer.model),
        (runtime.rank, runtime.world),
        lambda done: progress(done, len(examples)),
        known,
    )
    scored = [[e for e in part if not known.has(e, views)] for part in reference.parts(examples, views)]
    facts = accounting.reference_facts(meter, scored, made, seconds, matmul / runtime.world if matmul else None)
    return {"examples": len(examples), "scored": sum(map(len, scored)), "accounting": facts}


def make_train(
    work: Work,
    folder: Path,
    phase: PhaseStages,
    encoded: Artifact,
    referenced: Artifact | None,
    trained: Sequence[Path],
) -> Facts:
    """One training phase: ``trained.safetensors`` (what it changed), ``metrics.jsonl``, ``adapter/`` if any."""
    recipe, runtime = work.recipe, work.runtime
    objective, training = phase.phase.objective, phase.phase.training
    sets = phase_examples(work, phase, encoded)
    views = scored_views(objective)
    references = reference.read(referenced.path, [e for own in sets for e in own], views) if referenced else None
    ramp = batches.only_warms_up(training, batches.steps_in_total(training, len(sets[0])))
    if ramp:
        work.emit(Notice(f"{phase.train.label}: {ramp}."))
    without_model = resident_memory()
    network = weights.load_model(
        recipe.model, work.subject.folder, trained, recipe.compute, runtime.device, dropout=training.dropout
    )
    plain = weights.shapes(network)
    parameters = weights.trainable(network, phase.phase.selector, training.seed)
    scorer = work.subject.scorer_of(network)
    scorer.self_check(sets[0][0])
    if recipe.compute.activation_checkpointing:
        weights.recompute_activations(network)
    if training.dropout or recipe.compute.activation_checkpointing or weights.drops_out(network):
        network.train()
    meter = work.measuring.meter(scorer, parameters, objective, [*sets[0], *sets[1]])
    matmul = work.measuring.matmul_rate(meter)
    tokens = tokens_per_micro_batch(recipe.compute, network)
    predicted = work.predicted_memory(phase.phase, network, parameters, sets[0], tokens, without_model)
    step = Step(scorer, objective, runtime, tokens, meter.step)
    data, validation = (Examples(own, references) for own in sets)
    facts = train(step, parameters, training, recipe.compute, data, validation, folder, phase.train.label, work.emit)
    if runtime.main:
        result = phase.phase.selector.finished(network, parameters, folder / weights.ADAPTER)
        weights.save_trained(result, folder / weights.TRAINED, plain)
        facts["accounting"] = accounting.train_facts(meter, training, *sets, folder / "metrics.jsonl", matmul)
    share = sum(value.numel() for value in parameters.values()) / sum(value.numel() for value in network.parameters())
    facts |= {"trained_parameters": len(parameters), "trained_share": share, "predicted_memory": predicted}
    return {**facts, "tokens_per_micro_batch": tokens}


def reasons(items: Iterable[str]) -> dict[str, int]:
    """How often each reason occurs, most frequent first."""
    return ranked(Counter(items))


def ranked(counts: Counter[str]) -> dict[str, int]:
    """Counts, the highest first."""
    return dict(counts.most_common())


def _counted(items: Sequence[sources.Rejected]) -> str:
    return _listed(reasons(item.reason for item in items))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in counts.items())


def facts_of(artifact: Artifact) -> Facts:
    """What the manifest says beyond the key: counts, seconds, memory."""
    return dict(artifact.manifest["facts"])
