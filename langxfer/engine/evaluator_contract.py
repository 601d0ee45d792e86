"""What an evaluator gives, looked at before it is kept: every later run would find it again, and could not read it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from langxfer.components import Evaluation, Score
from langxfer.engine.store import flatten
from langxfer.report import contents
from langxfer.report.finished import score_of

SHOWN = ("verdict", "detected")  # of a row whose id is a prompt's: shown beside the answer


def sound(evaluation: Any, answered: Collection[str] = ()) -> Evaluation:
    """The same evaluation, with lists in it, once all of it is known to be what comparisons and reports can read.

    Args:
        answered: ids of the evaluator's prompts.

    Raises:
        ValueError: it is not; the message goes on from "evaluate gives".
    """
    if not isinstance(evaluation, Evaluation):
        raise ValueError(f"{_a(evaluation)}; expected an Evaluation")
    scores, rows, notes = (_listed(evaluation, name) for name in ("scores", "rows", "notes"))
    for number, score in enumerate(scores):
        _check_score(score, f"scores[{number}]")
    for number, row in enumerate(rows):
        _check_row(row, f"rows[{number}]", answered)
    for number, note in enumerate(notes):
        if not isinstance(note, str):
            raise ValueError(f"notes[{number}], which is {_a(note)}; expected a text")
    if not isinstance(evaluation.unfinished, str | None):
        raise ValueError(f"unfinished, which is {_a(evaluation.unfinished)}; expected a text, or None")
    return replace(evaluation, scores=scores, rows=rows, notes=notes)


def _a(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _listed(evaluation: Evaluation, name: str) -> list[Any]:
    value = getattr(evaluation, name)
    if isinstance(value, str | bytes | Mapping):  # they have items too, but not those that are meant
        raise ValueError(f"{name}, which is {_a(value)}; expected a list")
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{name}, which is {_a(value)}; expected a list") from None


def _check_score(score: Any, place: str) -> None:
    if not isinstance(score, Score):
        raise ValueError(f"{place}, which is {_a(score)}; expected a Score")
    place = f"{place} ({score.name})"
    row = _read_back(asdict(score), place)
    contents.checked(row, contents.ScoreRow, place)
    try:
        score_of(row)
    except TypeError as error:  # a subclass with more in it
        raise ValueError(f"{place}, which is {_a(score)} and cannot be read back ({error})") from None


def _check_row(row: Any, place: str, answered: Collection[str]) -> None:
    if not isinstance(row, Mapping):
        raise ValueError(f"{place}, which is {_a(row)}; expected a mapping with an id")
    own = _read_back(dict(row), place)
    name, language = own.get("id"), own.get("language")
    if name is None or isinstance(name, list | dict):
        found = "without an id" if name is None else f"with the id {name}"
        raise ValueError(f"{place} {found}; expected a text or a number that is the item's own")
    place = f"{place} (id {name})"
    if not isinstance(language, str | None):
        raise ValueError(f"{place} with the language {language!r}; expected a text, or None")
    scores = own.get("scores", {})
    if not isinstance(scores, dict):
        raise ValueError(f"{place} with scores that are {_a(scores)}; expected a mapping from names of scores")
    for score, value in scores.items():
        if value is not None and not _adds(value):
            raise ValueError(
                f"{place} with {value!r} as what it adds to {score}; expected a number, or [numerator, denominator]"
            )
    contents.checked(own, contents.Item, place)
    for shown in SHOWN if name in answered else ():
        if isinstance(own.get(shown), list | dict):
            raise ValueError(f"{place} with the {shown} {own[shown]}; expected a text")


def _adds(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(isinstance(part, int | float) for part in value)
    return isinstance(value, int | float)


def _read_back(value: dict[Any, Any], place: str) -> Any:
    """The value as it is read after it was written."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return json.loads(text)
    except (TypeError, ValueError) as error:
        for path, leaf in flatten(value).items():
            if not _is_plain(leaf):
                found = f"{place}.{path}, which is {leaf!r} and not JSON"
                raise ValueError(
                    f"{found}; expected texts, finite numbers, lists and mappings, and None where there is nothing"
                ) from None
        raise ValueError(f"{place}, which is not JSON ({error})") from None


def _is_plain(leaf: Any) -> bool:
    try:
        json.dumps(leaf, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return False
    return True
