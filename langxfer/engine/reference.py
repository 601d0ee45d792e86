"""Reference log-probabilities: computed once by the same path as the policy's, kept by example id and view.

They are written in parts, so that a killed stage goes on with the first part it lacks, and several
processes can share the work. A part says which tokens its numbers are of: what one artifact knows of them, another of
the same model takes from it (``Known``), so that 800 examples cost 400 where 400 of them are done.
"""

from __future__ import annotations

import hashlib
import json
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from langxfer.data import View
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.errors import ArtifactError

PART = 64  # examples


@dataclass(frozen=True)
class _Stored:
    """Where the log-probabilities of a response lie: a slice of a view in a part."""

    path: Path
    view: str
    start: int
    stop: int


class Known:
    """What finished artifacts of one model know, by the tokens of prompt and response.

    Args:
        folders: of the artifacts; the first that knows a response is asked.
    """

    def __init__(self, folders: Iterable[Path] = ()):
        self._stored: dict[str, _Stored] = {}
        for folder in folders:
            for path in sorted(folder.glob("part-*.safetensors")):
                self._index(path)

    def has(self, example: Encoded, views: Sequence[View]) -> bool:
        """Whether all these views of an example are known."""
        return all(_tokens_digest(example, view) in self._stored for view in views)

    def read(self, example: Encoded, view: View) -> Tensor:
        """Of a view that is known."""
        from safetensors import safe_open

        own = self._stored[_tokens_digest(example, view)]
        with safe_open(own.path, "pt") as file:
            return file.get_slice(own.view)[own.start : own.stop]

    def _index(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            tokens = json.loads(file.metadata().get("tokens", "{}"))  # parts of earlier versions do not say
        for view, responses in tokens.items():
            start = 0
            for digest, length in responses:
                self._stored.setdefault(digest, _Stored(path, view, start, start + length))
                start += length


def _tokens_digest(example: Encoded, view: View) -> str:
    """What decides the log-probabilities of a response, beside the model."""
    prompt, response = example.prompts[view.prompt], example.responses[view]
    return hashlib.blake2b(array("q", [len(prompt), *prompt, *response]).tobytes(), digest_size=16).hexdigest()


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
    known: Known | None = None,
) -> tuple[list[int], float]:
    """Score the examples part by part into ``folder``; parts that are there already are kept.

    ``share`` is (rank, processes): part i belongs to rank i % processes. ``read`` goes by id. Examples that are
    ``known`` are not scored.

    Returns:
        Numbers of the parts that were made here, and the seconds of scoring them.
    """
    from safetensors.torch import save_file

    made: list[int] = []
    seconds = 0.0
    known = known or Known()
    for part, own in enumerate(parts(examples, views)):
        path = folder / f"part-{part:05d}.safetensors"
        if part % share[1] == share[0] and not path.exists():
            new = [example for example in own if not known.has(example, views)]
            began = time.monotonic()
            scores = score_part(scorer, new, views, budget)
            seconds += time.monotonic() - began if new else 0.0
            made.append(part)
            numbers = {example.id: number for number, example in enumerate(new)}
            tensors = {
                view.value: torch.cat(
                    [scores[view][numbers[e.id]] if e.id in numbers else known.read(e, view) for e in own]
                )
                for view in views
            }
            temporary = path.with_suffix(".partial")
            save_file(tensors, temporary, metadata=_told(own, views))
            temporary.replace(path)
        progress(min((part + 1) * PART, len(examples)))
    return made, seconds


def _told(examples: Sequence[Encoded], views: Sequence[View]) -> dict[str, str]:
    """What a part says of itself: its examples in order, and of every view the tokens (digest, length)."""
    tokens = {view.value: [(_tokens_digest(e, view), len(e.responses[view])) for e in examples] for view in views}
    return {"example_ids": json.dumps([e.id for e in examples]), "tokens": json.dumps(tokens)}


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
