"""The benchmark with its contenders as threads of one process: starts fast, so a test can run all of it.

Options and output are those of ``python -m tests.benchmarks.training --json``. The contenders share
one memory and one cache of imports, so the memory figures mean nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from queue import Queue
from threading import Lock, Thread
from typing import Any

from tests.benchmarks import contest, training
from tests.benchmarks.job import Job
from tests.benchmarks.worker import load


class Queues:
    """What ``job.Channel`` is between processes, between threads."""

    def __init__(self) -> None:
        self.asked: Queue[dict[str, Any]] = Queue()
        self.answered: Queue[dict[str, Any] | BaseException] = Queue()

    def requests(self) -> Iterator[dict[str, Any]]:
        while (request := self.asked.get())["do"] != "stop":
            yield request

    def answer(self, **facts: Any) -> None:
        self.answered.put(json.loads(json.dumps(facts)))


# Loading a model is one thread's at a time: transformers patches torch for all threads while it loads.
LOADING = Lock()


class Threaded(contest.Process):
    """A contender in a thread."""

    def __init__(self, job: Job):
        self.facts = {}
        self._queues = Queues()
        self._thread = Thread(target=self._work, args=(job,), daemon=True)
        self._thread.start()

    def _work(self, job: Job) -> None:
        try:
            with LOADING:
                contender = load(job)
            self._queues.answer(**contender.facts())
            contender.serve(self._queues)
        except BaseException as error:
            self._queues.answered.put(error)
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        self._queues.asked.put({"do": do, **request})
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        answer = self._queues.answered.get()
        if isinstance(answer, BaseException):
            raise contest.ContenderFailed(repr(answer)) from answer
        return answer

    def __exit__(self, *_: object) -> None:
        self._queues.asked.put({"do": "stop"})
        self._thread.join(timeout=60)


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # libraries print there
        found = training.run(training.arguments(), lambda text: print(text, file=sys.stderr), Threaded)
    print(json.dumps(found))
