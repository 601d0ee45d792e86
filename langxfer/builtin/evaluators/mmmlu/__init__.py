"""Knowledge in fifty-seven subjects: MMMLU, answered in words as the CLO paper asks it, or by likelihood."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.evaluators import digest, signature
from langxfer.builtin.evaluators.choices import choose, window
from langxfer.builtin.evaluators.files import absolute, digest_of_all, fixed, local
from langxfer.builtin.evaluators.mmmlu import items, results
from langxfer.builtin.evaluators.mmmlu.categories import MAPS, check_known, is_file, load_categories
from langxfer.builtin.evaluators.mmmlu.extraction import RULES, extract, extract_strictly
from langxfer.builtin.evaluators.mmmlu.items import ENGLISH_HUB, HUB, PINNED, Item
from langxfer.builtin.evaluators.mmmlu.priming import FormatPriming, primed
from langxfer.builtin.evaluators.mmmlu.prompts import INSTRUCTIONS, LETTERS, Instruction, to_complete, to_generate
from langxfer.builtin.evaluators.mmmlu.results import Outcome
from langxfer.builtin.evaluators.tags import tags_asked, tags_of
from langxfer.components import (
    Evaluation,
    Evaluator,
    Evidence,
    Generation,
    OptionScores,
    Prompt,
    Question,
    Sampling,
    Score,
    Workload,
)
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES, check_language


class Mmmlu(Evaluator):
    """Accuracy on MMMLU, and on MMLU for English (arXiv 2009.03300): 14,042 questions, four options; chance is 25 %.

    With ``mode: generate`` the model answers in words to the native instruction of CLO's Table 6 (arXiv 2505.14297),
    and the letter is read from its answer. Where none can be read it is asked again, up to ``max_regenerations`` more
    times, with other samples. What cannot be read in the end is wrong. Asking again only helps, so
    ``mmmlu/TAG/first`` is the accuracy without it, and ``/extracted_first`` and ``/extracted`` are how often a letter
    could be read. With ``mode: likelihood`` the likeliest of the four letters is the answer.

    ``mmmlu/TAG`` is over all questions (micro average); ``/letter/A`` is how often the answer is A, ``/recall/A``
    how often A is found where it is right; ``/category/NAME`` and ``/category_macro`` are accuracies of categories and
    their unweighted mean. An accuracy significantly below 25 % gets ``/below_chance/CAUSE`` and a note: letters that
    could not be read, one letter said too often, or neither. Errors are ``sqrt(p (1 - p) / (n - 1))``, intervals
    Wilson's.
    """

    results_version: ClassVar[int] = 2

    name: Literal["mmmlu"] = "mmmlu"
    languages: tuple[str, ...] | None = Field(
        None, min_length=1, description="BCP-47 tags; null: those of the validation examples."
    )
    source: str = Field(HUB, min_length=1, description="Hub dataset, or a local folder or file; English apart.")
    revision: str | None = Field(None, description=f"Commit of the hub dataset; null: of {HUB}, a fixed one.")
    english_source: str = Field(ENGLISH_HUB, min_length=1, description="The same for English.")
    english_revision: str | None = Field(
        None, description=f"The same for English; null: of {ENGLISH_HUB}, a fixed one."
    )
    mode: Literal["generate", "likelihood"] = Field("generate", description="Answers in words, or likeliest letter.")
    prompt: Literal["native", "english"] = Field(
        "native", description="Language of the instruction and of the word for answer."
    )
    extraction: Literal["lenient", "strict"] = Field(
        "lenient", description="Read any clear answer, or only a last line as it was asked for."
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(0.6, ge=0, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(0.9, gt=0, le=1, description="Nucleus sampling: share of probability kept.")
    seed: int = Field(0, description="Decides sampled answers, with the prompt's id and the attempt.")
    max_regenerations: int = Field(3, ge=0, description="More attempts where no letter could be read.")
    categories: str = Field("clo24", description=f"Map of subjects: {', '.join(MAPS)} or a YAML file.")
    subjects: bool = Field(False, description="Score each subject too, and their unweighted mean.")
    limit: int | None = Field(None, ge=1, description="Ask the first n questions of each subject.")
    format_priming: FormatPriming | None = Field(
        None, description="Questions that were trained on, {n: …} or {ids: […]}: left out in all languages."
    )

    @field_validator("languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tag in tags or ():
            check_language(tag)
        if missing := _missing(tags or ()):
            raise ValueError(f"MMMLU does not have {', '.join(missing)}. Leave it out")
        if tags and len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tags

    @field_validator("revision", "english_revision")
    @classmethod
    def _fixed(cls, revision: str | None) -> str | None:
        return fixed(revision)

    @field_validator("categories")
    @classmethod
    def _a_map(cls, name: str) -> str:
        if name not in MAPS and not is_file(name):
            raise ValueError(f'"{name}" is no map of subjects. Take {", ".join(MAPS)}, or a file that ends in .yaml')
        return name

    @model_validator(mode="after")
    def _can_be_asked(self) -> Mmmlu:
        if self.prompt == "native" and (missing := [tag for tag in self.languages or () if tag not in INSTRUCTIONS]):
            raise ValueError(_unprompted(missing))
        if self.mode == "likelihood":
            idle = ("extraction", "max_new_tokens", "temperature", "top_p", "seed", "max_regenerations")
            fields = type(self).model_fields
            if changed := [name for name in idle if getattr(self, name) != fields[name].default]:
                raise ValueError(f"mode likelihood generates nothing: remove {', '.join(changed)}")
        elif self.temperature == 0 and self.max_regenerations:
            raise ValueError("temperature 0 gives the same answer at every attempt: set max_regenerations to 0")
        elif self.temperature == 0 and self.top_p < 1:
            raise ValueError("top_p has no effect at temperature 0 (greedy): set top_p to 1")
        return self

    def identity(self) -> dict[str, Any]:
        """The content of local files instead of their place, and the commits of hub datasets.

        Raises:
            DataError: a file cannot be found or read.
        """
        found: dict[str, Any] = {}
        for option, source, revision in self._sources():
            field = option.removeprefix("mmmlu.")
            path = local(source, option)
            if path is None:
                found[field.replace("source", "revision")] = revision
            else:
                found[field] = digest_of_all(items.files_in(path), option)
        text = "\n".join(f"{subject}:{group}" for subject, group in sorted(load_categories(self.categories).items()))
        return {**found, "categories": hashlib.sha256(text.encode()).hexdigest()}

    def resolve(self, folder: Path) -> Mmmlu:
        own = {name: absolute(getattr(self, name), folder) for name in ("source", "english_source")}
        if is_file(self.categories):
            own["categories"] = absolute(self.categories, folder)
        return self.model_copy(update=own)

    def sampling(self) -> Sampling:
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """The questions of each language in mode ``generate``; their ids are ``SUBJECT/ROW/TAG``.

        Raises:
            DataError: a language or its questions cannot be had.
        """
        if self.mode != "generate":
            return []
        asked, _ = self._asked(tags_of(examples))
        return [self._prompt(item, tag) for tag, rows in asked.items() for item in rows]

    def questions(self, examples: Sequence[ParallelExample]) -> list[Question]:
        """The same in mode ``likelihood``."""
        if self.mode != "likelihood":
            return []
        asked, _ = self._asked(tags_of(examples))
        return [
            Question(
                f"{item.id}/{tag}",
                to_complete(self._instruction(tag), item.question, item.options),
                tuple(f" {letter}" for letter in LETTERS),
            )
            for tag, rows in asked.items()
            for item in rows
        ]

    def workload(self, prompts: Mapping[str, int]) -> Workload:
        """Of 14,042 questions a language; English ones have 660 characters on average, with options and instruction."""
        each = min(14042, 57 * self.limit) if self.limit else 14042
        asked = len(self.languages or prompts) * each
        if self.mode == "likelihood":
            return Workload(asked, 660)
        return Workload(asked, 660, self.max_new_tokens, 1 + self.max_regenerations)

    def ask_again(self, generations: Sequence[Generation]) -> list[Prompt]:
        """What could not be read at its last attempt, as long as there are attempts left."""
        last: dict[str, Generation] = {}
        for answer in generations:
            before = last.get(answer.prompt.id)
            if before is None or answer.prompt.attempt > before.prompt.attempt:
                last[answer.prompt.id] = answer
        return [
            replace(answer.prompt, attempt=answer.prompt.attempt + 1)
            for answer in last.values()
            if answer.prompt.attempt < self.max_regenerations and self.letter(answer) is None
        ]

    def letter(self, answer: Generation) -> str | None:
        """The letter that an answer names. A repeated instruction ends in an example, and is not read."""
        instruction = self._instruction(answer.prompt.language)
        text = answer.text.replace(instruction.text, "")
        return extract(text) if self.extraction == "lenient" else extract_strictly(text, (instruction.answer, "Answer"))

    def priming_pairs(self, examples: Sequence[ParallelExample] = ()) -> list[tuple[Prompt, str]]:
        """What ``format_priming`` leaves out, as it is asked and should be answered: to be trained on.

        Raises:
            DataError: as ``prompts``.
        """
        found = self._read(tags_of(examples))
        names = primed(found, self.format_priming)
        rows = ((tag, item) for tag, ids in names.items() for item in found[tag] if item.id in set(ids))
        return [(self._prompt(item, tag), f"{self._instruction(tag).answer}: {item.gold}") for tag, item in rows]

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Scores by language; a row a question."""
        answers: dict[str, list[Generation]] = {}
        for answer in evidence.generations:
            answers.setdefault(answer.prompt.id, []).append(answer)
        choices = {scored.question.id: scored for scored in evidence.questions}
        asked, excluded = self._asked(tags_asked([*answers, *choices]))
        categories = load_categories(self.categories)
        scores: list[Score] = []
        rows: list[dict[str, Any]] = []
        notes = [f"mmmlu: left out in all languages, as trained on: {', '.join(excluded)}."] if excluded else []
        for tag, questions in asked.items():
            if self.mode == "generate":
                outcomes = [self._answered(item, answers[f"{item.id}/{tag}"]) for item in questions]
            else:
                outcomes = [_chosen(item, choices[f"{item.id}/{tag}"]) for item in questions]
            found, said = self._scores(tag, outcomes, excluded)
            scores += found
            notes += said
            rows += [_row(tag, outcome, categories) for outcome in outcomes]
        return Evaluation(scores, rows, notes=notes)

    def _scores(self, tag: str, outcomes: Sequence[Outcome], excluded: Sequence[str]) -> tuple[list[Score], list[str]]:
        """Scores of a language, and what must be read beside them."""
        name, text = f"mmmlu/{tag}", self._signature(tag, outcomes, excluded)
        scores, notes = list(results.accuracies(name, outcomes, text)), []
        if self.mode == "generate":
            scores += results.attempts(name, outcomes, text)
        else:
            share, notes = window(name, [outcome.details["cut"] for outcome in outcomes], text)
            scores.append(share)
        groups = load_categories(self.categories)
        label = f"own-{digest(sorted(groups.items()))}" if is_file(self.categories) else self.categories
        scores += results.table(f"{name}/category", outcomes, groups, f"{text}|categories:{label}")
        if self.subjects:
            each = {outcome.item.subject: outcome.item.subject for outcome in outcomes}
            scores += results.table(f"{name}/subject", outcomes, each, text)
        if alarm := results.below_chance(name, outcomes, text):
            scores.append(alarm[0])
            notes.append(alarm[1])
        return scores, notes

    def _answered(self, item: Item, answers: Sequence[Generation]) -> Outcome:
        """The first attempt whose letter could be read decides, the last one if there is none."""
        attempts = sorted(answers, key=lambda answer: answer.prompt.attempt)
        letters = [self.letter(answer) for answer in attempts]
        decided = next((i for i, letter in enumerate(letters) if letter is not None), len(letters) - 1)
        details = {
            "correct_first": int(letters[0] == item.gold),
            "attempts": decided + 1,
            "answer": attempts[decided].text,
            "finished": attempts[decided].finished,
        }
        return Outcome(item, letters[decided], letters[0], details)

    def _signature(self, tag: str, outcomes: Sequence[Outcome], excluded: Sequence[str]) -> str:
        parts: dict[str, object] = {
            "mode": self.mode,
            "prompt": self.prompt if self.prompt == "english" else f"native-{self._instruction(tag).origin}",
        }
        if self.mode == "generate":
            sampled = {"top_p": f"{self.top_p:g}", "seed": self.seed} if self.temperature else {}
            rules = f"lenient-{RULES}" if self.extraction == "lenient" else self.extraction
            parts |= {"extraction": rules, "regenerations": self.max_regenerations}
            parts |= {"temp": f"{self.temperature:g}", **sampled, "max_new_tokens": self.max_new_tokens}
        if excluded:
            parts["primed"] = f"{len(excluded)}-{digest([excluded])}"
        asked = ((o.item.id, o.item.question, *o.item.options, o.item.gold) for o in outcomes)
        return signature({**parts, "n": len(outcomes), "questions": digest(asked)})

    def _instruction(self, tag: str) -> Instruction:
        return INSTRUCTIONS["en" if self.prompt == "english" else tag]

    def _prompt(self, item: Item, tag: str) -> Prompt:
        text = to_generate(self._instruction(tag), item.question, item.options)
        return Prompt(f"{item.id}/{tag}", text, tag)

    def _sources(self) -> Iterator[tuple[str, str, str | None]]:
        """(option, source, commit) of the translations and of English."""
        yield "mmmlu.source", self.source, self.revision or PINNED.get(self.source)
        yield "mmmlu.english_source", self.english_source, self.english_revision or PINNED.get(self.english_source)

    def _read(self, found: Sequence[str]) -> dict[str, list[Item]]:
        """All questions by language; ``found`` are the languages where no option names them."""
        tags = self.languages or found
        if not tags:
            raise DataError("mmmlu has no languages: set languages, or data.validation to a number of examples.")
        if missing := _missing(tags):
            raise DataError(f"MMMLU does not have {', '.join(missing)}: list the others in mmmlu.languages.")
        if self.prompt == "native" and (missing := [tag for tag in tags if tag not in INSTRUCTIONS]):
            raise DataError(f"mmmlu: {_unprompted(missing)}.")
        translated, english = self._sources()
        questions = {}
        for tag in tags:
            option, source, revision = english if tag == "en" else translated
            path = local(source, option)
            if path is None:
                questions[tag] = items.from_hub(source, revision, tag, option)
            else:
                questions[tag] = items.from_files(path, tag, option)
        return questions

    def _asked(self, tags: Sequence[str]) -> tuple[dict[str, list[Item]], list[str]]:
        """The questions that are asked by language, and the ids of those that are left out."""
        found = self._read(tags)
        excluded = sorted({name for names in primed(found, self.format_priming).values() for name in names})
        categories = load_categories(self.categories)
        asked: dict[str, list[Item]] = {}
        for tag, rows in found.items():
            check_known({item.subject for item in rows}, categories, self.categories)
            kept: dict[str, list[Item]] = {}
            for item in rows:
                if item.id not in excluded:
                    kept.setdefault(item.subject, []).append(item)
            asked[tag] = [item for subject in kept.values() for item in subject[: self.limit]]
            if not asked[tag]:
                raise DataError(f"mmmlu: format_priming leaves no question in {tag}.")
        return asked, excluded


def _chosen(item: Item, scored: OptionScores) -> Outcome:
    choice = choose(scored, "acc")
    letter = LETTERS[choice.option]
    details = {"tied": choice.tied, "cut": scored.cut, "log_probs": list(scored.totals), "tokens": list(scored.tokens)}
    return Outcome(item, letter, letter, details)


def _row(tag: str, outcome: Outcome, categories: Mapping[str, str]) -> dict[str, Any]:
    item = outcome.item
    return {
        "id": f"{item.id}/{tag}",
        "item": item.id,
        "language": tag,
        "subject": item.subject,
        "category": categories[item.subject],
        "predicted": outcome.predicted,
        "gold": item.gold,
        "correct": int(outcome.correct),
        "score": 100.0 * outcome.correct,
        **outcome.details,
    }


def _missing(tags: Sequence[str]) -> list[str]:
    """Languages that MMMLU lacks; English is MMLU itself."""
    return [tag for tag in tags if tag != "en" and LANGUAGES[tag].mmmlu is None]


def _unprompted(tags: Sequence[str]) -> str:
    known = ", ".join(INSTRUCTIONS)
    return f"there is no native instruction for {', '.join(tags)}: only for {known}. Take prompt english for the others"
