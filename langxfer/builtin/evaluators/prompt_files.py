"""Prompts by language: from a JSONL file, or from the validation examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import langxfer
from langxfer.builtin.evaluators.files import Row, rows
from langxfer.components import Prompt
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import check_language

# Prompt files that come with langxfer are named langxfer:FILE.
SHIPPED = "langxfer:"
OPTION = "language_fidelity.prompts"


def prompts_path(file: str) -> Path:
    """Where a prompts file lies."""
    if not file.startswith(SHIPPED):
        return Path(file)
    return Path(langxfer.__file__).parent / "builtin" / "quickstart" / file.removeprefix(SHIPPED)


def prompts_of_file(file: str) -> list[Prompt]:
    """The prompts of a file; their ids are ``ID/TAG``.

    Raises:
        DataError: the file cannot be read, or an id occurs twice.
    """
    prompts = [prompt for row in rows(prompts_path(file), OPTION) for prompt in _read_prompts(row)]
    for identifier, count in Counter(prompt.id for prompt in prompts).items():
        if count > 1:
            name, tag = identifier.rsplit("/", 1)
            raise DataError(f'{file}: id "{name}" occurs {count} times in {tag}. Ids must be unique.')
    return prompts


def _read_prompts(row: Row) -> Iterator[Prompt]:
    identifier = row.values.get("id")
    if not isinstance(identifier, str | int) or len(row.values) < 2:
        raise DataError(
            f'{row.where}: expected {{"id": …, "TAG": prompt, …}} with BCP-47 tags, found {dict(row.values)!r:.80}'
        )
    for tag, prompt in row.values.items():
        if tag == "id":
            continue
        try:
            check_language(tag)
        except ValueError as error:
            raise DataError(f"{row.where}: {error}") from None
        yield Prompt(f"{identifier}/{tag}", _prompt_text(prompt, f"{row.where}: {tag}"), tag)


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


def prompts_of_examples(examples: Sequence[ParallelExample]) -> list[Prompt]:
    """The distinct prompts of examples, in both languages; a source prompt with several targets once."""
    found: dict[tuple[str, str], Prompt] = {}
    for example in examples:
        for turn in (example.source, example.target):
            found.setdefault(
                (turn.language, turn.prompt), Prompt(f"{example.id}/{turn.language}", turn.prompt, turn.language)
            )
    return list(found.values())
