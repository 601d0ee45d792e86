"""What an evaluator gives: all that comparisons and reports read of it is looked at before it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest

from langxfer.components import Evaluation, Score
from langxfer.engine.evaluator_contract import sound

SCORE = Score("e/en", 50.0, 1.0, 2, "v:1", "%")
ROW = {"id": "a", "language": "en", "scores": {"e/en": 1}}


@dataclass(frozen=True)
class Longer(Score):
    """A score with more in it."""

    median: float = 0.0


def score(**options: Any) -> Evaluation:
    return Evaluation([replace(SCORE, **options)], [ROW])


def row(**values: Any) -> Evaluation:
    return Evaluation([SCORE], [{**ROW, **values}])


FAULTS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "None; expected an Evaluation"),
    "list": ([SCORE], "a value of type list; expected an Evaluation"),
    "no scores": (Evaluation(None, []), "scores, which is None; expected a list"),  # type: ignore[arg-type]
    "no score": (Evaluation([1.0], []), r"scores\[0\], which is a value of type float; expected a Score"),  # type: ignore[list-item]
    "longer": (Evaluation([Longer(*asdict(SCORE).values())], []), r"scores\[0\] \(e/en\), .*Longer.*'median'"),
    "nan": (score(value=float("nan")), r"scores\[0\] \(e/en\)\.value, which is nan"),
    "inf": (score(standard_error=float("inf")), r"\.standard_error, which is inf"),
    "text": (score(value="50"), r"scores\[0\] \(e/en\), value: Input should be a valid number"),
    "n": (score(n=2.0), r"scores\[0\] \(e/en\), n: Input should be a valid integer"),
    "numpy": (score(n=np.int64(2)), r"\.n, which is np.int64\(2\) and not JSON"),
    "rows": (Evaluation([], "ab"), "rows, which is a value of type str; expected a list"),  # type: ignore[arg-type]
    "no row": (Evaluation([], ["ab"]), r"rows\[0\], which is a value of type str; expected a mapping"),  # type: ignore[list-item]
    "no id": (Evaluation([SCORE], [{"language": "en"}]), r"rows\[0\] without an id"),
    "id": (row(id=["a"]), r"rows\[0\] with the id \['a'\]; expected a text or a number"),
    "language": (row(language=1), r"rows\[0\] \(id a\) with the language 1"),
    "added": (row(scores={"e/en": "x"}), r"rows\[0\] \(id a\) with 'x' as what it adds to e/en"),
    "half": (row(scores={"e/en": [1, None]}), r"with \[1, None\] as what it adds"),
    "bare": (row(scores=[1]), "with scores that are a value of type list"),
    "short": (row(score="x"), r"rows\[0\] \(id a\), score"),
    "float32": (
        row(extra={"b": [np.float32(1)]}),
        r"rows\[0\]\.extra\.b\[0\], which is np.float32\(1.0\) and not JSON",
    ),
    "set": (row(tags={"x"}), r"rows\[0\]\.tags, which is \{'x'\} and not JSON"),
    "surrogate": (row(text="\ud800"), r"rows\[0\]\.text, which is '\\ud800' and not JSON"),
    "key": (row(extra={(1, 2): 3}), r"rows\[0\], which is not JSON \(keys must be"),
    "verdict": (row(verdict=["full"]), r"with the verdict \['full'\]; expected a text"),
    "notes": (Evaluation([], [], notes="ab"), "notes, which is a value of type str; expected a list"),
    "note": (Evaluation([], [], notes=[1]), r"notes\[0\], which is a value of type int"),  # type: ignore[list-item]
    "unfinished": (Evaluation([], [], True), "unfinished, which is a value of type bool"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name: str) -> None:
    evaluation, message = FAULTS[name]
    with pytest.raises(ValueError, match=f"^{message}" if not message.startswith((r"\.", "with")) else message):
        sound(evaluation, {"a"})


def test_what_can_be_read_back_passes_as_it_is() -> None:
    scores = [
        replace(SCORE, value=None, standard_error=None, n=0, higher_is_better=None),
        replace(SCORE, value=np.float64(50), interval=(40.0, 60.0)),
        replace(SCORE, value=50),
    ]
    rows: list[dict[str, Any]] = [
        *({"id": own} for own in ("a", 1, 2.5)),
        *({"id": "a", "language": "en", "scores": {"e/en": own}} for own in (None, 1, 0.5, True, [1, 2], (1, 2.5))),
        *({"id": "a", "score": own, "verdict": own, "extra": [{"x": own}]} for own in (None, 1, False)),
        {"id": "b", "verdict": ["of no answer"], "scores": {}},
    ]
    found = sound(Evaluation(tuple(scores), (own for own in rows), "why", iter(["one", "two"])), {"a"})  # type: ignore[arg-type]
    assert found == Evaluation(scores, rows, "why", ["one", "two"])
    assert json.dumps(found.rows) == json.dumps(rows)
