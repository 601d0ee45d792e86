"""Selectors: which parameters are trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from langxfer.components.component import Component

if TYPE_CHECKING:
    from torch import Tensor, nn


class Selector(Component):
    """Which parameters are trained: some of the model's own, or some that are added to it."""

    kind: ClassVar[str] = "selector"

    @abstractmethod
    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        """Names of the parameters to train, out of all parameter names and shapes of a model (after ``adapt``).

        An empty answer is an error that the engine reports with the names it offered.

        Raises:
            RecipeError: an option names something that the model does not have.
        """

    def advice(self, languages: Sequence[str]) -> tuple[str, ...]:
        """Warnings about training these parameters for these target languages, a sentence each (none by default)."""
        return ()

    def adapted(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes after ``adapt``, from those before it; without torch, for checks."""
        return dict(shapes)

    def adapt(self, network: nn.Module, seed: int) -> None:
        """Add parameters to the model, in place, before a phase (nothing by default).

        It keeps its class, and its outputs bit for bit: the reference is the model without them. What is drawn
        depends on ``seed`` (``training.seed``) alone, and torch's own generators stay as they were.
        """

    def finished(self, network: nn.Module, parameters: Mapping[str, Tensor], folder: Path) -> Mapping[str, Tensor]:
        """The result of a phase, float32 by the plain model's parameter names: all that later phases load.

        Args:
            network: the trained model, as ``adapt`` left it; it is not used again.
            parameters: the trained parameters by name; by default they are the result.
            folder: for files of the selector's own, which are kept with the artifact and the run; made when needed.
        """
        return parameters
