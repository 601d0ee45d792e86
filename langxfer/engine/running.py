"""Says how a translator runs (device, precision, threads), as soon as it does."""

from __future__ import annotations

from collections.abc import Callable

from langxfer.events import Event, Notice
from langxfer.translation import Pipeline

Progress = Callable[[int, int | None], None]


class SaysHow:
    """Wraps callbacks of progress, and emits a notice with the first sign of it, and when there is more to say.

    Args:
        pipeline: its ``running`` is what is said.
        emit: gets the notice.
    """

    def __init__(self, pipeline: Pipeline, emit: Callable[[Event], None]):
        self._pipeline, self._emit = pipeline, emit
        self._said: str | None = None

    def before(self, progress: Progress) -> Progress:
        """``progress``, and before it what there is to say."""

        def told(done: int, total: int | None) -> None:
            running = self._pipeline.running
            if running is not None and running != self._said:
                self._said = running
                self._emit(Notice(running))
            progress(done, total)

        return told
