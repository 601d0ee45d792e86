"""What readers need of the files of finished folders. A file that was cut or edited is told from a sound one here.

Whatever else a file holds is as it may be: folders of other versions are read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


def _text(value: Any) -> Any:
    if not isinstance(value, str):  # pydantic's own texts have no half surrogate pairs; what models write may
        raise ValueError("Input should be a text")
    return value


Text = Annotated[Any, AfterValidator(_text)]
Number = float | None
Two = Annotated[list[Number], Field(min_length=2, max_length=2)]


class _Some(BaseModel):
    """Some of the values of a mapping."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Named(_Some):
    name: str


class ScoreRow(_Some):
    name: str
    value: Number
    standard_error: Number
    n: int
    signature: str
    unit: str = ""
    higher_is_better: bool | None = True
    interval: Two | None = None


class ScoreLine(ScoreRow):
    """A line of an evaluation's ``scores.jsonl``."""

    evaluator: str


class Item(_Some):
    """A line of ``rows.jsonl``."""

    id: Any
    language: Text | None = None
    scores: dict[str, Number | bool | Two] = {}
    score: Number | bool = None


class Answer(_Some):
    """A line of ``generations.jsonl``."""

    id: Text
    language: Text
    prompt: Text
    answer: Text


class Metric(_Some):
    """A line of ``metrics.jsonl``."""

    __pydantic_extra__: dict[str, Number | bool]
    phase: int
    step: int


class _Effect(_Some):
    difference: float
    low: Number
    high: Number
    p: float
    n: int
    test: str


class _Comparison(_Some):
    name: str
    effect: _Effect | None
    adjusted_p: Number
    unpaired: int
    untested: str | None


class RunScores(_Some):
    """``scores.json``."""

    before: dict[str, list[ScoreRow]]
    after: dict[str, list[ScoreRow]]
    comparisons: list[_Comparison] = []


class _Data(_Some):
    source: str
    format: str
    source_language: str
    target_languages: list[str]
    max_length: int


class _Training(_Some):
    batch_size: int
    learning_rate: float
    schedule: str


class _Phase(_Some):
    objective: _Named
    selector: _Named
    training: _Training


class _Model(_Some):
    source: str
    dtype: str


class FilledRecipe(_Some):
    """``filled.yaml``, and an evaluation's ``run.yaml``."""

    title: str
    model: _Model
    data: _Data
    translator: _Named | None
    phases: list[_Phase]
    evaluators: list[_Named]


class _Prepared(_Some):
    train: int
    validation: int
    dropped: dict[str, int]


class _Read(_Prepared):
    identity: dict[str, Any]


class _Encoded(_Prepared):
    train_cut: int
    validation_cut: int


class _Stage(_Some):
    stage: str
    artifact: str
    key: str
    seconds: float
    peak_memory: float
    accounting: dict[str, Any] | None = None


class _Hardware(_Some):
    device: str
    processes: int
    system: str
    machine: str


class _Plugin(_Some):
    file: str
    sha256: str


class _Origin(_Some):
    source: str
    weights: str


class _Seeds(_Some):
    training: list[int]


class RunManifest(_Some):
    """A run's ``manifest.json``."""

    run_key: str
    model: _Origin
    data: _Read
    encoded: _Encoded
    seeds: _Seeds
    versions: dict[str, str]
    hardware: _Hardware
    overrides: list[str]
    plugins: list[_Plugin]
    stages: list[_Stage]


class _Measured(_Some):
    name: str
    source: str


class _Evaluator(_Some):
    options: _Named
    seconds: float
    peak_memory: float


class _MadeWith(_Some):
    """Of the run whose model was measured."""

    model: _Origin
    data: dict[str, dict[str, Any]]
    versions: dict[str, str]
    hardware: _Hardware
    plugins: list[_Plugin] = []
    stages: list[dict[str, Any]] = []
    code: dict[str, str] = {}


class EvaluationManifest(_Some):
    """An evaluation's ``manifest.json``."""

    model: _Measured
    evaluators: dict[str, _Evaluator]
    run: _MadeWith | None = None
    versions: dict[str, str]
    hardware: _Hardware


class _Sides(_Some):
    source: str
    target: str


class _Sample(_Some):
    source: Text
    target: Text | None
    note: str


class _Lost(_Some):
    reason: str
    count: int
    samples: list[_Sample]


class _Spread(_Some):
    mean: float
    percentiles: dict[str, float]


class _Part(_Some):
    part: str
    texts: int
    languages: dict[str, int]
    detected: dict[str, int]
    characters: _Spread | None
    words: _Spread | None


class _Scored(_Some):
    name: str
    value: Number
    n: int


class _Pair(_Some):
    pair: _Sides
    kept: int
    lost: list[_Lost]
    samples: list[_Sample]
    parts: list[_Part]
    scores: list[_Scored]


class Translation(_Some):
    """``translation.json``."""

    translator: str
    pairs: list[_Pair]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def checked(value: Any, kind: Any, name: str) -> Any:
    """The value itself, once it is known to be of its kind.

    Raises:
        ValueError: it is not; the message says where in the file ``name``, and why.
    """
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{name}{', ' if where else ''}{where}: {first['msg']}") from None
    return value


def checked_rows(rows: Iterator[Any], kind: type[BaseModel], name: str) -> list[Any]:
    """The lines of a file, each of which has to be of the kind; numbered from 0 in messages."""
    return checked(list(rows), list[kind], name)


def check_together(manifest: Mapping[str, Any], phases: Sequence[Any]) -> None:
    """Raises a ValueError where a run's manifest and recipe are of different runs."""
    trained = [stage for stage in manifest["stages"] if stage["artifact"].startswith("train/")]
    if len(trained) != len(phases):
        raise ValueError(f"manifest.json has {len(trained)} training stages, and filled.yaml {len(phases)} phases")
    for stage in trained:
        checked(stage, _Trained, f"manifest.json, {stage['stage']}")


class _Trained(_Some):
    steps: int
    trained_share: float
    accounting: dict[str, Any]
