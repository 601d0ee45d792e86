"""The prompts, and the baseline's answers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langxfer.builtin.evaluators.files import Row, rows
from langxfer.errors import DataError
from langxfer.languages import check_language

PROMPTS, BASELINE = "alpaca_eval.prompts", "alpaca_eval.baseline"
GENERATIONS = Path("generations") / "alpaca_eval.after.generations.jsonl"  # of a run
EVALUATED = "alpaca_eval.generations.jsonl"  # of ``langxfer evaluate``


@dataclass(frozen=True)
class Instruction:
    """A prompt of the file.

    Attributes:
        id: ``ID/TAG``.
        place: among the prompts of its language in the file, from 0: what instruction difficulties are kept by.
    """

    id: str
    text: str
    language: str
    place: int


def read_instructions(path: Path) -> list[Instruction]:
    """All prompts of a file, in its order.

    An object has either ``instruction`` (with ``input``, ``id``, and ``language``, which is ``en`` by default), as in
    AlpacaEval, or an ``id`` and prompts by BCP-47 tag.

    Raises:
        DataError: the file is wrong; the message says where.
    """
    found: dict[str, Instruction] = {}
    places: Counter[str] = Counter()
    for number, record in enumerate(rows(path, PROMPTS)):
        for name, tag, text in _prompts(record, number):
            identifier = f"{name}/{tag}"
            if identifier in found:
                raise DataError(f'{record.where}: id "{name}" occurs twice in {tag}. Ids must be unique.')
            found[identifier] = Instruction(identifier, text, tag, places[tag])
            places[tag] += 1
    return list(found.values())


def read_baseline(path: Path) -> list[Row]:
    """The baseline's answers: generations of this evaluator, the folder that holds them, or AlpacaEval's outputs.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    return rows(baseline_file(path), BASELINE)


def baseline_file(path: Path) -> Path:
    """The file of a baseline: for a run folder, the answers of its adapted model; for an evaluation's, its answers."""
    if not path.is_dir():
        return path
    return path / EVALUATED if (path / EVALUATED).is_file() else path / GENERATIONS


def match(instructions: Sequence[Instruction], baseline: Sequence[Row], origin: str) -> dict[str, str]:
    """The baseline's answer to each prompt, by the prompt's id.

    Generations are found by id and must have answered the same prompt, up to an instruction added at its end;
    outputs are found by their instruction.

    Raises:
        DataError: some are missing.
    """
    by_id: dict[str, tuple[str, str]] = {}
    by_text: dict[str, str] = {}
    for record in baseline:
        if "instruction" in record.values:
            by_text[_joined(record.text("instruction"), record.text("input", ""))] = record.text("output")
        else:
            by_id[record.text("id")] = (record.text("prompt"), record.text("answer"))
    found: dict[str, str] = {}
    missing: list[str] = []
    for instruction in instructions:
        prompt, answer = by_id.get(instruction.id, ("", ""))
        if instruction.id in by_id and prompt.startswith(instruction.text):
            found[instruction.id] = answer
        elif instruction.text in by_text:
            found[instruction.id] = by_text[instruction.text]
        else:
            missing.append(instruction.id)
    if missing:
        some = ", ".join([*missing[:3], *(["…"] if len(missing) > 3 else [])])
        raise DataError(
            f"{BASELINE} {origin} has no answer to {len(missing)} of {len(instructions)} prompts ({some}). Answer the "
            "same prompts with it first, or set languages and limit."
        )
    return found


def chosen(
    instructions: Sequence[Instruction], languages: Sequence[str] | None, limit: int | None, origin: str
) -> list[Instruction]:
    """The first ``limit`` prompts of each language that is asked for, language by language.

    Raises:
        DataError: there are none, or none of a language.
    """
    held: Mapping[str, None] = dict.fromkeys(instruction.language for instruction in instructions)
    if missing := [tag for tag in languages or () if tag not in held]:
        raise DataError(
            f"{PROMPTS} {origin}: no prompt in {', '.join(missing)}. Languages there: {', '.join(held) or 'none'}."
        )
    if not held:
        raise DataError(f"{PROMPTS} {origin}: there are no prompts.")
    return [
        instruction
        for tag in languages or tuple(held)
        for instruction in [own for own in instructions if own.language == tag][:limit]
    ]


def _prompts(record: Row, number: int) -> Iterator[tuple[str, str, str]]:
    """(id, language, text) of an object."""
    values = record.values
    identifier = values.get("id", number if "instruction" in values else None)
    if not isinstance(identifier, str | int):
        raise DataError(
            f'{record.where}: expected {{"instruction": …}}, or {{"id": …, "TAG": prompt, …}} with BCP-47 tags.'
        )
    by_language = (
        {record.text("language", "en"): dict(values)}
        if "instruction" in values
        else {tag: prompt for tag, prompt in values.items() if tag != "id"}
    )
    for tag, prompt in by_language.items():
        try:
            check_language(tag)
        except ValueError as error:
            raise DataError(f"{record.where}: {error}") from None
        own = Row(record.where, prompt if isinstance(prompt, dict) else {"instruction": prompt})
        text = _joined(own.text("instruction"), own.text("input", ""))
        if not text.strip():
            raise DataError(f"{record.where}: the prompt in {tag} is empty.")
        yield str(identifier), tag, text


def _joined(instruction: str, context: str) -> str:
    return f"{instruction}\n\n{context}" if context.strip() else instruction
