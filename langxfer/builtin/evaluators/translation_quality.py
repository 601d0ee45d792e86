"""How well the model translates: chrF++ and BLEU against references, by sacreBLEU, without any download."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.evaluators import digest, mean, percentage, signature
from langxfer.builtin.evaluators.files import digest_of
from langxfer.builtin.evaluators.identifiers import PY3LANGID, identifier_version, load
from langxfer.builtin.evaluators.line_rules import LineRules
from langxfer.builtin.evaluators.outcomes import Outcome
from langxfer.builtin.evaluators.parallel_texts import FILES, MEMORY, Item, aligned_items, memory_items
from langxfer.builtin.evaluators.translation_scores import Tokenizer, bleu, chrf, corpus_score
from langxfer.components import Evaluation, Evaluator, Evidence, Generation, Prompt, Sampling, Score
from langxfer.data import ParallelExample
from langxfer.languages import LANGUAGES, check_language
from langxfer.translation import SUFFIXES

FIELDS = ("source_language", "target_language", "text")
_JUDGE = {"min_words": 2, "min_confidence": 0.1}  # as language_fidelity's defaults


@dataclass(frozen=True)
class _Answered:
    """An item with what the model made of it.

    Attributes:
        translation: the answer with its line breaks as spaces.
        score: chrF++ of this text alone.
        language: None where nobody can tell it.
    """

    item: Item
    answer: Generation
    translation: str
    score: float
    language: Outcome | None


class TranslationQuality(Evaluator):
    """The model translates texts that have reference translations.

    For each direction, such as ``en-de``: ``translation_quality/en-de/chrf++`` (sacreBLEU's corpus chrF with word order
    2) and ``/bleu``, with sacreBLEU's signatures; ``/chrf++_of_texts``, the mean of the texts' own chrF++, which two
    models can be compared by with a paired test; ``/empty``, the percentage of answers without a visible character,
    and ``/off_target``, the percentage wholly or partly in another language than the one wanted, both of all texts.
    Empty answers count in chrF++ and BLEU as what they are. Standard errors of chrF++ and BLEU are by bootstrap over
    texts; a row has the chrF++ of its text as ``score``.

    References are line-aligned files (NTREX, FLORES), or a memory (TMX, TSV, JSON lines). An answer counts as it is,
    its line breaks as spaces: a preamble costs precision. Nothing is downloaded, so spBLEU (``flores200``) is not
    offered. BLEU cuts Chinese by ``zh``, Japanese, Korean, Thai, Lao, Khmer and Burmese by ``char``, and others by
    ``13a``, so its values compare within a language only.
    """

    name: Literal["translation_quality"] = "translation_quality"
    directions: tuple[tuple[str, str], ...] = Field(
        min_length=1, description="Pairs of BCP-47 tags, such as [[en, de], [de, en]]: from, to."
    )
    files: dict[str, str] | None = Field(None, description="Line-aligned text files, by BCP-47 tag.")
    memory: str | None = Field(None, min_length=1, description="TMX, TSV or JSON lines, in place of files.")
    prompt: str = Field(
        "Translate this text from {source_language} into {target_language}. Answer with the translation alone.\n\n"
        "{text}",
        description="What the model is asked, with {source_language}, {target_language} (English names) and {text}.",
    )
    limit: int | None = Field(None, ge=1, description="Translate the first n texts of each direction.")
    max_new_tokens: int = Field(256, ge=1, description="Longest answer, in tokens; answers are greedy.")
    bleu_tokenizers: dict[str, Tokenizer] = Field({}, description="sacreBLEU's tokenizer, by tag of the target.")
    bootstrap: int = Field(1000, ge=100, description="Resamples behind the standard errors of chrF++ and BLEU.")

    @field_validator("directions")
    @classmethod
    def _known(cls, directions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for source, target in directions:
            if check_language(source) == check_language(target):
                raise ValueError(f"a direction leads from {source} to itself")
        if len(set(directions)) < len(directions):
            raise ValueError("a direction is listed twice")
        return directions

    @field_validator("prompt")
    @classmethod
    def _fillable(cls, prompt: str) -> str:
        try:
            used = [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
        except ValueError as error:
            raise ValueError(f"{error}; write {{{{ and }}}} for braces of the text") from None
        if "text" not in used or set(used) - set(FIELDS):
            found = ", ".join(f"{{{name}}}" for name in used) or "none"
            raise ValueError(
                f"expected {{text}}, and perhaps {{source_language}} and {{target_language}}, found {found}"
            )
        return prompt

    @model_validator(mode="after")
    def _consistent(self) -> TranslationQuality:
        if (self.files is None) == (self.memory is None):
            raise ValueError("give either files or memory")
        targets = {target for _, target in self.directions}
        if unused := sorted(self.bleu_tokenizers.keys() - targets):
            raise ValueError(f"bleu_tokenizers has {', '.join(unused)}, into which no direction leads")
        asked = {tag for direction in self.directions for tag in direction}
        if self.files is not None and (missing := sorted(asked - self.files.keys())):
            raise ValueError(f"files has no file for {', '.join(missing)}, which directions name")
        if self.files is not None and (unused := sorted(self.files.keys() - asked)):
            raise ValueError(f"files has a file for {', '.join(unused)}, which no direction names")
        if self.memory is not None and Path(self.memory).suffix.lower() not in SUFFIXES:
            raise ValueError(f"memory is {self.memory}, expected a file that ends in {', '.join(SUFFIXES)}")
        return self

    def identity(self) -> dict[str, Any]:
        """The contents of the files instead of their places, and the versions of what measures.

        Raises:
            DataError: a file cannot be read.
        """
        found: dict[str, Any] = {"sacrebleu": version("sacrebleu"), "identifier": identifier_version(PY3LANGID)}
        if self.files is not None:
            return found | {"files": {tag: digest_of(Path(path), FILES) for tag, path in self.files.items()}}
        return found | {"memory": [digest_of(Path(self.memory or ""), MEMORY)]}

    def resolve(self, folder: Path) -> TranslationQuality:
        if self.files is None:
            return self.model_copy(update={"memory": str((folder / (self.memory or "")).resolve())})
        return self.model_copy(
            update={"files": {tag: str((folder / path).resolve()) for tag, path in self.files.items()}}
        )

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """One prompt a text and direction; their ids are ``NUMBER/SOURCE-TARGET``.

        Raises:
            RecipeError: a tokenizer's package is missing.
            DataError: a file cannot be read or used.
        """
        for _, target in self.directions:
            bleu(target, self.bleu_tokenizers.get(target))
        return [prompt for direction in self.directions for prompt, _ in self._asked(*direction)]

    def sampling(self) -> Sampling:
        return Sampling(self.max_new_tokens)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Five scores a direction (four where the identifier does not know the target), and a row a text."""
        answers = {answer.prompt.id: answer for answer in evidence.generations}
        scores: list[Score] = []
        rows: list[dict[str, Any]] = []
        for source, target in self.directions:
            asked = self._asked(source, target)
            read = self._reader(target)
            answered = [read(item, answers[prompt.id]) for prompt, item in asked if prompt.id in answers]
            if answered:
                scores += self._scores(f"translation_quality/{source}-{target}", target, answered)
                rows += _rows(source, target, answered)
        return Evaluation(scores, rows)

    def _asked(self, source: str, target: str) -> list[tuple[Prompt, Item]]:
        if self.files is not None:
            items = aligned_items(self.files, source, target, self.limit)
        else:
            items = memory_items(self.memory or "", source, target, self.limit)
        names = {"source_language": LANGUAGES[source].name, "target_language": LANGUAGES[target].name}
        return [
            (Prompt(f"{item.number}/{source}-{target}", self.prompt.format(text=item.source, **names), target), item)
            for item in items
        ]

    def _reader(self, target: str) -> Callable[[Item, Generation], _Answered]:
        rules, metric = None, chrf()
        if LANGUAGES[target].identifier:
            rules = LineRules(load(PY3LANGID, [target]), _JUDGE["min_words"], _JUDGE["min_confidence"])

        def read(item: Item, answer: Generation) -> _Answered:
            outcome = rules(answer.text, "", target) if rules else None
            translation = " ".join(answer.text.split())
            return _Answered(
                item, answer, translation, metric.sentence_score(translation, [item.reference]).score, outcome
            )

        return read

    def _scores(self, name: str, target: str, answered: Sequence[_Answered]) -> Iterator[Score]:
        n = len(answered)
        translations = [one.translation for one in answered]
        references = [one.item.reference for one in answered]
        how = {
            "max_new_tokens": self.max_new_tokens,
            "prompt": digest([[self.prompt]]),
            "texts": digest((one.item.source, one.item.reference) for one in answered),
        }
        error_by = {"se": f"bootstrap-{self.bootstrap}"}
        for suffix, metric in (("chrf++", chrf()), ("bleu", bleu(target, self.bleu_tokenizers.get(target)))):
            value, error, theirs = corpus_score(metric, translations, references, self.bootstrap)
            yield Score(f"{name}/{suffix}", value, error, n, f"{theirs}|{signature({**error_by, **how})}", suffix)
            if suffix == "chrf++":
                value, error = mean([one.score for one in answered])
                text = f"{theirs}|{signature({'n': n, **how})}"
                yield Score(f"{name}/chrf++_of_texts", value, error, n, text, "chrf++")
        value, error = percentage(sum(not text for text in translations), n)
        yield Score(f"{name}/empty", value, error, n, signature({"n": n, **how}), "%", higher_is_better=False)
        outcomes = [one.language for one in answered if one.language is not None]
        if outcomes:
            value, error = percentage(sum(map(_off, outcomes)), n)
            text = signature({"id": identifier_version(PY3LANGID), "n": n, **_JUDGE, **how})
            yield Score(f"{name}/off_target", value, error, n, text, "%", higher_is_better=False)


def _off(outcome: Outcome) -> bool:
    return outcome.verdict in ("mixed", "wrong")


def _rows(source: str, target: str, answered: Sequence[_Answered]) -> Iterator[dict[str, Any]]:
    name = f"translation_quality/{source}-{target}"
    for one in answered:
        scores = {f"{name}/chrf++_of_texts": one.score, f"{name}/empty": float(not one.translation)}
        if one.language is not None:
            scores[f"{name}/off_target"] = float(_off(one.language))
        yield {
            "id": one.answer.prompt.id,
            "direction": f"{source}-{target}",
            "language": target,
            "source": one.item.source,
            "reference": one.item.reference,
            "answer": one.answer.text,
            "score": one.score,
            "scores": scores,
            "verdict": None if one.language is None else one.language.verdict,
            "finished": one.answer.finished,
        }
