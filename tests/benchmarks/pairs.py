"""The benchmark's two data sets, cut from one file of parallel instruction data.

Data A is short: rows as they are. Data B is long: earlier rows stand in the prompt as worked
examples, and the answers of several rows are joined. Both are pure functions of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from langxfer.data import ParallelExample, Side, Turn, View
from langxfer.engine.encode import Encoded, Encoder
from langxfer.errors import DataError

LANGUAGES = {Side.SOURCE: "en", Side.TARGET: "de"}
CHARACTERS = (100, 350)  # of an answer of data A, in both languages
PROMPT_TOKENS = (600, 900)  # of data B
ANSWER_TOKENS = (100, 200)  # of data B
LONGEST = 1024  # tokens of prompt and answer: TRL cuts what is longer unless told otherwise
SPREAD = 97  # prompts of data B get longer by so many tokens from pair to pair, round and round


@dataclass(frozen=True)
class Parallel:
    """A row of the file: question and answer by side."""

    id: str
    questions: dict[Side, str]
    answers: dict[Side, str]


def read(path: Path) -> list[Parallel]:
    """The rows of the file.

    Raises:
        DataError: there is no such file, or a row lacks a field.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Name JSON lines with an id and en and de texts with --data FILE.")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            texts = {side: row[language] for side, language in LANGUAGES.items()}
            questions = {s: "\n\n".join(filter(None, (t["instruction"], t.get("input")))) for s, t in texts.items()}
            rows.append(Parallel(row["id"], questions, {s: t["output"] for s, t in texts.items()}))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number} cannot be used ({error!r}). "
                "Expected id, and en and de, each with instruction, input and output."
            ) from None
    return rows


def short(rows: Sequence[Parallel], encoder: Encoder, count: int) -> list[Encoded]:
    """Data A: the first ``count`` rows whose answers have 100 to 350 characters in both languages."""
    low, high = CHARACTERS
    fitting = (row for row in rows if all(low <= len(answer) <= high for answer in row.answers.values()))
    return _first(_encoded((_example(row.id, row.questions, row.answers) for row in fitting), encoder), count, "A")


def long(rows: Sequence[Parallel], encoder: Encoder, count: int, shrink: int = 1) -> list[Encoded]:
    """Data B: prompts of 600 to 900 tokens, answers of 100 to 200, in all four views; ``shrink`` divides the ranges."""
    prompt, answer = ([bound // shrink for bound in bounds] for bounds in (PROMPT_TOKENS, ANSWER_TOKENS))
    examples = _long_examples(rows, encoder, prompt, answer)
    fitting = (e for e in _encoded(examples, encoder) if _fits(e, prompt, answer, LONGEST // shrink))
    return _first(fitting, count, "B")


def mean_lengths(encoded: Sequence[Encoded]) -> dict[str, float]:
    """Mean tokens of prompts by side and of responses by view."""
    prompts = {f"prompt_{side}": fmean(len(e.prompts[side]) for e in encoded) for side in Side}
    return prompts | {f"response_{view}": fmean(len(e.responses[view]) for e in encoded) for view in View}


def _example(name: str, questions: dict[Side, str], answers: dict[Side, str]) -> ParallelExample:
    return ParallelExample(name, *(Turn(questions[side], answers[side], LANGUAGES[side]) for side in Side))


def _encoded(examples: Iterator[ParallelExample], encoder: Encoder) -> Iterator[Encoded]:
    for example in examples:
        for encoded, _ in encoder.encode([example], max_length=1 << 20, too_long="drop"):
            if isinstance(encoded, Encoded):
                yield encoded


def _first(encoded: Iterator[Encoded], count: int, name: str) -> list[Encoded]:
    found = list(islice(encoded, count))
    if len(found) < count:
        raise DataError(f"data {name}: {len(found)} pairs of the wanted lengths in the file, expected {count}.")
    return found


def _fits(encoded: Encoded, prompt: Sequence[int], answer: Sequence[int], longest: int) -> bool:
    return (
        all(prompt[0] <= len(ids) <= prompt[1] for ids in encoded.prompts.values())
        and all(answer[0] <= len(ids) <= answer[1] for ids in encoded.responses.values())
        and all(encoded.length(view) <= longest for view in View)
    )


def _long_examples(
    rows: Sequence[Parallel], encoder: Encoder, prompt: Sequence[int], answer: Sequence[int]
) -> Iterator[ParallelExample]:
    """Candidates for data B, walking through the file; a row is answered once and may be shown many times."""
    start, made = 0, 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and min(_answer_tokens(rows[start:end], encoder)) < answer[0]:
            end += 1
        asked = rows[start:end]
        if max(_answer_tokens(asked, encoder)) <= answer[1]:
            wanted = prompt[0] + made * SPREAD % (prompt[1] - prompt[0])
            yield _long_example(asked, rows[:start], encoder, wanted)
            made += 1
            start = end
        else:
            start += 1


def _answer_tokens(rows: Sequence[Parallel], encoder: Encoder) -> list[int]:
    """Tokens of the joined answers by side, the end of the turn included."""
    return [len(ids) + 1 for ids in encoder.ids(["\n\n".join(row.answers[side] for row in rows) for side in Side])]


def _long_example(
    asked: Sequence[Parallel], earlier: Sequence[Parallel], encoder: Encoder, wanted: int
) -> ParallelExample:
    """One pair: each side shows as many of the rows before it as it takes to reach ``wanted`` prompt tokens."""
    questions, answers = {}, {}
    for side in Side:
        last = "\n\n".join(row.questions[side] for row in asked)
        shown: list[str] = []
        for row in reversed(earlier):
            if len(encoder.prompt_ids(["\n\n".join([*shown, last])])[0]) >= wanted:
                break
            shown.insert(0, f"{row.questions[side]}\n{row.answers[side]}")
        questions[side] = "\n\n".join([*shown, last])
        answers[side] = "\n\n".join(row.answers[side] for row in asked)
    return _example(asked[0].id, questions, answers)
