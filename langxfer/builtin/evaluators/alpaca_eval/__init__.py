"""Win rate against a baseline's answers, by a judge: AlpacaEval, in any language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.evaluators import digest, percentage, signature
from langxfer.builtin.evaluators.alpaca_eval import files
from langxfer.builtin.evaluators.alpaca_eval.answers import (
    BASELINE,
    PROMPTS,
    Instruction,
    baseline_file,
    chosen,
    match,
    read_baseline,
    read_instructions,
)
from langxfer.builtin.evaluators.alpaca_eval.contests import Contests, Item
from langxfer.builtin.evaluators.alpaca_eval.instructions import ANSWER_LANGUAGE
from langxfer.builtin.evaluators.alpaca_eval.judge_prompts import VERSION, Wording
from langxfer.builtin.evaluators.alpaca_eval.length_control import (
    DIFFICULTIES,
    Difficulties,
    read_difficulties,
    require_scikit_learn,
)
from langxfer.builtin.evaluators.alpaca_eval.scores import (
    Judged,
    agreement,
    empty_rates,
    first_preferred,
    win_rates,
    with_length_control,
)
from langxfer.builtin.evaluators.files import fixed
from langxfer.components import AnyJudge, Evaluation, Evaluator, Evidence, Generation, Prompt, Sampling, Score, Workload
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import check_language
from langxfer.translation.usage import listed

WORDINGS: tuple[Wording, ...] = ("original", "language-aware")
JUDGING = (  # options of what a judge does, and of what is made of it
    *("judge_prompt", "both_orders", "order_seed", "attempts", "max_failures", "length_control", "difficulties"),
)


class AlpacaEval(Evaluator):
    """How often a judge prefers the model's answers to a baseline's (AlpacaEval; CLO, arXiv 2505.14297, section 4.2).

    ``alpaca_eval/win_rate/TAG`` is ``100 * mean(x)`` over the items, where x is the judge's preference for the model
    from 0 to 1 and a tie is one half; its standard error is ``s / sqrt(n)``. ``…/wins``, ``…/losses`` and ``…/ties``
    are shares of items; ``…/discrete_win_rate`` counts each as a win, a loss or a tie (two orders that contradict
    each other);
    ``…/length_controlled_win_rate`` is what the win rate would be at equal lengths (Dubois et al. 2024);
    ``…/first_preferred`` is how often the judge prefers what it sees first, 50 % for a fair one; ``…/empty`` and
    ``…/baseline_empty`` are shares of empty answers.

    Equal answers are a tie without a question. What a judge gives no verdict on is judged again, up to ``attempts``
    times in all; what is left then does not count and is named. The next run tries it again, unless the judge says the
    same of the same in every run, as ``local`` and ``replay`` do.

    A file of prompts holds JSON objects, as lines or as a list: ``{"instruction": …}`` with ``language`` (``en``),
    ``input`` and ``id`` where there are any; or an ``id`` and a prompt by BCP-47 tag. The baseline is a run's folder
    (the answers of its adapted model to the same prompts), a folder of ``langxfer evaluate``, a ``generations.jsonl``,
    or a file of AlpacaEval's ``instruction`` and ``output``. ``hub:FILE`` is a file of AlpacaEval's repository on the
    hub at ``revision``: ``hub:alpaca_eval.json`` (its 805 English prompts), ``hub:alpaca_eval_gpt4_baseline.json``,
    ``hub:df_gamed.csv``. Without baseline and judge the answers are kept, to be another model's baseline.
    """

    results_version: ClassVar[int] = 2

    name: Literal["alpaca_eval"] = "alpaca_eval"
    prompts_file: str = Field(alias="prompts", min_length=1, description="JSON or JSONL file of prompts, or hub:FILE.")
    baseline: str | None = Field(
        None,
        min_length=1,
        description="Answers to beat: a run's or evaluation's folder, generations.jsonl, outputs in JSON, or hub:FILE; "
        "null: none, and these answers are kept to be one.",
    )
    judge: AnyJudge | None = Field(None, description="Who compares the answers; null without a baseline.")
    revision: str | None = Field(None, description="Commit of AlpacaEval's hub repository, for hub:FILE.")
    languages: tuple[str, ...] | None = Field(
        None, min_length=1, description="BCP-47 tags asked; null: all of the file."
    )
    limit: int | None = Field(None, ge=1, description="Ask the first n prompts of each language.")
    max_new_tokens: int = Field(2048, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(0.6, ge=0, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(
        0.9, gt=0, le=1, description="Nucleus sampling: share of probability kept. Needs a temperature."
    )
    seed: int = Field(0, description="Decides sampled answers, with the prompt's id.")
    answer_language_instruction: Literal["none", "system", "user"] = Field(
        "none", description="Ask, in the prompt's language, to answer in it: in a system turn, or after the prompt."
    )
    judge_prompt: Literal["paper", "original", "language-aware", "both"] = Field(
        "paper", description="Wording; paper: original for English, else language-aware; both: and compare them."
    )
    both_orders: bool = Field(False, description="Judge each item with either answer first, and take the mean.")
    order_seed: int = Field(0, description="Decides which answer is first where one order is judged.")
    attempts: int = Field(3, ge=1, description="Times that an item is judged before its verdict is missing.")
    max_failures: float = Field(0.02, ge=0, lt=1, description="Share of verdicts that may be missing.")
    length_control: bool = Field(True, description="Compute length-controlled win rates (needs scikit-learn).")
    difficulties: str | None = Field(
        None, description="AlpacaEval's df_gamed.csv, for English length control as published; null: minimal model."
    )

    @field_validator("languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tag in tags or ():
            check_language(tag)
        if tags and len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tags

    @field_validator("revision")
    @classmethod
    def _fixed(cls, revision: str | None) -> str | None:
        return fixed(revision)

    @model_validator(mode="after")
    def _consistent(self) -> AlpacaEval:
        if (self.baseline is None) != (self.judge is None):
            found, lacking = ("judge", "baseline") if self.baseline is None else ("baseline", "judge")
            raise ValueError(f"there is a {found} and no {lacking}: give both, or none to make a baseline's answers")
        fields = type(self).model_fields
        idle = [name for name in JUDGING if self.baseline is None and getattr(self, name) != fields[name].default]
        if idle:
            raise ValueError(f"{', '.join(idle)}: no effect without baseline and judge. Give both, or remove it")
        sources = (self.prompts_file, self.baseline or "", self.difficulties or "")
        if self.revision and not any(source.startswith(files.HUB) for source in sources):
            raise ValueError("revision has no effect without a hub:FILE. Remove it")
        if self.top_p < 1 and self.temperature == 0:
            raise ValueError("top_p has no effect at temperature 0 (greedy). Set top_p: 1, or a temperature")
        if self.difficulties and not self.length_control:
            raise ValueError("difficulties have no effect with length_control: false. Remove them")
        if self.both_orders and self.order_seed:
            raise ValueError("order_seed has no effect with both_orders. Remove it")
        return self

    def identity(self) -> dict[str, Any]:
        """Contents of files in place of their names, and all that decides the judge's verdicts.

        Raises:
            LangxferError: a file is missing or wrong, the baseline lacks answers, or a package is missing.
        """
        if self.baseline is None or self.judge is None:
            return {"prompts": files.digest(self._prompts_path, PROMPTS)}
        self._baseline_answers(self._instructions)
        table = self._difficulties and files.digest(self._located(str(self.difficulties), DIFFICULTIES), DIFFICULTIES)
        return {
            "prompts": files.digest(self._prompts_path, PROMPTS),
            "baseline": files.digest(baseline_file(self._located(self.baseline, BASELINE)), BASELINE),
            "difficulties": table,
            "judge": self.judge.what(),
            "judge_prompt_version": VERSION,
            "scikit-learn": require_scikit_learn() if self.length_control else None,
        }

    def resolve(self, folder: Path) -> AlpacaEval:
        """Relative files, and the judge's, are taken from the recipe's folder."""
        update = {
            "prompts_file": files.absolute(self.prompts_file, folder),
            "baseline": self.baseline and files.absolute(self.baseline, folder),
            "difficulties": self.difficulties and files.absolute(self.difficulties, folder),
            "judge": self.judge and self.judge.resolve(folder),
        }
        return self.model_copy(update=update)

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """The prompts of each language; their ids are ``ID/TAG``.

        Raises:
            DataError: there are none, a file is wrong, or we have no instruction in one of the languages.
        """
        return [self._prompt(instruction) for instruction in self._instructions]

    def sampling(self) -> Sampling:
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def workload(self, prompts: Mapping[str, int]) -> Workload | None:
        """Of the file's instructions; of one on the hub nothing is said. What a judge computes is left out."""
        if self.prompts_file.startswith(files.HUB):
            return None
        own = self._instructions
        return Workload(len(own), sum(len(each.text) for each in own) // max(len(own), 1), self.max_new_tokens)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Scores by language, and a row an item.

        Without a baseline: the answers, and how many are empty.

        Raises:
            LangxferError: the baseline lacks answers, or the judge gives too few verdicts.
        """
        if self.baseline is None or self.judge is None:
            return self._unjudged(evidence)
        instructions = self._instructions
        baseline = self._baseline_answers(instructions)
        answers = {answer.prompt.id: answer.text for answer in evidence.generations}
        items = [Item(i.id, i.language, i.place, i.text, answers[i.id], baseline[i.id]) for i in instructions]
        by_language: dict[str, list[Item]] = {}
        for item in items:
            by_language.setdefault(item.language, []).append(item)

        wordings = {tag: self._wordings(tag) for tag in by_language}
        held = Contests(self.judge.on(evidence.device), items, wordings, self.both_orders, self.order_seed)
        held.hold(evidence.device, evidence.cache, self.attempts, self.max_failures, evidence.progress)

        found = [self._evaluated(tag, own, held) for tag, own in by_language.items()]
        missing = [own.unfinished for own in found if own.unfinished]
        lost = [f"{own}. The judge would say the same again; other options of it may help" for own in missing]
        used = [f"judge {self.judge.name} used {listed(held.usage)}"] if held.usage else []
        return Evaluation(
            [score for own in found for score in own.scores],
            [row for own in found for row in own.rows],
            None if self.judge.repeats else "; ".join(missing) or None,
            [*(note for own in found for note in own.notes), *(lost if self.judge.repeats else ()), *used],
        )

    def _unjudged(self, evidence: Evidence) -> Evaluation:
        """The answers alone, to be the baseline of another model."""
        by_language: dict[str, list[Generation]] = {}
        for answer in evidence.generations:
            by_language.setdefault(answer.prompt.language, []).append(answer)
        scores: list[Score] = []
        for tag, own in by_language.items():
            texts = digest((answer.prompt.id, answer.prompt.text) for answer in own)
            text = signature({"ev": "alpaca_eval", "n": len(own), **self._how(), "items": texts})
            value, error = percentage(sum(not answer.text.strip() for answer in own), len(own))
            scores.append(Score(f"alpaca_eval/empty/{tag}", value, error, len(own), text, "%", higher_is_better=False))
        rows = [
            {"id": answer.prompt.id, "language": answer.prompt.language, "answer": answer.text}
            for answer in evidence.generations
        ]
        return Evaluation(scores, rows, notes=["alpaca_eval has no baseline, so nothing was judged"])

    def _how(self) -> dict[str, object]:
        """What signatures say of how answers were made."""
        return {
            "instruction": self.answer_language_instruction,
            "temp": f"{self.temperature:g}",
            **({"top_p": self.top_p, "seed": self.seed} if self.temperature else {}),
            "max_new_tokens": self.max_new_tokens,
        }

    def _evaluated(self, tag: str, items: Sequence[Item], held: Contests) -> Evaluation:
        """The evaluation of one language."""
        found = [self._judged(tag, wording, items, held) for wording in self._wordings(tag)]
        scores: list[Score] = []
        notes: list[str] = []
        for judged in found:
            scores += win_rates(judged)
            if self.length_control:
                difficulties = self._difficulties if tag == "en" else None
                more, said = with_length_control(judged, difficulties)
                scores, notes = scores + more, notes + said
            more, said = first_preferred(judged)
            scores, notes = scores + more, notes + said
        scores += empty_rates(tag, items, found[0].signature())
        flips: list[bool] | None = None
        if len(found) == 2:
            score, flips = agreement(tag, *found)
            scores.append(score)
        rows = [_row(item, found, number, flips) for number, item in enumerate(items)]
        return Evaluation(scores, rows, _unfinished(tag, found), notes)

    def _wordings(self, tag: str) -> tuple[Wording, ...]:
        """Of the judge's prompt for a language; the scores of the first have no wording in their names."""
        own: Wording = "original" if tag == "en" else "language-aware"
        if self.judge_prompt == "paper":
            return (own,)
        if self.judge_prompt == "both":
            return own, next(other for other in WORDINGS if other != own)
        return (self.judge_prompt,)

    def _judged(self, tag: str, wording: Wording, items: Sequence[Item], held: Contests) -> Judged:
        parts: dict[str, object] = {
            "judge": f"{held.judge.name}-{digest([[json.dumps(held.judged_by, sort_keys=True)]])}",
            "prompt": f"{wording}-{VERSION}",
            "order": "both" if self.both_orders else f"seed-{self.order_seed}",
            **self._how(),
        }
        suffix = tag if wording == self._wordings(tag)[0] else f"{tag}/{wording}"
        return Judged(suffix, items, [held.outcome(item, wording) for item in items], parts)

    def _prompt(self, instruction: Instruction) -> Prompt:
        wanted, tag = self.answer_language_instruction, instruction.language
        if wanted == "none":
            return Prompt(instruction.id, instruction.text, tag)
        text = ANSWER_LANGUAGE.get(tag)
        if text is None:
            raise DataError(
                f"alpaca_eval.answer_language_instruction: there is none in {tag}. There are "
                f"{', '.join(ANSWER_LANGUAGE)}: list those in languages, or set it to none."
            )
        if wanted == "system":
            return Prompt(instruction.id, instruction.text, tag, system=text)
        return Prompt(instruction.id, f"{instruction.text}\n\n{text}", tag)

    def _located(self, source: str, option: str) -> Path:
        return files.located(source, self.revision, option)

    @property
    def _prompts_path(self) -> Path:
        return self._located(self.prompts_file, PROMPTS)

    @property
    def _instructions(self) -> list[Instruction]:
        return chosen(read_instructions(self._prompts_path), self.languages, self.limit, self.prompts_file)

    def _baseline_answers(self, instructions: Sequence[Instruction]) -> dict[str, str]:
        assert self.baseline is not None, "only called with a baseline"
        return match(instructions, read_baseline(self._located(self.baseline, BASELINE)), self.baseline)

    @property
    def _difficulties(self) -> Difficulties | None:
        """The table of difficulties, which must have all English prompts in it."""
        if self.difficulties is None:
            return None
        table = read_difficulties(self._located(self.difficulties, DIFFICULTIES))
        english = [instruction for instruction in self._instructions if instruction.language == "en"]
        if not english:
            raise DataError("alpaca_eval.difficulties are of the English prompts, and none is asked. Remove them.")
        if missing := [own.id for own in english if own.place not in table.by_place]:
            raise DataError(
                f"alpaca_eval.difficulties {self.difficulties}: no difficulty for {len(missing)} of {len(english)} "
                f"English prompts ({', '.join(missing[:3])} …). Its index counts the prompts of the file from 0."
            )
        return table


def _unfinished(tag: str, found: Sequence[Judged]) -> str | None:
    """How many items have no verdict, and why."""
    problems = [outcome.problem for judged in found for outcome in judged.outcomes if outcome.problem]
    if not problems:
        return None
    reasons = ", ".join(f"{reason} ({problems.count(reason)})" for reason in dict.fromkeys(problems))
    total = sum(len(judged.items) for judged in found)
    return f"alpaca_eval/{tag}: {len(problems)} of {total} verdicts are missing: {reasons}"


def _row(item: Item, found: Sequence[Judged], number: int, flips: Sequence[bool] | None) -> dict[str, Any]:
    main = found[0].outcomes[number]
    row: dict[str, Any] = {
        "id": item.id,
        "language": item.language,
        "instruction": item.instruction,
        "answer": item.answer,
        "baseline": item.baseline,
        "score": main.preference,
        "first_preferred": list(main.first),
        "problem": main.problem,
    }
    if flips is not None:
        row |= {"other_score": found[1].outcomes[number].preference, "flip": flips[number]}
    return row
