"""Who is shown first, who is asked, and what is done about verdicts that do not come."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import SupportsFloat

from langxfer.builtin.evaluators.alpaca_eval.judge_prompts import LABELS, Wording, messages
from langxfer.builtin.evaluators.alpaca_eval.verdict_cache import VerdictCache
from langxfer.components import Contest, Judge, OpenJudge, Verdict
from langxfer.components.component import managed
from langxfer.errors import LangxferError, PluginError

BLOCK = 16  # contests between two writes to the cache, where the judge does not say how many it works on at once


class JudgeError(LangxferError):
    """A judge gives too few verdicts. Those that it gave are kept."""


@dataclass(frozen=True)
class Item:
    """An instruction with the answers of the model and of the baseline."""

    id: str
    language: str
    place: int
    instruction: str
    answer: str
    baseline: str

    @property
    def is_tie(self) -> bool:
        """Equal answers are a tie, and no judge is asked."""
        return self.answer == self.baseline


@dataclass(frozen=True)
class Outcome:
    """What came of an item.

    Attributes:
        by_order: preference for the model, from 0 to 1, by order; one half where nobody was asked; empty where a
            verdict is missing.
        first: preference for the answer that was shown first, by order; empty where nobody was asked.
        problem: why a verdict is missing.
    """

    by_order: tuple[float, ...] = ()
    first: tuple[float, ...] = ()
    problem: str | None = None

    @property
    def preference(self) -> float | None:
        """For the model; None where a verdict is missing."""
        return sum(self.by_order) / len(self.by_order) if self.by_order else None

    @property
    def side(self) -> float | None:
        """1 for the model, 0 for the baseline, one half for a tie: also where two orders contradict each other."""
        if not self.by_order:
            return None
        rounded = sum(_side(preference) for preference in self.by_order) / len(self.by_order)
        return _side(rounded)


def _side(preference: float) -> float:
    return 0.5 if preference == 0.5 else float(preference > 0.5)


def model_is_first(instruction: str, seed: int) -> bool:
    """Whether the model's answer is shown first where one order is judged; AlpacaEval draws the same."""
    return random.Random(f"is_switched_outputs{instruction}{seed}").choices([False, True])[0]


class Contests:
    """Items and wordings as contests, with equal ones judged once.

    Args:
        wordings: by language.
        both_orders: each item is judged twice, with either answer first.
        seed: decides who is first otherwise.

    Attributes:
        usage: of the judge: what it has used, numbers by name.
        judged_by: all that decides the judge's verdicts.
    """

    def __init__(
        self,
        judge: Judge,
        items: Sequence[Item],
        wordings: Mapping[str, Sequence[Wording]],
        both_orders: bool,
        seed: int,
    ):
        self.usage: dict[str, float] = {}
        self.judge, self._both, self._seed = judge, both_orders, seed
        self.judged_by = judge.what()
        self._by_item = {
            (item.id, wording): [self._contest(item, wording, ahead) for ahead in self._orders(item)]
            for item in items
            for wording in wordings[item.language]
        }
        self._verdicts: dict[tuple[tuple[str, str], ...], Verdict] = {}

    def hold(
        self,
        device: str,
        cache: Path | None,
        attempts: int,
        max_failures: float,
        progress: Callable[[int, int], None],
    ) -> None:
        """Get all verdicts, from the cache or from the judge, which is opened only when it is needed.

        Args:
            attempts: times that a contest is judged before it has failed.
            max_failures: share of the contests that may fail.

        Raises:
            JudgeError: more have failed.
        """
        contests = list({c.messages: c for own in self._by_item.values() for _, c in own}.values())
        with VerdictCache(cache, self.judged_by) as kept, ExitStack() as stack:
            found = {contest.messages: kept.find(contest) for contest in contests}
            self._verdicts = {text: verdict for text, verdict in found.items() if verdict is not None}
            open_ones = [contest for contest in contests if contest.messages not in self._verdicts]
            if not open_ones:
                return
            opened = stack.enter_context(managed(self.judge, self.judge.open(device, cache)))
            allowed, failures = max_failures * len(contests), Counter[str]()
            block = max(BLOCK, getattr(opened, "at_once", 1))
            for start in range(0, len(open_ones), block):
                asked = open_ones[start : start + block]
                for contest, verdict in _judged(self.judge.name, opened, asked, attempts, kept):
                    self._verdicts[contest.messages] = verdict
                    if verdict.preference is None:
                        failures[verdict.problem or "no verdict"] += 1
                if failures.total() > allowed:
                    judged = len(contests) - len(open_ones) + start + len(asked)
                    raise JudgeError(_too_many(self.judge.name, failures, judged, len(contests), max_failures))
                progress(len(self._verdicts), len(contests))
            self.usage = opened.usage() if hasattr(opened, "usage") else {}

    def outcome(self, item: Item, wording: Wording) -> Outcome:
        """What came of an item; with both orders the mean of its two verdicts, or none if either is missing."""
        if item.is_tie:
            return Outcome((0.5,))
        preferences, first = [], []
        for model_first, contest in self._by_item[item.id, wording]:
            verdict = self._verdicts[contest.messages]
            if verdict.preference is None:
                return Outcome(problem=verdict.problem or "no verdict")
            first.append(1 - verdict.preference)
            preferences.append(1 - verdict.preference if model_first else verdict.preference)
        return Outcome(tuple(preferences), tuple(first))

    def _orders(self, item: Item) -> tuple[bool, ...]:
        if item.is_tie:
            return ()
        return (False, True) if self._both else (model_is_first(item.instruction, self._seed),)

    def _contest(self, item: Item, wording: Wording, model_first: bool) -> tuple[bool, Contest]:
        first, second = (item.answer, item.baseline) if model_first else (item.baseline, item.answer)
        told = messages(wording, self.judge.answers, item.instruction, first, second)
        return model_first, Contest(item.id, item.instruction, first, second, told, LABELS)


