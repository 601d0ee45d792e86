"""What a judge's answer says: a ranking in strict JSON, or the probabilities of two labels.

Answers may hold words of the texts that were judged, so nothing is searched for in them: an answer is of the agreed
form as a whole, or there is no verdict. Labels are compared exactly: ``m`` is not ``M``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from langxfer.components import Verdict

FUNCTION = "make_partial_leaderboard"
LIKELIEST = 5  # tokens among which a label must be, for the judge to have answered with one
UNREADABLE = Verdict(None, "unreadable")
_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL)


def ranking_schema(labels: tuple[str, str]) -> dict[str, Any]:
    """The JSON schema of a ranking of the two answers."""
    entry = {
        "type": "object",
        "properties": {
            "model": {"type": "string", "enum": list(labels), "description": "Identifier of the model."},
            "rank": {"type": "integer", "enum": [1, 2], "description": "1 for the better output, 2 for the other."},
        },
        "required": ["model", "rank"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"ordered_models": {"type": "array", "items": entry, "description": "Both models, best first."}},
        "required": ["ordered_models"],
        "additionalProperties": False,
    }


def read_ranking(answer: str, labels: tuple[str, str]) -> Verdict:
    """The verdict in ``{"ordered_models": [{"model": LABEL, "rank": 1}, …]}``; equal ranks are a tie.

    The whole answer must be that JSON (a Markdown fence around it aside), each label must occur once, and no key twice.
    """
    fenced = _FENCE.fullmatch(answer)
    try:
        found = json.loads(fenced[1] if fenced else answer, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return UNREADABLE
    entries = found.get("ordered_models") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(entries, list) or len(entries) != 2:
        return UNREADABLE
    ranks: dict[str, int] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"model", "rank"}:
            return UNREADABLE
        model, rank = entry["model"], entry["rank"]
        if not isinstance(model, str) or isinstance(rank, bool) or rank not in (1, 2):
            return UNREADABLE
        ranks[model] = int(rank)
    if ranks.keys() != set(labels):
        return UNREADABLE
    first, second = (ranks[label] for label in labels)
    return Verdict(0.5 if first == second else float(first > second))


def weigh(log_probabilities: Mapping[str, float], labels: tuple[str, str]) -> Verdict:
    """``p(second) / (p(first) + p(second))`` from natural logarithms by token; a label that is missing has none.

    Args:
        log_probabilities: of the likeliest tokens in the place of the label.
    """
    first, second = (log_probabilities.get(label, -math.inf) for label in labels)
    highest = max(first, second)
    if not math.isfinite(highest):
        return Verdict(None, "no label")
    shares = [math.exp(value - highest) for value in (first, second)]
    return Verdict(shares[1] / sum(shares))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
