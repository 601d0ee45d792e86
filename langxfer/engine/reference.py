"""Reference log-probabilities: computed once by the same path as the policy's, kept by example id and view.

They are written in parts, so that a killed stage goes on with the first part it lacks, and several
processes can share the work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from langxfer.data import View
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.errors import ArtifactError

PART = 64  # examples


def score_part(
    scorer: Scorer, examples: Sequence[Encoded], views: Sequence[View], budget: int
) -> dict[View, list[Tensor]]:
    """Per-token log-probabilities of examples, by view, in order, on the CPU."""
    found: dict[View, list[Tensor]] = {view: [torch.empty(0)] * len(examples) for view in views}
    with torch.no_grad():
        for units in scorer.micro_batches(examples, views, budget):
            for number, view, scores in scorer.score(units):
                found[view][number] = scores.float().cpu()
    return found


def write_parts(
    folder: Path,
    scorer: Scorer,
    examples: Sequence[Encoded],
    views: Sequence[View],
    budget: int,
    share: tuple[int, int] = (0, 1),
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[int], float]:
    """Score the examples part by part into ``folder``; parts that are there already are kept.

    ``share`` is (rank, processes): part i belongs to rank i % processes. ``read`` goes by id.

    Returns:
        Numbers of the parts that were made here, and the seconds of scoring them.
    """
    from safetensors.torch import save_file

    made: list[int] = []
    seconds = 0.0
    for part, own in enumerate(parts(examples, views)):
        path = folder / f"part-{part:05d}.safetensors"
        if part % share[1] == share[0] and not path.exists():
            began = time.monotonic()
            scores = score_part(scorer, own, views, budget)
            seconds += time.monotonic() - began
            made.append(part)
            tensors = {view.value: torch.cat(pieces) for view, pieces in scores.items()}
            temporary = path.with_suffix(".partial")
            save_file(tensors, temporary, metadata={"example_ids": json.dumps([e.id for e in own])})
            temporary.replace(path)
        progress(min((part + 1) * PART, len(examples)))
    return made, seconds


def parts(examples: Sequence[Encoded], views: Sequence[View]) -> list[list[Encoded]]:
    """The examples in order of length, so that the rows of a part are alike, cut into parts."""
    ordered = sorted(examples, key=lambda e: (-max(e.length(view) for view in views), e.id))
    return [ordered[start : start + PART] for start in range(0, len(ordered), PART)]


def read(folder: Path, examples: Sequence[Encoded], views: Sequence[View]) -> dict[str, dict[View, Tensor]]:
    """Per-token reference log-probabilities by example id and view.

    Raises:
        ArtifactError: an example is missing or its responses have other lengths.
    """
    from safetensors import safe_open

    by_id = {example.id: example for example in examples}
    found: dict[str, dict[View, Tensor]] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, "pt") as file:
            own = [name for name in json.loads(file.metadata()["example_ids"])]
            if not all(name in by_id for name in own):
                raise ArtifactError(f"{path}: its reference log-probabilities are of other examples. Delete {folder}.")
            for view in views:
                lengths = [len(by_id[name].responses[view]) for name in own]
                flat = file.get_tensor(view.value)
                if len(flat) != sum(lengths):
                    raise ArtifactError(f"{path}: {len(flat)} values for {sum(lengths)} tokens. Delete {folder}.")
                for name, scores in zip(own, flat.split(lengths), strict=True):
                    found.setdefault(name, {})[view] = scores
    missing = [example.id for example in examples if example.id not in found]
    if missing:
        raise ArtifactError(
            f"{folder}: no reference log-probabilities of {len(missing)} examples, {missing[0]} the first."
        )
    return found
