"""Reading comprehension by likelihood: BELEBELE with native labels, as the CLO paper asks it, or as lm-eval does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.evaluators import digest, percentage, signature
from langxfer.builtin.evaluators.belebele.items import HUB, OPTION, PINNED, Item, file_of, read_items
from langxfer.builtin.evaluators.belebele.labels import CORRECTED, LETTERS, LM_EVAL, PAPER, Labels
from langxfer.builtin.evaluators.choices import MEASURES, Measure, accuracy, choose, window
from langxfer.builtin.evaluators.files import absolute, digest_of_all, fixed, local
from langxfer.builtin.evaluators.tags import tags_asked, tags_of
from langxfer.components import Evaluation, Evaluator, Evidence, OptionScores, Question, Score, Workload
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES, check_language


class Belebele(Evaluator):
    """Accuracy on BELEBELE (arXiv 2308.16884): a passage, a question, four answers; chance is 25 %.

    The model reads one plain string, without a chat template, and chooses the option with the highest
    log-probability. ``preset`` says how it is asked and which measure ``belebele/TAG`` is:

    - ``paper-label`` (CLO, arXiv 2505.14297, section 4.2 and Table 7): native labels; the label is scored; ``acc``.
    - ``paper-text``: the same prompt; the text of the answer is scored; ``acc_norm_chars``, as texts differ in length.
    - ``lm-eval``: the prompt of lm-evaluation-harness 0.4.13, letter by letter, in any language; ``acc``.

    All measures are given: ``belebele/TAG/acc`` compares sums of log-probabilities, ``/acc_norm_chars``,
    ``/acc_norm_bytes`` and ``/acc_norm_tokens`` divide them by the option's length first. The standard error is
    ``sqrt(p (1 - p) / (n - 1))``, the interval Wilson's. Of exactly equal options the first counts;
    ``belebele/TAG/ties`` is how often that decided, and ``/cut`` how many contexts the model's window was too short
    for. Rows have the same ``item`` in all languages.
    """

    results_version: ClassVar[int] = 2

    name: Literal["belebele"] = "belebele"
    languages: tuple[str, ...] | None = Field(
        None, min_length=1, description="BCP-47 tags; null: those of the validation examples."
    )
    source: str = Field(HUB, min_length=1, description="Hub dataset, or a local folder or file of JSONL.")
    revision: str | None = Field(None, description=f"Commit of the hub dataset; null: of {HUB}, a fixed one.")
    preset: Literal["paper-label", "paper-text", "lm-eval"] = Field(
        "paper-label", description="How questions are put and what is scored."
    )
    labels: Literal["native", "letters"] = Field(
        "native", description="Labels of options: Table 7's (Korean has its own), or A to D. lm-eval always has A to D."
    )
    spelling: Literal["paper", "corrected"] = Field(
        "paper", description="Yoruba words as printed in Table 7, or with the marks that they lack there."
    )
    limit: int | None = Field(None, ge=1, description="Ask the first n questions of each language.")

    @field_validator("languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tag in tags or ():
            if LANGUAGES[check_language(tag)].nllb is None:
                raise ValueError(f"BELEBELE does not have {tag}. Leave it out")
        if tags and len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tags

    @field_validator("revision")
    @classmethod
    def _fixed(cls, revision: str | None) -> str | None:
        return fixed(revision)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Belebele:
        if self.preset != "lm-eval" and (missing := [tag for tag in self.languages or () if tag not in PAPER]):
            raise ValueError(_unlabelled(missing))
        yoruba = self.languages is None or "yo" in self.languages
        if self.spelling == "corrected" and (self.preset == "lm-eval" or not yoruba):
            raise ValueError("spelling corrected changes Yoruba words of the presets paper-*, and nothing here")
        return self

    def identity(self) -> dict[str, Any]:
        """The content of local files instead of their place, or the commit of the hub dataset.

        Raises:
            DataError: a file cannot be found or read.
        """
        path = local(self.source, OPTION)
        if path is None:
            return {"revision": self._commit()}
        if path.is_file():
            files = [path]
        elif self.languages is None:
            files = sorted(path.glob("*.jsonl"))
        else:
            files = [file_of(path, tag) for tag in self.languages]
        return {"source": digest_of_all(files, OPTION), "files": [file.name for file in files]}

    def resolve(self, folder: Path) -> Belebele:
        return self.model_copy(update={"source": absolute(self.source, folder)})

    def questions(self, examples: Sequence[ParallelExample]) -> list[Question]:
        """The questions of each language; their ids are ``LINK#NUMBER/TAG``.

        Raises:
            DataError: a language or its questions cannot be had.
        """
        return [self._question(item, tag) for tag, items in self._items(tags_of(examples)) for item in items]

    def workload(self, prompts: Mapping[str, int]) -> Workload:
        """Of 900 questions a language; English ones have 700 characters on average, with passage and answers."""
        return Workload(len(self.languages or prompts) * min(self.limit or 900, 900), 700)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Scores by language; a row a question."""
        answers = {scored.question.id: scored for scored in evidence.questions}
        scores: list[Score] = []
        rows: list[dict[str, Any]] = []
        notes: list[str] = []
        for tag, items in self._items(tags_asked(answers)):
            answered = [(item, answers[f"{item.id}/{tag}"]) for item in items]
            text = self._signature(tag, answered)
            scores += self._scores(f"belebele/{tag}", answered, text)
            share, said = window(f"belebele/{tag}", [scored.cut for _, scored in answered], text)
            scores.append(share)
            notes += said
            rows += [self._row(tag, *pair) for pair in answered]
        return Evaluation(scores, rows, notes=notes)

    @property
    def measure(self) -> Measure:
        """What ``belebele/TAG`` is."""
        return "acc_norm_chars" if self.preset == "paper-text" else "acc"

    def _commit(self) -> str | None:
        return self.revision or PINNED.get(self.source)

    def _items(self, found: Sequence[str]) -> Iterator[tuple[str, list[Item]]]:
        """The questions by language; ``found`` are the languages where no option names them."""
        tags = self.languages or found
        if not tags:
            raise DataError("belebele has no languages: set languages, or data.validation to a number of examples.")
        if self.preset != "lm-eval" and (missing := [tag for tag in tags if tag not in PAPER]):
            raise DataError(f"belebele: {_unlabelled(missing)}.")
        for tag in tags:
            if LANGUAGES[tag].nllb is None:
                raise DataError(f"BELEBELE does not have {tag}: list the other languages in belebele.languages.")
            yield tag, read_items(self.source, self._commit(), tag)[: self.limit]

    def _labels(self, tag: str) -> Labels:
        if self.preset == "lm-eval":
            return LM_EVAL
        return CORRECTED.get(tag, PAPER[tag]) if self.spelling == "corrected" else PAPER[tag]

    def _question(self, item: Item, tag: str) -> Question:
        words = self._labels(tag)
        options = words.options if self.labels == "native" else LETTERS
        # A label that ends in a bracket of its own needs no colon.
        shown = (
            f"{label}{'' if label.endswith(')') else ':'} {answer}"
            for label, answer in zip(options, item.answers, strict=True)
        )
        lines = [
            f"{words.passage}: {item.passage}",
            f"{words.question}: {item.question.strip()}",
            *shown,
            f"{words.answer}:",
        ]
        scored = [answer.strip() for answer in item.answers] if self.preset == "paper-text" else options
        return Question(f"{item.id}/{tag}", "\n".join(lines), tuple(f" {text}" for text in scored))

    def _scores(self, name: str, answered: Sequence[tuple[Item, OptionScores]], text: str) -> Iterator[Score]:
        for measure in sorted(MEASURES, key=lambda measure: measure != self.measure):
            correct = [choose(scored, measure).option == item.gold for item, scored in answered]
            own = name if measure == self.measure else f"{name}/{measure}"
            yield accuracy(own, correct, f"measure:{measure}|{text}")
        ties, n = sum(choose(scored, self.measure).tied for _, scored in answered), len(answered)
        yield Score(f"{name}/ties", *percentage(ties, n), n, f"measure:{self.measure}|{text}", "%", None)

    def _signature(self, tag: str, answered: Sequence[tuple[Item, OptionScores]]) -> str:
        parts: dict[str, object] = {"preset": self.preset}
        if self.preset != "lm-eval":
            parts["labels"] = self.labels
            parts |= {"spelling": self.spelling} if tag in CORRECTED else {}
        asked = [(item, scored.question) for item, scored in answered]
        texts = ((question.id, question.context, *question.options, str(item.gold)) for item, question in asked)
        return signature({**parts, "n": len(answered), "questions": digest(texts)})

    def _row(self, tag: str, item: Item, scored: OptionScores) -> dict[str, Any]:
        choice = choose(scored, self.measure)
        return {
            "id": scored.question.id,
            "item": item.id,
            "language": tag,
            "predicted": LETTERS[choice.option],
            "gold": LETTERS[item.gold],
            "correct": int(choice.option == item.gold),
            "score": 100.0 * (choice.option == item.gold),
            **{m: int(choose(scored, m).option == item.gold) for m in MEASURES},
            "tied": choice.tied,
            "cut": scored.cut,
            "log_probs": list(scored.totals),
            "tokens": list(scored.tokens),
        }


def _unlabelled(tags: Sequence[str]) -> str:
    known = ", ".join(PAPER)
    return f"there are no native labels for {', '.join(tags)}: only for {known}. Take preset lm-eval for the others"
