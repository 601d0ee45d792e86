"""Evaluates one model by several evaluators. What all of them ask for is answered at once, by one loaded model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from langxfer.components import Evaluation, Evaluator, Evidence, Generation, Prompt
from langxfer.data import ParallelExample, read_examples, read_jsonl, write_jsonl
from langxfer.engine import encode
from langxfer.engine.answer_cache import FILE
from langxfer.engine.answers import Answers
from langxfer.engine.asked import Asked, all_requests, asked_again, prompts_by_sampling
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.evaluator_contract import sound
from langxfer.engine.making import Facts, Maker
from langxfer.engine.plan import Stage, answered_by
from langxfer.engine.subject import Subject
from langxfer.errors import PluginError
from langxfer.events import Notice, Progress
from langxfer.report.finished import GENERATIONS, ROWS, SCORES, score_of

T = TypeVar("T")
VERDICTS = "verdicts"  # folder beside the artifacts, with a folder for each evaluator


@dataclass(frozen=True)
class Task:
    """An evaluator, and the stage that is its evaluation of the model."""

    evaluator: Evaluator
    stage: Stage


@dataclass
class Validation:
    """The validation examples, read when they are first needed.

    Attributes:
        translated: folder of the examples; None where there are none.
        encoded: folder of their tokens.
    """

    translated: Path | None = None
    encoded: Path | None = None

    @cached_property
    def examples(self) -> list[ParallelExample]:
        return read_examples(self.translated / "validation.jsonl") if self.translated else []

    @cached_property
    def tokens(self) -> list[Encoded]:
        """Of those that are not too long."""
        return encode.load(self.encoded / "validation.safetensors") if self.encoded else []


class Evaluations:
    """The evaluations of one model.

    Args:
        maker: finds or makes their artifacts.
        subject: the model.
        trained: weights that were trained on it.
        validation: the examples that evaluators may use.
        label: of the work that they share, for people.
    """

    def __init__(self, maker: Maker, subject: Subject, trained: Sequence[Path], validation: Validation, label: str):
        self._maker, self._subject, self._trained = maker, subject, trained
        self._validation, self._label = validation, label
        self._evidence: dict[str, Evidence] = {}  # by key of the stages that have not used it yet

    def all(self, tasks: Sequence[Task]) -> None:
        """Find or make all of them, in order."""
        for task in tasks:
            self._maker.perform(task.stage, lambda folder, own=task: self._make(folder, own, tasks))

    def _make(self, folder: Path, task: Task, tasks: Sequence[Task]) -> Facts:
        """Scores, rows and generations of one evaluator. The main process makes them, and the model is gone by then."""
        facts: Facts = {}
        if task.stage.key not in self._evidence:
            missing = self._from_main(lambda: [self._maker.finished(other.stage) is None for other in tasks])
            asking = [other for other, own in zip(tasks, missing, strict=True) if own]
            began = time.monotonic()
            self._gather(asking)
            facts["answering"] = {"seconds": time.monotonic() - began, "evaluators": len(asking)}
        evidence = self._evidence.pop(task.stage.key)
        if not self._subject.runtime.main:
            return {}
        evaluation = _evaluated(task.evaluator, self._equipped(evidence, task))
        write(folder, evaluation, evidence)
        facts["scores"] = len(evaluation.scores)
        notes = [*_unread(evidence.generations), *evaluation.notes]
        for note in notes:
            text = note.removeprefix(f"{task.evaluator.name}: ")  # the label ends in it
            self._subject.emit(Notice(f"{task.stage.label}: {text}"))
        if notes:
            facts["notes"] = notes
        if evaluation.unfinished is not None:
            facts["unfinished"] = evaluation.unfinished
            self._subject.emit(
                Notice(f"{task.stage.label} is unfinished: {evaluation.unfinished}. The next run tries the rest again.")
            )
        return facts

    def _equipped(self, evidence: Evidence, task: Task) -> Evidence:
        """Evidence with what the evaluator may use for its own work."""
        emit, label = self._subject.emit, task.stage.label
        return replace(
            evidence,
            device=self._subject.runtime.device.type,
            cache=self._maker.store.root / VERDICTS / task.evaluator.name,
            progress=lambda done, total: emit(Progress(label, done, total, "items")),
        )

    def _gather(self, tasks: Sequence[Task]) -> None:
        """Answer what the evaluators ask for, round after round; then free the model."""
        subject, examples, encoded = self._subject, self._validation.examples, self._validation.tokens
        encoder, compute = subject.encoder, subject.compute
        asked: list[Asked] = self._from_main(lambda: [Asked.by(task.evaluator, examples) for task in tasks])
        check = encoded[0] if encoded else None
        tell = lambda done, total: subject.emit(Progress(self._label, done, total, "requests"))  # noqa: E731
        file, identity = self._maker.store.root / FILE, answered_by(tasks[0].stage)
        with Answers(subject, self._trained, file, identity, check, tell) as answers:
            answers.answer(all_requests(asked, encoded, encoder, compute))
            while any(again := self._from_main(partial(_again, tasks, asked, encoder, answers))):
                more = [(own.sampling, prompts) for own, prompts in zip(asked, again, strict=True)]
                answers.answer(prompts_by_sampling(more, encoder, compute))
                asked = [replace(own, prompts=(*own.prompts, *new)) for own, new in zip(asked, again, strict=True)]
            for task, own in zip(tasks, asked, strict=True):
                self._evidence[task.stage.key] = own.evidence(examples, encoded, encoder, answers)

    def _from_main(self, value: Callable[[], T]) -> T:
        """The main process's value: evaluators are asked there alone, so that all processes know the same."""
        runtime = self._subject.runtime
        return runtime.decide(value() if runtime.main else None)  # type: ignore[return-value]


