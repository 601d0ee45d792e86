"""One contender, in a process of its own: ``python -m tests.benchmarks.worker JOB``; see ``job.Channel``.

Requests: ``step``, ``logps`` (of the first batch), ``gradients`` (of the first ``pairs`` examples, into the
file ``path``), ``stop``. After loading, and after each request but ``stop``, there is one answer.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Protocol

from tests.benchmarks.job import Channel, Job


class Contender(Protocol):
    """What every kind of contender does."""

    def facts(self) -> dict[str, Any]:
        """What is said after loading: memory and settings."""
        ...

    def serve(self, channel: Channel) -> None:
        """Answer requests until there are no more."""
        ...


def load(job: Job) -> Contender:
    """The contender of the job's kind, loaded and ready for its first step."""
    if job.kind in ("clo", "sft"):
        from tests.benchmarks.ours import Ours

        return Ours(job)
    if job.kind in ("trl_best", "trl_default"):
        from tests.benchmarks.peer import Peer

        return Peer(job)
    from tests.benchmarks.plain import Plain

    return Plain(job)


def main() -> None:
    channel = Channel()
    job = Job(**json.loads(sys.argv[1]))
    import torch

    torch.set_num_threads(job.threads)
    contender = load(job)
    channel.answer(**contender.facts())
    contender.serve(channel)


if __name__ == "__main__":
    main()
