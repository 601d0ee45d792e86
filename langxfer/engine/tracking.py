"""Shows a run in trackers (TensorBoard, W&B, MLflow, trackio) while it goes on, through Accelerate's interface to them.

They get what the run keeps anyway: the rows of ``metrics.jsonl``, the scores, and the recipe. Events only say when to
look for new rows, so a run whose training was found in the store shows the same curves as one that trained. Which step
a tracker is at is kept in the run folder: a resumed run goes on after it. A tracker that fails is left out; the run
goes on.
"""

from __future__ import annotations

import io
import json
import math
import re
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.engine.plan import Plan
from langxfer.engine.store import Store, digest, flatten, write_atomically
from langxfer.errors import RecipeError
from langxfer.events import Event, Notice, StageFinished, StageSkipped, StepFinished, Validated
from langxfer.hub import first_line
from langxfer.recipe import Tracking
from langxfer.report.paths import without_folders

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from langxfer.components import Score

FOLDER = "tracking"  # in the run folder
LOST = ("write-logs", "persist-logs", "local-sender-loop")  # what trackio calls its warnings that points are lost
LOOK = (StepFinished, Validated, StageSkipped, StageFinished)  # after these there may be new rows


def require(tracking: Tracking) -> None:
    """Look for the libraries of the trackers, which are optional.

    Raises:
        RecipeError: one is not installed.
    """
    missing = [name for name in tracking.trackers if find_spec(name) is None]
    if missing:
        raise RecipeError(
            f"tracking.trackers: {', '.join(missing)} is not installed:  "
            f'pip install "langxfer[{",".join(missing)}]"  or leave it out.'
        )


@dataclass
class _Memory:
    """What a tracker was given by this run and those that it goes on from.

    Attributes:
        id: of the run in the tracker, where the tracker lets us choose it or goes on by it.
        step: the last one, over all phases. A step and the validation after it are logged at once.
        scores: digest of the scores.
    """

    id: str | None = None
    step: int = 0
    scores: str | None = None


@dataclass(frozen=True)
class _Opening:
    """What a tracker is opened with."""

    project: str
    folder: Path
    memory: _Memory
    again: bool

    @property
    def run(self) -> str:
        return self.folder.name


class RunTracking:
    """The trackers of one run; only the main process tells them anything.

    Args:
        made: the plan; its recipe says which trackers.
        store: has the metrics of training stages.
        folder: of the run.
        emit: gets notices.
    """

    def __init__(self, made: Plan, store: Store, folder: Path, emit: Callable[[Event], None]):
        tracking = made.recipe.tracking
        values = without_folders(made.recipe.model_dump(mode="json", by_alias=True))
        config = {name: _plain(value) for name, value in flatten(values).items()}
        self._trackers = [_Tracker(name, tracking.project, folder, config, emit) for name in tracking.trackers]
        self._names = {pair.name: pair.evaluator.name for pair in made.evaluators}
        self._rows = {phase.train.label: _Rows(store, phase.train.key, n) for n, phase in enumerate(made.phases)}
        self._seen: list[tuple[int, dict[str, float]]] = []  # step over all phases, and values

    def event(self, event: Event) -> None:
        """Pass on what is new after an event."""
        if not isinstance(event, LOOK) or event.stage not in self._rows:
            return
        rows = self._rows[event.stage]
        if rows.first_step is None:  # training phases come one after the other
            rows.first_step = self._seen[-1][0] if self._seen else 0
        for step, values in rows.new():
            if self._seen and self._seen[-1][0] == step:
                self._seen[-1][1].update(values)
            else:
                self._seen.append((step, values))
        unsure = isinstance(event, StepFinished)  # whether the last step is going to be validated
        for tracker in self._trackers:
            tracker.steps(self._seen, len(self._seen) - unsure)

    def scores(self, before: Mapping[str, Sequence[Score]], after: Mapping[str, Sequence[Score]]) -> None:
        """Pass on the scores, at the last step."""
        found = {
            f"{when}/{evaluator}/{score.name.removeprefix(f'{self._names[evaluator]}/')}": score.value
            for when, evaluators in (("before", before), ("after", after))
            for evaluator, own in evaluators.items()
            for score in own
            if score.value is not None
        }
        for tracker in self._trackers if found else ():
            tracker.scores(found, self._seen[-1][0] if self._seen else 0)

    def close(self) -> None:
        """Whatever happened: what the trackers have is written."""
        for tracker in self._trackers:
            tracker.close()


