"""Runs what evaluators ask for on one model: answers to prompts, scores of validation responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation, Evaluator, Evidence, Generation, ResponseScore, Score
from langxfer.data import ParallelExample, View, read_jsonl, write_jsonl
from langxfer.engine.budget import tokens_per_micro_batch
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.forward import Scorer
from langxfer.engine.generate import generate
from langxfer.engine.reference import score_part
from langxfer.engine.runtime import Runtime
from langxfer.recipe import Compute

SCORES, ROWS, GENERATIONS = "scores.jsonl", "rows.jsonl", "generations.jsonl"


def gather_evidence(
    evaluator: Evaluator,
    scorer: Scorer,
    encoder: Encoder,
    examples: Sequence[ParallelExample],
    encoded: Sequence[Encoded],
    compute: Compute,
    runtime: Runtime,
    progress: Callable[[int, int], None],
) -> Evidence:
    """Everything the evaluator asked for; prompts and examples are shared among the processes, merged in order.

    Examples that could not be encoded (too long) are not scored.
    """
    prompts = list(evaluator.prompts(examples))
    views = sorted(evaluator.scored_views())
    total = len(prompts) + (len(encoded) if views else 0)
    own = prompts[runtime.rank :: runtime.world]
    answers: list[Generation] = []
    if own:
        per_batch, autocast = compute.prompts_per_batch, scorer.autocast
        answers = generate(
            scorer.model, encoder, own, evaluator.sampling(), per_batch, autocast, lambda done: progress(done, total)
        )
    by_id = {answer.prompt.id: answer for answer in runtime.gather(answers)}
    responses: dict[str, dict[View, ResponseScore]] = {}
    if views:
        share = list(encoded[runtime.rank :: runtime.world])
        found = score_part(scorer, share, views, tokens_per_micro_batch(compute, scorer.model))
        scored = [
            (
                e.id,
                view,
                ResponseScore(found[view][i].double().sum().item(), len(found[view][i]), e.bytes[view.response]),
            )
            for i, e in enumerate(share)
            for view in views
        ]
        for name, view, score in runtime.gather(scored):
            responses.setdefault(name, {})[view] = score
        progress(total, total)
    known = {e.id for e in encoded}
    return Evidence([e for e in examples if e.id in known], [by_id[prompt.id] for prompt in prompts], responses)


def write(folder: Path, evaluation: Evaluation, evidence: Evidence) -> None:
    """Store scores, rows and all generations."""
    write_jsonl(folder / SCORES, (asdict(score) for score in evaluation.scores))
    write_jsonl(folder / ROWS, (dict(row) for row in evaluation.rows))
    if evidence.generations:
        write_jsonl(folder / GENERATIONS, (_generation_row(answer) for answer in evidence.generations))


def read(folder: Path) -> Evaluation:
    """Scores and rows as ``write`` stored them."""
    return Evaluation([Score(**row) for row in read_jsonl(folder / SCORES)], list(read_jsonl(folder / ROWS)))


def _generation_row(answer: Generation) -> dict[str, Any]:
    prompt = answer.prompt
    return {
        "id": prompt.id,
        "language": prompt.language,
        "prompt": prompt.text,
        "answer": answer.text,
        "tokens": answer.tokens,
        "finished": answer.finished,
    }
