"""What happens during a run, as frozen values: the command line draws them, observers read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened. ``record`` gives it as JSON values."""

    def record(self) -> dict[str, Any]:
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins to make the artifact ``key``; ``resumed`` when an unfinished one is continued."""

    stage: str
    key: str
    resumed: bool = False


@dataclass(frozen=True)
class StageSkipped(Event):
    """The artifact ``key`` of a stage was there already."""

    stage: str
    key: str


@dataclass(frozen=True)
class Progress(Event):
    """``done`` of ``total`` units (examples, segments, steps, prompts) of a stage; None where nobody knows."""

    stage: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage finished; ``peak_memory`` is in bytes (resident on CPU, allocated on CUDA)."""

    stage: str
    key: str
    seconds: float
    peak_memory: int


@dataclass(frozen=True)
class StepFinished(Event):
    """One optimizer step; ``metrics`` holds loss terms, gradient norm, learning rate, tokens."""

    stage: str
    step: int
    steps: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Validated(Event):
    """The validation loss after a step; ``best`` when it is the lowest so far."""

    stage: str
    step: int
    loss: float
    best: bool


@dataclass(frozen=True)
class PointStarted(Event):
    """A point of a sweep begins, ``number`` of ``total``; ``seconds_left`` for it and the others, None if unknown."""

    point: str
    number: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True)
class PointFinished(Event):
    """A point of a sweep is done, or failed with ``error``."""

    point: str
    number: int
    total: int
    seconds: float | None
    error: str | None


@dataclass(frozen=True)
class Notice(Event):
    """A sentence that the user should read."""

    message: str
