"""Does the model answer in the language it is asked in? A classifier reads every answer, offline."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

import langxfer
from langxfer.builtin.evaluators import digest, percentage, signature
from langxfer.components import Evaluation, Evaluator, Evidence, Generation, Prompt, Sampling, Score
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES, check_language
from langxfer.translation.identification import Classify, Judgement, Verdict, judge_language, load_identifier

# Prompt files that come with langxfer are named langxfer:FILE.
SHIPPED = "langxfer:"


class LanguageFidelity(Evaluator):
    """The share of answers in the language of their prompt.

    ``language_fidelity/TAG`` is ``100 * right / all prompts of that language``, with the standard error
    ``100 * sqrt(p (1 - p) / n)``. An answer is

    - ``empty`` without any visible character,
    - ``too_short`` with fewer than ``min_words`` words outside code and addresses,
    - ``unknown`` when the identifier's best guess has a confidence below ``min_confidence``, or is "no language",
    - ``right`` or ``wrong`` otherwise, as a whole: an answer that changes language midway counts by its greater part.

    Only ``right`` counts, so a model that says nothing has 0 and not 100. The shares of empty and of too short
    answers are scores of their own (``/empty``, ``/too_short``).

    The identifier is py3langid (Lui and Baldwin 2012), restricted to the languages that langxfer knows. On news
    sentences in seven languages it is right 99.5 to 100 times in 100, on their first four words 93 to 100.
    Indonesian and Malay, and Chinese and Cantonese, are not told apart. Prompts that ask for an answer
    in another language ("Translate into French: …") do not belong in the file.

    A file of prompts has one JSON object a line: ``id`` and, by BCP-47 tag, the prompt as a text or as
    ``{"instruction": …, "input": …}`` (joined by an empty line). Fields ``output`` are ignored. Without a file, the
    prompts of the validation examples are asked, in both languages; a source prompt with several targets once.
    """

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
    def _identifiable(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tag in tags or ():
            if not LANGUAGES[check_language(tag)].identifier:
                raise ValueError(_unidentifiable(tag))
        if tags and len(set(tags)) < len(tags):
            raise ValueError(f"a language is listed twice: {', '.join(tags)}")
        return tags

    @model_validator(mode="after")
    def _sampled(self) -> LanguageFidelity:
        if self.top_p < 1 and self.temperature == 0:
            raise ValueError("top_p has no effect at temperature 0 (greedy). Set a temperature, or remove top_p")
        return self

    def identity(self) -> dict[str, Any]:
        """The content of the prompts file instead of its place, and the identifier's version.

        Raises:
            DataError: the file cannot be read, or its prompts cannot be used.
        """
        if self.prompts_file is None:
            return {"identifier": _identifier_version()}
        self._chosen(self._from_file())
        content = hashlib.sha256(self._path().read_bytes()).hexdigest()
        return {"prompts": content, "identifier": _identifier_version()}

    def resolve(self, folder: Path) -> LanguageFidelity:
        if self.prompts_file is None or self.prompts_file.startswith(SHIPPED) or Path(self.prompts_file).is_absolute():
            return self
        return self.model_copy(update={"prompts_file": str((folder / self.prompts_file).resolve())})

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """The prompts of each language; their ids are ``ID/TAG``.

        Raises:
            DataError: there are none, the file is wrong, or py3langid cannot identify one of the languages.
        """
        return self._chosen(self._from_file() if self.prompts_file is not None else _from_examples(examples))

    def sampling(self) -> Sampling:
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Three scores a language, in percent; a row an answer."""
        classify = load_identifier()
        by_language: dict[str, list[tuple[Generation, Judgement]]] = {}
        for answer in evidence.generations:
            judgement = self.judge(answer.text, answer.prompt.language, classify)
            by_language.setdefault(answer.prompt.language, []).append((answer, judgement))
        scores = [score for tag, judged in by_language.items() for score in self._scores(tag, judged)]
        return Evaluation(scores, [_row(*pair) for judged in by_language.values() for pair in judged])

    def judge(self, answer: str, tag: str, classify: Classify) -> Judgement:
        """The verdict on an answer that is due in language ``tag``; ``classify`` gives label and probability."""
        return judge_language(answer, tag, classify, self.min_words, self.min_confidence)

    def _scores(self, tag: str, judged: Sequence[tuple[Generation, Judgement]]) -> Iterator[Score]:
        n = len(judged)
        counts = Counter(judgement.verdict for _, judgement in judged)
        sampled = {"top_p": self.top_p, "seed": self.seed} if self.temperature else {}
        text = signature(
            {
                "id": f"py3langid-{_identifier_version()}",
                "n": n,
                "temp": f"{self.temperature:g}",
                **sampled,
                "max_new_tokens": self.max_new_tokens,
                "min_words": self.min_words,
                "min_confidence": f"{self.min_confidence:g}",
                "prompts": digest((answer.prompt.id, answer.prompt.text) for answer, _ in judged),
            }
        )
        kinds: tuple[tuple[Verdict, str, bool], ...] = (
            ("right", "", True),
            ("empty", "/empty", False),
            ("too_short", "/too_short", False),
        )
        for verdict, suffix, higher_is_better in kinds:
            value, error = percentage(counts[verdict], n)
            yield Score(f"language_fidelity/{tag}{suffix}", value, error, n, text, "%", higher_is_better)

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
        for tag in wanted:
            if not LANGUAGES[tag].identifier:
                raise DataError(f"language_fidelity: {_unidentifiable(tag)}: list the others in languages")
        return [p for tag in wanted for p in islice((p for p in prompts if p.language == tag), self.limit)]

    def _path(self) -> Path:
        assert self.prompts_file is not None, "only called with a file"
        if not self.prompts_file.startswith(SHIPPED):
            return Path(self.prompts_file)
        return Path(langxfer.__file__).parent / "builtin" / "quickstart" / self.prompts_file.removeprefix(SHIPPED)

    def _from_file(self) -> list[Prompt]:
        prompts = list(_read_prompts(self._path(), self.prompts_file or ""))
        for identifier, count in Counter(prompt.id for prompt in prompts).items():
            if count > 1:
                name, tag = identifier.rsplit("/", 1)
                raise DataError(f'{self.prompts_file}: id "{name}" occurs {count} times in {tag}. Ids must be unique.')
        return prompts


