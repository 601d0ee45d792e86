"""Judges: which of two answers is better."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from langxfer.components.component import Component


@dataclass(frozen=True)
class Contest:
    """Two answers to one instruction, in the order in which the judge sees them.

    Attributes:
        id: of the item; with ``both_orders`` two contests have the same.
        messages: the prompt as (role, text) turns; answers stand in it as data, and can give the judge no orders.
        labels: what the first and the second answer are called in the messages, and are to be called in the verdict.
    """

    id: str
    instruction: str
    first: str
    second: str
    messages: tuple[tuple[str, str], ...]
    labels: tuple[str, str]


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a contest.

    Attributes:
        preference: for the second answer, from 0 (the first is better) to 1; 0.5 is a tie. None where there is none.
        problem: why there is none, in a few words.
    """

    preference: float | None
    problem: str | None = None


class OpenJudge(Protocol):
    """What ``Judge.open`` gives: a judge that is ready.

    It may have two more methods. ``judge_again(contests)`` gives the same as ``judge`` with other settings; it is asked
    about contests that got no verdict. ``usage()`` gives what it has used so far, numbers by name (tokens, requests).
    One that works on several contests at a time may say with the attribute ``at_once`` how many keep it busy.
    """

    def judge(self, contests: Sequence[Contest]) -> Sequence[Verdict]:
        """A verdict for each contest, in order."""
        ...


class Judge(Component):
    """Compares answers, by a model or from a file.

    ``repeats`` says that another run would get the same verdicts on the same contests, so that one which is missing
    stays missing, and is not tried again.
    """

    kind: ClassVar[str] = "judge"
    repeats: ClassVar[bool] = False

    @property
    def answers(self) -> Literal["ranking", "label"]:
        """How the messages are to ask it for a verdict: a ranking in JSON, or the better answer's label alone."""
        return "ranking"

    def on(self, device: str) -> Judge:
        """The judge with what a device decides filled in, such as the precision of its weights; itself by default.

        Verdicts are kept under ``on(device).what()``.
        """
        return self

    @abstractmethod
    def open(self, device: str, cache: Path | None) -> AbstractContextManager[OpenJudge]:
        """Load it onto ``device`` (``cpu`` or ``cuda``), and free it at the end. ``cache`` is for what it converts.

        Raises:
            RecipeError, DataError: something it needs is missing.
        """
