"""Judges for tests of ``alpaca_eval``, and evidence made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from langxfer.builtin.evaluators.alpaca_eval import AlpacaEval
from langxfer.components import Contest, Evaluation, Evidence, Generation, Judge, OpenJudge, Verdict


class Scripted(Judge):
    """Judges by a function, and remembers what it was asked, and how often it was opened."""

    name: Literal["scripted"] = "scripted"
    version: int = 0
    _rule: Callable[[Contest], Verdict] = PrivateAttr()
    _asked: list[Contest] = PrivateAttr(default_factory=list)
    _opened: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[Contest]:
        return self._asked

    @property
    def opened(self) -> list[str]:
        return self._opened

    @contextmanager
    def open(self, device: str, cache: Path | None) -> Iterator[OpenJudge]:
        self._opened.append(device)
        yield _Open(self)


class _Open:
    def __init__(self, judge: Scripted):
        self._judge = judge

    def judge(self, contests: Sequence[Contest]) -> list[Verdict]:
        self._judge.asked.extend(contests)
        return [self._judge._rule(contest) for contest in contests]


def scripted(rule: Callable[[Contest], Verdict | float], version: int = 0) -> Scripted:
    judge = Scripted(version=version)

    def verdict(contest: Contest) -> Verdict:
        found = rule(contest)
        return found if isinstance(found, Verdict) else Verdict(found)

    judge._rule = verdict
    return judge


def always_first(contest: Contest) -> float:
    return 0.0


def likes(word: str) -> Callable[[Contest], float]:
    """A fair judge: the answer with the word wins, and without difference it is a tie."""
    return lambda contest: 0.5 + 0.5 * ((word in contest.second) - (word in contest.first))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def evaluator(folder: Path, judge: Judge, baseline: Sequence[str], language: str = "en", **options: Any) -> AlpacaEval:
    """One whose prompts are "question 0", "question 1", … with these baseline answers."""
    prompts = [{"id": n, "instruction": f"question {n}", "language": language} for n in range(len(baseline))]
    outputs = [{"instruction": f"question {n}", "output": answer} for n, answer in enumerate(baseline)]
    given = {"length_control": False, **options}
    return AlpacaEval(
        prompts=write(folder / "prompts.jsonl", prompts),
        baseline=write(folder / "baseline.jsonl", outputs),
        judge=judge,
        **given,
    )


def evaluate(component: AlpacaEval, answers: Sequence[str], cache: Path | None = None) -> Evaluation:
    generations = [
        Generation(prompt, text, 1, True) for prompt, text in zip(component.prompts(()), answers, strict=True)
    ]
    return component.evaluate(Evidence((), generations, {}, cache=cache))


def values(evaluation: Evaluation) -> dict[str, float | None]:
    """By name without ``alpaca_eval/``."""
    return {score.name.removeprefix("alpaca_eval/"): score.value for score in evaluation.scores}
