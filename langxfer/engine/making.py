"""Finds or makes the artifact of a stage, with the help of all processes, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer.engine.plan import Stage
from langxfer.engine.raised import said
from langxfer.engine.runtime import PeakMemory, Runtime, free
from langxfer.engine.store import Artifact, Store, make_folder, storage_errors
from langxfer.engine.versions import versions
from langxfer.errors import ArtifactError, LangxferError, StageError
from langxfer.events import Event, StageFinished, StageSkipped, StageStarted

Facts = dict[str, Any]
RESULTS = frozenset({"train", "evaluate"})  # stages whose results are shown with where they were made

TOO_LARGE = (
    "out of memory. Lower compute.tokens_per_micro_batch or compute.prompts_per_batch, "
    "or set compute.activation_checkpointing: true; results stay the same."
)


@dataclass(frozen=True)
class Outcome:
    """What became of one stage in this run."""

    stage: Stage
    artifact: Artifact
    made: bool


class Maker:
    """Goes through stages in the order in which it is asked, and remembers their outcomes."""

    def __init__(self, runtime: Runtime, store: Store, emit: Callable[[Event], None]):
        self.runtime, self.store, self.emit = runtime, store, emit
        self.outcomes: list[Outcome] = []

    def finished(self, stage: Stage) -> Artifact | None:
        """The stage's artifact, if there is one to which nothing has to be added."""
        found = self.store.find(stage.name, stage.key)
        return None if found is None or found.unfinished else found

    def alike(self, stage: Stage, apart_from: Collection[str]) -> list[Path]:
        """Folders of artifacts of the same kind that differ in some values alone; the main process looks for them."""
        what = {name: value for name, value in stage.what.items() if name not in apart_from}
        runtime = self.runtime
        return runtime.decide(self.store.alike(stage.name, what, apart_from) if runtime.main else [])

    def perform(self, stage: Stage, make: Callable[[Path], Facts], *, shared: bool = True) -> Artifact:
        """The stage's artifact: found, or made by all processes (``shared``) or by the main one alone.

        The main process decides; nobody waits at a barrier that another does not reach.
        """
        runtime, store = self.runtime, self.store
        found = self.finished(stage) if runtime.main else None
        if runtime.decide(found is not None):
            self.emit(StageSkipped(stage.label, stage.key))
            return self._keep(stage, found, made=False)
        if not runtime.main:
            return self._assist(stage, make, shared)
        with store.locked(stage.name, stage.key):
            found = self.finished(stage)  # another process may have made it while we waited
            if runtime.decide(found is not None):
                self.emit(StageSkipped(stage.label, stage.key))
                return self._keep(stage, found, made=False)
            return self._keep(stage, self._make(stage, make), made=True)

    def _make(self, stage: Stage, make: Callable[[Path], Facts]) -> Artifact:
        runtime, store = self.runtime, self.store
        partial = store.partial(stage.name, stage.key)
        self.emit(StageStarted(stage.label, stage.key, resumed=partial.exists()))
        make_folder(partial)
        runtime.barrier()
        began, peak = time.monotonic(), PeakMemory(runtime.device)
        facts = _guarded(stage, partial, lambda: make(partial))
        runtime.barrier()
        measured = {"seconds": time.monotonic() - began, "peak_memory": peak.read()}
        # A later run may find this artifact on another machine, or with other libraries: its own say nothing of it.
        made_by = {"hardware": runtime.hardware(), "versions": versions()} if stage.name in RESULTS else {}
        artifact = store.commit(stage.name, stage.key, stage.what, {"facts": {**facts, **measured, **made_by}})
        free()
        self.emit(StageFinished(stage.label, stage.key, measured["seconds"], measured["peak_memory"]))
        runtime.barrier()
        return artifact

    def _assist(self, stage: Stage, make: Callable[[Path], Facts], shared: bool) -> Artifact:
        """What a process other than the main one does: help, and wait until the artifact is complete."""
        runtime = self.runtime
        if not runtime.decide(False):
            runtime.barrier()
            if shared:
                partial = self.store.partial(stage.name, stage.key)
                _guarded(stage, partial, lambda: make(partial))
                free()
            runtime.barrier()
            runtime.barrier()
        return self._keep(stage, None, made=True)

    def _keep(self, stage: Stage, artifact: Artifact | None, *, made: bool) -> Artifact:
        artifact = artifact or self.store.find(stage.name, stage.key, verify=False)
        if artifact is None:
            raise ArtifactError(
                f"{self.store.root}: stage {stage.label} was made, but this process cannot see it. Is it shared?"
            )
        self.outcomes.append(Outcome(stage, artifact, made))
        return artifact


def _guarded(stage: Stage, folder: Path, make: Callable[[], Facts]) -> Facts:
    """A stage's failure as a sentence; our own errors pass as they are, and so does Ctrl+C.

    Of an exception that nobody has foreseen, in a plugin or in langxfer, the cause keeps the traceback.
    """
    from langxfer.engine.head import Unsupported
    from langxfer.engine.statistics import NotFinite

    try:
        with storage_errors(folder):
            return make()
    except (LangxferError, BrokenPipeError):  # the latter: whoever read our output has had enough
        raise
    except NotFinite as error:
        raise StageError(
            stage.label, stage.key, f"{error}. Look at these examples, lower learning_rate, or use dtype float32."
        ) from None
    except Unsupported as error:
        raise StageError(stage.label, stage.key, str(error)) from None
    except MemoryError:
        raise StageError(stage.label, stage.key, TOO_LARGE) from None
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            raise StageError(stage.label, stage.key, TOO_LARGE) from None
        raise StageError(stage.label, stage.key, said(error)) from error
    except Exception as error:
        raise StageError(stage.label, stage.key, said(error)) from error