def _read_prompts(path: Path, label: str) -> Iterator[Prompt]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{label}: cannot read the prompts file {path} ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{label}: byte {error.start} is not UTF-8. Store the prompts as UTF-8.") from None
    # Only line feeds end a line of JSONL: a text may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield from _parse(line, f"{label}:{number}")


def _parse(line: str, where: str) -> Iterator[Prompt]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}). Expected one object a line.") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str | int) or len(row) < 2:
        raise DataError(f'{where}: expected {{"id": …, "TAG": prompt, …}} with BCP-47 tags, found {line.strip()[:80]}')
    for tag, prompt in row.items():
        if tag == "id":
            continue
        try:
            check_language(tag)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        yield Prompt(f"{row['id']}/{tag}", _prompt_text(prompt, f"{where}: {tag}"), tag)


def _prompt_text(prompt: object, where: str) -> str:
    if isinstance(prompt, dict):
        unknown = sorted(prompt.keys() - {"instruction", "input", "output"})
        if unknown:
            raise DataError(
                f"{where}: unknown field {', '.join(unknown)}. Expected instruction and, where needed, input."
            )
        parts = [prompt.get("instruction"), prompt.get("input") or ""]
    else:
        parts = [prompt]
    texts = [part.strip() for part in parts if isinstance(part, str)]
    if len(texts) < len(parts) or not texts[0]:
        raise DataError(f"{where}: expected a text, or instruction (and input) as texts, found {prompt!r:.80}.")
    return "\n\n".join(text for text in texts if text)


def _from_examples(examples: Sequence[ParallelExample]) -> list[Prompt]:
    found: dict[tuple[str, str], Prompt] = {}
    for example in examples:
        for turn in (example.source, example.target):
            found.setdefault(
                (turn.language, turn.prompt), Prompt(f"{example.id}/{turn.language}", turn.prompt, turn.language)
            )
    return list(found.values())


def _row(answer: Generation, judgement: Judgement) -> dict[str, Any]:
    return {
        "id": answer.prompt.id,
        "language": answer.prompt.language,
        "prompt": answer.prompt.text,
        "answer": answer.text,
        "detected": judgement.detected,
        "confidence": judgement.confidence,
        "verdict": judgement.verdict,
        "finished": answer.finished,
    }


def _identifier_version() -> str:
    return version("py3langid")


def _unidentifiable(tag: str) -> str:
    return f'py3langid cannot identify "{tag}" ({LANGUAGES[tag].name}), so no answer would count as right. Leave it out'
