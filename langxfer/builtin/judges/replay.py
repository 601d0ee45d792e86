"""Verdicts that somebody stored: what was published can be computed again, and nothing is paid twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from langxfer.builtin.evaluators.alpaca_eval.files import digest
from langxfer.builtin.evaluators.files import rows
from langxfer.components import Contest, Judge, OpenJudge, Verdict
from langxfer.errors import DataError

Key = tuple[str, str, str]
MISSING = Verdict(None, "not among the stored verdicts")


class Replay(Judge):
    """A judge that looks its verdicts up, by the instruction and both answers, in either order.

    The file is a JSON list or JSON lines, of AlpacaEval's annotations (``instruction``, ``output_1``, ``output_2``,
    ``preference``: 1 for the first, 2 for the second, between them if weighted, 0 or 1.5 for a tie, null for none), or
    of the rows of an evaluation by ``alpaca_eval`` (``instruction``, ``baseline``, ``answer``, ``score``). An order
    that is stored itself comes before the other one.
    """

    repeats: ClassVar[bool] = True

    name: Literal["replay"] = "replay"
    file: str = Field(min_length=1, description="JSON or JSONL file of stored verdicts.")
    annotator: str | None = Field(None, description="Take the verdicts of this annotator alone; null: the only one.")

    def identity(self) -> dict[str, Any]:
        """The file as a digest, so that its path does not count.

        Raises:
            DataError: it cannot be read, or its verdicts cannot be used.
        """
        self.read()
        return {"file": digest(Path(self.file), "judge.file")}

    def resolve(self, folder: Path) -> Replay:
        return self.model_copy(update={"file": str((folder / self.file).resolve())})

    @contextmanager
    def open(self, device: str, cache: Path | None) -> Iterator[OpenJudge]:
        """The file, read."""
        yield _OpenReplay(self.read())

    def read(self) -> dict[Key, float]:
        """Preference for the second answer, from 0 to 1, by (instruction, first answer, second answer).

        Raises:
            DataError: the file is wrong, has verdicts of several annotators, or contradicts itself.
        """
        found: dict[Key, float] = {}
        annotators: set[str] = set()
        for record in rows(Path(self.file), "judge.file"):
            where, row = record.where, record.values
            annotator = row.get("annotator")
            if self.annotator is not None and annotator != self.annotator:
                continue
            if isinstance(annotator, str):
                annotators.add(annotator)
            key, preference = _verdict(row, where)
            if preference is None:
                continue
            if found.setdefault(key, preference) != preference:
                raise DataError(f"{where} contradicts an earlier verdict on the same answers in the same order.")
        if len(annotators) > 1:
            raise DataError(f"{self.file}: verdicts of {', '.join(sorted(annotators))}. Name one as judge.annotator.")
        if not found:
            by = f" by {self.annotator}" if self.annotator else ""
            raise DataError(f"judge.file {self.file}: there is no verdict{by} in it.")
        return found


class _OpenReplay:
    def __init__(self, preferences: dict[Key, float]):
        self._preferences = preferences

    def judge(self, contests: Sequence[Contest]) -> list[Verdict]:
        """The stored verdicts; those that are not there are named so."""
        return [self._one(contest) for contest in contests]

    def _one(self, contest: Contest) -> Verdict:
        own = self._preferences.get((contest.instruction, contest.first, contest.second))
        if own is not None:
            return Verdict(own)
        other = self._preferences.get((contest.instruction, contest.second, contest.first))
        return MISSING if other is None else Verdict(1 - other)


def _verdict(row: Mapping[str, Any], where: str) -> tuple[Key, float | None]:
    """A row's answers, and its preference for the second one."""
    ours = "output_1" not in row
    names = ("instruction", "baseline", "answer") if ours else ("instruction", "output_1", "output_2")
    texts = [row.get(name) for name in names]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{where}: expected the texts instruction, output_1, output_2 and a preference, or instruction, baseline, "
            f"answer and a score. Fields there: {', '.join(row) or 'none'}."
        )
    name, lowest = ("score", 0.0) if ours else ("preference", 1.0)
    value = row.get(name)
    if value is None:
        return (texts[0], texts[1], texts[2]), None  # type: ignore[return-value]
    if value == 0 and not ours and not isinstance(value, bool):
        value = 1.5  # how AlpacaEval wrote a tie at first
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= lowest + 1:
        raise DataError(
            f"{where}: {name} is {value!r:.40}, expected a number from {lowest:g} to {lowest + 1:g}, or null."
        )
    return (texts[0], texts[1], texts[2]), value - lowest  # type: ignore[return-value]
