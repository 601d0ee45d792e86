"""The model that is trained or measured: where it lies, how it reads, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.engine import models, weights
from langxfer.engine.encode import Encoder
from langxfer.engine.forward import Scorer
from langxfer.engine.runtime import Runtime
from langxfer.events import Event, Notice

if TYPE_CHECKING:
    from langxfer.recipe import Compute, Model


@dataclass
class Subject:
    """A model with the settings that it runs under. Folder and encoder are fetched when first needed.

    Attributes:
        longest: tokens of a prompt with its response at the most; None where nobody knows.
    """

    model: Model
    compute: Compute
    longest: int | None
    runtime: Runtime
    emit: Callable[[Event], None]

    @cached_property
    def folder(self) -> Path:
        """Fetched where it is missing. Stages of the main process alone come here too, so nobody waits for others."""
        if models.local_folder(self.model, whole=True) is None:
            self.emit(Notice(f"fetching the model {self.model.source}"))
        return models.fetch(self.model)

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder(self.model, self.folder)

    def scorer(self, trained: Sequence[Path]) -> Scorer:
        """The model with earlier phases' weights, ready to score."""
        return self.scorer_of(weights.load_model(self.model, self.folder, trained, self.compute, self.runtime.device))

    def scorer_of(self, network: Any) -> Scorer:
        """A scorer with the layout, attention and precision asked for."""
        notify = lambda message: self.emit(Notice(message))  # noqa: E731
        return Scorer(network, self.compute.layout, self._autocast, notify, self.compute.attention, self.longest)

    def _autocast(self) -> Any:
        return self.runtime.autocast(self.model.dtype)