@dataclass
class _Rows:
    """The rows of a training stage's ``metrics.jsonl``, as they come.

    Attributes:
        first_step: steps of the phases before it; None until it begins.
    """

    store: Store
    key: str
    phase: int
    first_step: int | None = None
    _bytes: int = field(default=0, init=False)

    def new(self) -> Iterator[tuple[int, dict[str, float]]]:
        """What was added since the last call."""
        places = self.store.partial("train", self.key), self.store.root / "train" / self.key
        path = next((place / "metrics.jsonl" for place in places if (place / "metrics.jsonl").is_file()), None)
        if path is None:
            return
        with open(path, "rb") as file:
            file.seek(self._bytes)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._bytes += len(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            step = (self.first_step or 0) + row.pop("step")
            values = {name if "/" in name else f"train/{name}": value for name, value in row.items()}
            yield step, values if any("/" in name for name in row) else {**values, "train/phase": self.phase}


class _Tracker:
    """One tracker: opened when there is something to log, and left alone after a failure."""

    def __init__(self, name: str, project: str, folder: Path, config: Mapping[str, Any], emit: Callable[[Event], None]):
        self._name, self._project, self._folder, self._config, self._emit = name, project, folder, config, emit
        self._path = folder / FOLDER / f"{name}.json"
        self._opened: GeneralTracker | None = None
        self._where: str | None = None  # to be said
        self._failed = False
        try:
            self._memory = _Memory(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._memory = _Memory()

    def steps(self, every: Sequence[tuple[int, dict[str, float]]], end: int) -> None:
        """Log the steps that the tracker does not have, of the first ``end`` of the run."""
        if end and every[end - 1][0] > self._memory.step:
            self._guarded(lambda: self._log_steps(every, end))

    def scores(self, scores: Mapping[str, float], step: int) -> None:
        """Log the scores, once."""
        if digest(dict(scores)) != self._memory.scores:
            self._guarded(lambda: self._log_scores(scores, step))

    def close(self) -> None:
        if self._opened is not None:
            tracker, self._opened = self._opened, None
            if self._failed:
                with suppress(Exception), redirect_stdout(io.StringIO()):
                    self._finish(tracker)
            else:
                self._guarded(lambda: self._finish(tracker))

    def _finish(self, tracker: GeneralTracker) -> None:
        try:
            tracker.finish()
        finally:
            self._remember()  # it may have found out that it has less than it was given

    def _log_steps(self, every: Sequence[tuple[int, dict[str, float]]], end: int) -> None:
        tracker = self._open()  # which may have lost some steps
        for step, values in every[bisect_right(every, self._memory.step, key=lambda own: own[0]) : end]:
            tracker.log({name: value for name, value in values.items() if math.isfinite(value)}, step=step)
            self._memory.step = step
        self._remember()

    def _log_scores(self, scores: Mapping[str, float], step: int) -> None:
        self._open().log(dict(scores), step=step)
        self._memory.scores = digest(dict(scores))
        self._remember()

    def _open(self) -> GeneralTracker:
        if self._opened is None:
            again = self._memory.id is not None
            self._memory.id = self._memory.id or uuid.uuid4().hex
            self._opened, self._where = OPENERS[self._name](_Opening(self._project, self._folder, self._memory, again))
            if not self._memory.step:
                self._opened.store_init_configuration(dict(self._config))
            self._remember()
        return self._opened

    def _remember(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        write_atomically(self._path, json.dumps(asdict(self._memory)))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something with the tracker, quietly; what it raises ends the tracker and not the run."""
        if self._failed:
            return
        try:
            with redirect_stdout(io.StringIO()):  # ours is for results
                act()
        except Exception as error:  # a tracker's library and its server can fail in any way
            self._failed = True
            reason = f"{type(error).__name__}: {first_line(error)}"
            self._emit(Notice(f"tracker {self._name} failed and is left out ({reason})"))
        else:
            if self._where:
                self._emit(Notice(f"tracker {self._name}: {self._where}"))
                self._where = None


def _tensorboard(opening: _Opening) -> tuple[GeneralTracker, str]:
    from accelerate.tracking import TensorBoardTracker

    folder, memory = opening.folder / FOLDER / "tensorboard", opening.memory
    # What a killed run wrote after it last remembered is dropped.
    purge = {"purge_step": memory.step + 1} if opening.again else {}
    tracker = TensorBoardTracker(opening.run, folder, **purge)
    tracker.start()
    return tracker, f"tensorboard --logdir {folder}"


def _wandb(opening: _Opening) -> tuple[GeneralTracker, str]:
    from accelerate.tracking import WandBTracker

    tracker = WandBTracker(
        opening.project, name=opening.run, id=opening.memory.id, resume="allow", dir=str(opening.folder / FOLDER)
    )
    (opening.folder / FOLDER).mkdir(exist_ok=True)
    tracker.start()
    return tracker, str(tracker.tracker.url or "offline, see `wandb sync`")


def _mlflow(opening: _Opening) -> tuple[GeneralTracker, str]:
    from accelerate.tracking import MLflowTracker

    class Tracker(MLflowTracker):
        """MLflow refuses names with brackets and commas."""

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            super().store_init_configuration(_mlflow_names(values))

        def log(self, values: dict[str, Any], step: int | None = None, **options: Any) -> None:
            super().log(_mlflow_names(values), step, **options)

    begun = opening.memory.id if opening.again else None  # MLflow chooses ids itself
    tracker = Tracker(experiment_name=opening.project, run_name=opening.run, run_id=begun)
    tracker.start()
    opening.memory.id = tracker.tracker.info.run_id
    return tracker, f"experiment {opening.project}, run {opening.run}"


def _mlflow_names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"[^\w. :/-]", "_", name): value for name, value in values.items()}


def _trackio(opening: _Opening) -> tuple[GeneralTracker, str]:
    import trackio
    from accelerate.tracking import TrackioTracker

    memory = opening.memory

    class Tracker(TrackioTracker):
        """Accelerate's leaves the run to trackio's exit handler too, which prints."""

        def finish(self) -> None:
            """Trackio stores what it was given a moment later, and only warns where it cannot."""
            trackio.finish()
            if not any(key.startswith(LOST) for key in getattr(self.tracker, "_warned_failures", ())):
                return
            memory.step, memory.scores = _stored_in_trackio(started("allow"), memory), None
            trackio.finish()
            raise OSError(f"it could not store all points; the same run again sends those after step {memory.step}")

    def started(resume: str) -> Tracker:
        # Of the machine, langxfer has its own numbers.
        own = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        tracker = Tracker(opening.project, name=opening.run, resume=resume, **own)
        tracker.start()
        return tracker

    tracker = started("allow" if opening.again else "never")
    if opening.again and tracker.tracker.id != memory.id:  # another run folder's run of this name
        trackio.finish()
        tracker = started("never")
    memory.id = tracker.tracker.id
    memory.step = _stored_in_trackio(tracker, memory)  # a killed run has lost some
    return tracker, f"trackio show --project {opening.project}"


def _stored_in_trackio(tracker: GeneralTracker, memory: _Memory) -> int:
    """The last step of those that it was given, as a run knows it that was just opened."""
    return min(memory.step, max(tracker.tracker._next_step - 1, 0)) if tracker.tracker.id == memory.id else 0


OPENERS: dict[str, Callable[[_Opening], tuple[GeneralTracker, str]]] = {
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}


def _plain(value: Any) -> str | bool | int | float | None:
    """What every tracker takes as the value of an option."""
    return value if value is None or isinstance(value, str | bool | int | float) else json.dumps(value)