def _unread(generations: Sequence[Generation]) -> list[str]:
    """A note on prompts without an answer, if there are any."""
    unread = sum(not answer.tokens and not answer.finished for answer in generations)
    said = f"{unread} of {len(generations)} prompts are longer than the model can read; they have no answer"
    return [said] if unread else []


def _again(tasks: Sequence[Task], asked: Sequence[Asked], encoder: Encoder, answers: Answers) -> list[list[Prompt]]:
    """What each evaluator asks once more."""
    return [
        asked_again(task.evaluator, own.generations(encoder, answers)) for task, own in zip(tasks, asked, strict=True)
    ]


def _evaluated(evaluator: Evaluator, evidence: Evidence) -> Evaluation:
    """What an evaluator makes of its evidence.

    Raises:
        PluginError: it is not what comparisons and reports can read.
    """
    found = evaluator.evaluate(evidence)
    try:
        return sound(found, {answer.prompt.id for answer in evidence.generations})
    except ValueError as error:
        raise PluginError(
            f'evaluator "{evaluator.name}" gives {error}. Nothing of it is kept: this is a fault of the plugin that '
            "brings it. langxfer.testing.check_evaluator finds such faults without a run."
        ) from None


def write(folder: Path, evaluation: Evaluation, evidence: Evidence) -> None:
    """Store scores, rows and all generations."""
    write_jsonl(folder / SCORES, (asdict(score) for score in evaluation.scores))
    write_jsonl(folder / ROWS, (dict(row) for row in evaluation.rows))
    if evidence.generations:
        write_jsonl(folder / GENERATIONS, (_generation_row(answer) for answer in evidence.generations))


def read(folder: Path) -> Evaluation:
    """Scores and rows as ``write`` stored them."""
    return Evaluation([score_of(row) for row in read_jsonl(folder / SCORES)], list(read_jsonl(folder / ROWS)))


def _generation_row(answer: Generation) -> dict[str, Any]:
    prompt = answer.prompt
    return {
        "id": prompt.id,
        "language": prompt.language,
        "prompt": prompt.text,
        **({"system": prompt.system} if prompt.system is not None else {}),
        "attempt": prompt.attempt,
        "answer": answer.text,
        "tokens": answer.tokens,
        "finished": answer.finished,
    }
