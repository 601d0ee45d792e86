"""Does the model answer in the language it is asked in? Every answer is read, offline."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.evaluators import digest, mean, percentage, signature
from langxfer.builtin.evaluators.identifiers import (
    PY3LANGID,
    check_identifiable,
    identifier_version,
    load,
    resolve,
    unidentifiable,
)
from langxfer.builtin.evaluators.language_confusion import (
    WORD_LEVEL,
    ConfusionRules,
    check_tokenizers,
    tokenizer_versions,
)
from langxfer.builtin.evaluators.line_rules import LineRules
from langxfer.builtin.evaluators.outcomes import FAULTS, JUDGED, Outcome, read_english
from langxfer.builtin.evaluators.prompt_files import SHIPPED, prompts_of_examples, prompts_of_file, prompts_path
from langxfer.builtin.filters.language_task import BUILT_IN, instruction
from langxfer.components import Evaluation, Evaluator, Evidence, Generation, Prompt, Sampling, Score, Workload
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES, check_language

Rules = Callable[[str, str, str], Outcome]
Judged = Sequence[tuple[Generation, Outcome]]


class LanguageFidelity(Evaluator):
    """The share of answers in the language of their prompt, and what became of the others.

    An answer is read as a whole and line by line, without code, addresses and what it quotes of the prompt. It is

    - ``full`` where nothing of it is in another language,
    - ``mixed`` where a line of five words or more, or the whole, is in another language and the rest is not,
    - ``wrong`` where all of it is in another language, or in another script,
    - ``unknown`` where the identifier's best guess has a confidence below ``min_confidence``, or is "no language",
    - ``too_short`` with fewer than ``min_words`` words,
    - ``empty`` without any visible character.

    ``language_fidelity/TAG`` is ``100 * full / all prompts of that language``, so silence does not pay; it is null
    where no answer could be judged. ``/coverage`` is the share that is full, mixed or wrong, ``/lines`` the share of
    those that is full, ``/words`` the share of full answers without an English word (in languages that are not written
    in Latin letters); ``/mixed``, ``/wrong``, ``/unknown``, ``/too_short`` and ``/empty`` are shares of all prompts.
    Standard errors are ``100 * sqrt(p (1 - p) / n)``.

    Preset ``lcb`` has the rules of the Language Confusion Benchmark (arXiv 2406.20052) instead: ``/lpr``, ``/wpr``,
    their harmonic mean ``/lcpr``, ``/line_accuracy`` and ``/coverage``. Rates without a denominator are null there too.

    A file of prompts has one JSON object a line: ``id`` and, by BCP-47 tag, the prompt as a text or as
    ``{"instruction": …, "input": …}`` (joined by an empty line). Fields ``output`` are ignored. Without a file, the
    prompts of the validation examples are asked, in both languages; a source prompt with several targets once.
    Prompts that ask for an answer in another language ("Translate into French: …") do not belong in it; English ones
    that seem to are named in a note.
    """

    results_version: ClassVar[int] = 3

    name: Literal["language_fidelity"] = "language_fidelity"
    prompts_file: str | None = Field(
        None,
        alias="prompts",
        min_length=1,
        description="JSONL file of prompts, or langxfer:FILE; null: validation prompts.",
    )
    languages: tuple[str, ...] | None = Field(
        None, min_length=1, description="BCP-47 tags asked; null: all of the file or of the validation examples."
    )
    limit: int | None = Field(None, ge=1, description="Ask the first n prompts of each language.")
    preset: Literal["langxfer", "lcb"] = Field(
        "langxfer", description="Rules of judgement: ours, or those of the Language Confusion Benchmark."
    )
    identifier: str = Field(
        PY3LANGID, min_length=1, description="py3langid, lingua, or the file of a fastText model such as lid.176.bin."
    )
    words: str | None = Field(
        None,
        min_length=1,
        description="File of English words, one a line; null: langxfer takes any of over three lower-case Latin "
        "letters, lcb leaves /wpr and /lcpr out.",
    )
    max_new_tokens: int = Field(96, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Nucleus sampling: share of probability kept. Needs a temperature."
    )
    seed: int = Field(0, description="Decides sampled answers, with the prompt's id.")
    min_words: int = Field(2, ge=1, description="Shorter answers are too short; unspaced scripts count characters.")
    min_confidence: float = Field(0.1, ge=0, le=1, description="Less certain identifications are unknown.")

    @field_validator("languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tag in tags or ():
            check_language(tag)
        if tags and len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tags

    @model_validator(mode="after")
    def _consistent(self) -> LanguageFidelity:
        if self.top_p < 1 and self.temperature == 0:
            raise ValueError("top_p has no effect at temperature 0 (greedy). Set a temperature, or remove top_p")
        fields = type(self).model_fields
        for option in ("min_words", "min_confidence") if self.preset == "lcb" else ():
            if getattr(self, option) != fields[option].default:
                raise ValueError(f'{option} has no effect with preset "lcb", which has its own. Remove {option}')
        for tag in self.languages or () if self.identifier == PY3LANGID else ():
            if not LANGUAGES[tag].identifier:
                raise ValueError(f"{unidentifiable(tag)}. Leave it out")
        return self

    def identity(self) -> dict[str, Any]:
        """The contents of files instead of their places, and the versions of what reads the answers.

        Raises:
            RecipeError: the identifier's package is not installed.
            DataError: a file cannot be read, or its prompts cannot be used.
        """
        found: dict[str, Any] = {"identifier": identifier_version(self.identifier)}
        if self.prompts_file is not None:
            self._chosen(prompts_of_file(self.prompts_file))
            found["prompts"] = hashlib.sha256(prompts_path(self.prompts_file).read_bytes()).hexdigest()
        if self.words is not None:
            found["words"] = digest([sorted(read_english(self.words))])
        if self.preset == "lcb":
            found["tokenizers"] = tokenizer_versions()
        return found

    def resolve(self, folder: Path) -> LanguageFidelity:
        found: dict[str, str] = {"identifier": resolve(self.identifier, folder)}
        if self.words is not None:
            found["words"] = str((folder / self.words).resolve())
        if self.prompts_file is not None and not self.prompts_file.startswith(SHIPPED):
            found["prompts_file"] = str((folder / self.prompts_file).resolve())
        return self.model_copy(update=found) if any(getattr(self, key) != found[key] for key in found) else self

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """The prompts of each language; their ids are ``ID/TAG``.

        Raises:
            RecipeError: a package is missing.
            DataError: there are none, a file is wrong, or the identifier cannot tell one of the languages.
        """
        own = prompts_of_examples(examples) if self.prompts_file is None else prompts_of_file(self.prompts_file)
        return self._chosen(own)

    def sampling(self) -> Sampling:
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def workload(self, prompts: Mapping[str, int]) -> Workload:
        """Of the file's prompts, or of the validation examples': as long as those of OASST1."""
        if self.prompts_file is not None:
            own = self._chosen(prompts_of_file(self.prompts_file))
            return Workload(len(own), sum(len(p.text) for p in own) // max(len(own), 1), self.max_new_tokens)
        asked = (prompts.get(tag, 0) for tag in self.languages or prompts)
        return Workload(sum(min(n, self.limit or n) for n in asked), 160, self.max_new_tokens)

    def rules(self, tags: Sequence[str]) -> Rules:
        """What judges an answer to a prompt that is due in one of these languages: ``rules(answer, prompt, tag)``.

        Raises:
            RecipeError: a package is missing.
            DataError: a file is wrong, or the identifier cannot tell one of the languages.
        """
        identifier = load(self.identifier, tags)
        english = None if self.words is None else read_english(self.words)
        if self.preset == "langxfer":
            return LineRules(identifier, self.min_words, self.min_confidence, english)
        check_tokenizers(tags)
        return ConfusionRules(identifier, english)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """The scores of each language, in percent; a row an answer. Stored answers will do as well."""
        by_language: dict[str, list[tuple[Generation, Outcome]]] = {}
        rules = self.rules(tuple(dict.fromkeys(answer.prompt.language for answer in evidence.generations)))
        for answer in evidence.generations:
            tag = answer.prompt.language
            by_language.setdefault(tag, []).append((answer, rules(answer.text, answer.prompt.text, tag)))
        scores = self._own_scores if self.preset == "langxfer" else self._confusion_scores
        how = self._how()
        found = [score for tag, judged in by_language.items() for score in scores(tag, judged, how)]
        rows = [self._row(*pair) for judged in by_language.values() for pair in judged]
        return Evaluation(found, rows, notes=_translation_tasks(evidence.generations))

    def _own_scores(self, tag: str, judged: Judged, how: Mapping[str, object]) -> Iterator[Score]:
        n, text = len(judged), _signature(judged, how)
        counts = Counter(outcome.verdict for _, outcome in judged)
        covered = sum(counts[verdict] for verdict in JUDGED)
        yield _rate(f"{tag}", counts["full"], n if covered else 0, text, n=n)
        yield _rate(f"{tag}/coverage", covered, n, text)
        yield _rate(f"{tag}/lines", counts["full"], covered, text)
        if LANGUAGES[tag].script != "Latn":
            yield _rate(f"{tag}/words", *_word_level(judged), text)
        for verdict in FAULTS:
            yield _rate(f"{tag}/{verdict}", counts[verdict], n, text, higher_is_better=False)

    def _confusion_scores(self, tag: str, judged: Judged, how: Mapping[str, object]) -> Iterator[Score]:
        n, text = len(judged), _signature(judged, how)
        counts = Counter(outcome.verdict for _, outcome in judged)
        covered = sum(counts[verdict] for verdict in JUDGED)
        lines = _rate(f"{tag}/lpr", counts["full"], covered, text)
        yield lines
        if self.words is not None and tag.split("-")[0] in WORD_LEVEL:
            words = _rate(f"{tag}/wpr", *_word_level(judged), text)
            yield words
            yield _harmonic(f"language_fidelity/{tag}/lcpr", lines, words)
        shares = [100 * o.right_lines / (o.right_lines + o.wrong_lines) for _, o in judged if o.verdict in JUDGED]
        value, error = mean(shares) if shares else (None, None)
        yield Score(f"language_fidelity/{tag}/line_accuracy", value, error, covered, text, "%")
        yield _rate(f"{tag}/coverage", covered, n, text)

    def _how(self) -> dict[str, object]:
        """What signatures say of how answers were made and judged."""
        sampled = {"top_p": self.top_p, "seed": self.seed} if self.temperature else {}
        own = {"min_words": self.min_words, "min_confidence": f"{self.min_confidence:g}"}
        tokenizers = {package: found for package, found in tokenizer_versions().items() if found}
        return {
            "id": identifier_version(self.identifier),
            "rules": f"{self.preset}-{self.results_version}",
            "temp": f"{self.temperature:g}",
            **sampled,
            "max_new_tokens": self.max_new_tokens,
            **(own if self.preset == "langxfer" else tokenizers),
            **({} if self.words is None else {"words": digest([sorted(read_english(self.words))])}),
        }

    def _row(self, answer: Generation, outcome: Outcome) -> dict[str, Any]:
        skipped = self.preset == "lcb" and outcome.verdict not in JUDGED
        return {
            "id": answer.prompt.id,
            "language": answer.prompt.language,
            "prompt": answer.prompt.text,
            "answer": answer.text,
            "verdict": outcome.verdict,
            "score": None if skipped else float(outcome.verdict == "full"),
            "scores": self._adds(answer.prompt.language, outcome),
            "detected": outcome.detected,
            "confidence": outcome.confidence,
            "right_lines": outcome.right_lines,
            "wrong_lines": outcome.wrong_lines,
            "english": None if outcome.english is None else list(outcome.english),
            "finished": answer.finished,
        }

    def _adds(self, tag: str, outcome: Outcome) -> dict[str, float]:
        """What an answer adds to the rates of its language that it counts in.

        Shares of single verdicts are parts of those rates. They are left out: each more comparison of two models
        makes all of them less certain.
        """
        full, judged = float(outcome.verdict == "full"), outcome.verdict in JUDGED
        found: dict[str, float] = {}
        if self.preset == "langxfer":
            found[""] = full
            found |= {"/lines": full} if judged else {}
        elif judged:
            lines = outcome.right_lines + outcome.wrong_lines
            found = {"/lpr": full, "/line_accuracy": outcome.right_lines / lines}
        if outcome.english is not None:
            found["/words" if self.preset == "langxfer" else "/wpr"] = float(not outcome.english)
        return {f"language_fidelity/{tag}{name}": value for name, value in found.items()}

    def _chosen(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        found = dict.fromkeys(prompt.language for prompt in prompts)
        origin = self.prompts_file or "the validation examples (set data.validation, or prompts)"
        if missing := [tag for tag in self.languages or () if tag not in found]:
            held = ", ".join(found) or "none"
            raise DataError(
                f"language_fidelity: no prompt in {', '.join(missing)} in {origin}. Languages there: {held}."
            )
        if not found:
            raise DataError(f"language_fidelity: there are no prompts in {origin}.")
        wanted = self.languages or tuple(found)
        check_identifiable(self.identifier, wanted)
        if self.preset == "lcb":
            check_tokenizers(wanted)
        return [p for tag in wanted for p in islice((p for p in prompts if p.language == tag), self.limit)]


def _translation_tasks(answers: Sequence[Generation]) -> list[str]:
    """Which prompts ask for an answer in another language than their own, as far as English ones say so."""
    pattern = BUILT_IN["translation task"]
    found = [
        answer.prompt.id
        for answer in answers
        if answer.prompt.language == "en" and pattern.search(instruction(answer.prompt.text))
    ]
    if not found:
        return []
    some = ", ".join([*found[:3], *(["…"] if len(found) > 3 else [])])
    return [
        f"language_fidelity: {len(found)} English prompts ask for a translation or for another language ({some}). A "
        "right answer to them or to their translations counts as wrong. Leave them out (filter language_task)."
    ]


def _signature(judged: Judged, how: Mapping[str, object]) -> str:
    prompts = digest((answer.prompt.id, answer.prompt.text) for answer, _ in judged)
    return signature({**how, "n": len(judged), "prompts": prompts})


def _word_level(judged: Judged) -> tuple[int, int]:
    """Of the answers in which English words were looked for: those without any, and all."""
    looked = [outcome.english for _, outcome in judged if outcome.english is not None]
    return sum(not words for words in looked), len(looked)


def _rate(
    name: str, count: int, of: int, text: str, n: int | None = None, higher_is_better: bool | None = True
) -> Score:
    """``count`` of ``of`` in percent; null of none."""
    value, error = percentage(count, of) if of else (None, None)
    return Score(f"language_fidelity/{name}", value, error, of if n is None else n, text, "%", higher_is_better)


def _harmonic(name: str, lines: Score, words: Score) -> Score:
    """Harmonic mean of two rates, with its error by the delta method: the second rate is of what passed the first."""
    if lines.value is None or words.value is None:
        return Score(name, None, None, lines.n, lines.signature, "%")
    total = lines.value + words.value
    if not total:
        return Score(name, 0.0, None, lines.n, lines.signature, "%")
    slopes = (2 * (words.value / total) ** 2, 2 * (lines.value / total) ** 2)
    error = math.hypot(slopes[0] * (lines.standard_error or 0), slopes[1] * (words.standard_error or 0))
    return Score(name, 2 * lines.value * words.value / total, error, lines.n, lines.signature, "%")