def _judged(
    name: str, opened: OpenJudge, contests: Sequence[Contest], attempts: int, kept: VerdictCache
) -> Iterator[tuple[Contest, Verdict]]:
    """Verdicts on some contests, each kept as soon as it is there; those without one are asked for again."""
    again = getattr(opened, "judge_again", opened.judge)
    for attempt in range(attempts):
        verdicts = _sound(name, opened.judge(contests) if attempt == 0 else again(contests), len(contests))
        kept.add(contests, verdicts)
        failed = [own for own, verdict in zip(contests, verdicts, strict=True) if verdict.preference is None]
        last = not failed or attempt == attempts - 1
        for contest, verdict in zip(contests, verdicts, strict=True):
            if verdict.preference is not None or last:
                yield contest, verdict
        if last:
            return
        contests = failed


def _sound(name: str, given: Sequence[Verdict], asked: int) -> list[Verdict]:
    """A judge's verdicts, with plain numbers.

    Raises:
        PluginError: they are not one for each contest.
    """
    verdicts = list(given)
    if len(verdicts) != asked:
        raise PluginError(
            f'judge "{name}" gave {len(verdicts)} verdicts on {asked} contests. It must give one for each, in order, '
            "with the preference None where it has none."
        )
    if wrong := [type(own).__name__ for own in verdicts if not isinstance(own, Verdict)]:
        raise PluginError(f'judge "{name}" gave a {wrong[0]} as a verdict. Expected langxfer.components.Verdict.')
    found = []
    for verdict in verdicts:
        preference = verdict.preference
        if preference is not None and not (isinstance(preference, SupportsFloat) and 0 <= float(preference) <= 1):
            raise PluginError(
                f'judge "{name}" gave the preference {preference!r}. It must be from 0 (first) to 1 (second).'
            )
        found.append(verdict if preference is None else replace(verdict, preference=float(preference)))
    return found


def _too_many(name: str, failures: Counter[str], judged: int, total: int, most: float) -> str:
    reasons = ", ".join(f"{reason} ({count})" for reason, count in failures.most_common())
    return (
        f'judge "{name}" gave no verdict on {failures.total()} of {judged} contests so far: {reasons}. At most '
        f"{100 * most:g} % of all {total} may fail (alpaca_eval.max_failures). The verdicts that it gave are kept: try "
        "another judge or other options of it, and run again."
    )
