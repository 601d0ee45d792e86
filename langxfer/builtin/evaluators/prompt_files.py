"""Prompts by language: from a JSONL file, or from the validation examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import langxfer
from langxfer.components import Prompt
from langxfer.data import ParallelExample
from langxfer.errors import DataError
from langxfer.languages import check_language

# Prompt files that come with langxfer are named langxfer:FILE.
SHIPPED = "langxfer:"


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
    prompts = list(_read_prompts(prompts_path(file), file))
    for identifier, count in Counter(prompt.id for prompt in prompts).items():
        if count > 1:
            name, tag = identifier.rsplit("/", 1)
            raise DataError(f'{file}: id "{name}" occurs {count} times in {tag}. Ids must be unique.')
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


def prompts_of_examples(examples: Sequence[ParallelExample]) -> list[Prompt]:
    """The distinct prompts of examples, in both languages; a source prompt with several targets once."""
    found: dict[tuple[str, str], Prompt] = {}
    for example in examples:
        for turn in (example.source, example.target):
            found.setdefault(
                (turn.language, turn.prompt), Prompt(f"{example.id}/{turn.language}", turn.prompt, turn.language)
            )
    return list(found.values())
